"""engine_restart: from the engine's death under load until its successor's first signal.

Everything is in it that an operator waits for: the supervisor's delay before it starts a program
again, Python's start, the universe, every price, and the first route that is beyond the threshold.
"""

import os
import signal
import statistics
import time

from whole_pipeline import WholePipeline, whole_pipeline

from spreadscan.ops.benchmark import Benchmark, Result
from spreadscan.shm.counters import EngineCounter
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions
from spreadscan.topology import ENGINE_SLOT

SYMBOLS = 200
RATE_HZ = 5_000.0
KILLS = 3
PATIENCE_S = 60.0
ENGINE = "spread-engine"


def measure() -> list[Result]:
    with whole_pipeline(SYMBOLS, RATE_HZ) as pipeline:
        regions = attach_regions(
            pipeline.config.shm, reads=[RegionKind.HEALTH], writes=(), timeout_s=0.0
        )
        health = HealthReader(regions.health)
        took_s = [_killed(pipeline, health) for _ in range(KILLS)]
    return [
        Result(name="engine_restart", value=statistics.median(took_s), unit="s",
               p50=statistics.median(took_s))
    ]  # fmt: skip


def _killed(pipeline: WholePipeline, health: HealthReader) -> float:
    def has_signalled(after_pid: int) -> bool:
        slot = health.slot(ENGINE_SLOT)
        return slot.pid != after_pid and slot.counters[EngineCounter.SIGNALS_OPEN] > 0

    assert pipeline.run_until(lambda: has_signalled(0), PATIENCE_S), "no signal to begin with"
    pid = pipeline.pid(ENGINE)
    began_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    assert pipeline.run_until(lambda: has_signalled(pid), PATIENCE_S), "no signal afterwards"
    return (time.monotonic_ns() - began_ns) / 1e9


BENCHMARKS = (Benchmark(("engine_restart",), measure),)
