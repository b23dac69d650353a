"""Every byte that crosses a process boundary: offsets and sizes. No I/O.

Imported by the Python side of ``shm``; ``kernel/layout.h`` says the same in C and the kernel's
offset table is compared with this file when it is imported, so the two cannot drift. To change an
offset: change it here, in ``layout.h``, in ``tests/shm/test_layout.py``, raise LAYOUT_VERSION and
write an ADR.

Each shared word has one writer, named beside it. All integers are little-endian.

    prices   | header | 8 x SourceState | 8192 x PriceSeqEntry | 8192 x PriceDataEntry |
    dirty    | header | engine line | 8 x 1,024 bits |
    ring     | header | producer line | consumer line | 65,536 x SignalRecord |
    health   | header | 16 x HealthSlot |
    control  | header | ControlBlock |
    governor | header | 32 x Allowance |
    funding  | header | 8192 x FundingRecord |
    baseline | header | 65,536 x BaselineRecord |
    routes   | header | 64 x GateCounts | 8 x 1,024 bits | kills | 1,024 names |
             | 65,536 x RouteState |
"""

from enum import IntEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spreadscan.shm.dtypes import (
        BASELINE_DTYPE,
        FUNDING_DTYPE,
        PRICE_DTYPE,
        ROUTE_STATE_DTYPE,
        SIGNAL_DTYPE,
    )


__all__ = [
    "BASELINE_DTYPE",
    "CACHE_LINE",
    "DELAY_NOT_MEASURED",
    "FUNDING_DTYPE",
    "HEADER_BYTES",
    "HEALTH_SLOTS",
    "HISTOGRAM_BUCKETS",
    "LAYOUT_VERSION",
    "MAGIC",
    "MAX_DIRECTIONS",
    "MAX_SYMBOLS",
    "NUM_COUNTERS",
    "NUM_GATES",
    "NUM_HISTOGRAMS",
    "NUM_SOURCES",
    "PRICE_DTYPE",
    "REGION_SHAPES",
    "RING_CAPACITY",
    "ROUTE_CAPACITY",
    "ROUTE_STATE_DTYPE",
    "SIGNAL_DTYPE",
    "SIGNAL_PAYLOAD_BYTES",
    "SIGNAL_VERSION",
    "SLOT_COUNT",
    "Baseline",
    "Control",
    "Dirty",
    "Funding",
    "Governor",
    "Header",
    "Health",
    "PriceData",
    "Prices",
    "ProcessState",
    "RegionKind",
    "Ring",
    "RouteState",
    "Routes",
    "Signal",
]

MAGIC = int.from_bytes(b"SPRDSCAN", "little")
LAYOUT_VERSION = 2

CACHE_LINE = 64
# Adjacent-line prefetch pulls lines in pairs, so words of different writers stand 128 B apart.
LINE_PAIR = 2 * CACHE_LINE

NUM_SOURCES = 8
MAX_SYMBOLS = 1024
SLOT_COUNT = NUM_SOURCES * MAX_SYMBOLS
# One bit of the control block's pause word each.
MAX_DIRECTIONS = 64
ROUTE_CAPACITY = MAX_DIRECTIONS * MAX_SYMBOLS
RING_CAPACITY = 65_536
HEALTH_SLOTS = 16
NUM_COUNTERS = 64
NUM_GATES = 16
NUM_HISTOGRAMS = 8
# A PriceData.PUBLISH_DELAY_NS.
DELAY_NOT_MEASURED = 2**32 - 1
# 16 sub-buckets an octave: 6.25 % resolution, 1 ns to 18 minutes.
HISTOGRAM_BUCKETS = 640


class RegionKind(IntEnum):
    """Which region a header belongs to."""

    PRICES = 1
    DIRTY = 2
    RING = 3
    HEALTH = 4
    CONTROL = 5
    GOVERNOR = 6
    FUNDING = 7
    BASELINE = 8
    ROUTES = 9


class Header:
    """First 128 bytes of every region. Writer: shm-init; MAGIC is stored last, with release."""

    MAGIC = 0
    LAYOUT_VERSION = 8
    """u32"""
    KIND = 12
    """u32"""
    REGION_BYTES = 16
    RECORD_BYTES = 24
    """u32"""
    CAPACITY = 28
    """u32"""
    BUILD_ID = 32
    CREATOR_PID = 40
    """u32"""
    CRC32 = 44
    """u32, over bytes 8 to 64 with this field zero."""
    CREATOR_START_TICKS = 48
    CREATED_NS = 56
    """Wall clock."""
    CRC_END = 64
    EPOCH = 64
    """Raised each time shm-init makes the set anew."""
    UNIVERSE_GENERATION = 72
    """Writer: whoever publishes a universe (shm-init at start, later reload)."""
    NUM_SYMBOLS = 80
    """u32; same writer."""
    BYTES = 128


