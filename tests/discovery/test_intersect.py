"""Ids: who gets one, who keeps his, which are never used again."""

from hypothesis import given
from hypothesis import strategies as st
from listing_cases import member

from spreadscan.discovery.intersect import Ids, intersect
from spreadscan.model import Direction
from spreadscan.shm.layout import MAX_SYMBOLS, NUM_SOURCES

DIRECTIONS = (
    Direction(direction_id=1, name="a_b", spot_source=0, futures_source=5),
    Direction(direction_id=4, name="c_d", spot_source=4, futures_source=1),
)


def listed(*names, turnover_usd=None):
    """Listings of one source; which one does not matter here."""
    return {name: member("okx_spot", name, turnover_usd=turnover_usd) for name in names}


def matched(members, last_ids=None, first_free=0, free_ids=None, retired=None):
    ids = Ids(
        held=last_ids or {},
        retired=retired or {},
        free=range(first_free, MAX_SYMBOLS) if free_ids is None else free_ids,
        next_symbol_id=first_free,
    )
    return intersect(members, DIRECTIONS, ids)


def ids_of(found):
    return {row.name: row.symbol_id for row in found.symbols}


def test_only_a_symbol_that_both_sides_of_a_direction_list_gets_an_id():
    legs = {0: listed("A", "B"), 1: listed("A", "C"), 4: listed("B"), 5: listed("B", "C")}

    found = matched(legs)

    assert ids_of(found) == {"B": 0}
    assert [row.symbols for row in found.directions] == [(0,), ()]
    assert [leg is not None for leg in found.symbols[0].instruments] == [
        True, False, False, False, True, True, False, False,
    ]  # fmt: skip


def test_absent_source_leaves_its_directions_empty():
    found = matched({0: listed("A")})

    assert found.symbols == ()
    assert [row.direction_id for row in found.directions] == [1, 4]


def test_symbol_keeps_its_id_and_a_freed_one_is_not_given_again():
    legs = {0: listed("B", "C", "D"), 5: listed("B", "C", "D")}

    found = matched(legs, {"A": 0, "B": 1, "D": 2}, 3)

    assert ids_of(found) == {"B": 1, "C": 3, "D": 2}
    assert found.next_symbol_id == 4


def test_freed_highest_id_is_remembered():
    found = matched({0: listed("A"), 5: listed("A")}, {"A": 0, "B": 9}, 10)

    assert found.next_symbol_id == 10


def test_symbols_beyond_the_table_are_named_and_left_out():
    names = [f"S{number:04}" for number in range(MAX_SYMBOLS + 3)]
    legs = {0: listed(*names), 5: listed(*names)}

    found = matched(legs, {"S1025": 0}, 1)

    assert len(found.symbols) == MAX_SYMBOLS
    assert ids_of(found)["S1025"] == 0
    assert found.without_id == ("S1023", "S1024", "S1026")
    assert found.next_symbol_id == MAX_SYMBOLS
    assert len(found.directions[0].symbols) == MAX_SYMBOLS


def test_given_up_ids_go_to_newcomers_in_the_order_offered():
    legs = {0: listed("A", "B", "C"), 5: listed("A", "B", "C")}

    found = matched(legs, {"B": 7}, 8, free_ids=[2, 0, 9])

    assert ids_of(found) == {"A": 2, "B": 7, "C": 0}


def test_symbol_that_returns_has_its_own_id_again():
    first = matched({0: listed("A", "B"), 5: listed("A", "B")})
    without = matched({0: listed("A"), 5: listed("A")}, ids_of(first), first.next_symbol_id)
    back = matched(
        {0: listed("A", "B", "C"), 5: listed("A", "B", "C")},
        ids_of(without),
        without.next_symbol_id,
        retired=without.retired_ids,
    )

    assert without.retired_ids == {"B": 1}
    assert ids_of(back) == {"A": 0, "B": 1, "C": 2}
    assert back.retired_ids == {}


def crowd(turnovers):
    """One direction's listings with a turnover each, the same on both legs."""
    legs = {}
    for name, turnover_usd in turnovers.items():
        legs |= listed(name, turnover_usd=turnover_usd)
    return {0: legs, 5: legs}


def test_the_most_liquid_stay_when_there_are_too_many():
    turnovers = {f"S{number:04}": float(number) for number in range(MAX_SYMBOLS + 2)}

    found = matched(crowd(turnovers))

    assert set(found.without_id) == {"S0000", "S0001"}
    assert len(found.symbols) == MAX_SYMBOLS


def test_holder_gives_up_its_place_only_to_one_that_is_twice_as_liquid():
    holders = {f"S{number:04}": number for number in range(MAX_SYMBOLS)}
    turnovers = {name: 100.0 + number for name, number in holders.items()}

    little = matched(crowd(turnovers | {"NEW": 150.0}), holders, free_ids=[1023])
    much = matched(crowd(turnovers | {"NEW": 250.0}), holders, free_ids=[1023])

    assert little.without_id == ("NEW",)
    assert much.without_id == ("S0000",)


def test_holder_stays_when_the_better_newcomer_could_get_no_id():
    holders = {f"S{number:04}": number for number in range(MAX_SYMBOLS)}
    turnovers = dict.fromkeys(holders, 1.0)

    found = matched(crowd(turnovers | {"NEW": 250.0}), holders, free_ids=[])

    assert found.without_id == ("NEW",)
    assert len(found.symbols) == MAX_SYMBOLS


def test_liquidity_is_that_of_the_best_directions_thinner_leg():
    names = [f"S{number:04}" for number in range(MAX_SYMBOLS)]
    legs = {
        0: listed(*names, turnover_usd=5.0) | listed("THIN", turnover_usd=1e9),
        5: listed(*names, turnover_usd=5.0) | listed("THIN", turnover_usd=1.0),
    }

    assert matched(legs).without_id == ("THIN",)


NAMES = st.sets(st.sampled_from([f"S{number}" for number in range(12)]))


@given(st.lists(st.tuples(NAMES, NAMES, NAMES, NAMES), min_size=1, max_size=8))
def test_over_any_history_an_id_means_one_symbol_and_no_pair_is_lost(history):
    owner = {}
    last, first_free = {}, 0
    for listings in history:
        legs = dict(zip((0, 1, 4, 5), (listed(*names) for names in listings), strict=True))

        found = matched(legs, last, first_free)

        last, first_free = ids_of(found), found.next_symbol_id
        for name, symbol_id in last.items():
            assert owner.setdefault(symbol_id, name) == name
            assert symbol_id < first_free
        for direction in found.directions:
            both = legs[direction.spot_source].keys() & legs[direction.futures_source].keys()
            assert direction.symbols == tuple(sorted(last[name] for name in both))
        assert all(len(row.instruments) == NUM_SOURCES for row in found.symbols)
