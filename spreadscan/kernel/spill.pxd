# Openings and endings that found the ring full, on their way out. What was true when it was seen
# may not be told any more when there is room: every record is judged again at the door.

from libc.stdint cimport int64_t

from spreadscan.kernel.engine_state cimport (
    engine_t, has_moved, is_suspect, look_again_at, look_at_everything,
)
from spreadscan.kernel.evaluate cimport count_suppressed, gate_of_legs
from spreadscan.kernel.gates cimport (
    GATE_DEAD_EPOCH, GATE_FROZEN, GATE_PAUSED, NO_GATE, is_paused,
)
from spreadscan.kernel.memory cimport MAX_SYMBOLS, now_ns, signal_t
from spreadscan.kernel.outbox cimport SENT, end_quietly, has_room_again, push, state_index
from spreadscan.kernel.records cimport route_state_t
from spreadscan.kernel.route_table cimport route_t, same_route
from spreadscan.kernel.scan_numbers cimport KIND_OPEN


cdef inline void catch_up(engine_t* engine, int64_t now) noexcept nogil:
    # As far as there is room: what waits in the spill, then whoever found no place even there.
    if engine.outbox.spill_count:
        flush(engine, now_ns() if engine.is_timed else now)
    if (
        engine.is_turned_away and engine.outbox.spill_count == 0
        and has_room_again(&engine.outbox)
    ):
        engine.is_turned_away = False
        look_at_everything(engine)


cdef inline void flush(engine_t* engine, int64_t now) noexcept nogil:
    cdef signal_t* spill = engine.outbox.spill
    cdef route_t* route
    cdef int done = 0, index
    while done < engine.outbox.spill_count:
        route = route_of(engine, &spill[done])
        if route != NULL and not is_void(engine, route, &spill[done]):
            if spill[done].type == KIND_OPEN and (
                has_moved(engine, route.spot_slot) or has_moved(engine, route.futures_slot)
            ):
                # Judged when its legs have been read.
                break
            if not withdraw(engine, route, &spill[done], now):
                if push(&engine.outbox, &spill[done]) != SENT:
                    break
        done += 1
    if done == 0:
        return
    for index in range(done, engine.outbox.spill_count):
        spill[index - done] = spill[index]
    engine.outbox.spill_count -= done


cdef inline route_t* route_of(const engine_t* engine, const signal_t* record) noexcept nogil:
    # NULL when a reload took it away.
    cdef route_t wanted
    wanted.spot_slot = record.spot_source * MAX_SYMBOLS + record.symbol_id
    wanted.futures_slot = record.futures_source * MAX_SYMBOLS + record.symbol_id
    wanted.direction, wanted.symbol_id = record.direction, record.symbol_id
    return same_route(&engine.table, &wanted)


cdef inline bint is_told(
    const engine_t* engine, const route_t* route, const signal_t* record
) noexcept nogil:
    # Whether the opening stands in the ring, and nothing has ended it.
    cdef const route_state_t* state = &engine.outbox.routes.states[state_index(route)]
    return state.is_open and state.opening == record.opening


cdef inline bint is_void(
    const engine_t* engine, const route_t* route, const signal_t* record
) noexcept nogil:
    if record.type == KIND_OPEN:
        return record.opening <= route.void_through
    # An ending whose opening was not told.
    return not is_told(engine, route, record)


cdef inline bint withdraw(
    engine_t* engine, route_t* route, const signal_t* record, int64_t now
) noexcept nogil:
    # Whether it may not leave any more. Its route then stands as if nothing had been said, and is
    # looked at again.
    cdef int gate = gate_at_the_door(engine, route, record, now)
    if gate == NO_GATE:
        return False
    count_suppressed(engine, route, gate)
    if record.type == KIND_OPEN and is_told(engine, route, record):
        # It was to be told again, after a restart: still is.
        route.is_resumed = route.is_open
    elif record.type != KIND_OPEN or record.opening == route.opening:
        end_quietly(engine.outbox.routes, route)
    look_again_at(engine, route.spot_slot)
    return True


cdef inline int gate_at_the_door(
    engine_t* engine, const route_t* route, const signal_t* record, int64_t now
) noexcept nogil:
    cdef int gate
    if is_paused(engine.control, route):
        return GATE_PAUSED
    if record.type != KIND_OPEN:
        # It was true, and its opening has been told.
        return NO_GATE
    gate = gate_of_legs(engine, route, now)
    if gate != NO_GATE:
        return gate
    if (
        record.spot_epoch != engine.table.legs[route.spot_slot].data.epoch
        or record.futures_epoch != engine.table.legs[route.futures_slot].data.epoch
    ):
        return GATE_DEAD_EPOCH
    if is_suspect(engine, route.spot_slot, now) or is_suspect(engine, route.futures_slot, now):
        return GATE_FROZEN
    return NO_GATE
