# The engine's pass over what changed: takes the dirty words, reads only the prices whose sequence
# moved, keeps its own copy of both legs of every route, computes the routes that a change touches,
# and says through the outbox what they have to say. No Python object is touched.
#
# Numbers of counters, histograms and kinds are those of shm/layout.py and model.py; scan.pyx
# compares them when it is imported.

from libc.stdint cimport INT64_MAX, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from spreadscan.kernel.gates cimport (
    GATE_FROZEN, GATE_INSANE, GATE_KILLED, GATE_PAUSED, GATE_SIZE, GATE_UNCONFIRMED, NO_GATE,
    is_paused, judge_leg,
)
from spreadscan.kernel.limits cimport limits_t
from spreadscan.kernel.memory cimport (
    MAX_SYMBOLS, NUM_SOURCES, control_t, count, dirty_t, exchange_acq_rel_u64, health_slot_t,
    living_epoch, load_acquire_u64, load_relaxed_u64, lowest_bit, mark_dirty, now_ns, prices_t,
    record_latency, seqlock_read, signal_t, store_relaxed_u64,
)
from spreadscan.kernel.money cimport net_after_funding, z_score
from spreadscan.kernel.outbox cimport (
    CONFLATED, SENT, SPILL_CAPACITY, describe, end_quietly, flush, outbox_t, send, state_index,
)
from spreadscan.kernel.records cimport baseline_t, funding_t
from spreadscan.kernel.route_table cimport leg_t, route_t, route_table_t
from spreadscan.kernel.stillness cimport (
    VISIT_EVERY_NS, is_frozen, show_suspect, stillness_t, visit_symbol,
)
from spreadscan.kernel.waiting cimport (
    crossing_t, is_borne_out, start_waiting, stop_waiting, waiting_t,
)

cdef extern from *:
    """
    #define VISIT_TURN_NS 10000000LL
    """
    # Between two turns of looking for legs that stand still.
    const int64_t VISIT_TURN_NS


cdef enum:
    KIND_NONE = 0
    KIND_OPEN = 1
    KIND_UPDATE = 2
    KIND_CLOSE = 3
    COUNT_PASSES = 0
    COUNT_DIRTY_SYMBOLS = 1
    COUNT_ROUTES_EVALUATED = 2
    COUNT_SIGNALS_OPEN = 3
    COUNT_SIGNALS_UPDATE = 4
    COUNT_SIGNALS_CLOSE = 5
    COUNT_RING_FULL = 6
    COUNT_CONFLATED = 7
    COUNT_SPILLED = 8
    COUNT_SLEEPS = 9
    COUNT_TORN_READS = 10
    COUNT_RESUMED = 11
    COUNT_SUPPRESSED = 16
    TIME_RECEIVE_TO_SCAN = 0
    TIME_SCAN_PASS = 1
    TIME_STORE_TO_SCAN = 2
    TIME_SCAN_TO_RING = 3
    SIGNAL_VERSION = 2
    PAYLOAD_BYTES = 104
    # One pass in this many is timed: a clock reading is a twentieth of a small pass.
    PASS_SAMPLE_EVERY = 16


cdef struct engine_t:
    # where things are
    prices_t* prices
    dirty_t* dirty
    health_slot_t* health
    const control_t* control
    const funding_t* funding
    const baseline_t* baseline
    outbox_t outbox
    route_table_t table
    waiting_t waiting
    stillness_t* stillness      # by symbol
    # what is asked for
    limits_t limits
    bint is_killed              # as the routes know it
    # of this pass
    uint64_t epochs[NUM_SOURCES]
    int64_t wall_offset_ns      # Unix time - CLOCK_MONOTONIC
    bint is_timed               # *now* is the clock's, not a replay's
    # since the beginning
    uint32_t busy_passes
    int64_t visited_ns
    int visited_symbol


