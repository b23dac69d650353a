"""Turns an adapter's paths into the tree that the kernel walks. Pure; called once a connection.

A node is an object, array or message that some path passes through; its edges are the keys, indices
or field numbers that the paths take from there, side by side, in the order of the plan. The kernel
copies the tree into its own tables (``plan.h``) and there refuses what does not fit them.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from spreadscan.exchanges._adapter import JsonPlan, ProtobufPlan

__all__ = ["Edge", "Field", "Node", "PlanTree", "Where", "plan_tree"]

MAX_FIELD_NUMBER = 2**29 - 1
"""Of protobuf; see protobuf.dev/programming-guides/proto3 on assigning field numbers."""


class Field(IntEnum):
    """What a value means to a quote; the same numbers as in ``plan.h``."""

    SYMBOL = 0
    BID = 1
    BID_QTY = 2
    ASK = 3
    ASK_QTY = 4
    EXCHANGE_MS = 5
    UPDATE_ID = 6
    WHERE = 8
    """WHERE + n is the n-th condition."""


SIDES = {Field.BID, Field.BID_QTY, Field.ASK, Field.ASK_QTY}


class Edge(NamedTuple):
    """One step of a path."""

    key: bytes
    number: int
    """Index in an array, field number in a message; -1 for a key of an object."""
    field: int
    """What the value is; -1 where the path goes on."""
    node: int
    """Where the path goes on; -1 where it ends."""


class Node(NamedTuple):
    """A place that paths pass through."""

    is_array: bool
    holds_side: bool
    """A price or a quantity stands somewhere below."""
    edges: list[Edge]


class Where(NamedTuple):
    """One accepted value of a condition."""

    condition: int
    value: bytes
    is_prefix: bool


class PlanTree(NamedTuple):
    """A compiled plan; the first node is the frame itself."""

    is_protobuf: bool
    nodes: list[Node]
    wheres: list[Where]
    condition_count: int


# A step to what stands behind it: more steps, or the field that it ends in.
Tree = dict[str, "Tree | int"]


def plan_tree(plan: JsonPlan | ProtobufPlan) -> PlanTree:
    """Compile a plan.

    Raises:
        ValueError: paths that contradict each other, or are none.
    """
    is_protobuf = isinstance(plan, ProtobufPlan)
    tree: Tree = {}
    for field, path in _declared(plan):
        steps = path.split(".")
        for step in steps:
            _check_step(path, step, is_protobuf=is_protobuf)
        _grow(tree, path, steps, field)
    nodes: list[Node] = []
    _add_node(nodes, tree, is_protobuf=is_protobuf)
    wheres = [
        Where(condition, value.removesuffix("*").encode(), value.endswith("*"))
        for condition, (_, accepted) in enumerate(plan.where)
        for value in accepted
    ]
    return PlanTree(is_protobuf, nodes, wheres, len(plan.where))


def _declared(plan: JsonPlan | ProtobufPlan) -> Iterator[tuple[int, str]]:
    """Yield every path with the field it leads to."""
    fields = {
        Field.SYMBOL: plan.symbol,
        Field.BID: plan.bid,
        Field.BID_QTY: plan.bid_qty,
        Field.ASK: plan.ask,
        Field.ASK_QTY: plan.ask_qty,
        Field.EXCHANGE_MS: plan.exchange_ms,
        Field.UPDATE_ID: plan.update_id,
    }
    for field, paths in fields.items():
        for path in paths:
            yield field, path
    for condition, (path, _) in enumerate(plan.where):
        yield Field.WHERE + condition, path


def _check_step(path: str, step: str, *, is_protobuf: bool) -> None:
    if not step:
        raise ValueError(f"path {path!r} has an empty step")
    if not is_protobuf:
        return
    # "01" would be another key than "1" and the same field.
    if not step.isdecimal() or str(int(step)) != step or not 0 < int(step) <= MAX_FIELD_NUMBER:
        raise ValueError(f"path {path!r}: {step!r} is no field number")


def _grow(tree: Tree, path: str, steps: list[str], field: int) -> None:
    """Add one path to the tree."""
    *above, leaf = steps
    place = tree
    for step in above:
        below = place.setdefault(step, {})
        if not isinstance(below, dict):
            raise ValueError(f"path {path!r} goes through a value")  # noqa: TRY004 - no type of ours
        place = below
    if leaf in place:
        raise ValueError(f"path {path!r} is declared twice")
    place[leaf] = field


def _add_node(nodes: list[Node], tree: Tree, *, is_protobuf: bool) -> int:
    """Add a node and those below it; return its number."""
    is_array = not is_protobuf and all(step.isdecimal() for step in tree)
    number = len(nodes)
    nodes.append(Node(is_array, bool(_fields_below(tree) & SIDES), []))
    for step, below in tree.items():
        position = int(step) if is_array or is_protobuf else -1
        if isinstance(below, dict):
            node = _add_node(nodes, below, is_protobuf=is_protobuf)
            edge = Edge(step.encode(), position, -1, node)
        else:
            edge = Edge(step.encode(), position, below, -1)
        nodes[number].edges.append(edge)
    return number


def _fields_below(tree: Tree) -> set[int]:
    found: set[int] = set()
    for below in tree.values():
        found |= _fields_below(below) if isinstance(below, dict) else {below}
    return found
