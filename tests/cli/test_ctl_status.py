"""``spread-ctl status``: what processes say, what is made of it, and never what a dead one said."""

import json
import os
import signal
import time

import pytest
from ctl_cases import until
from rich.console import Console
from typer.testing import CliRunner

from spreadscan.cli.ctl import app
from spreadscan.cli.status_view import drawn, duration
from spreadscan.config import load_config
from spreadscan.ops.status import status_now
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.lock import RoleLock
from spreadscan.runtime.plan_file import PlanFile, PlanRow
from spreadscan.shm.counters import FeedCounter, Histogram
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import Header, ProcessState, RegionKind
from spreadscan.shm.region import attach_region
from spreadscan.shm.regions import attach_regions, create_regions, remove_regions
from spreadscan.topology import feed_name

MS = 1_000_000
ENGINE, TRACKER = "spread-engine", "spread-tracker"


@pytest.fixture
def config(make_config):
    file = make_config({})
    create_regions(load_config(file).shm)
    return file


@pytest.fixture
def okx_spot(config):
    """One feed that runs; releasing its lock ends it and leaves its last words."""
    tree = load_config(config)
    run_dir = tree.path(tree.runtime.run_dir)
    lock = RoleLock(run_dir, feed_name("okx_spot"))
    regions = attach_regions(tree.shm, reads=(), writes=[RegionKind.HEALTH], timeout_s=0.0)
    health = HealthWriter(regions.health, 4, feed_name("okx_spot"))
    health.set_state(ProcessState.RUNNING)
    health.set_status("3 symbols on 2 connections")
    health.beat(time.monotonic_ns() + 3_600_000 * MS)
    for counter, value in (
        (FeedCounter.SYMBOLS_LIVE, 2),
        (FeedCounter.SYMBOLS_EXPECTED, 3),
        (FeedCounter.CONNECTIONS_OPEN, 2),
        (FeedCounter.FRAMES_PER_S, 77),
        (FeedCounter.REFUSED + 8, 5),
    ):
        health.set(counter, value)
    health.record(Histogram.FEED_LAG, 7 * MS)
    rows = [
        PlanRow(number=n, symbols=symbols, state="open", opened_ns=1, messages=0)
        for n, symbols in enumerate([("BTC-USDT", "ETH-USDT"), ("SOL-USDT",)])
    ]
    PlanFile(run_dir, "okx_spot").publish(lambda: rows, 1)
    lock.health = health
    yield lock
    if lock.health is not None:
        lock.release()


def ctl(config, *options):
    return CliRunner().invoke(app, ["status", "--config", str(config), *options])


def told(config):
    done = ctl(config, "--json")
    found = json.loads(done.stdout)
    processes = {row["name"]: row for row in found["processes"]}
    return done.exit_code, found, processes


def test_nothing_running_is_told_by_status_three(config):
    done = ctl(config)

    assert done.exit_code == 3
    assert done.stdout.startswith("not running\n")
    assert done.stdout.count("not running") == 1 + 10 + 8


def test_without_regions_it_still_answers(config):
    remove_regions(load_config(config).shm)

    status, found, processes = told(config)

    assert status == 3
    assert "no health region: shm-init has not run" in found["reasons"]
    assert {row["state"] for row in processes.values()} == {"not running"}
    assert (found["engine"], found["ring"], found["control"]) == (None, None, None)


def test_running_feed_without_engine_and_tracker_is_down(config, okx_spot):
    status, found, processes = told(config)

    feeds = {feed["source"]: feed for feed in found["feeds"]}
    feed = feeds["okx_spot"]
    assert (status, found["verdict"]) == (2, "down")
    assert found["reasons"][0] == "spread-engine is not running: no signal comes without it"
    assert (feed["state"], feed["live"], feed["expected"]) == ("running", 2, 3)
    assert (feed["frames_per_s"], feed["refused"]) == (77, {"crossed": 5})
    assert feed["lag_p50_ms"] == pytest.approx(7, rel=0.07)
    assert feeds["okx_futures"]["state"] == "not running"
    assert processes[feed_name("okx_spot")]["pid"] == os.getpid()


def test_one_source_with_who_is_on_which_connection(config, okx_spot):
    done = ctl(config, "--source", "okx_spot", "--verbose")
    as_json = ctl(config, "--source", "okx_spot", "--json")

    assert done.exit_code == 0
    for word in ("crossed 5", "BTC-USDT ETH-USDT", "SOL-USDT", "2/3"):
        assert word in done.stdout
    assert json.loads(as_json.stdout)["plan"][1]["symbols"] == ["SOL-USDT"]


