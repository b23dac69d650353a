# A source's slots and what guards them: fields and the calls that a connection makes.

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from spreadscan.kernel.extract cimport Extractor, quote_t
from spreadscan.kernel.health cimport HealthSlot
from spreadscan.kernel.lag cimport lag_t, reference_t
from spreadscan.kernel.memory cimport MAX_SYMBOLS, DirtyBits, PriceSlots, price_data_t
from spreadscan.kernel.tap cimport Tap, tap_t


cdef struct symbol_t:
    double good_mid             # middle of the last accepted quote; 0 when there is none to go by
    int64_t heard_ns            # arrival of the last accepted quote or repeat; 0: none as subscribed
    int64_t held_since_ns       # 0 when no candidate is held
    uint8_t known               # which sides are the exchange's present ones


cdef struct candidate_t:
    quote_t quote
    double mid
    int64_t received_ns
    int64_t age_ns              # of its price on arrival


@cython.final
cdef class ConnectionLag:
    # What the sink remembers of one connection; the sink may outlive the connection with it.
    cdef:
        lag_t lag
        int64_t read_ns             # when the latest read began
        int64_t waited_since_ns     # since when its bytes may have waited, at worst
        bint was_bulky              # it may have left something in the socket


@cython.final
cdef class FeedSink:
    cdef:
        Extractor extractor
        PriceSlots prices
        DirtyBits dirty
        HealthSlot health
        Tap recorder
        tap_t* taps
        readonly int source_id
        readonly int64_t epoch
        int wake_fd
        int64_t restart_update_id
        bint is_restart_told_by_time
        bint sends_unchanged        # an equal id proves that the book stands
        int64_t max_lag_ns
        double max_jump             # share of the last good middle
        int first_slot
        int live
        int held_count
        # The bytes that are being consumed: which connection's, when they arrived, since when they
        # may have waited at worst, and whether the clock is a recording's.
        ConnectionLag connection
        ConnectionLag own           # of frames that come without a connection
        reference_t reference
        int64_t received_ns
        int64_t waited_since_ns
        bint is_replayed
        # The publish delay that was measured last, and how many quotes may go by it.
        uint32_t delay_ns
        int unmeasured
        # The loop's last sign of life, 0 before the first, and its latest stall.
        int64_t turned_ns
        int64_t stalled_from_ns
        int64_t stalled_until_ns
        price_data_t slots[MAX_SYMBOLS]     # what stands in the store, without reading it back
        symbol_t symbols[MAX_SYMBOLS]
        candidate_t candidates[MAX_SYMBOLS]

    cdef ConnectionLag connected(self, int64_t now)
    cdef void begin_read(self, ConnectionLag connection, int64_t now, Py_ssize_t size) noexcept
    cdef int consume(self, const char* payload, Py_ssize_t size, Py_ssize_t slack) noexcept
    cdef void saw_turn(self, int64_t now) noexcept
    cdef void publish(self, int symbol_id) noexcept
    cdef void announce(self, int symbol_id) noexcept
    cdef void set_flag(self, int symbol_id, uint16_t flag) noexcept
    cdef bint is_old(self, int symbol_id, int64_t update_id, int64_t exchange_ns) noexcept
    cdef int64_t age_of(self, const quote_t* quote, bint is_repeat, bint* is_late) noexcept
    cdef bint is_second(self, const quote_t* quote, double mid) noexcept
    cdef void hold(self, const quote_t* quote, double mid, int64_t age_ns) noexcept
    cdef void release(self, int symbol_id) noexcept
    cdef int accept(self, const quote_t* quote) noexcept
    cdef void put(
        self, const quote_t* quote, double mid, int64_t arrived_ns, int64_t age_ns
    ) noexcept
    cdef uint32_t publish_delay(self, int64_t arrived_ns) noexcept
    cdef void tally(self, int status) noexcept
    cdef int merged(self, partial) except -1
