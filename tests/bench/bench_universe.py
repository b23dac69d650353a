"""feed_full_universe.<source>, feed_rss.<source>: the real feeds at their full load.

The whole pipeline runs on simulated exchanges over TLS, as many symbols and connections as the real
ones have. A feed's share of a core includes the kernel's work for it; it is of what the simulator
could send, which is said beside it.
"""

import re
import time
from pathlib import Path

from whole_pipeline import WholePipeline, whole_pipeline

from spreadscan.ops.benchmark import Benchmark, Result
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthReader, HealthSnapshot
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions
from spreadscan.topology import Program, programs

SYMBOLS = 600
RATE_HZ = 20_000.0
WINDOW_S = 6.0
# MEXC's perpetuals are subscribed one by one at ten a second and connection: ten seconds.
LIVE_PATIENCE_S = 30.0
LIVE_SHARE = 0.95
"""Quiet symbols may not have had their first quote yet."""

FEEDS = tuple(row for row in programs().values() if row.source is not None)


def measure() -> list[Result]:
    with whole_pipeline(SYMBOLS, RATE_HZ) as running:
        regions = attach_regions(
            running.config.shm, reads=[RegionKind.HEALTH], writes=(), timeout_s=0.0
        )
        health = HealthReader(regions.health)
        running.run_until(lambda: _is_live(health), LIVE_PATIENCE_S)
        before, began_ns = _look(running, health), time.monotonic_ns()
        running.run_until(lambda: time.monotonic_ns() - began_ns > WINDOW_S * 1e9, WINDOW_S + 1)
        after, window_ns = _look(running, health), time.monotonic_ns() - began_ns
        weights_mib = [_resident_mib(running.pid(feed.name)) for feed in FEEDS]
        loads = [
            _load(feed, snapshots, taken, window_ns)
            for feed, *both in zip(FEEDS, before, after, strict=True)
            for snapshots, taken in [([look[0] for look in both], both[1][1] - both[0][1])]
        ]
    weights = [
        Result(name=f"feed_rss.{feed.source}", value=weight_mib, unit="MiB")
        for feed, weight_mib in zip(FEEDS, weights_mib, strict=True)
    ]
    return loads + weights


def _load(feed: Program, snapshots: list[HealthSnapshot], taken_ns: int, window_ns: int) -> Result:
    first, last = (snapshot.counters for snapshot in snapshots)
    frames = last[FeedCounter.FRAMES] - first[FeedCounter.FRAMES]
    assert frames > 0, feed.name
    return Result(
        name=f"feed_full_universe.{feed.source}",
        value=taken_ns / window_ns * 100,
        unit="% of a core",
        # No other side to be compared with: what the share is of.
        baseline=f"{last[FeedCounter.SYMBOLS_LIVE]} symbols on "
        f"{last[FeedCounter.CONNECTIONS_OPEN]} sockets, {frames / window_ns * 1e9:,.0f} frames/s, "
        f"{taken_ns / frames / 1000:.1f} µs each",
    )


def _is_live(health: HealthReader) -> bool:
    rows = [health.slot(feed.health_slot).counters for feed in FEEDS]
    return all(
        0 < row[FeedCounter.SYMBOLS_EXPECTED] * LIVE_SHARE <= row[FeedCounter.SYMBOLS_LIVE]
        for row in rows
    )


def _look(running: WholePipeline, health: HealthReader) -> list[tuple[HealthSnapshot, int]]:
    """Each feed's counters and the CPU time it has had so far, ns."""
    return [(health.slot(feed.health_slot), _cpu_ns(running.pid(feed.name))) for feed in FEEDS]


def _cpu_ns(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks)


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


BENCHMARKS = (
    Benchmark(
        (
            *(f"feed_full_universe.{feed.source}" for feed in FEEDS),
            *(f"feed_rss.{feed.source}" for feed in FEEDS),
        ),
        measure,
    ),
)
