# The engine's way into the ring: signals in order, and a spill for what finds the ring full.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from spreadscan.kernel.memory cimport MAX_SYMBOLS, ring_push, ring_t, signal_t
from spreadscan.kernel.route_table cimport leg_t, route_t


cdef enum:
    # Openings and endings that found the ring full; beyond it a route keeps its state until there
    # is room, so that none is lost.
    SPILL_CAPACITY = 4096
    # What became of a signal.
    SENT = 0
    SPILLED = 1
    CONFLATED = 2


cdef struct outbox_t:
    ring_t* ring
    uint64_t* cached_head
    signal_t* spill         # SPILL_CAPACITY records, oldest first
    int spill_count


cdef inline int send(outbox_t* outbox, signal_t* record, bint may_be_conflated) noexcept nogil:
    # An opening or ending may be sent only while the spill has room; the caller has looked.
    # What waits in the spill goes first, or an ending could overtake its opening.
    if outbox.spill_count == 0 and ring_push(outbox.ring, outbox.cached_head, record):
        return SENT
    if may_be_conflated:
        # The next change of the route says all that this one would have said.
        return CONFLATED
    outbox.spill[outbox.spill_count] = record[0]
    outbox.spill_count += 1
    return SPILLED


cdef inline void flush(outbox_t* outbox) noexcept nogil:
    cdef int done = 0, index
    while done < outbox.spill_count and ring_push(
        outbox.ring, outbox.cached_head, &outbox.spill[done]
    ):
        done += 1
    if done == 0:
        return
    for index in range(done, outbox.spill_count):
        outbox.spill[index - done] = outbox.spill[index]
    outbox.spill_count -= done


cdef inline void describe(
    signal_t* record, const route_t* route, const leg_t* spot, const leg_t* futures, int64_t now
) noexcept nogil:
    # Fill in what the route and its legs look like; the spreads are the caller's.
    record.time_ns = now
    record.direction = route.direction
    record.spot_source = route.spot_slot // MAX_SYMBOLS
    record.futures_source = route.futures_slot // MAX_SYMBOLS
    record.symbol_id = route.symbol_id
    record.opening = route.opening
    record.spot_epoch = spot.data.epoch
    record.futures_epoch = futures.data.epoch
    record.spot_bid = spot.data.bid
    record.spot_ask = spot.data.ask
    record.futures_bid = futures.data.bid
    record.futures_ask = futures.data.ask
    record.spot_bid_qty = spot.data.bid_qty
    record.spot_ask_qty = spot.data.ask_qty
    record.futures_bid_qty = futures.data.bid_qty
    record.futures_ask_qty = futures.data.ask_qty
    record.spot_age_us = age_us(now - spot.data.received_ns)
    record.futures_age_us = age_us(now - futures.data.received_ns)


cdef inline uint32_t age_us(int64_t age_ns) noexcept nogil:
    if age_ns < 0:
        return 0
    return <uint32_t>min(age_ns // 1000, <int64_t>0xFFFFFFFF)
