# All that the engine's pass knows: where things are, what is asked for, and what it remembers.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from spreadscan.kernel.gates cimport judge_leg
from spreadscan.kernel.limits cimport limits_t
from spreadscan.kernel.memory cimport (
    MAX_SYMBOLS, SLOT_COUNT, control_t, dirty_t, health_slot_t, living_epoch, load_acquire_u64,
    mark_dirty, prices_t,
)
from spreadscan.kernel.outbox cimport outbox_t
from spreadscan.kernel.records cimport baseline_t, funding_t
from spreadscan.kernel.route_table cimport leg_t, route_table_t
from spreadscan.kernel.stillness cimport is_frozen, show_suspect, stillness_t
from spreadscan.kernel.waiting cimport waiting_t


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
    int64_t wall_offset_ns      # Unix time - CLOCK_MONOTONIC
    bint is_timed               # *now* is the clock's, not a replay's
    # since the beginning
    bint is_turned_away         # a route had something to say and found no room
    uint32_t busy_passes
    int64_t visited_ns
    int visited_symbol


cdef inline void look_again_at(engine_t* engine, int slot) noexcept nogil:
    # The leg's routes are evaluated with the next pass, whether or not it changes.
    engine.table.legs[slot].is_asked = True
    mark_dirty(engine.dirty, slot // MAX_SYMBOLS, slot % MAX_SYMBOLS)


cdef inline void look_at_everything(engine_t* engine) noexcept nogil:
    cdef int slot
    for slot in range(SLOT_COUNT):
        if engine.table.legs[slot].route_count:
            look_again_at(engine, slot)


cdef inline bint has_moved(const engine_t* engine, int slot) noexcept nogil:
    # Whether a leg changed since it was read.
    cdef const leg_t* leg = &engine.table.legs[slot]
    return leg.is_stable and (
        load_acquire_u64(&engine.prices.seqs[slot].sequence) != leg.sequence
    )


cdef inline int believe(const engine_t* engine, int slot, int64_t now) noexcept nogil:
    # The gate that a leg does not pass. Its source's epoch is read after the leg: whoever wrote the
    # leg had taken the source before.
    return judge_leg(
        &engine.table.legs[slot], living_epoch(engine.prices, slot // MAX_SYMBOLS),
        engine.limits.max_leg_age_ns, now,
    )


cdef inline bint is_suspect(engine_t* engine, int slot, int64_t now) noexcept nogil:
    cdef int source_id = slot // MAX_SYMBOLS, symbol_id = slot % MAX_SYMBOLS
    if not is_frozen(
        &engine.stillness[symbol_id], engine.table.legs, source_id, symbol_id, engine.prices,
        &engine.limits, now,
    ):
        return False
    show_suspect(engine.outbox.routes, source_id, symbol_id, True)
    return True
