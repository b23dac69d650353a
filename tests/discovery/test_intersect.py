"""Ids: who gets one, who keeps his, which are never used again."""

from hypothesis import given
from hypothesis import strategies as st

from spreadscan.discovery.intersect import intersect
from spreadscan.model import Direction, Instrument
from spreadscan.shm.layout import MAX_SYMBOLS, NUM_SOURCES

DIRECTIONS = (
    Direction(direction_id=1, name="a_b", spot_source=0, futures_source=5),
    Direction(direction_id=4, name="c_d", spot_source=4, futures_source=1),
)


def listed(*names):
    return {
        name: Instrument(
            exchange_symbol=name,
            price_multiplier=1.0,
            contract_size=1.0,
            tick_size=0.0,
            qty_step=0.0,
            min_qty=0.0,
            min_notional=0.0,
            tradable_via_api=True,
        )
        for name in names
    }


def ids_of(found):
    return {row.name: row.symbol_id for row in found.symbols}


def test_only_a_symbol_that_both_sides_of_a_direction_list_gets_an_id():
    legs = {0: listed("A", "B"), 1: listed("A", "C"), 4: listed("B"), 5: listed("B", "C")}

    found = intersect(legs, DIRECTIONS, {}, 0)

    assert ids_of(found) == {"B": 0}
    assert [row.symbols for row in found.directions] == [(0,), ()]
    assert [leg is not None for leg in found.symbols[0].instruments] == [
        True, False, False, False, True, True, False, False,
    ]  # fmt: skip


def test_absent_source_leaves_its_directions_empty():
    found = intersect({0: listed("A")}, DIRECTIONS, {}, 0)

    assert found.symbols == ()
    assert [row.direction_id for row in found.directions] == [1, 4]


def test_symbol_keeps_its_id_and_a_freed_one_is_not_given_again():
    legs = {0: listed("B", "C", "D"), 5: listed("B", "C", "D")}

    found = intersect(legs, DIRECTIONS, {"A": 0, "B": 1, "D": 2}, 3)

    assert ids_of(found) == {"B": 1, "C": 3, "D": 2}
    assert found.next_symbol_id == 4


def test_freed_highest_id_is_remembered():
    found = intersect({0: listed("A"), 5: listed("A")}, DIRECTIONS, {"A": 0, "B": 9}, 10)

    assert found.next_symbol_id == 10


def test_symbols_beyond_the_table_are_named_and_left_out():
    names = [f"S{number:04}" for number in range(MAX_SYMBOLS + 3)]
    legs = {0: listed(*names), 5: listed(*names)}

    found = intersect(legs, DIRECTIONS, {"S1025": 0}, 1)

    assert len(found.symbols) == MAX_SYMBOLS
    assert ids_of(found)["S1025"] == 0
    assert found.without_id == ("S1023", "S1024", "S1026")
    assert found.next_symbol_id == MAX_SYMBOLS
    assert len(found.directions[0].symbols) == MAX_SYMBOLS


NAMES = st.sets(st.sampled_from([f"S{number}" for number in range(12)]))


@given(st.lists(st.tuples(NAMES, NAMES, NAMES, NAMES), min_size=1, max_size=8))
def test_over_any_history_an_id_means_one_symbol_and_no_pair_is_lost(history):
    owner = {}
    last, first_free = {}, 0
    for listings in history:
        legs = dict(zip((0, 1, 4, 5), (listed(*names) for names in listings), strict=True))

        found = intersect(legs, DIRECTIONS, last, first_free)

        last, first_free = ids_of(found), found.next_symbol_id
        for name, symbol_id in last.items():
            assert owner.setdefault(symbol_id, name) == name
            assert symbol_id < first_free
        for direction in found.directions:
            both = legs[direction.spot_source].keys() & legs[direction.futures_source].keys()
            assert direction.symbols == tuple(sorted(last[name] for name in both))
        assert all(len(row.instruments) == NUM_SOURCES for row in found.symbols)
