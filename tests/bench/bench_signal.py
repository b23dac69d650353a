"""write_to_signal.spin/.eventfd: from before a price is written until its signal is seen.

The feed's part (store, bitmap, wake-up) and the tracker's part (looking at the ring) are played by
this process, the engine's by another: two ways between cores, and a Python call for each step.
With eventfd most of it is the system's: what an eventfd alone takes is measured in the same run.
"""

import functools
import os
import time

import numpy as np
from engine_market import Market, all_routes, own_sources
from mapped_regions import temporary_regions
from peer import ahead_of_others, line_of, on_core, peer
from wake_floor import eventfd_us

from spreadscan.ops.benchmark import Benchmark, Result, percentiles
from spreadscan.shm.layout import MAX_SYMBOLS, SIGNAL_DTYPE, SLOT_COUNT

SAMPLES = 3_000
WARM_UP = 300
PATIENCE_NS = 1_000_000_000
PATIENCE_LOOKS = 10_000_000
SYMBOL = 17
FUTURES_SOURCE = 1
SWING_BPS = (60.0, 70.0)


def measure(wait: str) -> list[Result]:
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        with temporary_regions() as regions, on_core(0):
            market = Market(regions, own_sources(regions))
            market.move(np.arange(SLOT_COUNT))
            engine = peer("engine_process.py", regions.folder, wait, eventfd, pass_fds=(eventfd,))
            with engine as process:
                line_of(process)
                with ahead_of_others(process.pid):
                    taken_us = _exchange(regions, market, wait, eventfd)
            floor_us = None
            if wait == "eventfd":
                with ahead_of_others():
                    floor_us = eventfd_us(SAMPLES)
    finally:
        os.close(eventfd)
    p50, p90, p99, p999 = percentiles(taken_us)
    return [
        Result(name=f"write_to_signal.{wait}", value=p50, unit="µs p50",
               baseline=floor_us and f"an eventfd alone, in C: {floor_us:.1f}",
               ratio=floor_us and floor_us / p50, p50=p50, p90=p90, p99=p99,
               p999=p999)
    ]  # fmt: skip


def _exchange(regions, market: Market, wait: str, eventfd: int) -> list[float]:
    slot = FUTURES_SOURCE * MAX_SYMBOLS + SYMBOL
    records = [market.record(slot, lift_bps) for lift_bps in SWING_BPS]
    prices, dirty, ring = regions.prices, regions.dirty, regions.ring
    batch = np.empty(64, SIGNAL_DTYPE).view(np.uint8)
    routes = sum(slot in route[:2] for route in all_routes())
    taken_us = []
    for number in range(SAMPLES + WARM_UP):
        _until_engine_waits(dirty, wait)
        record = records[number % 2]
        started_ns = time.monotonic_ns()
        prices.write(slot, record)
        dirty.mark(FUTURES_SOURCE, SYMBOL)
        dirty.wake(eventfd)
        looks = 0
        while not ring.peek(batch):
            looks += 1
            assert looks < PATIENCE_LOOKS, "no signal came"
        elapsed_ns = time.monotonic_ns() - started_ns
        if number >= WARM_UP:
            taken_us.append(elapsed_ns / 1000)
        while ring.depth < routes:
            assert time.monotonic_ns() - started_ns < PATIENCE_NS, ring.depth
        ring.advance(routes)
    return taken_us


def _until_engine_waits(dirty, wait: str) -> None:
    # A price that comes while the engine still works would flatter the wake-up.
    deadline_ns = time.monotonic_ns() + PATIENCE_NS
    while wait == "eventfd" and not dirty.engine_sleeping:
        assert time.monotonic_ns() < deadline_ns, "the engine does not go to sleep"
    # The word says that it is about to sleep; the system call takes its time.
    settled_ns = time.monotonic_ns() + 20_000
    while time.monotonic_ns() < settled_ns:
        pass


BENCHMARKS = tuple(
    Benchmark((f"write_to_signal.{wait}",), functools.partial(measure, wait))
    for wait in ("spin", "eventfd")
)
