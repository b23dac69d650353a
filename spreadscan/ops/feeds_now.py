"""How the feeds are: their health slots as values, for spread-ctl and whoever comes later."""

from typing import TYPE_CHECKING

import msgspec

from spreadscan.config import Config
from spreadscan.exchanges import Source
from spreadscan.model import QuoteStatus
from spreadscan.ops.processes_now import HANGS, ProcessNow, Sight
from spreadscan.runtime.plan_file import PlanRow, read_plan
from spreadscan.shm.counters import FeedCounter, Histogram
from spreadscan.shm.health import HealthSnapshot, quantile_ns
from spreadscan.shm.price_age import newest_received_ns

if TYPE_CHECKING:
    from spreadscan.ops.funding_now import FundingNow

__all__ = ["FeedNow", "feed_now"]


class FeedNow(msgspec.Struct, frozen=True, kw_only=True):
    """One feed; counters are since its start, and 0 while it does not run."""

    source: str
    state: str
    """As in ProcessNow: last words are never shown as live."""
    status: str
    live: int
    """Symbols with usable prices."""
    expected: int
    missing: int
    """Known to trade, and without a quote all the same."""
    frames_per_s: int
    newest_quote_ms: float | None
    """Age of the newest quote; None when there is none of this feed's."""
    connections: int
    connects: int
    reconnects: int
    """Connections that ended."""
    connect_failures: int
    quotes: int
    refused: dict[str, int]
    """Frames by QuoteStatus, in lower case."""
    lag_p50_ms: float
    """Of exchange time, over the connection's usual."""
    lag_p99_ms: float
    funding: "FundingNow | None"
    """None where nothing is a perpetual, and without details."""
    plan: list[PlanRow] | None
    """Who is on which connection; None while the feed does not run, and without details."""


def feed_now(
    sight: Sight, source: Source, process: ProcessNow, *, with_details: bool = False
) -> FeedNow:
    """Return how a source's feed is.

    Args:
        sight: where from.
        source: whose feed.
        process: that feed.
        with_details: also its funding, and who is on which connection.

    Concurrency: any number of readers; blocks nobody.
    """
    health, prices = sight.health, sight.prices
    # A pid: the slot is that of the process that holds the lock.
    slot = health.slot(source.source_id) if health and process.pid is not None else None
    lag = health.buckets(source.source_id, Histogram.FEED_LAG) if health and slot else [0]
    newest_ns = newest_received_ns(prices, source.source_id) if prices and slot else 0

    def count(counter: FeedCounter) -> int:
        return slot.counters[counter] if slot else 0

    def gauge(counter: FeedCounter) -> int:
        # Of a feed that hangs the engine uses no price, and what it said last is of then.
        return 0 if process.state == HANGS else count(counter)

    return FeedNow(
        source=source.name,
        state=process.state,
        status=process.status,
        live=gauge(FeedCounter.SYMBOLS_LIVE),
        expected=count(FeedCounter.SYMBOLS_EXPECTED),
        missing=count(FeedCounter.SYMBOLS_MISSING),
        frames_per_s=gauge(FeedCounter.FRAMES_PER_S),
        newest_quote_ms=max(0, sight.clock.monotonic_ns() - newest_ns) / 1e6 if newest_ns else None,
        connections=count(FeedCounter.CONNECTIONS_OPEN),
        connects=count(FeedCounter.CONNECTS),
        reconnects=count(FeedCounter.DISCONNECTS),
        connect_failures=count(FeedCounter.CONNECT_FAILURES),
        quotes=count(FeedCounter.QUOTES),
        refused=_refused(slot) if slot else {},
        lag_p50_ms=quantile_ns(lag, 0.5) / 1e6,
        lag_p99_ms=quantile_ns(lag, 0.99) / 1e6,
        funding=_funding(sight, source, slot) if with_details else None,
        plan=_plan(sight.config, source) if slot and with_details else None,
    )


def _funding(sight: Sight, source: Source, slot: HealthSnapshot | None) -> "FundingNow | None":
    if source.spec.funding is None or sight.funding is None:
        return None
    # Imported here: with it comes numpy, which most answers have no need of.
    from spreadscan.ops.funding_now import funding_now
    from spreadscan.shm.record_table import FundingTable

    clock = sight.clock
    return funding_now(
        FundingTable(sight.funding),
        source.source_id,
        slot,
        clock.monotonic_ns(),
        clock.wall_ns() // 1_000_000,
    )


def _plan(config: Config, source: Source) -> list[PlanRow] | None:
    return read_plan(config.path(config.runtime.run_dir), source.name)


def _refused(slot: HealthSnapshot) -> dict[str, int]:
    counts = {
        status.name.lower(): slot.counters[FeedCounter.REFUSED + status]
        for status in QuoteStatus
        if status > QuoteStatus.NOT_A_QUOTE
    }
    return {reason: count for reason, count in counts.items() if count}
