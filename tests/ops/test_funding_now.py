"""What operators see of funding: how much is known, how old it is, and what went wrong."""

import json

import msgspec
import pytest
from rich.console import Console

from spreadscan.cli.status_view import drawn
from spreadscan.config import load_config
from spreadscan.ops.status import status_now
from spreadscan.runtime.lock import RoleLock
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import ProcessState, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions, create_regions
from spreadscan.topology import feed_name

SOURCE, SOURCE_ID = "okx_futures", 5
HOUR_MS = 3_600_000


@pytest.fixture
def config(make_config):
    config = load_config(make_config({}))
    create_regions(config.shm)
    return config


@pytest.fixture
def regions(config):
    return attach_regions(config.shm, reads=(), writes=RegionKind, timeout_s=0.0)


def shown(config, clock):
    found = status_now(config, clock, with_details=True)
    feeds = {feed.source: feed for feed in found.feeds}
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(drawn(found, SOURCE, is_verbose=True))
    return feeds, console.export_text()


def remember(regions, clock):
    now_ms = clock.wall_ns() // 1_000_000
    for symbol_id, (hours, next_ms) in enumerate(
        [(8, now_ms + 2 * HOUR_MS), (1, now_ms + HOUR_MS), (0, 0), (8, now_ms - 5)]
    ):
        regions.funding.write(
            slot_of(SOURCE_ID, symbol_id), rate=0.0001, interval_s=hours * 3600.0,
            next_settlement_ms=next_ms, received_ns=clock.monotonic_ns(),
        )  # fmt: skip
        clock.advance(10.0)
    # A neighbour's.
    regions.funding.write(
        slot_of(SOURCE_ID + 2, 0), rate=0.0, interval_s=1.0, next_settlement_ms=1, received_ns=1
    )


def test_nothing_is_known_before_the_first_answer(config, manual_clock):
    feeds, text = shown(config, manual_clock)

    assert feeds[SOURCE].funding.known == 0
    assert feeds[SOURCE].funding.oldest_age_s is None
    assert feeds["okx_spot"].funding is None
    assert "funding: nothing known; 0 answers" in text


def test_what_is_known_is_shown_with_ages_and_intervals(config, regions, manual_clock):
    remember(regions, manual_clock)

    feeds, text = shown(config, manual_clock)

    found = feeds[SOURCE].funding
    assert (found.known, found.newest_age_s, found.oldest_age_s) == (4, 10.0, 40.0)
    assert found.intervals == {"1": 1, "8": 2, "?": 1}
    wall_ms = manual_clock.wall_ns() // 1_000_000
    assert found.next_settlement_ms == wall_ms - 40_000 + HOUR_MS
    assert "10 to 40 s old, settled every 1 h: 1, 8 h: 2, ? h: 1" in text


def test_counters_are_those_of_a_feed_that_runs_and_records_outlive_it(
    config, regions, manual_clock
):
    remember(regions, manual_clock)
    lock = RoleLock(config.path(config.runtime.run_dir), feed_name(SOURCE))
    health = HealthWriter(regions.health, SOURCE_ID, feed_name(SOURCE))
    health.set_state(ProcessState.RUNNING)
    for counter, value in (
        (FeedCounter.FUNDING_ANSWERS, 12),
        (FeedCounter.FUNDING_FAILURES, 3),
        (FeedCounter.FUNDING_ROWS_REFUSED, 2),
        (FeedCounter.FUNDING_MISSING, 1),
    ):
        health.set(counter, value)

    alive = shown(config, manual_clock)
    lock.release()
    manual_clock.advance(3600.0)
    dead = shown(config, manual_clock)

    assert "12 answers, 3 failed, 2 rows refused, 1 missing" in alive[1]
    assert "0 answers, 0 failed" in dead[1]
    assert dead[0][SOURCE].funding.known == 4
    assert dead[0][SOURCE].funding.newest_age_s == 3610.0


def test_all_of_it_is_plain_json(config, regions, manual_clock):
    remember(regions, manual_clock)

    feeds, _ = shown(config, manual_clock)

    assert json.loads(msgspec.json.encode(feeds[SOURCE]))["funding"]["known"] == 4
