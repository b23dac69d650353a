"""Who stays, stays where it is; who comes finds the emptiest connection that has room."""

import json
import random

import pytest

from spreadscan.manners.placement import Move, Placement
from spreadscan.manners.shards import plan_shards


def legs_of(text):
    return [(symbol, ord(symbol)) for symbol in text]


def on(placement):
    return {shard: "".join(sorted(symbols)) for shard, symbols in placement.shards.items()}


def test_first_symbols_are_dealt_like_a_plan():
    legs = legs_of("ABCDEFG")
    placement = Placement(3)

    moves = placement.adopt(legs)

    plan = [tuple(symbol for symbol, _ in row) for row in plan_shards(legs, 3)]
    assert moves == [Move(shard=shard, added=row) for shard, row in enumerate(plan)]


def test_symbols_that_stay_move_nobody():
    placement = Placement(3)
    placement.adopt(legs_of("ABCDEFG"))

    assert placement.adopt(legs_of("GFEDCBA")) == []


def test_new_symbols_go_where_the_fewest_are_in_the_order_of_their_ids():
    placement = Placement(4)
    placement.adopt(legs_of("ABCDEF"))  # ACE, BDF
    placement.adopt(legs_of("ABDF"))

    moves = placement.adopt(legs_of("ABDFZYX"))

    assert moves == [Move(shard=0, added=("X", "Y", "Z"))]


def test_new_symbols_that_find_no_room_get_new_connections():
    placement = Placement(2)
    placement.adopt(legs_of("ABC"))

    moves = placement.adopt(legs_of("ABCDEFG"))

    assert moves == [
        Move(shard=1, added=("D",)),
        Move(shard=2, added=("E", "G")),
        Move(shard=3, added=("F",)),
    ]


def test_connection_without_symbols_ends_and_its_number_is_not_used_again():
    placement = Placement(1)
    placement.adopt(legs_of("AB"))

    moves = placement.adopt(legs_of("A"))
    assert moves == [Move(shard=1, removed=("B",), is_end=True)]
    assert placement.adopt(legs_of("AB")) == [Move(shard=2, added=("B",))]


def test_connection_that_is_emptied_and_filled_in_one_go_goes_on():
    placement = Placement(2)
    placement.adopt(legs_of("AB"))

    moves = placement.adopt(legs_of("CD"))

    assert [(move.shard, set(move.removed), move.added, move.is_end) for move in moves] == [
        (0, {"A", "B"}, ("C", "D"), False)
    ]


def test_symbol_that_comes_back_goes_where_it_was_when_there_is_room():
    placement = Placement(3)
    placement.adopt(legs_of("ABCDEF"))  # ACE, BDF
    placement.adopt(legs_of("ABE"))  # AE, B

    placement.adopt(legs_of("ABEC"))
    assert on(placement) == {0: "ACE", 1: "B"}

    placement.adopt(legs_of("ABEX"))
    placement.adopt(legs_of("ABEXYZ"))
    placement.adopt(legs_of("ABEXYZC"))
    assert on(placement) == {0: "AEY", 1: "BXZ", 2: "C"}


def test_source_may_lose_all_its_symbols_and_get_others():
    placement = Placement(2)
    placement.adopt(legs_of("AB"))

    assert [move.is_end for move in placement.adopt([])] == [True]
    assert placement.shards == {}
    assert placement.adopt(legs_of("C")) == [Move(shard=1, added=("C",))]


def test_topic_too_long_for_any_connection_has_one_of_its_own():
    placement = Placement(10, topic_bytes_per_connection=8)
    placement.adopt([("A", 0)])

    placement.adopt([("A", 0), ("LONGNAME", 1), ("B", 2)])

    assert placement.shards == {0: {"A", "B"}, 1: {"LONGNAME"}}


@pytest.mark.parametrize("limit_bytes", [None, 300])
def test_a_thousand_random_changes_keep_every_rule(limit_bytes):
    chance = random.Random(4)
    placement = Placement(20, "topic.{}".format, limit_bytes)
    pool = {f"C{number}USDT": number for number in range(300)}
    present, where, ended = set(), {}, set()
    for _ in range(1_000):
        size = chance.choice([0, 1, 30, 150, 300])
        fresh = chance.sample(sorted(pool), size)
        # Mostly little changes, now and then another universe.
        wanted = set(fresh) if chance.random() < 0.1 else present ^ set(fresh[:10])
        before = placement.shards

        moves = placement.adopt([(symbol, pool[symbol]) for symbol in wanted])

        after = placement.shards
        found = {symbol: shard for shard, symbols in after.items() for symbol in symbols}
        assert set(found) == wanted
        assert sum(map(len, after.values())) == len(wanted)
        assert all(found[symbol] == where[symbol] for symbol in wanted & present)
        assert {move.shard for move in moves if move.is_end} == set(before) - set(after)
        assert not ended & set(after)
        for symbols in after.values():
            texts = [f"topic.{symbol}" for symbol in symbols]
            assert 0 < len(symbols) <= 20
            if limit_bytes:
                assert len(json.dumps(texts, separators=(",", ":"))) - 2 <= limit_bytes
        for move in moves:
            held = set(before.get(move.shard, ()))
            assert set(move.removed) <= held
            kept = held - set(move.removed) | set(move.added)
            assert kept == set(after.get(move.shard, ()))
            assert not set(move.removed) & set(move.added)
        opened = set(after) - set(before)
        if opened:
            # Nobody opens a connection while another has room for a symbol of the new one.
            longest = 3 + len("topic.C299USDT")
            for shard in set(after) & set(before):
                held_bytes = sum(len(f"topic.{symbol}") + 3 for symbol in after[shard])
                is_full = len(after[shard]) == 20
                assert is_full or (limit_bytes and held_bytes + longest > limit_bytes)
        ended |= set(before) - set(after)
        present, where = wanted, found
