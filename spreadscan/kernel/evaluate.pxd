# One route: what it has to say, whether it may, and the saying.

from libc.stdint cimport int64_t, uint16_t, uint64_t
from libc.string cimport memset

from spreadscan.kernel.engine_state cimport believe, engine_t, has_moved, is_suspect
from spreadscan.kernel.gates cimport (
    GATE_FROZEN, GATE_INSANE, GATE_KILLED, GATE_PAUSED, GATE_SIZE, GATE_UNCONFIRMED, NO_GATE,
    is_paused,
)
from spreadscan.kernel.limits cimport limits_t
from spreadscan.kernel.memory cimport (
    count, load_acquire_u64, load_relaxed_u64, now_ns, signal_t, store_relaxed_u64,
)
from spreadscan.kernel.money cimport net_after_funding, z_score
from spreadscan.kernel.outbox cimport (
    CONFLATED, KILLED, SPILL_CAPACITY, SPILLED, describe, end_quietly, send, state_index,
)
from spreadscan.kernel.route_table cimport leg_t, route_t
from spreadscan.kernel.scan_numbers cimport (
    COUNT_CONFLATED, COUNT_RING_FULL, COUNT_ROUTES_EVALUATED, COUNT_SPILLED, COUNT_SUPPRESSED,
    KIND_CLOSE, KIND_NONE, KIND_OPEN, KIND_UPDATE, PAYLOAD_BYTES, SIGNAL_VERSION,
)
from spreadscan.kernel.waiting cimport crossing_t, is_borne_out, start_waiting, stop_waiting


cdef inline int kind_of(const engine_t* engine, const route_t* route, double net) noexcept nogil:
    # What a route would say.
    cdef double moved = net - route.signalled_net_bps
    if not route.is_open:
        return KIND_OPEN if net >= engine.limits.open_net_bps else KIND_NONE
    if net <= engine.limits.rearm_net_bps:
        return KIND_CLOSE
    if route.is_resumed:
        return KIND_OPEN if net >= engine.limits.open_net_bps else KIND_NONE
    if -engine.limits.update_step_bps < moved < engine.limits.update_step_bps:
        return KIND_NONE
    return KIND_UPDATE


cdef inline void evaluate(
    engine_t* engine, route_t* route, int64_t now, bint is_update
) noexcept nogil:
    # *is_update*: a leg was quoted.
    cdef const leg_t* spot = &engine.table.legs[route.spot_slot]
    cdef const leg_t* futures = &engine.table.legs[route.futures_slot]
    cdef double gross, net, usd, futures_usd
    cdef int kind, gate, outcome
    if spot.data.ask <= 0 or futures.data.bid <= 0:
        stop_waiting(&engine.waiting, &engine.table, route)
        return
    count(engine.health, COUNT_ROUTES_EVALUATED, 1)
    gross = (futures.data.bid - spot.data.ask) / spot.data.ask * 10_000.0
    net = gross - route.fee_bps
    kind = kind_of(engine, route, net)
    if kind == KIND_NONE:
        if route.is_waiting:
            stop_waiting(&engine.waiting, &engine.table, route)
        return
    # A leg that changed after this pass read it is marked, or is about to be, and will be looked
    # at again; with its old price this would be a spread that never was.
    if has_moved(engine, route.spot_slot) or has_moved(engine, route.futures_slot):
        return
    # From here on the route has something to say: may it?
    usd = spot.data.ask * spot.data.ask_qty
    futures_usd = futures.data.bid * futures.data.bid_qty
    # What is no number stays none.
    if usd == usd and not usd < futures_usd:
        usd = futures_usd
    gate = gate_of(engine, route, kind, gross, usd, now)
    if gate == NO_GATE and engine.is_timed:
        # The process may have been stopped since the pass read the clock, for longer than a leg may
        # be old. What is said is true at the time that it carries.
        now = now_ns()
        if has_moved(engine, route.spot_slot) or has_moved(engine, route.futures_slot):
            return
        gate = gate_of(engine, route, kind, gross, usd, now)
    if gate == NO_GATE and kind == KIND_OPEN:
        gate = confirmation_gate(engine, route, now, is_update)
    elif route.is_waiting:
        # What is confirmed must have been true all the time.
        stop_waiting(&engine.waiting, &engine.table, route)
    if gate != NO_GATE:
        count_suppressed(engine, route, gate)
        if gate == GATE_PAUSED and kind == KIND_CLOSE:
            # A pause holds back the message, not the truth: the tracker has seen the ending in
            # its snapshots, and the next crossing after the pause is an opening.
            end_quietly(engine.outbox.routes, route)
        return
    if engine.outbox.spill_count == SPILL_CAPACITY and kind != KIND_UPDATE:
        # No room for an opening or an ending: the route stays as it is and says so later.
        engine.is_turned_away = True
        count(engine.health, COUNT_RING_FULL, 1)
        return
    if kind == KIND_OPEN:
        # One that is resumed says again what it has said, under the same number.
        route.opening += not route.is_resumed
        stop_waiting(&engine.waiting, &engine.table, route)
    outcome = emit(engine, route, kind, gross, net, usd, now)
    if outcome == KILLED:
        # Seen before the gate's look and the push; the next pass ends everything.
        count_suppressed(engine, route, GATE_KILLED)
        return
    if outcome == CONFLATED:
        # Not told, so it is still to be told.
        engine.is_turned_away = True
        return
    route.is_open = kind != KIND_CLOSE
    route.is_resumed = False
    route.signalled_net_bps = net


