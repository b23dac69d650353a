"""How the feeds are: their health slots as values, for spread-ctl and whoever comes later."""

import msgspec

from spreadscan.config import Config
from spreadscan.exchanges import Source
from spreadscan.model import QuoteStatus
from spreadscan.ops.command import is_running
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.plan_file import PlanRow, read_plan
from spreadscan.shm.health import HealthReader, HealthSnapshot, quantile_ns
from spreadscan.shm.layout import FeedCounter, Histogram, RegionKind
from spreadscan.shm.regions import attach_regions
from spreadscan.topology import feed_name, program_named

__all__ = ["NOT_RUNNING", "FeedNow", "feeds_now"]

NOT_RUNNING = "not running"


class FeedNow(msgspec.Struct, frozen=True, kw_only=True):
    """One feed; counters are since its start."""

    source: str
    state: str
    """A ProcessState in lower case, or ``not running``: last words are never shown as live."""
    status: str
    heartbeat_age_ms: int
    live: int
    expected: int
    missing: int
    connections: int
    connects: int
    connect_failures: int
    quotes: int
    refused: dict[str, int]
    """Frames by QuoteStatus, in lower case."""
    lag_p50_ms: float
    """Of exchange time, over the connection's usual."""
    lag_p99_ms: float
    plan: list[PlanRow] | None
    """Who is on which connection; None while the feed does not run."""


def feeds_now(config: Config, clock: Clock) -> list[FeedNow]:
    """Return every enabled source's feed.

    Raises:
        RegionError: the health slots cannot be read.
        RunFolderRefused: the locks cannot be looked at.

    Concurrency: any number of readers; blocks nobody.
    """
    regions = attach_regions(config.shm, reads=[RegionKind.HEALTH], writes=(), timeout_s=0.0)
    health = HealthReader(regions.health)
    return [_feed_now(config, clock, health, source) for source in config.active_sources()]


def _feed_now(config: Config, clock: Clock, health: HealthReader, source: Source) -> FeedNow:
    slot = health.slot(source.source_id)
    lives = is_running(config, program_named(feed_name(source.name)))
    lag = health.histogram(source.source_id, Histogram.FEED_LAG)

    def count(counter: FeedCounter) -> int:
        return slot.counters[counter] if lives else 0

    return FeedNow(
        source=source.name,
        state=slot.state.name.lower() if lives else NOT_RUNNING,
        status=slot.status if lives else "",
        heartbeat_age_ms=max(0, clock.monotonic_ns() - slot.heartbeat_ns) // 1_000_000,
        live=count(FeedCounter.SYMBOLS_LIVE),
        expected=count(FeedCounter.SYMBOLS_EXPECTED),
        missing=count(FeedCounter.SYMBOLS_MISSING),
        connections=count(FeedCounter.CONNECTIONS_OPEN),
        connects=count(FeedCounter.CONNECTS),
        connect_failures=count(FeedCounter.CONNECT_FAILURES),
        quotes=count(FeedCounter.QUOTES),
        refused=_refused(slot) if lives else {},
        lag_p50_ms=quantile_ns(lag, 0.5) / 1e6 if lives else 0.0,
        lag_p99_ms=quantile_ns(lag, 0.99) / 1e6 if lives else 0.0,
        plan=read_plan(config.path(config.runtime.run_dir), source.name) if lives else None,
    )


def _refused(slot: HealthSnapshot) -> dict[str, int]:
    counts = {
        status.name.lower(): slot.counters[FeedCounter.REFUSED + status]
        for status in QuoteStatus
        if status > QuoteStatus.NOT_A_QUOTE
    }
    return {reason: count for reason, count in counts.items() if count}
