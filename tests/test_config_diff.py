"""Which key concerns whom, and when it counts."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from spreadscan.config import load_config
from spreadscan.config_diff import Effect, changed_keys, flat, with_live_keys

ENGINE, TRACKER = "spread-engine", "spread-tracker"


@pytest.fixture
def load(make_config):
    return lambda **overrides: load_config(make_config({"sim.rest_base": "http://127.0.0.1:1",
        "sim.ws_base": "ws://127.0.0.1:2"} | {
            key.replace("__", "."): value for key, value in overrides.items()}))  # fmt: skip


def test_every_key_of_the_shipped_files_has_a_rule(load):
    config = load()
    nothing = msgspec.structs.replace(config, exchanges={}, directions=(), identity=(), fees={})
    sections = {
        name: value
        for name, value in msgspec.to_builtins(config).items()
        if isinstance(value, dict)
    }

    assert sections.keys() >= tomllib.loads(Path(config.file).read_text()).keys()
    assert len(flat(config)) > 100
    assert changed_keys(config, config) == []
    for change in changed_keys(nothing, config):
        assert change.programs
    for key in flat(config):
        assert key.split(".")[0] in {*sections, "directions", "identity"}
    # Raises where a live key has no rule.
    assert with_live_keys(config, config) == config


@pytest.mark.parametrize(
    ("overrides", "key", "programs", "effect"),
    [
        ({"engine__open_net_bps": 9.0}, "engine.open_net_bps", (ENGINE,), Effect.LIVE),
        ({"engine__max_leg_age_ms": 9}, "engine.max_leg_age_ms", (ENGINE, TRACKER), Effect.LIVE),
        ({"tracker__max_life_s": 9.0}, "tracker.max_life_s", (TRACKER,), Effect.LIVE),
        ({"tracker__data_dir": "x"}, "tracker.data_dir", (TRACKER,), Effect.RESTART),
        ({"discovery__attempts": 9}, "discovery.attempts", ("pair-discovery",), Effect.NEXT_RUN),
        ({"exchanges__okx__spot__ws_url": "wss://elsewhere/ws"},
         "exchanges.okx.spot.ws_url", ("feed-okx-spot",), Effect.RESTART),
    ],
)  # fmt: skip
def test_changed_key_tells_whom_it_concerns_and_when_it_counts(
    load, overrides, key, programs, effect
):
    changes = {change.key: change for change in changed_keys(load(), load(**overrides))}

    assert (changes[key].programs, changes[key].effect) == (programs, effect)


def test_exchange_that_goes_is_one_line_for_everybody(load):
    changes = changed_keys(load(), load(exchanges__mexc__enabled=False))

    (exchange, *directions) = sorted(changes, key=lambda change: change.key != "exchanges.mexc")
    assert (exchange.key, exchange.before, exchange.after) == ("exchanges.mexc", "on", None)
    assert {ENGINE, TRACKER, "feed-okx-spot"} <= set(exchange.programs)
    assert {change.effect for change in changes} == {Effect.RESTART}
    assert all(change.key.startswith("directions.") for change in directions)


def test_only_live_keys_are_taken_over(load):
    before = load()
    after = load(
        engine__open_net_bps=9.0, engine__wait="spin", tracker__max_life_s=9.0,
        fees__okx__spot__taker_bps=1.0, feed__retry_cap_s=9.0, tracker__data_dir="x",
        fees__okx__spot__symbol=[{"name": "BTC-USDT", "taker_bps": 2.0}],
        exchanges__mexc__enabled=False,
    )  # fmt: skip

    running = with_live_keys(before, after)

    assert (running.engine, running.fees["okx_spot"]) == (after.engine, after.fees["okx_spot"])
    assert running.tracker.max_life_s == 9.0
    assert running.tracker.data_dir == before.tracker.data_dir
    assert (running.feed, running.exchanges) == (before.feed, before.exchanges)
    assert running.fees["mexc_spot"] == before.fees["mexc_spot"]
    assert {change.key for change in changed_keys(running, after)} >= {
        "feed.retry_cap_s", "tracker.data_dir", "exchanges.mexc",
    }  # fmt: skip
