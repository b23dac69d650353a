# The shared structures and the operations on them, for the other modules of the kernel.
#
# Every operation names its ordering and the partner it pairs with. Nothing here takes a lock or
# makes a system call, but for wake_if_sleeping, and that only when the engine sleeps.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from posix.unistd cimport write as posix_write


cdef extern from "layout.h" nogil:
    enum:
        NUM_SOURCES
        MAX_SYMBOLS
        SLOT_COUNT
        MAX_DIRECTIONS
        ROUTE_CAPACITY
        WORDS_PER_SOURCE
        RING_CAPACITY
        HEALTH_SLOTS
        NUM_COUNTERS
        NUM_GATES
        NUM_HISTOGRAMS
        HISTOGRAM_BUCKETS
        HEADER_BYTES

    ctypedef struct source_state_t:
        uint64_t epoch
        uint64_t is_silent

    ctypedef struct price_seq_t:
        uint64_t sequence

    ctypedef struct price_data_t:
        double bid
        double ask
        double bid_qty
        double ask_qty
        int64_t exchange_ns
        int64_t received_ns
        int64_t update_id
        uint16_t flags
        uint16_t epoch
        uint32_t publish_delay_ns

    ctypedef struct prices_t:
        source_state_t sources[NUM_SOURCES]
        price_seq_t seqs[SLOT_COUNT]
        price_data_t entries[SLOT_COUNT]

    ctypedef struct dirty_t:
        uint32_t engine_sleeping
        uint64_t words[NUM_SOURCES][WORDS_PER_SOURCE]

    ctypedef struct signal_t:
        uint64_t sequence
        int64_t time_ns
        uint16_t type
        uint16_t version
        uint32_t length
        uint8_t direction
        uint8_t spot_source
        uint8_t futures_source
        uint8_t reserved
        uint16_t symbol_id
        uint16_t spot_epoch
        double spot_bid
        double spot_ask
        double futures_bid
        double futures_ask
        float spot_bid_qty
        float spot_ask_qty
        float futures_bid_qty
        float futures_ask_qty
        double gross_bps
        double net_bps
        float executable_usd
        float exit_bps
        uint32_t spot_age_us
        uint32_t futures_age_us
        uint16_t futures_epoch
        uint32_t opening
        float net_after_funding_bps
        float z_score

    ctypedef struct ring_t:
        uint64_t tail
        uint64_t full_count
        uint64_t head
        signal_t records[RING_CAPACITY]

    ctypedef struct control_t:
        uint64_t generation
        uint64_t shutdown_waves
        uint64_t is_killed
        uint64_t is_paused
        uint64_t paused_sources
        uint64_t paused_directions
        uint64_t config_generation
        uint64_t kills
        uint64_t paused_symbols[WORDS_PER_SOURCE]
        char reason[128]

    ctypedef struct health_slot_t:
        uint32_t pid
        uint32_t state
        uint64_t start_ticks
        uint64_t heartbeat_ns
        uint64_t started_ns
        uint64_t obeyed_generation
        uint64_t restarts
        uint64_t universe_generation
        char name[32]
        char status[128]
        uint64_t counters[NUM_COUNTERS]
        uint64_t histograms[NUM_HISTOGRAMS][HISTOGRAM_BUCKETS]


cdef extern from "atomics.h" nogil:
    uint64_t load_relaxed_u64(const uint64_t* word)
    uint64_t load_acquire_u64(const uint64_t* word)
    void store_relaxed_u64(uint64_t* word, uint64_t value)
    void store_release_u64(uint64_t* word, uint64_t value)
    uint64_t exchange_acq_rel_u64(uint64_t* word, uint64_t value)
    bint replace_acq_rel_u64(uint64_t* word, uint64_t expected, uint64_t value)
    uint64_t fetch_or_seq_cst_u64(uint64_t* word, uint64_t bits)
    uint32_t load_seq_cst_u32(const uint32_t* word)
    void store_seq_cst_u32(uint32_t* word, uint32_t value)
    uint32_t exchange_seq_cst_u32(uint32_t* word, uint32_t value)
    void fence_acquire()
    void fence_release()
    void fence_seq_cst()
    void prefetch_for_write(const void* line)
    void cpu_relax()


cdef extern from *:
    """
    #define DELAY_NOT_MEASURED 0xFFFFFFFFu
    """
    const uint32_t DELAY_NOT_MEASURED


