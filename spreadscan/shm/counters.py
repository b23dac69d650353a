"""What the words of a health slot and of the engine's gate counts are called.

``layout`` says where these words stand; here is which of them counts what. The kernel counts some
of them itself and compares its numbers with these when it is imported.
"""

from enum import IntEnum

from spreadscan.shm.layout import NUM_COUNTERS, NUM_GATES, NUM_HISTOGRAMS

__all__ = ["EngineCounter", "FeedCounter", "Gate", "Histogram", "TrackerCounter"]


class Gate(IntEnum):
    """Why a route that has something to say may not; columns of a GateCounts row."""

    UNUSABLE = 0
    """A leg has no stable value, or a flag that no other gate names."""
    DEAD_EPOCH = 1
    """A leg was written by a feed that is gone, or hangs."""
    STALE = 2
    SIZE = 3
    """Opening only: less than min_executable_usd at the top of both books."""
    INSANE = 4
    """Beyond max_spread_bps."""
    PAUSED = 5
    CROSSED = 6
    """A leg's bid is not below its ask."""
    HALTED = 7
    """The exchange says that a leg's instrument does not trade."""
    QUARANTINED = 8
    """A leg's latest quote is late, held for its jump, or was refused."""
    KILLED = 9
    UNCONFIRMED = 10
    """Opening only: beyond the threshold, but not yet for as long as is asked for."""
    FROZEN = 11
    """A leg did not move while the symbol moved elsewhere."""


class FeedCounter(IntEnum):
    """Counters of a feed. REFUSED + n counts QuoteStatus n; STALLS: its loop was away too long.

    SYMBOLS_MISSING: subscribed, known to trade, and without a quote all the same.
    FUNDING_MISSING: perpetuals that the last answer about funding did not tell of.
    """

    FRAMES = 0
    QUOTES = 1
    CONTROL_FRAMES = 2
    BYTES = 3
    CONNECTS = 4
    DISCONNECTS = 5
    CONNECT_FAILURES = 6
    SYMBOLS_EXPECTED = 7
    SYMBOLS_LIVE = 8
    CONNECTIONS_OPEN = 9
    SUBSCRIBE_REFUSED = 10
    WAKEUPS = 11
    STALLS = 12
    SYMBOLS_MISSING = 13
    RECORDED = 14
    RECORD_LOST = 15
    REFUSED = 16
    """First of sixteen, indexed by QuoteStatus."""
    FUNDING_KNOWN = 32
    FUNDING_MISSING = 33
    FUNDING_ANSWERS = 34
    FUNDING_FAILURES = 35
    FUNDING_ROWS_REFUSED = 36
    FRAMES_PER_S = 48
    """Of the last second."""


class EngineCounter(IntEnum):
    """Counters of the engine. SUPPRESSED + n counts what Gate n held back, of all directions."""

    PASSES = 0
    DIRTY_SYMBOLS = 1
    ROUTES_EVALUATED = 2
    SIGNALS_OPEN = 3
    SIGNALS_UPDATE = 4
    SIGNALS_CLOSE = 5
    RING_FULL = 6
    CONFLATED = 7
    SPILLED = 8
    SLEEPS = 9
    TORN_READS = 10
    RESUMED = 11
    """Routes whose last signal, before a restart, left them open."""
    SUPPRESSED = 16
    """First of NUM_GATES, indexed by Gate."""
    PASSES_PER_S = 48
    """Of the last second."""


class TrackerCounter(IntEnum):
    """Counters of the tracker."""

    SIGNALS = 0
    EPISODES_OPENED = 1
    EPISODES_OPEN = 2
    EPISODES_CONVERGED = 3
    EPISODES_EXPIRED = 4
    SNAPSHOTS = 5
    TICKS = 6
    TICKS_OVERRUN = 7
    COMMITS = 8
    RE_SIGNALS = 9
    SIGNALS_REFUSED = 10
    SIGNALS_IGNORED = 11
    COMMITS_FAILED = 12
    EPISODES_DELISTED = 13
    EPISODES_HALTED = 14
    EPISODES_LOST = 15
    SIGNALS_WITHHELD = 16
    """Taken from the ring while the pipeline was killed."""
    POINTS_DROPPED = 17
    """Of paths, while the ledger could not be written."""
    SIGNALS_LOST = 18
    """Written over before the ledger held them."""
    EPISODES_SUSPENDED = 19
    """Of the open ones: without two fresh legs now."""


class Histogram:
    """Index of a histogram within its owner's health slot; samples in nanoseconds.

    The way of a quote: FEED_LAG, FEED_RECEIVE_TO_STORE, ENGINE_STORE_TO_SCAN, ENGINE_SCAN_TO_RING,
    TRACKER_RING_TO_TRACKER.
    """

    FEED_RECEIVE_TO_STORE = 0
    FEED_LAG = 1
    """Exchange to receive, less the clocks' distance as estimated by the quickest frames."""
    ENGINE_RECEIVE_TO_SCAN = 0
    ENGINE_SCAN_PASS = 1
    ENGINE_STORE_TO_SCAN = 2
    """First quotes and repeats, which the feed dates back, count with the age they are given."""
    ENGINE_SCAN_TO_RING = 3
    """One sample a pass that signalled, to its last signal."""
    TRACKER_SIGNAL_TO_LEDGER = 0
    TRACKER_TICK = 1
    TRACKER_RING_TO_TRACKER = 2


assert max(Gate) < NUM_GATES
assert EngineCounter.SUPPRESSED + NUM_GATES <= EngineCounter.PASSES_PER_S < NUM_COUNTERS
assert FeedCounter.FUNDING_ROWS_REFUSED < FeedCounter.FRAMES_PER_S < NUM_COUNTERS
assert Histogram.ENGINE_SCAN_TO_RING < NUM_HISTOGRAMS