cdef inline void look_at_everything(engine_t* engine) noexcept nogil:
    # Every leg is read afresh with the next pass, and its routes are evaluated.
    cdef int slot
    for slot in range(NUM_SOURCES * MAX_SYMBOLS):
        engine.table.legs[slot].is_asked = True
        if engine.table.legs[slot].route_count:
            mark_dirty(engine.dirty, slot // MAX_SYMBOLS, slot % MAX_SYMBOLS)


cdef inline void follow_kill(engine_t* engine) noexcept nogil:
    # Once KILL is set nothing is open any more: the tracker has ended its episodes, and what waits
    # in the spill is not told to anybody. Afterwards every crossing is a new one.
    cdef bint is_killed = load_acquire_u64(&engine.control.is_killed) != 0
    cdef int index
    if is_killed == engine.is_killed:
        return
    engine.is_killed = is_killed
    if not is_killed:
        look_at_everything(engine)
        return
    engine.outbox.spill_count = 0
    for index in range(engine.table.route_total):
        end_quietly(engine.outbox.routes, &engine.table.routes[index])
        stop_waiting(&engine.waiting, &engine.table, &engine.table.routes[index])


cdef inline int scan_pass(engine_t* engine, int64_t now) noexcept nogil:
    cdef int source_id, word, slot
    cdef uint64_t bits
    cdef int changed = 0
    follow_kill(engine)
    engine.outbox.pushed = 0
    if engine.outbox.spill_count:
        flush(&engine.outbox)
    for source_id in range(NUM_SOURCES):
        engine.epochs[source_id] = living_epoch(engine.prices, source_id)
    for source_id in range(NUM_SOURCES):
        for word in range(engine.table.words_in_use):
            if load_relaxed_u64(&engine.dirty.words[source_id][word]) == 0:
                continue
            # sync: pairs with mark_dirty.
            bits = exchange_acq_rel_u64(&engine.dirty.words[source_id][word], 0)
            while bits:
                slot = source_id * MAX_SYMBOLS + word * 64 + lowest_bit(bits)
                bits &= bits - 1
                changed += refresh(engine, slot, now)
    if now >= engine.waiting.next_due_ns:
        evaluate_waiting(engine, now)
    count(engine.health, COUNT_PASSES, 1)
    if engine.is_timed and engine.outbox.pushed:
        record_latency(engine.health, TIME_SCAN_TO_RING, now_ns() - now)
    if changed:
        count(engine.health, COUNT_DIRTY_SYMBOLS, changed)
        engine.busy_passes += 1
        if engine.is_timed and engine.busy_passes % PASS_SAMPLE_EVERY == 0:
            record_latency(engine.health, TIME_SCAN_PASS, now_ns() - now)
    if now - engine.visited_ns >= VISIT_TURN_NS or now < engine.visited_ns:
        # After the signals are out.
        visit_symbols(engine, now)
    return changed


cdef inline void visit_symbols(engine_t* engine, int64_t now) noexcept nogil:
    cdef int64_t elapsed_ns = now - engine.visited_ns
    cdef int total = engine.table.words_in_use * 64
    cdef int due = total
    engine.visited_ns = now
    if engine.limits.frozen_move <= 0:
        return
    if 0 <= elapsed_ns < VISIT_EVERY_NS:
        due = <int>(total * elapsed_ns // VISIT_EVERY_NS) + 1
    while due > 0:
        due -= 1
        engine.visited_symbol += 1
        if engine.visited_symbol >= total:
            engine.visited_symbol = 0
        visit_symbol(
            &engine.stillness[engine.visited_symbol], engine.table.legs, engine.visited_symbol,
            engine.outbox.routes, engine.epochs, &engine.limits, now,
        )


cdef inline int refresh(engine_t* engine, int slot, int64_t now) noexcept nogil:
    # Read a leg that may have changed and evaluate the routes it belongs to.
    cdef leg_t* leg = &engine.table.legs[slot]
    cdef double bid, ask
    cdef int index
    cdef uint64_t seen
    cdef bint is_asked = leg.is_asked
    if leg.route_count == 0:
        return 0
    if not is_asked and load_acquire_u64(&engine.prices.seqs[slot].sequence) == leg.sequence:
        return 0
    leg.is_asked = False
    bid, ask = leg.data.bid, leg.data.ask
    leg.is_stable = seqlock_read(
        &engine.prices.seqs[slot], &engine.prices.entries[slot], &leg.data, &seen
    )
    if not leg.is_stable:
        # Its writer is in the middle and will mark it again, or is dead and its epoch with it. Odd,
        # so no stable sequence equals it.
        leg.sequence = 1
        count(engine.health, COUNT_TORN_READS, 1)
        return 1
    leg.sequence = seen
    leg.moves += bid != leg.data.bid or ask != leg.data.ask
    # One that is asked for was mostly read before, and has been in the store for long.
    if not is_asked and believe(engine, leg, slot, now) == NO_GATE:
        record_latency(engine.health, TIME_RECEIVE_TO_SCAN, now - leg.data.received_ns)
        record_latency(
            engine.health, TIME_STORE_TO_SCAN,
            now - leg.data.received_ns - <int64_t>leg.data.publish_delay_ns,
        )
    for index in range(leg.first_route, leg.first_route + leg.route_count):
        evaluate(engine, &engine.table.routes[engine.table.route_of_slot[index]], now, True)
    return 1


cdef inline void evaluate_waiting(engine_t* engine, int64_t now) noexcept nogil:
    # Crossings whose time of confirmation is over, quotes or no quotes. Backwards: a route that is
    # done with leaves its place to the last one.
    cdef route_t* route
    cdef int64_t due_ns, next_due_ns = INT64_MAX
    cdef int index, place = engine.waiting.count - 1
    while place >= 0:
        index = engine.waiting.routes[place]
        route = &engine.table.routes[index]
        due_ns = engine.waiting.crossings[index].since_ns + engine.limits.confirm_ns
        if due_ns <= now:
            evaluate(engine, route, now, False)
            # Still there: a leg has moved and is about to be read, or the spill is full.
            due_ns = now + VISIT_TURN_NS
        if route.is_waiting:
            next_due_ns = min(next_due_ns, due_ns)
        place -= 1
    engine.waiting.next_due_ns = next_due_ns


cdef inline int believe(
    const engine_t* engine, const leg_t* leg, int slot, int64_t now
) noexcept nogil:
    return judge_leg(
        leg, engine.epochs[slot // MAX_SYMBOLS], engine.limits.max_leg_age_ns, now
    )


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
    cdef const leg_t* spot = &engine.table.legs[route.spot_slot]
    cdef const leg_t* futures = &engine.table.legs[route.futures_slot]
    cdef double gross, net, usd, futures_usd
    cdef int kind, gate
    if spot.data.ask <= 0 or futures.data.bid <= 0:
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
    if has_moved(engine, spot, route.spot_slot) or has_moved(engine, futures, route.futures_slot):
        return
    # From here on the route has something to say: may it?
    usd = spot.data.ask * spot.data.ask_qty
    futures_usd = futures.data.bid * futures.data.bid_qty
    if futures_usd < usd:
        usd = futures_usd
    gate = gate_of(engine, route, kind, gross, usd, now)
    if gate == NO_GATE and kind == KIND_OPEN:
        gate = confirmation_gate(engine, route, now, is_update)
    elif route.is_waiting:
        # What is confirmed must have been true all the time.
        stop_waiting(&engine.waiting, &engine.table, route)
    if gate != NO_GATE:
        count(engine.health, COUNT_SUPPRESSED + gate, 1)
        count_suppressed(engine, route, gate)
        if gate == GATE_PAUSED and kind == KIND_CLOSE:
            # A pause holds back the message, not the truth: the tracker has seen the ending in
            # its snapshots, and the next crossing after the pause is an opening.
            end_quietly(engine.outbox.routes, route)
        return
    if engine.outbox.spill_count == SPILL_CAPACITY and kind != KIND_UPDATE:
        # No room for an opening or an ending: the route stays as it is and says so later.
        count(engine.health, COUNT_RING_FULL, 1)
        return
    if kind == KIND_OPEN:
        # One that is resumed says again what it has said, under the same number.
        route.opening += not route.is_resumed
        stop_waiting(&engine.waiting, &engine.table, route)
    route.is_open = kind != KIND_CLOSE
    route.is_resumed = False
    route.signalled_net_bps = net
    emit(engine, route, kind, gross, net, usd, now)


cdef inline bint has_moved(const engine_t* engine, const leg_t* leg, int slot) noexcept nogil:
    return leg.is_stable and (
        load_acquire_u64(&engine.prices.seqs[slot].sequence) != leg.sequence
    )


cdef inline int gate_of(
    engine_t* engine, const route_t* route, int kind, double gross, double usd, int64_t now
) noexcept nogil:
    # The first gate that holds the route back; confirmation is for later.
    cdef const leg_t* legs = engine.table.legs
    cdef int gate
    if load_acquire_u64(&engine.control.is_killed):
        return GATE_KILLED
    gate = believe(engine, &legs[route.spot_slot], route.spot_slot, now)
    if gate == NO_GATE:
        gate = believe(engine, &legs[route.futures_slot], route.futures_slot, now)
    if gate != NO_GATE:
        return gate
    if is_paused(engine.control, route):
        return GATE_PAUSED
    if not -engine.limits.max_spread_bps < gross < engine.limits.max_spread_bps:
        return GATE_INSANE
    if kind == KIND_OPEN and usd < engine.limits.min_executable_usd:
        return GATE_SIZE
    if is_suspect(engine, route.spot_slot, now) or is_suspect(engine, route.futures_slot, now):
        return GATE_FROZEN
    return NO_GATE


cdef inline bint is_suspect(engine_t* engine, int slot, int64_t now) noexcept nogil:
    cdef int source_id = slot // MAX_SYMBOLS, symbol_id = slot % MAX_SYMBOLS
    if not is_frozen(
        &engine.stillness[symbol_id], engine.table.legs, source_id, symbol_id, engine.epochs,
        &engine.limits, now,
    ):
        return False
    show_suspect(engine.outbox.routes, source_id, symbol_id, True)
    return True


cdef inline int confirmation_gate(
    engine_t* engine, route_t* route, int64_t now, bint is_update
) noexcept nogil:
    cdef const limits_t* limits = &engine.limits
    cdef crossing_t* crossing
    if limits.confirm_updates <= 1 and limits.confirm_ns <= 0:
        return NO_GATE
    if route.is_waiting:
        crossing = &engine.waiting.crossings[route - engine.table.routes]
    else:
        crossing = start_waiting(&engine.waiting, &engine.table, route, now, limits.confirm_ns)
    crossing.updates += is_update
    if is_borne_out(crossing, limits.confirm_updates, limits.confirm_ns, now):
        return NO_GATE
    return GATE_UNCONFIRMED


cdef inline void count_suppressed(
    engine_t* engine, const route_t* route, int gate
) noexcept nogil:
    cdef uint64_t* cell = &engine.outbox.routes.suppressed[route.direction][gate]
    store_relaxed_u64(cell, load_relaxed_u64(cell) + 1)


cdef inline void emit(
    engine_t* engine, const route_t* route, int kind, double gross, double net, double usd,
    int64_t now,
) noexcept nogil:
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
    record.z_score = <float>z_score(engine.baseline, state_index(route), gross)
    # evaluate has seen that there is room.
    outcome = send(&engine.outbox, &record, kind == KIND_UPDATE)
    if outcome != SENT:
        count(engine.health, COUNT_RING_FULL, 1)
        count(engine.health, COUNT_CONFLATED if outcome == CONFLATED else COUNT_SPILLED, 1)
    count(engine.health, COUNT_SIGNALS_OPEN - KIND_OPEN + kind, 1)
