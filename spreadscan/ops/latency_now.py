"""How long a quote takes, stage by stage: the histograms of the health slots as values."""

import msgspec

from spreadscan.config import Config
from spreadscan.ops.processes_now import Sight, process_now
from spreadscan.runtime.clock import Clock
from spreadscan.shm.counters import Histogram
from spreadscan.shm.health import HealthReader, quantile_ns
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions
from spreadscan.topology import Program, feed_name, program_named

__all__ = ["Stage", "latency_now"]


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of one process since its start; nanoseconds, within 6.25 %."""

    name: str
    process: str
    is_running: bool
    """A stage of a process that does not run has no samples."""
    samples: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    p999_ns: int
    max_ns: int


# A quote's way, and what is measured beside it.
FEED_STAGES = (
    ("exchange to receive", Histogram.FEED_LAG),
    ("receive to store", Histogram.FEED_RECEIVE_TO_STORE),
)
ENGINE_STAGES = (
    ("store to engine", Histogram.ENGINE_STORE_TO_SCAN),
    ("engine to ring", Histogram.ENGINE_SCAN_TO_RING),
    ("receive to engine", Histogram.ENGINE_RECEIVE_TO_SCAN),
    ("engine pass", Histogram.ENGINE_SCAN_PASS),
)
TRACKER_STAGES = (
    ("ring to tracker", Histogram.TRACKER_RING_TO_TRACKER),
    ("tracker tick", Histogram.TRACKER_TICK),
    ("signal to ledger", Histogram.TRACKER_SIGNAL_TO_LEDGER),
)


def latency_now(config: Config, clock: Clock) -> list[Stage]:
    """Return every stage in the order of a quote's way.

    Raises:
        RegionError: the health slots cannot be read.
        RunFolderRefused: the locks cannot be looked at.

    Concurrency: any number of readers; blocks nobody. Counts are not from one instant.
    """
    regions = attach_regions(config.shm, reads=[RegionKind.HEALTH], writes=(), timeout_s=0.0)
    health = HealthReader(regions.health)
    sight = Sight(config=config, clock=clock, health=health, prices=None, funding=None)
    feeds = [program_named(feed_name(source.name)) for source in config.active_sources()]
    parts: list[tuple[Program, tuple[tuple[str, int], ...]]] = [
        *((program, FEED_STAGES) for program in feeds),
        (program_named("spread-engine"), ENGINE_STAGES),
        (program_named("spread-tracker"), TRACKER_STAGES),
    ]
    return [
        _stage(health, program, name, which, is_running=process_now(sight, program).lives)
        for program, stages in parts
        for name, which in stages
    ]


def _stage(
    health: HealthReader, program: Program, name: str, which: int, *, is_running: bool
) -> Stage:
    assert program.health_slot is not None, program.name
    counts = health.buckets(program.health_slot, which) if is_running else [0]
    return Stage(
        name=name,
        process=program.name,
        is_running=is_running,
        samples=sum(counts),
        p50_ns=quantile_ns(counts, 0.5),
        p90_ns=quantile_ns(counts, 0.9),
        p99_ns=quantile_ns(counts, 0.99),
        p999_ns=quantile_ns(counts, 0.999),
        max_ns=quantile_ns(counts, 1.0),
    )