cdef enum:
    PRICE_WORDS = 8
    READ_ATTEMPTS = 4
    # Records fetched ahead: a symbol is a leg of at most six routes, which may all signal at once.
    RING_PREFETCH = 6


cdef inline int64_t now_ns() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec


cdef inline void seqlock_write(
    price_seq_t* seq, price_data_t* slot, const price_data_t* value
) noexcept nogil:
    # Odd while writing. A writer that was killed in here left it odd; `| 1` takes that over, so the
    # next write heals the slot.
    cdef uint64_t writing = load_relaxed_u64(&seq.sequence) | 1
    cdef uint64_t* target = <uint64_t*>slot
    cdef const uint64_t* source = <const uint64_t*>value
    cdef int word
    store_relaxed_u64(&seq.sequence, writing)
    # sync: pairs with the reader's fence_acquire; a reader that saw new data sees `writing` too.
    fence_release()
    for word in range(PRICE_WORDS):
        store_relaxed_u64(target + word, source[word])
    # sync: pairs with the reader's first load_acquire.
    store_release_u64(&seq.sequence, writing + 1)


cdef inline bint seqlock_read(
    const price_seq_t* seq, const price_data_t* slot, price_data_t* value, uint64_t* seen
) noexcept nogil:
    # At most READ_ATTEMPTS tries, then "no stable value": a reader never spins on a dead writer.
    cdef const uint64_t* source = <const uint64_t*>slot
    cdef uint64_t* target = <uint64_t*>value
    cdef uint64_t before
    cdef int attempt, word
    for attempt in range(READ_ATTEMPTS):
        # sync: pairs with the writer's final store_release.
        before = load_acquire_u64(&seq.sequence)
        if before & 1:
            cpu_relax()
            continue
        for word in range(PRICE_WORDS):
            target[word] = load_relaxed_u64(source + word)
        # sync: pairs with the writer's fence_release.
        fence_acquire()
        if load_relaxed_u64(&seq.sequence) == before:
            seen[0] = before
            return True
    return False


cdef inline uint64_t living_epoch(const prices_t* prices, int source_id) noexcept nogil:
    # What a usable slot's epoch must equal; 0, which no owned slot has, while the feed hangs.
    # sync: pairs with the store_release of whoever takes, gives up or silences a source.
    cdef uint64_t epoch = load_acquire_u64(&prices.sources[source_id].epoch)
    return 0 if load_acquire_u64(&prices.sources[source_id].is_silent) else epoch


cdef inline void mark_dirty(dirty_t* dirty, int source_id, int symbol_id) noexcept nogil:
    # Always the read-modify-write, also when the bit is set already: its release is what makes this
    # price visible to the engine that takes the word.
    # sync: pairs with exchange_acq_rel_u64 in the engine's scan.
    fetch_or_seq_cst_u64(
        &dirty.words[source_id][symbol_id >> 6], <uint64_t>1 << (symbol_id & 63)
    )


cdef inline bint wake_if_sleeping(dirty_t* dirty, int wake_fd) noexcept nogil:
    # Sleep handshake (Dekker): the engine stores `sleeping` and then looks at the bitmap, a feed
    # sets its bit and then looks at `sleeping`; both seq_cst, so at least one sees the other.
    # The exchange lets one feed of many pay for the system call.
    cdef uint64_t one = 1
    if load_seq_cst_u32(&dirty.engine_sleeping) == 0:
        return False
    if exchange_seq_cst_u32(&dirty.engine_sleeping, 0) == 0:
        return False
    # A failed write (engine gone, counter full) loses a hint only: the engine's wait is bounded.
    return posix_write(wake_fd, &one, 8) == 8


