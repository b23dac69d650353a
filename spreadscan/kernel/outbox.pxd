# The engine's way into the ring: signals in order, a spill for what finds the ring full, and the
# state of every route as the ring has heard of it.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from spreadscan.kernel.memory cimport (
    MAX_SYMBOLS, RING_CAPACITY, control_t, count, health_slot_t, load_acquire_u64,
    load_relaxed_u64, ring_push, ring_t, signal_t,
)
from spreadscan.kernel.records cimport record_write, route_state_t, routes_t
from spreadscan.kernel.route_table cimport leg_t, route_t
from spreadscan.kernel.scan_numbers cimport COUNT_SIGNALS_OPEN, KIND_CLOSE, KIND_OPEN


cdef enum:
    # Openings and endings that found the ring full; beyond it a route keeps its state until there
    # is room, so that none is lost.
    SPILL_CAPACITY = 4096
    STATE_WORDS = 4
    # What became of a signal.
    SENT = 0
    SPILLED = 1
    CONFLATED = 2
    KILLED = 3
    FULL = 4
    # The ring has room again for whoever was turned away.
    ROOM_AGAIN = SPILL_CAPACITY


cdef struct outbox_t:
    ring_t* ring
    uint64_t* cached_head
    health_slot_t* health
    const control_t* control
    routes_t* routes
    signal_t* spill         # SPILL_CAPACITY records, oldest first
    int spill_count
    uint32_t pushed         # signals, since the pass set it to zero


cdef inline int state_index(const route_t* route) noexcept nogil:
    return route.direction * MAX_SYMBOLS + route.symbol_id


cdef inline void note_state(routes_t* routes, const signal_t* record) noexcept nogil:
    cdef route_state_t state
    state.time_ns = record.time_ns
    state.opening = record.opening
    state.type = record.type
    state.is_open = record.type != KIND_CLOSE
    state.net_bps = record.net_bps
    record_write(
        &routes.states[record.direction * MAX_SYMBOLS + record.symbol_id], &state, STATE_WORDS
    )


cdef inline void end_quietly(routes_t* routes, route_t* route) noexcept nogil:
    # The route is closed and no signal says so, nor what waits in the spill. The state's only
    # writer may read it as it is.
    cdef route_state_t state = routes.states[state_index(route)]
    route.is_open = route.is_resumed = False
    route.void_through = route.opening
    if state.is_open:
        state.is_open = 0
        record_write(&routes.states[state_index(route)], &state, STATE_WORDS)


cdef inline int push(outbox_t* outbox, signal_t* record) noexcept nogil:
    # Looked at with every signal: once KILL is set none may leave, whoever has not noticed yet.
    # sync: pairs with the store_release of spread-ctl's command.
    if load_acquire_u64(&outbox.control.is_killed):
        return KILLED
    if not ring_push(outbox.ring, outbox.cached_head, record):
        return FULL
    note_state(outbox.routes, record)
    count(outbox.health, COUNT_SIGNALS_OPEN - KIND_OPEN + record.type, 1)
    outbox.pushed += 1
    return SENT


cdef inline int send(outbox_t* outbox, signal_t* record, bint may_be_conflated) noexcept nogil:
    # An opening or ending may be sent only while the spill has room; the caller has looked.
    # What waits in the spill goes first, or an ending could overtake its opening.
    cdef int outcome = FULL if outbox.spill_count else push(outbox, record)
    if outcome != FULL:
        return outcome
    if may_be_conflated:
        return CONFLATED
    outbox.spill[outbox.spill_count] = record[0]
    outbox.spill_count += 1
    return SPILLED


cdef inline bint has_room_again(const outbox_t* outbox) noexcept nogil:
    # sync: pairs with the consumer's store_release of head.
    return (
        load_relaxed_u64(&outbox.ring.tail) - load_acquire_u64(&outbox.ring.head)
        <= RING_CAPACITY - ROOM_AGAIN
    )


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
