"""Paths become a tree, or are refused with the reason."""

import pytest
from frame_cases import FLAT, NESTED, TICKER, json_plan, protobuf_plan

from spreadscan.kernel.plan import Edge, Field, plan_tree


def test_paths_with_a_common_beginning_share_their_nodes():
    tree = plan_tree(NESTED)

    assert not tree.is_protobuf
    root = tree.nodes[0]
    assert [edge.key for edge in root.edges] == [b"arg", b"data"]
    rows = tree.nodes[tree.nodes[root.edges[1].node].edges[0].node]
    assert [edge.key for edge in rows.edges] == [b"bids", b"asks", b"ts", b"seqId"]
    assert rows.holds_side
    assert not tree.nodes[root.edges[0].node].holds_side


def test_alternatives_of_one_field_are_edges_of_their_own():
    tree = plan_tree(FLAT)

    assert [edge.field for edge in tree.nodes[0].edges].count(Field.SYMBOL) == 1
    assert [edge.field for edge in tree.nodes[1].edges].count(Field.SYMBOL) == 1


def test_indices_make_an_array_and_keys_an_object():
    tree = plan_tree(json_plan(bid=("data.b.0.0",), ask=("data.a.0.0",)))

    is_array = [node.is_array for node in tree.nodes]
    assert is_array.count(True) == 4
    assert not is_array[0]


def test_field_numbers_make_no_array():
    tree = plan_tree(TICKER)

    assert tree.is_protobuf
    assert not any(node.is_array for node in tree.nodes)
    assert tree.nodes[0].edges[0] == Edge(b"3", 3, Field.SYMBOL, -1)
    assert [edge.number for edge in tree.nodes[1].edges] == [1, 2, 3, 4, 5]


def test_conditions_keep_their_order_and_lose_their_star():
    tree = plan_tree(json_plan(where=(("x.y", ("x", "y*")), ("c", ("z",)))))

    assert tree.condition_count == 2
    assert tree.wheres == [(0, b"x", False), (0, b"y", True), (1, b"z", False)]


@pytest.mark.parametrize(
    ("make", "changes", "complaint"),
    [
        (json_plan, {"bid": ("s.x",)}, "goes through a value"),
        (json_plan, {"bid": ("s",)}, "declared twice"),
        (json_plan, {"bid": ("a.",)}, "empty step"),
        (json_plan, {"bid": ("",)}, "empty step"),
        (protobuf_plan, {"bid": ("3.1",)}, "goes through a value"),
        (protobuf_plan, {"bid": ("3",)}, "declared twice"),
        (protobuf_plan, {"bid": ("data.1",)}, "no field number"),
        (protobuf_plan, {"bid": ("0",)}, "no field number"),
        (protobuf_plan, {"bid": ("-1",)}, "no field number"),
        (protobuf_plan, {"bid": ("01",)}, "no field number"),
        (protobuf_plan, {"bid": ("536870912",)}, "no field number"),
        (protobuf_plan, {"where": (("x", ("y",)),)}, "no field number"),
    ],
)
def test_path_that_makes_no_sense_is_refused(make, changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        plan_tree(make(**changes))


def test_greatest_field_number_is_taken():
    tree = plan_tree(protobuf_plan(bid=("536870911",)))

    assert 2**29 - 1 in {edge.number for edge in tree.nodes[0].edges}
