"""Which coin a listing is: the operator, the name, the last universe, the price."""

import pytest
from listing_cases import perpetual, spot, universe_of

from spreadscan.config import ListingWord
from spreadscan.discovery.last import Last
from spreadscan.discovery.member import instrument_of
from spreadscan.discovery.naming import (
    Names,
    coin_of,
    kept_members,
    named_members,
    proven_scales,
    spot_bases_of,
)
from spreadscan.discovery.screen import screen
from spreadscan.exchanges import source_named
from spreadscan.model import RawTicker

SOURCE = source_named("bybit_futures")


def named(base, *, bases=("BTC",), word=None, proven=None, last=None, ticker=None, **changes):
    row = perpetual(base, **changes)
    symbol = row.exchange_symbol
    words = {}
    if word is not None:
        words[symbol] = ListingWord(source=SOURCE.name, symbol=symbol, reason="known", **word)
    names = Names(spot_bases=frozenset(bases), proven=proven or {}, last=last or {})
    tickers = {symbol: ticker} if ticker else {}
    (found,) = named_members(SOURCE, screen([row], SOURCE, words, 0), tickers, words, names)
    return found


def reading(found):
    return found.coin, found.leg.price_multiplier, found.basis


def test_contract_sizes_and_multipliers_become_single_coins():
    pepe = named("1000PEPE", bases=["PEPE"]).leg
    btc = named("BTC", contract_size=0.01).leg

    assert (pepe.price_multiplier, pepe.contract_size) == (1000.0, 1.0)
    assert (pepe.tick_size, pepe.qty_step, pepe.min_qty) == (0.0005, 2000.0, 4000.0)
    assert (btc.price_multiplier, btc.contract_size) == (1.0, 0.01)
    assert (btc.tick_size, btc.qty_step, btc.min_qty) == (0.5, 0.02, 0.04)
    assert (pepe.min_notional, btc.min_notional) == (5.0, 5.0)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ({"coin": "RAY"}, ("RAY", 1.0, "operator")),
        ({"coin": "NEIRO", "multiplier": 1000.0}, ("NEIRO", 1000.0, "operator")),
        ({"multiplier": 1000.0}, ("PEPE", 1000.0, "operator")),
        ({"verdict": "accept"}, ("PEPE", 1000.0, "name")),
    ],
)
def test_operators_word_wins_over_the_name(word, expected):
    assert reading(named("1000PEPE", bases=["PEPE", "RAYDIUM"], word=word)) == expected


def test_accepted_listing_is_marked():
    assert named("BTC", word={"verdict": "accept"}).is_accepted
    assert not named("BTC", word={"coin": "BTC"}).is_accepted


def test_price_and_index_are_brought_to_one_coin():
    ticker = RawTicker(exchange_symbol="1000PEPEUSDT", price=9.0, index_price=8.0, turnover_usd=7.0)

    found = named("1000PEPE", bases=["PEPE"], ticker=ticker)

    assert (found.price, found.index_price, found.turnover_usd) == (0.009, 0.008, 7.0)
    assert named("BTC").price is None


BOTH = ("CAT", "1000CAT")


def test_scaled_name_that_is_on_spot_itself_is_another_coin_without_evidence():
    assert reading(named("1000CAT", bases=BOTH)) == ("1000CAT", 1.0, "")


@pytest.mark.parametrize(
    ("priced", "expected"),
    [
        ([("CAT", 0.01), ("1000CAT", 10.1)], {"1000CAT": ("CAT", 1000.0)}),
        ([("CAT", 0.01), ("1000CAT", 10.3)], {}),
        ([("CAT", 0.01), ("1000CAT", 0.01)], {}),
        ([("1000CAT", 10.0)], {}),
        ([("CAT", 0.01), ("CAT", 0.0101), ("CAT", 55.0), ("1000CAT", 10.0)],
         {"1000CAT": ("CAT", 1000.0)}),
    ],
)  # fmt: skip
def test_price_of_a_thousand_proves_the_factor(priced, expected):
    assert proven_scales(priced, set(BOTH), 0.02) == expected


