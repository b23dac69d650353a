"""No pair of two coins gets through, and true pairs do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listing_cases import DIRECTIONS, EXCHANGES, member, pairs_of

from spreadscan.discovery.identity import resolve

BOUND = 0.1
SOURCES = [f"{exchange}_{market}" for exchange in EXCHANGES for market in ("spot", "futures")]


def resolved(*members):
    return resolve(members, DIRECTIONS, BOUND)


def names_in(resolution):
    return {name for by_name in resolution.members.values() for name in by_name}


def test_listings_that_cost_the_same_are_one_symbol():
    found = resolved(
        member("binance_spot", "BTC", 100.0),
        member("okx_futures", "BTC", 101.0),
        member("bybit_spot", "BTC", 99.5),
    )

    assert set(pairs_of(found)) == {
        ("binance_spot_okx_futures", "BTC-USDT"),
        ("bybit_spot_okx_futures", "BTC-USDT"),
    }
    assert found.findings == found.duplicates == found.unproven == ()


def test_listing_that_costs_something_else_is_quarantined_with_its_evidence():
    found = resolved(
        member("binance_spot", "GAS", 4.0),
        member("okx_spot", "GAS", 4.02),
        member("bybit_futures", "GAS", 4.01),
        member("mexc_spot", "GAS", 0.03),
    )

    assert {name for name, _ in pairs_of(found)} == {
        "binance_spot_bybit_futures", "okx_spot_bybit_futures",
    }  # fmt: skip
    (finding,) = found.findings
    assert (finding.source, finding.exchange_symbol, finding.coin) == (
        "mexc_spot",
        "GASUSDT",
        "GAS",
    )
    assert (finding.price, finding.reference_price, finding.references) == (0.03, 4.01, 3)
    assert finding.kept_as is None
    assert finding.lost_pairs == ("mexc_spot_bybit_futures",)
    assert "costs 0.03, the median of 3 others is 4.01 (-99.3%)" in finding.why


def test_two_listings_that_differ_are_no_pair():
    found = resolved(member("binance_spot", "X", 1.0), member("okx_futures", "X", 1.2))

    assert pairs_of(found) == {}
    assert len(found.findings) == 1


@pytest.mark.parametrize(("price", "is_pair"), [(110.0, True), (110.1, False), (91.0, True)])
def test_bound_is_on_the_pair(price, is_pair):
    found = resolved(member("binance_spot", "X", 100.0), member("okx_futures", "X", price))

    assert bool(pairs_of(found)) == is_pair


def test_chain_of_small_steps_does_not_join_what_is_far_apart():
    found = resolved(
        member("binance_spot", "X", 100.0),
        member("okx_futures", "X", 109.0),
        member("bybit_spot", "X", 118.0),
        member("mexc_futures", "X", 118.5),
    )

    for one, other in pairs_of(found).values():
        assert max(one.price, other.price) / min(one.price, other.price) <= 1 + BOUND


def test_second_coin_with_pairs_of_its_own_becomes_a_symbol_of_its_own():
    found = resolved(
        member("binance_spot", "NEIRO", 0.0009),
        member("okx_futures", "NEIRO", 0.0009),
        member("mexc_futures", "NEIRO", 0.00091),
        member("bybit_spot", "NEIRO", 0.06),
        member("binance_futures", "NEIRO", 0.0601),
    )

    assert set(pairs_of(found)) == {
        ("binance_spot_okx_futures", "NEIRO-USDT"),
        ("binance_spot_mexc_futures", "NEIRO-USDT"),
        ("bybit_spot_binance_futures", "NEIRO_2-USDT"),
    }
    assert {finding.kept_as for finding in found.findings} == {"NEIRO_2-USDT"}


def test_coin_that_had_the_name_keeps_it_when_it_is_outnumbered():
    first, second = {"last_name": "NEIRO-USDT"}, {"last_name": "NEIRO_2-USDT"}
    members = [
        member("binance_spot", "NEIRO", 0.0009, **first),
        member("okx_futures", "NEIRO", 0.0009, **first),
        member("bybit_spot", "NEIRO", 0.06, **second),
        member("binance_futures", "NEIRO", 0.0601, **second),
        member("mexc_futures", "NEIRO", 0.0601),
    ]

    pairs = pairs_of(resolved(*members))

    assert ("binance_spot_okx_futures", "NEIRO-USDT") in pairs
    assert ("bybit_spot_mexc_futures", "NEIRO_2-USDT") in pairs


def test_listing_moved_by_the_operator_brings_no_name_along():
    found = resolved(
        member("mexc_spot", "GMT", 1.0, last_name="STEPN-USDT"),
        member("okx_futures", "GMT", 1.0, last_name="STEPN-USDT"),
    )

    assert names_in(found) == {"GMT-USDT"}


def test_perpetual_whose_index_is_another_coin_is_quarantined():
    found = resolved(
        member("binance_spot", "X", 1.0),
        member("okx_futures", "X", 1.0, index_price=1.01),
        member("mexc_futures", "X", 1.0, index_price=3.0),
    )

    assert {name for name, _ in pairs_of(found)} == {"binance_spot_okx_futures"}
    assert "index is at 3" in found.findings[0].why


@pytest.mark.parametrize(
    ("price", "hint"),
    [(2000.0, "a unit may be 1,000 coins"), (0.0002, "the others' units may be 10,000 coins")],
)
def test_forgotten_factor_is_named(price, hint):
    found = resolved(
        member("binance_spot", "X", 2.0),
        member("bybit_spot", "X", 2.0),
        member("okx_futures", "X", price),
    )

    assert found.findings[0].why.endswith(hint)


def test_without_any_price_the_name_decides_and_that_is_told():
    found = resolved(
        member("binance_spot", "X"), member("okx_futures", "X"), member("mexc_spot", "Y")
    )

    assert set(pairs_of(found)) == {("binance_spot_okx_futures", "X-USDT")}
    assert [row.source for row in found.unproven] == ["binance_spot", "okx_futures"]


def test_new_listing_without_a_price_waits_among_those_that_have_one():
    found = resolved(
        member("binance_spot", "X", 1.0),
        member("okx_futures", "X", 1.0),
        member("mexc_futures", "X"),
    )

    assert {name for name, _ in pairs_of(found)} == {"binance_spot_okx_futures"}
    assert found.findings[0].why == "it has no price to compare"


def test_known_listing_whose_price_is_missing_once_stays_what_it_was():
    last = {"last_name": "X-USDT"}
    found = resolved(
        member("binance_spot", "X", 1.0, **last),
        member("okx_futures", "X", 1.0, **last),
        member("mexc_futures", "X", **last),
    )

    assert ("binance_spot_mexc_futures", "X-USDT") in pairs_of(found)


def test_unpriced_listing_never_goes_over_to_another_coin_of_its_name():
    # One coin at 5.00, another at 5.75 that no spot source lists; the prices of the first one's
    # spot source are missing for one run.
    last = {"last_name": "ZZZ-USDT"}
    found = resolved(
        member("binance_spot", "ZZZ", **last),
        member("bybit_futures", "ZZZ", 5.0, **last),
        member("okx_futures", "ZZZ", 5.75),
        member("mexc_futures", "ZZZ", 5.75),
    )

    assert set(pairs_of(found)) == {("binance_spot_bybit_futures", "ZZZ-USDT")}


def test_name_stays_with_its_coin_when_a_new_one_could_make_the_first_pair():
    last = {"last_name": "X-USDT"}
    found = resolved(
        member("binance_spot", "X", **last),
        member("bybit_futures", "X", **last),
        member("okx_spot", "X", 9.0),
        member("mexc_futures", "X", 9.0),
    )

    assert set(pairs_of(found)) == {
        ("binance_spot_bybit_futures", "X-USDT"), ("okx_spot_mexc_futures", "X_2-USDT"),
    }  # fmt: skip


def test_run_without_prices_keeps_apart_what_prices_told_apart():
    first, second = {"last_name": "X-USDT"}, {"last_name": "X_2-USDT"}
    members = [
        member("binance_spot", "X", **first),
        member("okx_futures", "X", **first),
        member("bybit_spot", "X", **second),
        member("mexc_futures", "X", **second),
        member("mexc_spot", "X"),  # was quarantined
    ]

    found = resolve(members, DIRECTIONS, BOUND, may_trust_names=False)

    assert set(pairs_of(found)) == {
        ("binance_spot_okx_futures", "X-USDT"), ("bybit_spot_mexc_futures", "X_2-USDT"),
    }  # fmt: skip


def test_new_coin_without_a_price_waits_in_a_run_that_has_prices():
    found = resolved(
        member("binance_spot", "X", 1.0),
        member("okx_futures", "X", 1.0),
        member("binance_spot", "NEW"),
        member("okx_futures", "NEW"),
    )

    assert names_in(found) == {"X-USDT"}


def test_accepted_listing_does_not_join_the_second_coin():
    second = {"last_name": "X_2-USDT"}
    found = resolved(
        member("binance_spot", "X", 1.0, **second),
        member("okx_futures", "X", 1.0, **second),
        member("mexc_futures", "X", 7.0, last_name="X-USDT", is_accepted=True),
    )

    assert set(pairs_of(found)) == {("binance_spot_okx_futures", "X_2-USDT")}


def test_operator_accepts_whatever_the_price():
    found = resolved(
        member("binance_spot", "X", 1.0),
        member("okx_futures", "X", 1.0),
        member("mexc_futures", "X", 5.0, is_accepted=True),
    )

    assert ("binance_spot_mexc_futures", "X-USDT") in pairs_of(found)
    assert found.findings == ()


def test_plain_listing_wins_over_a_scaled_one_of_the_same_source():
    found = resolved(
        member("okx_futures", "PEPE", 1.0, multiplier=1000.0, exchange_symbol="1000PEPE"),
        member("okx_futures", "PEPE", 1.0, exchange_symbol="PEPE"),
        member("binance_spot", "PEPE", 1.0),
    )

    (_, used) = pairs_of(found)["binance_spot_okx_futures", "PEPE-USDT"]
    assert used.exchange_symbol == "PEPE"
    assert [row.exchange_symbol for row in found.duplicates] == ["1000PEPE"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(SOURCES),
            st.sampled_from(["A", "B"]),
            st.floats(0.5, 2.0),
            st.sampled_from([None, "A-USDT", "A_2-USDT", "B-USDT"]),
        ),
        max_size=16,
    )
)
def test_whatever_the_prices_no_pair_is_further_apart_than_the_bound(rows):
    members = [
        member(source, coin, price, exchange_symbol=f"{coin}{number}", last_name=last)
        for number, (source, coin, price, last) in enumerate(rows)
    ]

    found = resolved(*members)

    for (_, name), (one, other) in pairs_of(found).items():
        assert max(one.price, other.price) <= min(one.price, other.price) * (1 + BOUND) * 1.000001
        assert one.coin == other.coin
        assert name.split("-")[0].split("_")[0] == one.coin