HEADER_BYTES = Header.BYTES


class Prices:
    """Price store: sequence words apart from the data they guard.

    A scan over unchanged symbols then touches one line each.
    """

    SOURCE_STATES = Header.BYTES
    SOURCE_STATE_BYTES = LINE_PAIR
    SOURCE_EPOCH = 0
    """u64 in a SourceState: odd while a feed owns the source. Writer: holder of its lock."""
    SOURCE_SILENT = 8
    """u64: 1 while the feed lives and does not beat. Writer: engine."""
    SEQ = SOURCE_STATES + NUM_SOURCES * SOURCE_STATE_BYTES
    SEQ_ENTRY_BYTES = CACHE_LINE
    DATA = SEQ + SLOT_COUNT * SEQ_ENTRY_BYTES
    DATA_ENTRY_BYTES = CACHE_LINE
    BYTES = DATA + SLOT_COUNT * DATA_ENTRY_BYTES


class PriceData:
    """PriceDataEntry, one cache line, per one base coin. Writer: the source's feed."""

    BID, ASK, BID_QTY, ASK_QTY, EXCHANGE_NS, RECEIVED_NS, UPDATE_ID = range(0, 56, 8)
    FLAGS = 56
    """u16, SlotFlag bits; 0 = usable."""
    EPOCH = 58
    """u16: low bits of the SourceState epoch the writer had."""
    PUBLISH_DELAY_NS = 60
    """u32: publish time - receive time; DELAY_NOT_MEASURED where RECEIVED_NS was dated back"""
    BYTES = 64


class Dirty:
    """Dirty bitmap: which symbols of a source changed since the engine last looked."""

    ENGINE_LINE = Header.BYTES
    ENGINE_SLEEPING = 0
    """u32 in the engine line: 1 = the engine waits on its eventfd. The engine stores 1; the feed
    that takes it back to 0 by exchange writes the eventfd."""
    BLOCKS = ENGINE_LINE + LINE_PAIR
    BLOCK_BYTES = MAX_SYMBOLS // 8
    """Writers: the source's feed by fetch_or, the engine by exchange(0)."""
    BYTES = BLOCKS + NUM_SOURCES * BLOCK_BYTES


class Ring:
    """SPSC ring of SignalRecord; a record is committed by its own sequence word."""

    PRODUCER_LINE = Header.BYTES
    TAIL = 0
    """u64 in the producer line: next position to write. Writer: engine."""
    FULL_COUNT = 8
    """u64: pushes that found the ring full. Writer: engine."""
    CONSUMER_LINE = PRODUCER_LINE + LINE_PAIR
    HEAD = 0
    """u64 in the consumer line: next position to read. Writer: tracker."""
    RECORDS = CONSUMER_LINE + LINE_PAIR
    RECORD_BYTES = LINE_PAIR
    BYTES = RECORDS + RING_CAPACITY * RECORD_BYTES


class Signal:
    """SignalRecord = EventHeader (24 B) + SignalPayload (104 B). Writer: engine."""

    SEQUENCE = 0
    """u64: position + 1, stored last with release; it is the commit."""
    TIME_NS = 8
    """u64, CLOCK_MONOTONIC."""
    TYPE = 16
    """u16, SignalType"""
    VERSION = 18
    """u16"""
    LENGTH = 20
    """u32, payload bytes"""
    DIRECTION, SPOT_SOURCE, FUTURES_SOURCE, RESERVED = range(24, 28)
    SYMBOL_ID = 28
    """u16"""
    SPOT_EPOCH = 30
    """u16"""
    SPOT_BID, SPOT_ASK, FUTURES_BID, FUTURES_ASK = range(32, 64, 8)
    SPOT_BID_QTY, SPOT_ASK_QTY, FUTURES_BID_QTY, FUTURES_ASK_QTY = range(64, 80, 4)
    """f32, base coins"""
    GROSS_BPS = 80
    """f64, as NET_BPS: thresholds are compared with these, so they are what the engine saw."""
    NET_BPS = 88
    EXECUTABLE_USD = 96
    """f32, as EXIT_BPS: read by people and sums, 24 bits of it are more than the quotes mean."""
    EXIT_BPS = 100
    SPOT_AGE_US = 104
    """u32"""
    FUTURES_AGE_US = 108
    """u32"""
    FUTURES_EPOCH = 112
    """u16"""
    OPENING = 116
    """u32: counts the openings of this route since shm-init."""
    NET_AFTER_FUNDING_BPS = 120
    """f32; NaN when funding is not known"""
    Z_SCORE = 124
    """f32: of the gross entry spread against its BASELINE; NaN when there is none"""
    BYTES = 128


SIGNAL_VERSION = 2
SIGNAL_PAYLOAD_BYTES = Signal.BYTES - 24


