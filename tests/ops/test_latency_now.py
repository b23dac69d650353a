"""Stage by stage, from the histograms that the processes keep."""

import contextlib

import orjson
import pytest
from typer.testing import CliRunner

from spreadscan.cli.ctl import app
from spreadscan.config import load_config
from spreadscan.ops.latency_now import latency_now
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.lock import RoleLock
from spreadscan.shm.counters import Histogram
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions, create_regions
from spreadscan.topology import ENGINE_SLOT

ENGINE = "spread-engine"


@pytest.fixture
def config(make_config):
    config = load_config(make_config({}))
    create_regions(config.shm)
    return config


@pytest.fixture
def engine(config):
    regions = attach_regions(config.shm, reads=(), writes=[RegionKind.HEALTH], timeout_s=0)
    lock = RoleLock(config.path(config.runtime.run_dir), ENGINE)
    health = HealthWriter(regions.health, ENGINE_SLOT, ENGINE)
    for number in range(1_000):
        health.record(Histogram.ENGINE_STORE_TO_SCAN, 1_000 + number)
    health.record(Histogram.ENGINE_STORE_TO_SCAN, 5_000_000)
    yield lock
    # Some tests end it themselves.
    with contextlib.suppress(OSError):
        lock.release()


def stage(stages, name, process=ENGINE):
    (found,) = (row for row in stages if (row.name, row.process) == (name, process))
    return found


def test_stages_stand_in_the_order_of_a_quote_s_way(config, engine):
    stages = latency_now(config, SystemClock())

    names = [row.name for row in stages]
    way = ["exchange to receive", "receive to store", "store to engine", "engine to ring",
           "ring to tracker"]  # fmt: skip
    assert [names.index(name) for name in way] == sorted(names.index(name) for name in way)
    assert len([row for row in stages if row.name == "exchange to receive"]) == 8


def test_quantiles_are_those_of_the_samples(config, engine):
    found = stage(latency_now(config, SystemClock()), "store to engine")

    assert (found.is_running, found.samples) == (True, 1_001)
    assert found.p50_ns == pytest.approx(1_500, rel=0.07)
    assert found.p99_ns == pytest.approx(1_990, rel=0.07)
    assert found.max_ns == pytest.approx(5_000_000, rel=0.07)


def test_what_a_dead_process_measured_is_not_shown_as_live(config, engine):
    engine.release()

    found = stage(latency_now(config, SystemClock()), "store to engine")

    assert (found.is_running, found.samples, found.p50_ns) == (False, 0, 0)


def test_command_shows_it_and_exits_by_whether_anything_runs(config, engine):
    words = ["latency", "--config", config.file]
    running = CliRunner().invoke(app, [*words, "--json"])
    screen = CliRunner(env={"COLUMNS": "80"}).invoke(app, words)
    engine.release()
    stopped = CliRunner().invoke(app, words)

    told = {row["name"]: row for row in orjson.loads(running.stdout)["stages"]}
    assert told["store to engine"]["samples"] == 1_001
    assert "store to engine" in screen.stdout
    assert "us " in screen.stdout
    assert "…" not in screen.stdout
    assert (running.exit_code, screen.exit_code, stopped.exit_code) == (0, 0, 3)
