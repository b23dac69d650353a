"""`pair-discovery` against the simulated exchanges: REST, prices and data, and what spoils them."""

import json
import signal

import pytest

from spreadscan.discovery.replace import OpenRoute
from spreadscan.errors import EXIT_TEMPORARY
from spreadscan.universe import load_universe, read_metadata

COINS = 20
# Two of twenty at every source, in its own spelling: one that is listed and unknown to the socket,
# one that is accepted and silent.
SPELLINGS = {
    "binance_spot": "{}USDT",
    "binance_futures": "{}USDT",
    "bybit_spot": "{}USDT",
    "bybit_futures": "{}USDT",
    "okx_spot": "{}-USDT",
    "okx_futures": "{}-USDT-SWAP",
    "mexc_spot": "{}USDT",
    "mexc_futures": "{}_USDT",
}


def fault(kind, source, symbol=None, **more):
    rows = {"at_s": 0.0, "kind": f'"{kind}"', "source": f'"{source}"', **more}
    if symbol:
        rows["symbol"] = f'"{symbol}"'
    return "[[fault]]\n" + "".join(f"{key} = {value}\n" for key, value in rows.items())


@pytest.fixture
def config_dir(make_config):
    return make_config({"discovery.validate_window_s": 3.0, "discovery.attempts": 2}).parent


def size(count=COINS):
    return "--universe-size", str(count)


def test_exactly_what_does_not_quote_is_invalid_by_each_exchanges_own_way(simulate, discover_sim):
    scenario = "".join(
        fault("unknown", source, spelling.format("LTC"))
        + fault("mute", source, spelling.format("DOT"))
        for source, spelling in SPELLINGS.items()
    )
    simulator = simulate(scenario, *size())

    code, summary, errors = discover_sim()

    assert code == 0, errors
    for source, spelling in SPELLINGS.items():
        found = summary["validation"][source]
        assert set(found["invalid"]) == {spelling.format("LTC"), spelling.format("DOT")}, source
        assert found["failure"] is None
        assert found["invalid"][spelling.format("DOT")] == "silent"
    assert summary["per_direction_counts"] == dict.fromkeys(
        summary["per_direction_counts"], COINS - 2
    )
    universe = load_universe(discover_sim.output)
    assert not {"LTC-USDT", "DOT-USDT"} & {row.name for row in universe.symbols}
    report = (discover_sim.output / "validation_report.txt").read_text()
    assert "okx_spot: 20 total, 18 valid, 2 invalid: DOT-USDT (silent), LTC-USDT (refused" in report
    assert read_metadata(discover_sim.output).validation_stats["mexc_spot"]["valid"] == 18

    simulator.send_signal(signal.SIGTERM)
    assert json.loads(simulator.communicate(timeout=30)[0])["overruns"] == 0


def test_source_that_sends_nothing_has_failed_and_keeps_its_last_symbols(simulate, discover_sim):
    simulate("", *size(6))
    assert discover_sim("--no-validate")[0] == 0
    simulate.stop()
    simulate(fault("stall", "okx_spot"), *size(6))

    code, summary, errors = discover_sim()

    assert code == 0
    assert summary["validation"]["okx_spot"]["failure"]
    assert summary["validation"]["okx_spot"]["invalid"] == {}
    assert "okx_spot: nothing proven, its last symbols stay" in errors
    assert summary["per_direction_counts"]["okx_spot_binance_futures"] == 6


def test_source_that_never_sent_anything_is_left_out(simulate, discover_sim):
    simulate(fault("stall", "okx_spot"), *size(6))

    code, summary, _ = discover_sim()

    assert code == 0
    assert summary["per_direction_counts"]["okx_spot_binance_futures"] == 0
    assert summary["per_direction_counts"]["bybit_spot_okx_futures"] == 6
    assert "okx_spot" in summary["failed_sources"]


@pytest.mark.parametrize("kind", ["html", "error_body", "empty_list", "slow_rest"])
def test_spoiled_listing_fails_its_source_alone(simulate, discover_sim, make_config, kind):
    more = {"delay_ms": 60_000} if kind == "slow_rest" else {}
    make_config({"discovery.request_timeout_s": 1.0, "discovery.attempts": 1})
    simulate(fault(kind, "bybit_futures", answers='"listing"', **more), *size(6))

    code, summary, errors = discover_sim("--no-validate")

    assert code == 0
    assert summary["failed_sources"] == ["bybit_futures"]
    assert "left out: bybit_futures" in errors
    assert summary["per_direction_counts"]["okx_spot_bybit_futures"] == 0
    assert summary["per_direction_counts"]["okx_spot_binance_futures"] == 6


def test_half_a_list_does_not_replace_a_whole_one(simulate, discover_sim):
    simulate("", *size(12))
    assert discover_sim("--no-validate")[0] == 0
    before = load_universe(discover_sim.output)

    simulate.stop()
    every = "".join(fault("half_list", source, answers='"listing"') for source in SPELLINGS)
    simulate(every, *size(12))
    code, _, errors = discover_sim("--no-validate")

    assert code == EXIT_TEMPORARY
    assert "the last universe stays (--force accepts the new one)" in errors
    assert load_universe(discover_sim.output) == before


def test_lost_pair_with_an_open_episode_is_refused_unless_forced(simulate, discover_sim):
    simulate("", *size(12))
    assert discover_sim("--no-validate")[0] == 0
    simulate.stop()
    simulate(fault("mute", "okx_spot", "XRP-USDT"), *size(12))
    discover_sim.open_routes = [OpenRoute("okx_spot_binance_futures", "XRP-USDT")]

    code, _, errors = discover_sim()

    assert code == EXIT_TEMPORARY
    assert "found 1 pairs with an open episode missing (XRP-USDT okx_spot_binance_futures" in errors
    assert discover_sim("--force")[0] == 0


@pytest.mark.parametrize("kind", ["html", "error_body", "empty_list"])
def test_spoiled_prices_leave_the_listing_in_use(simulate, discover_sim, kind):
    simulate(fault(kind, "mexc_spot", answers='"tickers"'), *size(6))

    code, summary, errors = discover_sim("--no-validate")

    assert (code, summary["failed_sources"]) == (0, [])
    assert "mexc_spot: prices are not compared" in errors
    # Nothing is known of it from an earlier run, and everybody else has a price.
    assert summary["per_direction_counts"]["mexc_spot_okx_futures"] == 0
    assert summary["per_direction_counts"]["okx_spot_mexc_futures"] == 6
