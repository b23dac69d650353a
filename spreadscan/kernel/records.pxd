# Records that guard themselves: a seqlock whose sequence word is the record's own first word. For
# tables that are written now and then; a price has its sequence word on a line of its own.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from spreadscan.kernel.memory cimport (
    MAX_DIRECTIONS, MAX_SYMBOLS, Mapping, NUM_GATES, NUM_SOURCES, READ_ATTEMPTS, ROUTE_CAPACITY, SLOT_COUNT,
    WORDS_PER_SOURCE, cpu_relax, fence_acquire, fence_release, load_acquire_u64, load_relaxed_u64,
    store_relaxed_u64, store_release_u64,
)


cdef extern from "layout.h" nogil:
    ctypedef struct funding_record_t:
        uint64_t sequence
        double rate
        double interval_s
        int64_t next_settlement_ms
        int64_t received_ns

    ctypedef struct funding_t:
        funding_record_t records[SLOT_COUNT]

    ctypedef struct baseline_record_t:
        uint64_t sequence
        float median_bps
        float mad_bps
        uint32_t samples
        int64_t updated_ns

    ctypedef struct baseline_t:
        baseline_record_t records[ROUTE_CAPACITY]

    ctypedef struct route_state_t:
        uint64_t sequence
        int64_t time_ns
        uint32_t opening
        uint16_t type
        uint16_t is_open
        double net_bps

    ctypedef struct routes_t:
        uint64_t suppressed[MAX_DIRECTIONS][NUM_GATES]
        uint64_t suspects[NUM_SOURCES][WORDS_PER_SOURCE]
        uint64_t kills_followed
        uint64_t names[MAX_SYMBOLS]
        route_state_t states[ROUTE_CAPACITY]


cdef inline void record_write(void* record, const void* value, int words) noexcept nogil:
    # Odd while writing. A writer that was killed in here left it odd; `| 1` takes that over, so the
    # next write heals the record. The value's own first word is not looked at.
    cdef uint64_t* target = <uint64_t*>record
    cdef const uint64_t* source = <const uint64_t*>value
    cdef uint64_t writing = load_relaxed_u64(target) | 1
    cdef int word
    store_relaxed_u64(target, writing)
    # sync: pairs with record_read's fence_acquire; a reader that saw new data sees `writing` too.
    fence_release()
    for word in range(1, words):
        store_relaxed_u64(target + word, source[word])
    # sync: pairs with record_read's load_acquire.
    store_release_u64(target, writing + 1)


cdef inline bint record_read(const void* record, void* value, int words) noexcept nogil:
    # At most READ_ATTEMPTS tries, then "no stable value": a reader never spins on a dead writer.
    cdef const uint64_t* source = <const uint64_t*>record
    cdef uint64_t* target = <uint64_t*>value
    cdef int attempt, word
    for attempt in range(READ_ATTEMPTS):
        # sync: pairs with record_write's store_release.
        target[0] = load_acquire_u64(source)
        if target[0] & 1:
            cpu_relax()
            continue
        for word in range(1, words):
            target[word] = load_relaxed_u64(source + word)
        # sync: pairs with record_write's fence_release.
        fence_acquire()
        if load_relaxed_u64(source) == target[0]:
            return True
    return False


cdef class RecordTable:
    cdef:
        readonly Mapping mapping
        char* records
        int record_words
        readonly int count
