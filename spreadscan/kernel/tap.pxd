# A feed's way to its recorder: a ring of bytes in this process's own memory.
#
#   | entry_t | payload, padded to 8 | entry_t | payload | ... | rest of the lap, stepped over |
#
# One producer, the thread of the event loop, which never waits: what finds no room is dropped and
# counted in the next entry. One consumer, the recorder's thread.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from spreadscan.kernel.memory cimport load_acquire_u64, store_relaxed_u64, store_release_u64


cdef enum:
    TAP_BYTES = 8_388_608
    # Room that frames leave to marks and notes: a connection that ends marks all its symbols, and
    # what a recording says of itself must not be lost for a burst of prices.
    TAP_RESERVE = 65_536
    TAP_FRAME = 0
    TAP_MARK = 1
    TAP_NOTE = 2

cdef extern from *:
    """
    /* No entry is that large. */
    #define TAP_LAP_ENDS UINT32_MAX
    """
    const uint32_t TAP_LAP_ENDS


cdef struct entry_t:
    uint32_t size           # of the payload, or TAP_LAP_ENDS
    uint32_t kind
    int64_t time_ns         # CLOCK_MONOTONIC
    uint64_t lost           # entries dropped since the one before


cdef struct mark_t:
    uint16_t symbol_id
    uint16_t flag


cdef struct tap_t:
    # Positions only grow; each side's words on cache lines of their own.
    uint64_t tail           # producer
    uint64_t cached_head
    uint64_t lost
    uint64_t taken_total    # entries, for the counters
    uint64_t lost_total
    uint64_t _producer_pad[11]
    uint64_t head           # consumer
    uint64_t _consumer_pad[15]
    char* ring


cdef inline bint tap_put(
    tap_t* tap, uint32_t kind, int64_t time_ns, const void* payload, uint64_t size
) noexcept nogil:
    # Copy one entry in; False, counted, when there is no room.
    cdef uint64_t tail = tap.tail
    cdef uint64_t offset = tail & (TAP_BYTES - 1)
    cdef uint64_t need = (sizeof(entry_t) + size + 7) & ~<uint64_t>7
    cdef uint64_t skipped = TAP_BYTES - offset if offset + need > TAP_BYTES else 0
    cdef uint64_t room = TAP_BYTES - TAP_RESERVE if kind == TAP_FRAME else TAP_BYTES
    cdef entry_t* entry
    if tail + skipped + need - tap.cached_head > room:
        # sync: pairs with the consumer's store_release of head: its copies are finished.
        tap.cached_head = load_acquire_u64(&tap.head)
        if tail + skipped + need - tap.cached_head > room:
            tap.lost += 1
            store_relaxed_u64(&tap.lost_total, tap.lost_total + 1)
            return False
    if skipped:
        (<entry_t*>(tap.ring + offset)).size = TAP_LAP_ENDS
        tail += skipped
        offset = 0
    entry = <entry_t*>(tap.ring + offset)
    entry.size = <uint32_t>size
    entry.kind = kind
    entry.time_ns = time_ns
    entry.lost = 0
    if kind != TAP_NOTE:
        # A note is no line that could tell it.
        entry.lost = tap.lost
        tap.lost = 0
    memcpy(<char*>entry + sizeof(entry_t), payload, size)
    store_relaxed_u64(&tap.taken_total, tap.taken_total + 1)
    # sync: pairs with the consumer's load_acquire of tail.
    store_release_u64(&tap.tail, tail + need)
    return True


cdef inline bint tap_mark(tap_t* tap, int64_t time_ns, int symbol_id, uint16_t flag) noexcept nogil:
    # A symbol became unusable by other means than a frame.
    cdef mark_t mark
    mark.symbol_id = <uint16_t>symbol_id
    mark.flag = flag
    return tap_put(tap, TAP_MARK, time_ns, &mark, sizeof(mark_t))


cdef class Tap:
    cdef:
        tap_t tap
        char* lines             # the consumer's
        size_t lines_bytes
        size_t lines_used

    cdef const entry_t* next_entry(self, uint64_t* head) noexcept nogil
    cdef int gather(self, int64_t offset_ns) noexcept nogil