class Health:
    """One slot a process. Writer: the process that holds the role's lock."""

    SLOTS = Header.BYTES
    PID = 0
    """u32"""
    STATE = 4
    """u32, ProcessState"""
    START_TICKS = 8
    """u64, /proc/PID/stat field 22"""
    HEARTBEAT_NS = 16
    """u64, CLOCK_MONOTONIC"""
    STARTED_NS = 24
    """u64, CLOCK_MONOTONIC"""
    OBEYED_GENERATION = 32
    """u64: control generation this process acted on"""
    RESTARTS = 40
    """u64: times this slot was taken since shm-init"""
    UNIVERSE_GENERATION = 48
    """u64: universe this process works with"""
    NAME = 64
    """32 bytes, UTF-8, zero-padded"""
    NAME_BYTES = 32
    STATUS = 128
    """128 bytes, UTF-8, zero-padded"""
    STATUS_BYTES = 128
    COUNTERS = 256
    """NUM_COUNTERS x u64; their names are in counters.py."""
    HISTOGRAMS = COUNTERS + 8 * NUM_COUNTERS
    """NUM_HISTOGRAMS x HISTOGRAM_BUCKETS x u64; which is which: counters.Histogram"""
    HISTOGRAM_BYTES = 8 * HISTOGRAM_BUCKETS
    SLOT_BYTES = HISTOGRAMS + NUM_HISTOGRAMS * HISTOGRAM_BYTES
    BYTES = SLOTS + HEALTH_SLOTS * SLOT_BYTES


class Control:
    """ControlBlock. Writer: spread-ctl, under its lock. Values first, GENERATION last."""

    GENERATION = Header.BYTES
    """u64: raised by every command; a process writes back the one it obeyed."""
    SHUTDOWN = GENERATION + 8
    """u64: how many waves of `topology.stop_wave` are to end; 0 = none"""
    KILL = SHUTDOWN + 8
    """u64: 1 = no signal may leave; sticky"""
    PAUSE_ALL = KILL + 8
    """u64: 1 = ingest, but emit nothing"""
    PAUSED_SOURCES = PAUSE_ALL + 8
    """u64, bit = source id"""
    PAUSED_DIRECTIONS = PAUSED_SOURCES + 8
    """u64, bit = direction id"""
    CONFIG_GENERATION = PAUSED_DIRECTIONS + 8
    """u64: raised when configuration or universe are to be read again"""
    KILLS = CONFIG_GENERATION + 8
    """u64: times that KILL was set, so that one is seen that was taken back meanwhile"""
    PAUSED_SYMBOLS = Header.BYTES + LINE_PAIR
    """1,024 bits"""
    REASON = PAUSED_SYMBOLS + MAX_SYMBOLS // 8
    """128 bytes, UTF-8, zero-padded"""
    REASON_BYTES = 128
    BYTES = REASON + REASON_BYTES


class Governor:
    """Allowances that processes share: one row an exchange's address and kind of request.

    Writers: every process that makes such requests, by compare and swap.
    """

    ROWS = Header.BYTES
    TURN_NS = 0
    """u64, CLOCK_MONOTONIC: when the allowance is whole again"""
    BANNED_UNTIL_NS = 8
    """u64, CLOCK_MONOTONIC: no request before"""
    TAKEN = 16
    """u64: requests granted"""
    BANS = 24
    """u32: times that the exchange told us to stop"""
    BANS_IN_A_ROW = 28
    """u32, one word with BANS: bans since it last let somebody in"""
    TURNS = 32
    """12 x u64, connects only: until when a turn is taken, CLOCK_MONOTONIC"""
    ROW_BYTES = LINE_PAIR
    CAPACITY = NUM_SOURCES * 4
    BYTES = ROWS + CAPACITY * ROW_BYTES


class Funding:
    """FundingRecord, seqlocked, index as a price slot's. Writer: the source's feed."""

    RECORDS = Header.BYTES
    SEQ = 0
    """u64: odd while written"""
    RATE = 8
    """f64, fraction of the notional per interval; positive: longs pay shorts"""
    INTERVAL_S = 16
    """f64; 0 = unknown"""
    NEXT_SETTLEMENT_MS = 24
    """i64, UTC by the exchange's clock; 0 = unknown"""
    RECEIVED_NS = 32
    """i64, CLOCK_MONOTONIC; 0 = never"""
    RECORD_BYTES = CACHE_LINE
    BYTES = RECORDS + SLOT_COUNT * RECORD_BYTES


