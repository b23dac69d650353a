import pytest
from hypothesis import given
from hypothesis import strategies as st

from spreadscan.model import Market
from spreadscan.sim.universe import MAX_COINS, coins, decimal_text
from spreadscan.sim.venues import venues


@pytest.mark.parametrize(
    ("units", "exponent", "digits", "expected"),
    [
        (6425001, -2, 8, "64250.01000000"),
        (915, -8, 8, "0.00000915"),
        (91500, -10, 10, "0.0000091500"),
        (7, 3, 0, "7000"),
        (7, 0, 2, "7.00"),
        (50, -1, 0, "5.0"),
    ],
)
def test_decimals_are_written_as_exchanges_write_them(units, exponent, digits, expected):
    assert decimal_text(units, exponent, digits) == expected


@given(st.integers(0, 10**12), st.integers(-12, 6), st.integers(0, 12))
def test_written_decimals_read_back_to_the_nearest_float(units, exponent, digits):
    text = decimal_text(units, exponent, digits)

    assert float(text) == float(f"{units}e{exponent}")
    assert "e" not in text


@pytest.mark.parametrize("count", [0, MAX_COINS + 1])
def test_a_universe_that_shared_memory_cannot_hold_is_refused(count):
    with pytest.raises(ValueError, match=f"{count} symbols"):
        coins(count)


def test_the_largest_universe_has_distinct_names_and_sane_prices():
    world = coins(MAX_COINS)

    assert len({coin.name for coin in world}) == MAX_COINS
    assert all(1e-6 < coin.price_usd < 1e5 for coin in world)


@pytest.mark.parametrize("market", list(Market))
@pytest.mark.parametrize("exchange", ["binance", "okx"])
def test_ticks_and_lots_are_fine_enough_to_trade_on(exchange, market):
    for listing in venues()[exchange](market, coins(MAX_COINS)).listings:
        quoted = listing.coin.price_usd * listing.price_coins
        tick_bps = 10.0**listing.tick_exponent / quoted * 1e4
        lot_usd = 10.0**listing.lot_exponent * listing.size_coins * listing.coin.price_usd

        assert 0.005 < tick_bps < 15, listing
        assert lot_usd < 2_000, listing


def test_bundled_coins_are_quoted_per_thousand_where_the_exchange_does_so():
    world = coins(12)
    pepe = next(index for index, coin in enumerate(world) if coin.name == "PEPE")

    spot = venues()["binance"](Market.SPOT, world).listings[pepe]
    futures = venues()["binance"](Market.FUTURES, world).listings[pepe]
    swap = venues()["okx"](Market.FUTURES, world).listings[pepe]

    assert (spot.exchange_symbol, spot.price_coins, spot.size_coins) == ("PEPEUSDT", 1, 1)
    assert (futures.exchange_symbol, futures.price_coins, futures.size_coins) == (
        "1000PEPEUSDT",
        1000,
        1000,
    )
    assert (swap.exchange_symbol, swap.price_coins, swap.size_coins) == (
        "PEPE-USDT-SWAP",
        1,
        10_000_000,
    )
