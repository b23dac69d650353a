"""What ``spreadscan up`` would start, for a configuration."""

from pathlib import Path

from spreadscan.config import load_config
from spreadscan.config_diff import SIMULATOR
from spreadscan.ops.pipeline import pipeline

SCRIPTS = Path("/venv/bin")
FEEDS = [
    f"feed-{exchange}-{market}"
    for exchange in ("binance", "bybit", "okx", "mexc")
    for market in ("spot", "futures")
]


def names(parts):
    return [part.desired.name for part in parts]


def test_real_pipeline_starts_every_program_of_the_enabled_exchanges(make_config):
    config = load_config(make_config({}))

    parts = pipeline(config, SCRIPTS)

    assert names(parts) == [
        "shm-init", "pair-discovery", "spread-tracker", "spread-engine", *FEEDS,
    ]  # fmt: skip
    assert all("--sim" not in part.command for part in parts)
    assert parts[2].command == ("/venv/bin/spread-tracker", "--config", config.file)


def test_simulated_pipeline_starts_the_simulator_before_discovery(make_config):
    config = load_config(make_config({}), is_sim=True)

    parts = {part.desired.name: part for part in pipeline(config, SCRIPTS)}

    assert next(iter(parts)) == SIMULATOR
    assert SIMULATOR in parts["pair-discovery"].desired.starts_after
    assert parts[SIMULATOR].command == ("/venv/bin/spreadscan", "sim", "--config", config.file)
    assert all("--sim" in part.command for name, part in parts.items() if name != SIMULATOR)


def test_discovery_writes_where_the_others_read(make_config):
    config = load_config(make_config({}), is_sim=True)

    parts = {part.desired.name: part for part in pipeline(config, SCRIPTS)}

    command = parts["pair-discovery"].command
    assert command[command.index("--output") + 1] == str(config.path("generated/sim"))


def test_stop_goes_against_the_flow_of_data(make_config):
    config = load_config(make_config({}), is_sim=True)

    waves = {part.desired.name: part.desired.stop_wave for part in pipeline(config, SCRIPTS)}

    assert len({waves[name] for name in FEEDS}) == 1
    assert waves[FEEDS[0]] > waves["spread-engine"] > waves["spread-tracker"] > waves[SIMULATOR]