cdef inline bint ring_push(ring_t* ring, uint64_t* cached_head, signal_t* record) noexcept nogil:
    # One producer. The record's own sequence word is the commit; tail only helps a restart.
    cdef uint64_t position = load_relaxed_u64(&ring.tail)
    cdef signal_t* slot = &ring.records[position & (RING_CAPACITY - 1)]
    cdef uint64_t* target = <uint64_t*>slot
    cdef const uint64_t* source = <const uint64_t*>record
    cdef int word
    if position - cached_head[0] >= RING_CAPACITY:
        # sync: pairs with the consumer's store_release of head: its copies are finished.
        cached_head[0] = load_acquire_u64(&ring.head)
        if position - cached_head[0] >= RING_CAPACITY:
            store_relaxed_u64(&ring.full_count, load_relaxed_u64(&ring.full_count) + 1)
            return False
    record.sequence = position + 1
    # sync: pairs with the fence_acquire in ring_peek_from: who copied something of this record from
    # a slot that held an older one sees afterwards that the tail had come here.
    fence_release()
    for word in range(1, sizeof(signal_t) // 8):
        store_relaxed_u64(target + word, source[word])
    # sync: pairs with the consumer's load_acquire in ring_peek.
    store_release_u64(&slot.sequence, position + 1)
    store_release_u64(&ring.tail, position + 1)
    # The ring is larger than the caches, and a missed line costs more than all of the above.
    slot = &ring.records[(position + RING_PREFETCH) & (RING_CAPACITY - 1)]
    prefetch_for_write(slot)
    prefetch_for_write(<char*>slot + 64)
    return True


cdef inline int64_t ring_peek_from(
    const ring_t* ring, uint64_t head, signal_t* target, int64_t limit
) noexcept nogil:
    cdef const signal_t* slot
    cdef int64_t count = 0
    while count < limit:
        slot = &ring.records[(head + count) & (RING_CAPACITY - 1)]
        # sync: pairs with the producer's store_release of sequence.
        if load_acquire_u64(&slot.sequence) != head + count + 1:
            break
        memcpy(target + count, slot, sizeof(signal_t))
        count += 1
    # sync: pairs with ring_push's fence_release; the caller looks at the tail after the copies.
    fence_acquire()
    return count


cdef inline int64_t ring_peek(const ring_t* ring, signal_t* target, int64_t limit) noexcept nogil:
    # One consumer. Copies what is committed; nothing is consumed until ring_advance.
    return ring_peek_from(ring, load_relaxed_u64(&ring.head), target, limit)


cdef inline void ring_advance(ring_t* ring, uint64_t count) noexcept nogil:
    # sync: pairs with the producer's load_acquire of head.
    store_release_u64(&ring.head, load_relaxed_u64(&ring.head) + count)


cdef inline void count(health_slot_t* slot, int counter, uint64_t amount) noexcept nogil:
    # One writer: no read-modify-write needed, readers see a whole word.
    store_relaxed_u64(
        &slot.counters[counter], load_relaxed_u64(&slot.counters[counter]) + amount
    )


cdef extern from *:
    """
    static inline int highest_bit(uint64_t value) { return 63 - __builtin_clzll(value); }
    static inline int lowest_bit(uint64_t value) { return __builtin_ctzll(value); }
    """
    int highest_bit(uint64_t value) noexcept nogil
    int lowest_bit(uint64_t value) noexcept nogil


cdef inline int histogram_bucket(uint64_t value_ns) noexcept nogil:
    # HDR-style: exact below 16, then 16 sub-buckets an octave (6.25 %).
    cdef int octave, bucket
    if value_ns < 16:
        return <int>value_ns
    octave = highest_bit(value_ns)
    bucket = (octave - 3) * 16 + <int>((value_ns >> (octave - 4)) & 15)
    return bucket if bucket < HISTOGRAM_BUCKETS else HISTOGRAM_BUCKETS - 1


cdef inline void record_latency(
    health_slot_t* slot, int histogram, int64_t value_ns
) noexcept nogil:
    cdef uint64_t* bucket = &slot.histograms[histogram][
        histogram_bucket(<uint64_t>value_ns if value_ns > 0 else 0)
    ]
    store_relaxed_u64(bucket, load_relaxed_u64(bucket) + 1)


cdef class Mapping:
    # A buffer held for as long as somebody points into it.
    cdef:
        Py_buffer _view
        bint _held
        readonly bint writable
        char* base

    cdef void* writable_base(self) except NULL
    cdef int check_span(self, size_t offset, size_t size) except -1


cdef class PriceSlots:
    cdef:
        readonly Mapping mapping
        prices_t* prices


cdef class DirtyBits:
    cdef:
        readonly Mapping mapping
        dirty_t* dirty


cdef class SignalRing:
    cdef:
        readonly Mapping mapping
        ring_t* ring
        uint64_t cached_head