class Baseline:
    """BaselineRecord, seqlocked: a route's usual gross entry spread. Writer: tracker.

    Index: direction_id * MAX_SYMBOLS + symbol_id.
    """

    RECORDS = Header.BYTES
    SEQ = 0
    """u64: odd while written"""
    MEDIAN_BPS = 8
    """f32"""
    MAD_BPS = 12
    """f32, median absolute deviation: z = (gross - median) / (1.4826 * MAD)"""
    SAMPLES = 16
    """u32; 0 = nothing is known"""
    RESERVED = 20
    """u32"""
    UPDATED_NS = 24
    """i64, CLOCK_MONOTONIC"""
    RECORD_BYTES = 32
    BYTES = RECORDS + ROUTE_CAPACITY * RECORD_BYTES


class Routes:
    """What the engine makes of its routes; it outlives the engine. Writer: engine."""

    GATES = Header.BYTES
    """MAX_DIRECTIONS x NUM_GATES x u64: signals held back, by direction id and counters.Gate."""
    GATE_ROW_BYTES = 8 * NUM_GATES
    SUSPECTS = GATES + MAX_DIRECTIONS * GATE_ROW_BYTES
    """1,024 bits a source: legs that stand still while their symbol moves elsewhere."""
    SUSPECT_BLOCK_BYTES = MAX_SYMBOLS // 8
    KILLS_FOLLOWED = SUSPECTS + NUM_SOURCES * SUSPECT_BLOCK_BYTES
    """u64: Control.KILLS as far as the states know it, on two lines of its own"""
    NAMES = KILLS_FOLLOWED + LINE_PAIR
    """MAX_SYMBOLS x u64: a hash of what each symbol id was called when last scanned; 0 = never"""
    STATES = NAMES + 8 * MAX_SYMBOLS
    """RouteState, seqlocked; index as a BaselineRecord's"""
    STATE_BYTES = 32
    BYTES = STATES + ROUTE_CAPACITY * STATE_BYTES


class RouteState:
    """The last signal of a route that went into the ring, and whether the route is open."""

    SEQ = 0
    """u64: odd while written"""
    TIME_NS = 8
    """i64, CLOCK_MONOTONIC; 0 = no signal since shm-init"""
    OPENING = 16
    """u32"""
    TYPE = 20
    """u16, SignalType"""
    IS_OPEN = 22
    """u16: 1 from an opening until its ending, or until a pause or the operator ends it quietly"""
    NET_BPS = 24
    """f64"""
    BYTES = Routes.STATE_BYTES


class ProcessState(IntEnum):
    """Life of a process, as its health slot shows it."""

    EMPTY = 0
    STARTING = 1
    RUNNING = 2
    STOPPING = 3
    STOPPED = 4
    FAILED = 5


# kind -> (bytes, record bytes, capacity); the header repeats them and attach compares them.
REGION_SHAPES = {
    RegionKind.PRICES: (Prices.BYTES, Prices.DATA_ENTRY_BYTES, SLOT_COUNT),
    RegionKind.DIRTY: (Dirty.BYTES, Dirty.BLOCK_BYTES, NUM_SOURCES),
    RegionKind.RING: (Ring.BYTES, Ring.RECORD_BYTES, RING_CAPACITY),
    RegionKind.HEALTH: (Health.BYTES, Health.SLOT_BYTES, HEALTH_SLOTS),
    RegionKind.CONTROL: (Control.BYTES, Control.BYTES - Header.BYTES, 1),
    RegionKind.GOVERNOR: (Governor.BYTES, Governor.ROW_BYTES, Governor.CAPACITY),
    RegionKind.FUNDING: (Funding.BYTES, Funding.RECORD_BYTES, SLOT_COUNT),
    RegionKind.BASELINE: (Baseline.BYTES, Baseline.RECORD_BYTES, ROUTE_CAPACITY),
    RegionKind.ROUTES: (Routes.BYTES, Routes.STATE_BYTES, ROUTE_CAPACITY),
}

assert Prices.SEQ % CACHE_LINE == Prices.DATA % CACHE_LINE == 0
assert PriceData.PUBLISH_DELAY_NS + 4 == PriceData.BYTES == CACHE_LINE
assert Dirty.BLOCKS % LINE_PAIR == 0
assert Dirty.BLOCK_BYTES == LINE_PAIR
assert Ring.RECORDS % LINE_PAIR == 0
assert RING_CAPACITY & (RING_CAPACITY - 1) == 0
assert Signal.Z_SCORE + 4 == Signal.BYTES == Ring.RECORD_BYTES
assert Baseline.RECORDS % CACHE_LINE == Routes.STATES % CACHE_LINE == 0
assert CACHE_LINE % Baseline.RECORD_BYTES == CACHE_LINE % Routes.STATE_BYTES == 0
assert Routes.GATE_ROW_BYTES % LINE_PAIR == 0
assert Health.SLOT_BYTES % LINE_PAIR == 0

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Return a dtype, made when it is first asked for: see ``dtypes``."""
        if not name.endswith("_DTYPE"):
            raise AttributeError(name)
        from spreadscan.shm import dtypes

        return getattr(dtypes, name)
