# The engine's pass over what changed: takes the dirty words, reads only the prices whose sequence
# moved, keeps its own copy of both legs of every route, computes the routes that a change touches,
# and says through the outbox what they have to say. No Python object is touched.
#
# Numbers of counters, histograms and kinds are those of shm/layout.py and model.py; scan.pyx
# compares them when it is imported.

from libc.stdint cimport INT64_MAX, int64_t, uint64_t

from spreadscan.kernel.engine_state cimport believe, engine_t, look_at_everything
from spreadscan.kernel.evaluate cimport evaluate
from spreadscan.kernel.gates cimport NO_GATE
from spreadscan.kernel.memory cimport (
    DELAY_NOT_MEASURED, MAX_SYMBOLS, NUM_SOURCES, count, exchange_acq_rel_u64, load_acquire_u64,
    load_relaxed_u64, lowest_bit, now_ns, record_latency, seqlock_read, store_release_u64,
)
from spreadscan.kernel.outbox cimport end_quietly
from spreadscan.kernel.route_table cimport leg_t, route_t
from spreadscan.kernel.scan_numbers cimport (
    COUNT_DIRTY_SYMBOLS, COUNT_PASSES, COUNT_TORN_READS, TIME_RECEIVE_TO_SCAN, TIME_SCAN_PASS,
    TIME_SCAN_TO_RING, TIME_STORE_TO_SCAN,
)
from spreadscan.kernel.spill cimport catch_up
from spreadscan.kernel.stillness cimport VISIT_EVERY_NS, visit_symbol
from spreadscan.kernel.waiting cimport stop_waiting

cdef extern from *:
    """
    #define VISIT_TURN_NS 10000000LL
    """
    # Between two turns of looking for legs that stand still.
    const int64_t VISIT_TURN_NS


cdef enum:
    # One pass in this many is timed: a clock reading is a twentieth of a small pass.
    PASS_SAMPLE_EVERY = 16


cdef inline void follow_kill(engine_t* engine) noexcept nogil:
    # Once KILL was set nothing is open any more, also when it was taken back meanwhile: the tracker
    # has ended its episodes, and what waits in the spill is not told to anybody. Afterwards every
    # crossing is a new one. How far this went outlives the engine.
    # sync: pairs with ControlWriter, which sets KILL before it raises KILLS.
    cdef bint is_killed = load_acquire_u64(&engine.control.is_killed) != 0
    cdef bint has_risen = is_killed and not engine.is_killed
    cdef uint64_t kills = load_acquire_u64(&engine.control.kills)
    cdef int index
    if has_risen or kills != engine.outbox.routes.kills_followed:
        engine.outbox.spill_count = 0
        for index in range(engine.table.route_total):
            end_quietly(engine.outbox.routes, &engine.table.routes[index])
            stop_waiting(&engine.waiting, &engine.table, &engine.table.routes[index])
        store_release_u64(&engine.outbox.routes.kills_followed, kills)
        look_at_everything(engine)
    if engine.is_killed and not is_killed:
        look_at_everything(engine)
    engine.is_killed = is_killed


cdef inline int scan_pass(engine_t* engine, int64_t now) noexcept nogil:
    cdef int source_id, word, slot
    cdef uint64_t bits
    cdef int changed = 0
    follow_kill(engine)
    engine.outbox.pushed = 0
    catch_up(engine, now)
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
    if engine.outbox.spill_count:
        catch_up(engine, now)
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
            engine.outbox.routes, engine.prices, &engine.limits, now,
        )


cdef inline int refresh(engine_t* engine, int slot, int64_t now) noexcept nogil:
    # Read a leg that may have changed and evaluate the routes it belongs to.
    cdef leg_t* leg = &engine.table.legs[slot]
    cdef int index
    cdef uint64_t seen
    cdef bint is_quoted, is_news
    if leg.route_count == 0:
        return 0
    is_quoted = load_acquire_u64(&engine.prices.seqs[slot].sequence) != leg.sequence
    if not is_quoted and not leg.is_asked:
        return 0
    # What is found by one who was asked to look may have stood there for long.
    is_news = is_quoted and not leg.is_asked
    leg.is_asked = False
    if is_quoted:
        leg.is_stable = seqlock_read(
            &engine.prices.seqs[slot], &engine.prices.entries[slot], &leg.data, &seen
        )
        if not leg.is_stable:
            # Its writer is in the middle and will mark it again, or is dead and its epoch with it.
            # Odd, so no stable sequence equals it.
            leg.sequence = 1
            count(engine.health, COUNT_TORN_READS, 1)
            return 1
        leg.sequence = seen
        if believe(engine, slot, now) == NO_GATE:
            note_price(leg)
            if is_news:
                note_latency(engine, leg, now)
    for index in range(leg.first_route, leg.first_route + leg.route_count):
        evaluate(engine, &engine.table.routes[engine.table.route_of_slot[index]], now, is_news)
    return 1


cdef inline void note_price(leg_t* leg) noexcept nogil:
    if leg.data.bid != leg.believed_bid or leg.data.ask != leg.believed_ask:
        # The first one is no move: an earlier engine may have known it.
        leg.moves += leg.believed_bid > 0
        leg.believed_bid, leg.believed_ask = leg.data.bid, leg.data.ask


cdef inline void note_latency(engine_t* engine, const leg_t* leg, int64_t now) noexcept nogil:
    record_latency(engine.health, TIME_RECEIVE_TO_SCAN, now - leg.data.received_ns)
    if leg.data.publish_delay_ns != DELAY_NOT_MEASURED:
        record_latency(
            engine.health, TIME_STORE_TO_SCAN,
            now - leg.data.received_ns - <int64_t>leg.data.publish_delay_ns,
        )


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
