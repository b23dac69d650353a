"""engine_scan.1/.1000/.all: dirty symbols to signals in the ring, against a vectorised pass."""

import time
from collections.abc import Callable

import numpy as np
from engine_market import Market, all_routes, engine_config, own_sources
from mapped_regions import MappedRegions, temporary_regions
from numpy_engine import NumpyEngine

from spreadscan.kernel.scan import Scanner
from spreadscan.ops.benchmark import Benchmark, Result, percentiles
from spreadscan.shm.layout import MAX_SYMBOLS, SIGNAL_DTYPE, SLOT_COUNT

PASSES = {1: 8_000, 1_000: 400, SLOT_COUNT: 60}
BLOCKS = 8
ENGINE_HEALTH_SLOT = 8
# A pass of one symbol is about the opened route: it swings by more than the update step, so each
# pass ends in the ring. In the larger ones a symbol in 64 does.
SWING_BPS = (60.0, 70.0)


class Stage:
    """Both engines over the same regions, each told of every change."""

    def __init__(self, regions: MappedRegions) -> None:
        self.regions = regions
        self.market = Market(regions, own_sources(regions))
        self.market.move(np.arange(SLOT_COUNT))
        config, routes = engine_config(), all_routes()
        self.scanner = Scanner(regions.engine_channels(ENGINE_HEALTH_SLOT))
        self.scanner.configure(config)
        self.scanner.set_routes(routes)
        self.scanner.scan()
        self.vectorised = NumpyEngine(regions, config, routes)
        self._drained = np.empty(65_536, SIGNAL_DTYPE).view(np.uint8)

    def drain(self) -> int:
        """Empty the ring; return how many signals stood in it."""
        found = self.regions.ring.peek(self._drained)
        self.regions.ring.advance(found)
        return found


def timer_cost_ns() -> float:
    """What two readings of the clock cost with nothing between them."""
    pairs = []
    for _ in range(2_000):
        started_ns = time.perf_counter_ns()
        pairs.append(time.perf_counter_ns() - started_ns)
    return percentiles(pairs)[0]


def measure_dirty(count: int, name: str) -> list[Result]:
    with temporary_regions() as regions:
        stage = Stage(regions)
        overhead_ns = timer_cost_ns()
        slots = MAX_SYMBOLS + np.arange(count) if count <= MAX_SYMBOLS else np.arange(SLOT_COUNT)
        loud = slots if count == 1 else slots[::64]
        ours: list[float] = []
        theirs: list[float] = []
        sides = ((stage.scanner.scan, ours), (stage.vectorised.scan, theirs))

        def timed(scan: Callable[[], int]) -> float:
            # An empty pass first: an engine that waits keeps its code and words in the cache.
            scan()
            stage.market.mark(slots)
            started_ns = time.perf_counter_ns()
            changed = scan()
            elapsed_ns = time.perf_counter_ns() - started_ns - overhead_ns
            assert changed == count, changed
            return elapsed_ns / 1000

        signalled = 0
        for number in range(PASSES[count]):
            # In blocks, not pass by pass: each side keeps the caches it has warmed, as it would
            # in its own process.
            scan, taken = sides[number * BLOCKS // PASSES[count] % 2]
            stage.market.move(slots)
            stage.market.move(loud, SWING_BPS[number % 2])
            taken.append(timed(scan))
            signalled += stage.drain()
    assert signalled >= PASSES[count] // 2, signalled
    warm = PASSES[count] // 20
    p50, p90, p99, p999 = percentiles(ours[warm:])
    return [
        Result(name=name, value=p50, unit="µs", baseline="numpy, vectorised",
               ratio=percentiles(theirs[warm:])[0] / p50, p50=p50, p90=p90, p99=p99,
               p999=p999)
    ]  # fmt: skip


BENCHMARKS = (
    Benchmark(("engine_scan.1",), lambda: measure_dirty(1, "engine_scan.1")),
    Benchmark(("engine_scan.1000",), lambda: measure_dirty(1_000, "engine_scan.1000")),
    Benchmark(("engine_scan.all",), lambda: measure_dirty(SLOT_COUNT, "engine_scan.all")),
)
