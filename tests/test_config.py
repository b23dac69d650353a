"""What an operator can write wrong, and the one line that tells where."""

from itertools import permutations
from pathlib import Path

import pytest

from spreadscan.config import load_config
from spreadscan.errors import ConfigError
from spreadscan.exchanges import source_named

SHIPPED = Path(__file__).parents[1] / "config" / "config.toml"


def test_shipped_configuration_loads():
    config = load_config(SHIPPED)

    exchanges = ("binance", "bybit", "okx", "mexc")
    assert sorted(config.exchanges) == sorted(exchanges)
    assert [direction.name for direction in config.directions] == [
        f"{spot}_spot_{futures}_futures" for spot, futures in permutations(exchanges, 2)
    ]
    assert len(config.active_sources()) == 8
    assert config.path(config.runtime.generated_dir) == SHIPPED.parent.parent / "generated"


def test_shipped_directions_are_the_twelve_pairs_with_ids_for_ever(make_config):
    exchanges = ("binance", "bybit", "okx", "mexc")

    text = make_config({}).with_name("directions.toml").read_text(encoding="utf-8")

    for number, (spot, futures) in enumerate(permutations(exchanges, 2)):
        row = f'[[direction]]\nid = {number}\nspot = "{spot}_spot"\nfutures = "{futures}_futures"\n'
        assert row in text
    assert text.count("[[direction]]") == 12


def test_round_trip_fee_is_four_taker_fills():
    config = load_config(SHIPPED)

    fees = {row.name: config.round_trip_fees(row).of("BTC-USDT") for row in config.directions}

    assert fees["binance_spot_okx_futures"] == 2 * (10.0 + 5.0)
    assert fees["mexc_spot_bybit_futures"] == 2 * (5.0 + 5.5)


def test_simulated_configuration_shares_nothing_with_the_real_one():
    real, sim = load_config(SHIPPED), load_config(SHIPPED, is_sim=True)

    assert sim.shm.prefix != real.shm.prefix
    assert sim.runtime.run_dir != real.runtime.run_dir
    assert sim.runtime.generated_dir == "generated/sim"
    assert sim.tracker.data_dir == "data/sim"
    assert sim.market(source_named("okx_spot")).ws_url == "ws://127.0.0.1:18481/okx_spot"
    assert real.market(source_named("okx_spot")).ws_url.startswith("wss://")


def test_simulated_prefix_stays_within_the_length_of_a_name(make_config):
    file = make_config({"shm.prefix": "p" * 40})

    config = load_config(file, is_sim=True)

    assert len(config.shm.prefix) == 40