def test_last_words_of_a_dead_process_with_a_fresh_slot_are_not_shown(config, okx_spot):
    okx_spot.release()
    okx_spot.health = None

    status, found, processes = told(config)
    done = ctl(config, "--source", "okx_spot", "--verbose")

    (feed,) = (row for row in found["feeds"] if row["source"] == "okx_spot")
    row = processes[feed_name("okx_spot")]
    assert status == 3
    assert (feed["state"], feed["status"], feed["live"]) == ("dead", "", 0)
    assert (row["state"], row["pid"], row["uptime_s"], row["status"]) == ("dead", None, None, "")
    assert done.exit_code == 3
    assert "dead" in done.stdout
    assert "3 symbols" not in done.stdout
    assert "is not known" in done.stdout


@pytest.mark.parametrize("options", [("--verbose",), ("--source", "kraken_spot")])
def test_wrong_options_are_usage_errors(config, options):
    assert ctl(config, *options).exit_code == 64


def test_engine_and_tracker_alone_have_no_prices(site):
    site.start(ENGINE, TRACKER)

    status, found, processes = told(site.config_file)

    assert status == 2
    assert found["reasons"][0] == "no source has a usable price"
    assert "feed-okx-spot is not running" in found["reasons"]
    assert {processes[name]["state"] for name in (ENGINE, TRACKER)} == {"running"}
    assert found["engine"]["wait"] == "adaptive"
    assert (found["ring"]["depth"], found["ring"]["capacity"]) == (0, 65_536)
    assert found["universe"]["symbols"] == 2
    assert found["tracker"]["disk_free_mib"] > 0


def test_feed_that_hangs_shows_no_live_price_and_no_rate_and_nothing_can_come_of_it(
    config, okx_spot
):
    class Later(SystemClock):
        """The heartbeat of the fixture is an hour in the past."""

        def monotonic_ns(self):
            return super().monotonic_ns() + 2 * 3_600_000 * MS

    found = status_now(load_config(config), Later())

    feed = next(row for row in found.feeds if row.source == "okx_spot")
    assert feed.state == "hangs"
    assert (feed.live, feed.expected, feed.frames_per_s) == (0, 3, 0)
    assert "no source has a usable price" in found.reasons


def test_stopped_process_hangs_and_a_killed_one_is_dead(site):
    engine, tracker = site.start(ENGINE, TRACKER)
    engine.send_signal(signal.SIGSTOP)
    tracker.kill()
    tracker.wait()

    def hangs():
        _, found, processes = told(site.config_file)
        return processes[ENGINE]["state"] == "hangs" and (found, processes)

    found, processes = until(hangs, "the missing heartbeat")

    assert processes[ENGINE]["heartbeat_age_ms"] >= 2_000
    assert (processes[TRACKER]["state"], processes[TRACKER]["pid"]) == ("dead", None)
    assert found["tracker"] is None
    assert found["reasons"][0] == f"{ENGINE} hangs: no signal comes without it"


def test_orderly_end_is_told_from_a_death(site):
    (engine,) = site.start(ENGINE)
    engine.terminate()
    engine.wait()

    assert told(site.config_file)[2][ENGINE]["state"] == "stopped"


def test_foreign_layout_version_is_named_and_nothing_is_read_through_it(site):
    site.start(ENGINE)
    region = attach_region(site.config.shm, RegionKind.HEALTH, writable=True)
    word = region.mapping.load_word(Header.LAYOUT_VERSION)
    region.mapping.store_word(Header.LAYOUT_VERSION, word + 7)

    status, found, processes = told(site.config_file)

    assert status == 2
    assert "health: layout version is " in found["reasons"][0]
    # It lives, by its lock, and nothing else is known.
    assert (processes[ENGINE]["state"], processes[ENGINE]["pid"]) == ("starting", None)


def test_held_back_and_reload_due_are_degradations_in_words(site):
    site.start(ENGINE, TRACKER)
    CliRunner().invoke(app, ["pause", "A-USDT", "okx_spot", "--config", str(site.config_file)])
    site.publish(2, "A", "B")

    _, found, _ = told(site.config_file)

    assert "held back: okx_spot, A-USDT" in found["reasons"]
    assert "universe 2 is on disk, 1 in use: reload" in found["reasons"]
    assert found["control"]["behind"] == []


@pytest.mark.parametrize("width", [80, 200])
def test_screen_fits_and_shows_every_process_and_source(config, okx_spot, width):
    found = status_now(load_config(config), SystemClock())
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123

    console.print(drawn(found, None, is_verbose=False))

    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    for row in found.processes:
        assert row.name in text
    for feed in found.feeds:
        assert f"{feed.source} " in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5s"), (65, "1m05s"), (7_260, "2h01m"), (200_000, "2d07h")]
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_watch_shows_it_again_until_interrupted(site):
    watching = site.ctl("status", "--watch", "--json")
    lines = [json.loads(watching.stdout.readline()) for _ in range(2)]
    watching.send_signal(signal.SIGINT)

    assert watching.wait(20) == 0
    assert [line["verdict"] for line in lines] == ["not running"] * 2