def test_name_that_is_not_on_spot_needs_no_proof_and_an_unlisted_coin_gives_none():
    assert proven_scales([("PEPE", 1.0), ("1000PEPE", 1000.0)], {"PEPE"}, 0.02) == {}
    assert proven_scales([("X", 1.0), ("1000X", 1000.0)], {"1000X"}, 0.02) == {}


def test_proven_factor_is_used_and_remembered_while_prices_are_missing():
    proven = named("1000CAT", bases=BOTH, proven={"1000CAT": ("CAT", 1000.0)})
    assert reading(proven) == ("CAT", 1000.0, "price")

    last = {(SOURCE.source_id, "1000CATUSDT"): ("CAT-USDT", proven.leg)}
    assert reading(named("1000CAT", bases=BOTH, last=last)) == ("CAT", 1000.0, "last")

    plain = {(SOURCE.source_id, "1000CATUSDT"): ("1000CAT-USDT", instrument_of(perpetual(), 1.0))}
    assert reading(named("1000CAT", bases=BOTH, last=plain)) == ("1000CAT", 1.0, "")


@pytest.mark.parametrize(
    ("name", "coin"),
    [("BTC-USDT", "BTC"), ("CAT_2-USDT", "CAT"), ("1000CAT-USDT", "1000CAT"), ("A_B-USDT", "A_B")],
)
def test_numbered_symbol_is_about_the_same_ticker(name, coin):
    assert coin_of(name) == coin


def last_of(members):
    return Last(universe=universe_of(members))


def test_every_spot_base_counts_whatever_its_quote_and_state():
    rows = [spot("A", quote="EUR"), spot("B", is_trading=False), perpetual("C"), spot("")]
    leg = instrument_of(spot("E"), 1.0)
    last = last_of({4: {"E-USDT": leg, "F_2-USDT": leg}, 1: {"G-USDT": leg}})

    assert spot_bases_of([rows, [spot("D")]], last) == {"A", "B", "D", "E", "F"}
    assert spot_bases_of([rows], Last()) == {"A", "B"}


def test_failed_source_keeps_its_listings_priced_anew():
    leg = instrument_of(perpetual("1000PEPE"), 1000.0)
    last = {(SOURCE.source_id, "1000PEPEUSDT"): ("PEPE-USDT", leg), (1, "X"): ("X-USDT", leg)}
    names = Names(spot_bases=frozenset(), proven={}, last=last)
    ticker = RawTicker(exchange_symbol="1000PEPEUSDT", price=9.0)

    (found,) = kept_members(SOURCE, {"1000PEPEUSDT": ticker}, {}, names)

    assert reading(found) == ("PEPE", 1000.0, "last")
    assert (found.leg, found.price, found.last_name) == (leg, 0.009, "PEPE-USDT")


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ({"verdict": "reject"}, 0),
        ({"coin": "OTHER"}, 0),
        ({"multiplier": 10.0}, 0),
        ({"coin": "PEPE", "multiplier": 1000.0}, 1),
        ({"verdict": "accept"}, 1),
    ],
)
def test_operators_word_also_counts_for_what_is_kept(word, count):
    leg = instrument_of(perpetual("1000PEPE"), 1000.0)
    names = Names(
        spot_bases=frozenset(),
        proven={},
        last={(SOURCE.source_id, "1000PEPEUSDT"): ("PEPE-USDT", leg)},
    )
    words = {
        "1000PEPEUSDT": ListingWord(
            source=SOURCE.name, symbol="1000PEPEUSDT", reason="known", **word
        )
    }

    found = list(kept_members(SOURCE, {}, words, names))

    assert len(found) == count
    assert all(row.is_accepted == (word.get("verdict") == "accept") for row in found)