@pytest.mark.parametrize(
    ("override", "file", "key", "found", "expected"),
    [
        ({"engine.opne_net_bps": 3.0}, "config.toml", "engine.opne_net_bps", "unknown key", "no"),
        ({"engines.wait": "spin"}, "config.toml", "engines", "unknown key", "no such key"),
        ({"engine.open_net_bps": "5"}, "config.toml", "engine.open_net_bps", "'5'", "float"),
        ({"engine.wait": "sleep"}, "config.toml", "engine.wait", "'sleep'", "eventfd"),
        ({"engine.spin_us": -1.0}, "config.toml", "engine.spin_us", "-1.0", ">= 0"),
        ({"engine.wait_bound_ms": 0}, "config.toml", "engine.wait_bound_ms", "0", ">= 1"),
        ({"engine.min_executable_usd": None}, "config.toml", "engine.min_executable_usd",
         "nothing", "required"),
        ({"discovery.min_share_of_last": 1.5}, "config.toml", "discovery.min_share_of_last",
         "1.5", "<= 1"),
        ({"shm.prefix": "Under_score"}, "config.toml", "shm.prefix", "'Under_score'", "regex"),
        ({"engine.rearm_net_bps": 5.0}, "config.toml", "engine.rearm_net_bps", "5.0",
         "less than engine.open_net_bps (5.0)"),
        ({"feed.funding_interval_s": 451.0}, "config.toml", "feed.funding_interval_s", "451.0",
         "at most half of engine.max_funding_age_s (900.0)"),
        ({"engine.confirm_updates": 1, "engine.confirm_ms": 50}, "config.toml",
         "engine.confirm_updates", "1", "0, or 2 and more, beside engine.confirm_ms (50)"),
        ({"tracker.baseline_interval_s": 61.0}, "config.toml", "tracker.baseline_interval_s",
         "61.0", "at most half of engine.max_baseline_age_s (120.0)"),
        ({"tracker.converge_net_bps": 0.5}, "config.toml", "tracker.converge_net_bps", "0.5",
         "at most engine.rearm_net_bps (0.0)"),
        ({"exchanges.okx.spot.rest_url": "openapi.okx.com"}, "exchanges.toml",
         "exchanges.okx.spot.rest_url", "'openapi.okx.com'", "regex"),
        ({"exchanges.okx.spot.topics_per_message": 0}, "exchanges.toml",
         "exchanges.okx.spot.topics_per_message", "0", ">= 1"),
        ({"exchanges.okx.enabled": "yes"}, "exchanges.toml", "exchanges.okx.enabled", "'yes'",
         "bool"),
        ({"exchanges.okx.spot.topics": 3}, "exchanges.toml", "exchanges.okx.spot.topics",
         "unknown key", "no such key"),
        ({"exchanges.okx.spot.ws_url": None}, "exchanges.toml", "exchanges.okx.spot.ws_url",
         "nothing", "required"),
        ({"exchanges.binance.spot.topics_per_connection": 1025}, "exchanges.toml",
         "exchanges.binance.spot.topics_per_connection", "1025", "the exchange's own"),
        ({"exchanges.mexc.spot.topics_per_connection": 31}, "exchanges.toml",
         "exchanges.mexc.spot.topics_per_connection", "31", "the exchange's own"),
        ({"exchanges.mexc.futures.topics_per_message": 2}, "exchanges.toml",
         "exchanges.mexc.futures.topics_per_message", "2", "the exchange's own"),
        ({"exchanges.bybit.spot.topics_per_message": 11}, "exchanges.toml",
         "exchanges.bybit.spot.topics_per_message", "11", "the exchange's own"),
        ({"direction.0.spot": "kraken_spot"}, "directions.toml", "direction[0].spot",
         "'kraken_spot'", "one of ["),
        ({"direction.1.futures": "okx_spot"}, "directions.toml", "direction[1].futures",
         "'okx_spot'", "one of ["),
        ({"direction.1.id": 0}, "directions.toml", "direction[1].id", "0", "an id used once"),
        ({"direction.3.id": -1}, "directions.toml", "direction[3].id", "-1", ">= 0"),
        ({"direction.2.futures": "binance_futures"}, "directions.toml", "direction[2].futures",
         "'binance_futures'", "another exchange"),
        ({"direction.1.spot": "okx_spot", "direction.1.futures": "binance_futures"},
         "directions.toml", "direction[6]", "okx_spot, binance_futures", "a pair listed once"),
        ({"listing.0.source": "kraken_spot"}, "identity.toml", "listing[0].source",
         "'kraken_spot'", "one of ['binance_futures'"),
        ({"listing.0.coin": None}, "identity.toml", "listing[0]", "nothing said",
         "coin, multiplier or verdict"),
        ({"listing.1.symbol": "RAYDIUMUSDT"}, "identity.toml", "listing[1]",
         "bybit_futures RAYDIUMUSDT again", "one word about a listing"),
        ({"listing.0.verdict": "maybe"}, "identity.toml", "listing[0].verdict", "'maybe'",
         "one of ['accept', 'reject']"),
        ({"listing.0.coin": "NEIRO_2"}, "identity.toml", "listing[0].coin", "'NEIRO_2'", "regex"),
        ({"listing.0.reason": None}, "identity.toml", "listing[0].reason", "nothing", "required"),
        ({"listing.0.coin": "A-B"}, "identity.toml", "listing[0].coin", "'A-B'", "regex"),
        ({"fees.okx.spot.symbol": [{"name": "A-USDT"}, {"name": "A-USDT", "taker_bps": 1.0}]},
         "fees.toml", "fees.okx.spot.symbol", "A-USDT again", "one entry about a symbol"),
        ({"fees.okx": None}, "fees.toml", "fees.okx", "nothing", "fees of an enabled exchange"),
        ({"fees.okx.spot.taker_bps": "free"}, "fees.toml", "fees.okx.spot.taker_bps", "'free'",
         "float"),
    ],
)  # fmt: skip
def test_wrong_value_is_told_in_one_line_with_file_key_found_and_expected(
    make_config, override, file, key, found, expected
):
    main = make_config(override)

    with pytest.raises(ConfigError) as caught:
        load_config(main)

    error = caught.value
    assert Path(error.file) == main.with_name(file)
    assert error.key == key
    assert found in error.found
    assert expected in error.expected
    assert "\n" not in str(error)
    assert str(error) == f"{error.file}: {key}: found {error.found}, expected {error.expected}"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_number_that_compares_with_nothing_is_refused(make_config, value):
    main = make_config({"engine.open_net_bps": value})

    with pytest.raises(ConfigError) as caught:
        load_config(main)

    assert caught.value.key == "engine.open_net_bps"
    assert "finite" in caught.value.expected


@pytest.mark.parametrize(
    "name", ["config.toml", "exchanges.toml", "directions.toml", "fees.toml", "identity.toml"]
)
def test_missing_file_is_named(config_dir, name):
    (config_dir / name).unlink()

    with pytest.raises(ConfigError, match=rf"{name}: found No such file.*a readable file"):
        load_config(config_dir / "config.toml")


def test_file_that_is_no_toml_is_told_with_its_line(config_dir):
    (config_dir / "fees.toml").write_text("[fees\n", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"fees\.toml: found .*line 1.*, expected TOML"):
        load_config(config_dir / "config.toml")


def test_file_that_is_no_utf8_is_told_with_its_byte(config_dir):
    (config_dir / "fees.toml").write_bytes(b"# \xe9\n")

    with pytest.raises(ConfigError, match=r"fees\.toml: found byte 2 is not UTF-8"):
        load_config(config_dir / "config.toml")


def test_folder_in_place_of_a_file_is_refused(config_dir):
    (config_dir / "fees.toml").unlink()
    (config_dir / "fees.toml").mkdir()

    with pytest.raises(ConfigError, match=r"fees\.toml: found Is a directory"):
        load_config(config_dir / "config.toml")


def test_no_direction_between_enabled_exchanges_is_refused(make_config):
    others = ("bybit", "okx", "mexc")
    main = make_config({f"exchanges.{name}.enabled": False for name in others})

    with pytest.raises(ConfigError) as caught:
        load_config(main)

    assert caught.value.key == "direction"
    assert "a pair of enabled exchanges" in caught.value.expected


def test_enabled_exchange_that_nobody_has_written_is_refused(make_config):
    main = make_config({})
    file = main.with_name("exchanges.toml")
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("exchanges.mexc", "exchanges.kraken"), encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        load_config(main)

    assert caught.value.key == "exchanges.kraken.enabled"
    assert caught.value.expected == "one of ['binance', 'bybit', 'mexc', 'okx']"