cdef inline int gate_of(
    engine_t* engine, const route_t* route, int kind, double gross, double usd, int64_t now
) noexcept nogil:
    # The first gate that holds the route back; confirmation is for later.
    cdef int gate
    if load_acquire_u64(&engine.control.is_killed):
        return GATE_KILLED
    gate = gate_of_legs(engine, route, now)
    if gate != NO_GATE:
        return gate
    if is_paused(engine.control, route):
        return GATE_PAUSED
    if not -engine.limits.max_spread_bps < gross < engine.limits.max_spread_bps:
        return GATE_INSANE
    if kind == KIND_OPEN and not usd >= engine.limits.min_executable_usd:
        return GATE_SIZE
    if is_suspect(engine, route.spot_slot, now) or is_suspect(engine, route.futures_slot, now):
        return GATE_FROZEN
    return NO_GATE


cdef inline int gate_of_legs(
    const engine_t* engine, const route_t* route, int64_t now
) noexcept nogil:
    cdef int gate = believe(engine, route.spot_slot, now)
    return gate if gate != NO_GATE else believe(engine, route.futures_slot, now)


cdef inline int confirmation_gate(
    engine_t* engine, route_t* route, int64_t now, bint is_update
) noexcept nogil:
    cdef const limits_t* limits = &engine.limits
    cdef uint16_t spot_epoch = engine.table.legs[route.spot_slot].data.epoch
    cdef uint16_t futures_epoch = engine.table.legs[route.futures_slot].data.epoch
    cdef crossing_t* crossing
    if limits.confirm_updates <= 1 and limits.confirm_ns <= 0:
        return NO_GATE
    if route.is_waiting:
        crossing = &engine.waiting.crossings[route - engine.table.routes]
        if crossing.spot_epoch != spot_epoch or crossing.futures_epoch != futures_epoch:
            # A feed was gone in between, and the crossing with it.
            stop_waiting(&engine.waiting, &engine.table, route)
    if not route.is_waiting:
        crossing = start_waiting(&engine.waiting, &engine.table, route, now, limits.confirm_ns)
        crossing.spot_epoch, crossing.futures_epoch = spot_epoch, futures_epoch
    crossing.updates += is_update
    if is_borne_out(crossing, limits.confirm_updates, limits.confirm_ns, now):
        return NO_GATE
    return GATE_UNCONFIRMED


cdef inline void count_suppressed(
    engine_t* engine, const route_t* route, int gate
) noexcept nogil:
    cdef uint64_t* cell = &engine.outbox.routes.suppressed[route.direction][gate]
    store_relaxed_u64(cell, load_relaxed_u64(cell) + 1)
    count(engine.health, COUNT_SUPPRESSED + gate, 1)


cdef inline int emit(
    engine_t* engine, const route_t* route, int kind, double gross, double net, double usd,
    int64_t now,
) noexcept nogil:
    # Say it; return what became of it. evaluate has seen that an opening or ending has room.
    cdef const leg_t* spot = &engine.table.legs[route.spot_slot]
    cdef const leg_t* futures = &engine.table.legs[route.futures_slot]
    cdef signal_t record
    cdef int outcome
    memset(&record, 0, sizeof(record))
    record.type = <uint16_t>kind
    record.version = SIGNAL_VERSION
    record.length = PAYLOAD_BYTES
    describe(&record, route, spot, futures, now)
    record.gross_bps = gross
    record.net_bps = net
    record.exit_bps = <float>(
        (futures.data.ask - spot.data.bid) / spot.data.bid * 10_000.0
    )
    record.executable_usd = <float>usd
    record.net_after_funding_bps = <float>net_after_funding(
        engine.funding, route.futures_slot, net, &engine.limits, now, engine.wall_offset_ns
    )
    record.z_score = <float>z_score(
        engine.baseline, state_index(route), gross, &engine.limits, now
    )
    outcome = send(&engine.outbox, &record, kind == KIND_UPDATE)
    if outcome == SPILLED or outcome == CONFLATED:
        count(engine.health, COUNT_RING_FULL, 1)
        count(engine.health, COUNT_CONFLATED if outcome == CONFLATED else COUNT_SPILLED, 1)
    return outcome
