"""Tracker and engine's kernel over the same regions: what the engine holds open is recorded."""

import contextlib

import pytest
from tracker_bench import Bench

from spreadscan.config import load_config
from spreadscan.engine.channels import channels_of
from spreadscan.kernel.scan import Scanner
from spreadscan.ops.ledger import LedgerReader
from spreadscan.shm.counters import EngineCounter
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions, create_regions, remove_regions

FEE_BPS = 20.0
SYMBOL = 7
# A second each, in this order: out of sight for longer than the first, and older than the second.
LOST_AFTER_S, EXPIRED_AFTER_S = 10, 30


class Desk:
    """One route, its two quotes renewed every second unless they are away."""

    def __init__(self, bench):
        self.bench = bench
        spot, futures = bench.direction.spot_source, bench.direction.futures_source
        self.scanner = Scanner(
            channels_of(
                bench.regions, bench.ring.ring, bench.neighbours.health["spread-engine"].slot
            )
        )
        self.scanner.configure(bench.config.engine)
        direction_id = bench.direction.direction_id
        self.scanner.set_routes(
            [(slot_of(spot, SYMBOL), slot_of(futures, SYMBOL), direction_id, SYMBOL, FEE_BPS)]
        )
        self.sources = (spot, futures)

    def second(self, tracker, net_bps):
        """Let a second pass; None is a leg that is away."""
        self.bench.clock.advance(1)
        if net_bps is not None:
            self.bench.put_prices(spread_bps=net_bps + FEE_BPS)
        else:
            self.bench.put_prices(spread_bps=0.0, flags=2)
        for source in self.sources:
            self.bench.regions.dirty.bits.mark(source, SYMBOL)
        self.scanner.scan_at(self.bench.clock.monotonic_ns())
        tracker.step()

    def episodes(self):
        with LedgerReader(self.bench.data_dir) as reader:
            return reader.recent_episodes(10)


@pytest.fixture
def desk(make_config, manual_clock):
    config = load_config(
        make_config(
            {
                "tracker.max_life_s": float(EXPIRED_AFTER_S),
                "tracker.max_suspended_s": float(LOST_AFTER_S),
                "engine.min_executable_usd": 1.0,
            }
        )
    )
    create_regions(config.shm)
    regions = attach_regions(config.shm, reads=(), writes=tuple(RegionKind), timeout_s=0)
    bench = Bench(config, regions, manual_clock)
    yield Desk(bench)
    bench.neighbours.close()
    remove_regions(config.shm)


def test_dislocation_that_stands_after_an_outage_is_recorded_though_the_engine_opens_nothing(desk):
    with contextlib.closing(desk.bench.tracker()) as tracker:
        desk.second(tracker, 50.0)
        for _ in range(LOST_AFTER_S + 2):
            desk.second(tracker, None)
        between = desk.episodes()
        desk.second(tracker, 60.0)
        desk.second(tracker, 70.0)
        found = desk.episodes()

    assert [episode.ending for episode in between] == ["lost"]
    assert sorted(str(episode.ending) for episode in found) == ["None", "lost"]
    second = next(episode for episode in found if episode.ending is None)
    assert second.previous_id == between[0].episode_id
    assert desk.bench.neighbours.health["spread-engine"].get(EngineCounter.SIGNALS_OPEN) == 1


def test_dislocation_whose_episode_expired_is_recorded_once_whoever_restarts(desk):
    with contextlib.closing(desk.bench.tracker()) as tracker:
        for number in range(EXPIRED_AFTER_S + 2):
            desk.second(tracker, 50.0 + number)
    with contextlib.closing(desk.bench.tracker()) as tracker:
        desk.second(tracker, 20.0)
        desk.second(tracker, 90.0)
        same_opening = desk.episodes()
        desk.second(tracker, -5.0)
        desk.second(tracker, 50.0)
        next_opening = desk.episodes()

    assert [episode.ending for episode in same_opening] == ["expired"]
    assert len(next_opening) == 2
