"""The one definition of a spread, and which routes a universe and a configuration make."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spreadscan.config import load_config
from spreadscan.directions import DirectionRecord
from spreadscan.engine.routes import routes_of, unknown_fees
from spreadscan.engine.spread import entry_spread_bps, executable_usd, exit_spread_bps
from spreadscan.shm.price_store import slot_of
from spreadscan.symbols import SymbolRecord
from spreadscan.universe import Universe

SYMBOLS = tuple(
    SymbolRecord(symbol_id=number, name=name, instruments=(None,) * 8)
    for number, name in ((0, "BTC-USDT"), (9, "ETH-USDT"))
)
PRICES = st.floats(1e-9, 1e9)


@given(PRICES, PRICES)
def test_spreads_equal_the_formula_in_exact_decimals(first, second):
    exact = (Decimal(second) - Decimal(first)) / Decimal(first) * 10_000

    assert entry_spread_bps(first, second) == pytest.approx(float(exact), rel=1e-9, abs=1e-9)
    assert exit_spread_bps(first, second) == pytest.approx(float(exact), rel=1e-9, abs=1e-9)


def test_entry_is_positive_when_the_perpetual_sells_dearer_than_the_coin():
    assert entry_spread_bps(100.0, 101.0) == pytest.approx(100.0)
    assert entry_spread_bps(101.0, 100.0) < 0


@given(PRICES, PRICES, PRICES, PRICES)
def test_executable_value_is_that_of_the_smaller_leg(ask, ask_qty, bid, bid_qty):
    assert executable_usd(ask, ask_qty, bid, bid_qty) == min(ask * ask_qty, bid * bid_qty)


def test_arrays_give_the_bits_of_scalars():
    asks, bids = np.array([1.1, 3.3, 1e-7]), np.array([1.2, 3.1, 1.1e-7])

    expected = [entry_spread_bps(float(a), float(b)) for a, b in zip(asks, bids, strict=True)]

    assert entry_spread_bps(asks, bids).tolist() == expected


def test_routes_are_every_symbol_of_every_enabled_direction_with_its_four_fees(make_config):
    config = load_config(
        make_config(
            {
                "fees.okx.spot.taker_bps": 10.0,
                "fees.binance.futures.taker_bps": 5.0,
            }
        )
    )
    enabled = next(row for row in config.directions if row.name == "okx_spot_binance_futures")
    records = tuple(
        DirectionRecord(direction_id=number, spot_source=4, futures_source=1, symbols=(0, 9))
        for number in (enabled.direction_id, 200)
    )
    universe = Universe(generation=1, timestamp="", symbols=SYMBOLS, directions=records)

    routes = routes_of(universe, config)

    assert routes == [
        (slot_of(4, symbol), slot_of(1, symbol), enabled.direction_id, symbol, 2 * (10.0 + 5.0))
        for symbol in (0, 9)
    ]


def test_symbol_with_fees_of_its_own_is_measured_with_them(make_config):
    own = {"name": "ETH-USDT", "taker_bps": 20.0}
    config = load_config(
        make_config(
            {
                "fees.okx.spot.taker_bps": 10.0,
                "fees.okx.spot.symbol": [own, {"name": "BTC-USDT", "maker_bps": 1.0}],
                "fees.binance.futures.taker_bps": 5.0,
                "fees.bybit.spot.symbol": [{"name": "GONE-USDT", "taker_bps": 1.0}],
            }
        )
    )
    enabled = next(row for row in config.directions if row.name == "okx_spot_binance_futures")
    record = DirectionRecord(
        direction_id=enabled.direction_id, spot_source=4, futures_source=1, symbols=(0, 9)
    )
    universe = Universe(generation=1, timestamp="", symbols=SYMBOLS, directions=(record,))

    fees = {symbol_id: fee for *_, symbol_id, fee in routes_of(universe, config)}

    assert fees == {0: 30.0, 9: 50.0}
    assert unknown_fees(universe, config) == ["GONE-USDT"]
