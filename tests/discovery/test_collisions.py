"""The collisions of tickers reported in public, by name, on the simulated exchanges.

In each case one ticker is two coins at different exchanges. No pair of two coins may get through,
and every true pair must.
"""

import pytest
from listing_cases import EXCHANGES

from spreadscan.symbols import SymbolRecord
from spreadscan.universe import load_universe

# ticker -> the coins that are called so, with a price and the sources that mean it
TWO_COINS = {
    "NEIRO": {
        "NEIROCTO": (0.00041, "binance_spot binance_futures okx_futures mexc_futures"),
        "NEIROETH": (0.031, "bybit_spot mexc_spot bybit_futures"),
    },
    "DERP": {
        "DERPCOIN": (0.0000031, "mexc_spot okx_futures bybit_futures"),
        "DERPTOKEN": (0.019, "binance_spot"),
    },
    "ARBI": {
        "ARBIPAD": (0.012, "mexc_spot mexc_futures okx_spot"),
        "ARBIDEX": (0.85, "bybit_futures binance_spot"),
    },
    "LEO": {
        "UNUSSEDLEO": (9.1, "okx_spot bybit_spot mexc_futures binance_futures"),
        "LEOLANDS": (0.055, "mexc_spot"),
    },
    "PUMP": {
        "PUMPFUN": (0.0054, "binance_futures bybit_spot okx_spot okx_futures"),
        "PUMPBTC": (0.041, "mexc_spot mexc_futures binance_spot"),
    },
    "WRT": {"WINGRIDERS": (0.11, "mexc_spot"), "WRTOTHER": (2.6, "bybit_futures okx_futures")},
    "FAR": {
        "FARLAUNCH": (0.0063, "mexc_spot bybit_futures"),
        "FARMLAND": (0.33, "okx_spot binance_futures"),
    },
    "EPIK": {"EPIKPRIME": (0.0021, "mexc_spot okx_futures"), "EPIKPROTO": (0.14, "bybit_spot")},
    "CMT": {
        "CYBERMILES": (0.0049, "okx_spot mexc_futures"),
        "CHECKMATE": (0.071, "mexc_spot binance_futures bybit_futures"),
    },
    "CAT": {
        "SIMONSCAT": (0.0000125, "okx_spot bybit_spot mexc_futures okx_futures"),
        "CATCOIN": (0.0087, "mexc_spot bybit_futures"),
    },
}


def world(cases):
    """A scenario's text: ``[[coin]]`` tables."""
    lines = []
    for ticker, meanings in cases.items():
        for name, (price, where) in meanings.items():
            lines += ["[[coin]]", f'name = "{name}"', f"price_usd = {price!r}", "[coin.listed]"]
            lines += [f'{source} = "{ticker}"' for source in where.split()]
    return "\n".join(lines)


def spelled(ticker):
    return {f"{ticker}USDT", f"{ticker}-USDT", f"{ticker}-USDT-SWAP", f"{ticker}_USDT"}


def true_pairs(meanings):
    """(spot source, futures source) of every pair of one and the same coin."""
    return {
        (f"{spot}_spot", f"{futures}_futures")
        for _, where in meanings.values()
        for spot in EXCHANGES
        for futures in EXCHANGES
        if spot != futures and {f"{spot}_spot", f"{futures}_futures"} <= set(where.split())
    }


def found_pairs(universe, ticker):
    """The same, as discovery sees it."""
    names = [f"{exchange}_{market}" for exchange in EXCHANGES for market in ("spot", "futures")]
    by_id: dict[int, SymbolRecord] = {row.symbol_id: row for row in universe.symbols}
    return {
        (names[row.spot_source], names[row.futures_source])
        for row in universe.directions
        for symbol_id in row.symbols
        if by_id[symbol_id].instruments[row.spot_source].exchange_symbol in spelled(ticker)
    }


@pytest.fixture
def universe(simulate, discover_sim):
    simulate(world(TWO_COINS), "--universe-size", "12")
    code, summary, _ = discover_sim("--no-validate")
    assert code == 0
    return load_universe(discover_sim.output), summary


def test_no_pair_of_two_coins_gets_through_and_every_true_pair_does(universe):
    found, summary = universe

    for ticker, meanings in TWO_COINS.items():
        assert found_pairs(found, ticker) == true_pairs(meanings), ticker
    quarantined = {row["coin"] for row in summary["quarantined"]}
    # Only there is nothing to report where no two listings of the ticker could have met.
    assert quarantined == set(TWO_COINS)
    assert summary["unproven"] == 0


@pytest.mark.parametrize(("price", "is_one_coin"), [(0.0000125, True), (0.0000160, False)])
def test_a_thousand_cats_are_1000cat_only_at_a_thousand_times_the_price(
    simulate, discover_sim, price, is_one_coin
):
    simulate(
        f"""
        [[coin]]
        name = "SIMONSCAT"
        price_usd = 0.0000125
        listed = {{ okx_spot = "CAT", bybit_spot = "CAT", mexc_futures = "CAT" }}
        [[coin]]
        name = "OTHERCAT"
        price_usd = {price!r}
        [coin.listed]
        binance_spot = {{ base = "1000CAT", coins = 1000 }}
        binance_futures = {{ base = "1000CAT", coins = 1000 }}
        bybit_futures = {{ base = "1000CAT", coins = 1000 }}
        """,
        "--universe-size",
        "4",
    )

    code, _, _ = discover_sim("--no-validate")

    found = load_universe(discover_sim.output)
    names = {row.name for row in found.symbols if "CAT" in row.name}
    assert code == 0
    if is_one_coin:
        assert names == {"CAT-USDT"}
        legs = {name: leg[1:] for name, *leg in found.legs(0) if "CAT" in name}
        assert legs == {"1000CATUSDT": [1000.0, 1000.0]}
    else:
        assert names == {"CAT-USDT", "1000CAT-USDT"}
        assert {name: leg[1:] for name, *leg in found.legs(0) if "CAT" in name} == {
            "1000CATUSDT": [1.0, 1.0]
        }
