"""``spread-ctl status``: what feeds say, and never what a dead one said."""

import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from spreadscan.cli.ctl import app
from spreadscan.cli.feeds_view import feed_details
from spreadscan.config import load_config
from spreadscan.ops.feeds_now import feeds_now
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.lock import RoleLock
from spreadscan.runtime.plan_file import PlanFile, PlanRow
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import FeedCounter, Histogram, ProcessState, RegionKind
from spreadscan.shm.regions import attach_regions, create_regions
from spreadscan.topology import feed_name

MS = 1_000_000


@pytest.fixture
def config(make_config):
    file = make_config({})
    create_regions(load_config(file).shm)
    return file


@pytest.fixture
def okx_spot(config):
    """One feed that runs; ``die`` ends it and leaves its last words."""
    tree = load_config(config)
    run_dir = tree.path(tree.runtime.run_dir)
    lock = RoleLock(run_dir, feed_name("okx_spot"))
    regions = attach_regions(tree.shm, reads=(), writes=[RegionKind.HEALTH], timeout_s=0.0)
    health = HealthWriter(regions.health, 4, feed_name("okx_spot"))
    health.set_state(ProcessState.RUNNING)
    health.set_status("3 symbols on 2 connections")
    for counter, value in (
        (FeedCounter.SYMBOLS_LIVE, 2),
        (FeedCounter.SYMBOLS_EXPECTED, 3),
        (FeedCounter.CONNECTIONS_OPEN, 2),
        (FeedCounter.REFUSED + 8, 5),
    ):
        health.set(counter, value)
    health.record(Histogram.FEED_LAG, 7 * MS)
    rows = [
        PlanRow(number=n, symbols=symbols, state="open", opened_ns=1, messages=0)
        for n, symbols in enumerate([("BTC-USDT", "ETH-USDT"), ("SOL-USDT",)])
    ]
    PlanFile(run_dir, "okx_spot").publish(lambda: rows, 1)
    yield lock
    lock.release()


def ctl(config, *options):
    return CliRunner().invoke(app, ["status", "--config", str(config), *options])


def test_nothing_running_is_told_by_status_three(config):
    done = ctl(config)

    assert done.exit_code == 3
    assert done.stdout.count("not running") == 8


def test_running_feed_is_shown_beside_those_that_are_not(config, okx_spot):
    done = ctl(config, "--json")

    feeds = {feed["source"]: feed for feed in json.loads(done.stdout)["feeds"]}
    found = feeds["okx_spot"]
    assert done.exit_code == 1
    assert (found["state"], found["live"], found["expected"]) == ("running", 2, 3)
    assert found["refused"] == {"crossed": 5}
    assert found["lag_p50_ms"] == pytest.approx(7, rel=0.07)
    assert feeds["okx_futures"]["state"] == "not running"


def test_one_source_with_who_is_on_which_connection(config, okx_spot):
    done = ctl(config, "--source", "okx_spot", "--verbose")

    assert done.exit_code == 0
    for word in ("crossed 5", "BTC-USDT ETH-USDT", "SOL-USDT", "2/3"):
        assert word in done.stdout


def test_last_words_of_a_dead_feed_are_not_shown(config, okx_spot):
    tree = load_config(config)
    okx_spot.release()
    okx_spot.release = lambda: None

    (feed,) = (row for row in feeds_now(tree, SystemClock()) if row.source == "okx_spot")

    assert (feed.state, feed.status, feed.live, feed.plan) == ("not running", "", 0, None)
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(feed_details(feed, 10))
    assert "is not known" in console.export_text()


@pytest.mark.parametrize("options", [("--verbose",), ("--source", "kraken_spot")])
def test_wrong_options_are_usage_errors(config, options):
    assert ctl(config, *options).exit_code == 2
