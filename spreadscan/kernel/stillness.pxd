# Legs that stand still while their symbol moves elsewhere: a venue that repeats an old book, with
# fresh times, because something behind it hangs.
#
# For each leg it is kept where the others stood when it was last seen to move. Beyond a while of
# standing still, a leg is suspect when most of the others, of other exchanges and two at least,
# have moved by more than the limit since. It stays suspect until it moves.
#
# The looking around is not done with a quote but a few symbols at a time, so that each is visited
# once a second: a quote costs only the count of its leg's moves.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from spreadscan.kernel.gates cimport NO_GATE, judge_leg
from spreadscan.kernel.limits cimport limits_t
from spreadscan.kernel.memory cimport (
    MAX_SYMBOLS, NUM_SOURCES, load_relaxed_u64, store_relaxed_u64,
)
from spreadscan.kernel.records cimport routes_t
from spreadscan.kernel.route_table cimport leg_t

cdef extern from *:
    """
    #define VISIT_EVERY_NS 1000000000LL
    """
    const int64_t VISIT_EVERY_NS


cdef enum:
    # One other that moves may be wrong itself.
    MIN_WITNESSES = 2


cdef struct stillness_t:
    # Of one symbol, by source.
    int64_t moved_ns[NUM_SOURCES]   # when it was last seen to have moved; 0 = not seen yet
    uint32_t moves[NUM_SOURCES]
    double stood[NUM_SOURCES][NUM_SOURCES]  # [leg][other]: the other's middle then; 0 = none


cdef inline double middle_of(const leg_t* leg) noexcept nogil:
    return (leg.data.bid + leg.data.ask) / 2


cdef inline bint is_frozen(
    const stillness_t* seen, const leg_t* legs, int source_id, int symbol_id,
    const uint64_t* epochs, const limits_t* limits, int64_t now,
) noexcept nogil:
    cdef const leg_t* leg = &legs[source_id * MAX_SYMBOLS + symbol_id]
    cdef double stood, moved
    cdef int other, witnesses = 0, movers = 0
    if (
        limits.frozen_move <= 0 or seen.moved_ns[source_id] == 0
        or leg.moves != seen.moves[source_id]
        or now - seen.moved_ns[source_id] < limits.frozen_after_ns
    ):
        return False
    for other in range(NUM_SOURCES):
        stood = seen.stood[source_id][other]
        leg = &legs[other * MAX_SYMBOLS + symbol_id]
        # Both markets of an exchange may hang together.
        if stood <= 0 or other >> 1 == source_id >> 1:
            continue
        if judge_leg(leg, epochs[other], limits.max_leg_age_ns, now) != NO_GATE:
            continue
        witnesses += 1
        moved = middle_of(leg) - stood
        movers += moved > limits.frozen_move * stood or -moved > limits.frozen_move * stood
    return movers >= MIN_WITNESSES and 2 * movers > witnesses


cdef inline void show_suspect(
    routes_t* routes, int source_id, int symbol_id, bint is_suspect
) noexcept nogil:
    # One writer: no read-modify-write needed.
    cdef uint64_t* word = &routes.suspects[source_id][symbol_id >> 6]
    cdef uint64_t bit = <uint64_t>1 << (symbol_id & 63)
    cdef uint64_t before = load_relaxed_u64(word)
    if (before & bit != 0) != is_suspect:
        store_relaxed_u64(word, before ^ bit)


cdef inline void visit_symbol(
    stillness_t* seen, const leg_t* legs, int symbol_id, routes_t* routes,
    const uint64_t* epochs, const limits_t* limits, int64_t now,
) noexcept nogil:
    cdef const leg_t* leg
    cdef const leg_t* witness
    cdef int source_id, other
    for source_id in range(NUM_SOURCES):
        leg = &legs[source_id * MAX_SYMBOLS + symbol_id]
        if leg.route_count == 0 or not leg.is_stable:
            continue
        if seen.moved_ns[source_id] == 0 or leg.moves != seen.moves[source_id]:
            seen.moved_ns[source_id] = now
            seen.moves[source_id] = leg.moves
            for other in range(NUM_SOURCES):
                witness = &legs[other * MAX_SYMBOLS + symbol_id]
                seen.stood[source_id][other] = middle_of(witness) if judge_leg(
                    witness, epochs[other], limits.max_leg_age_ns, now
                ) == NO_GATE else 0.0
            show_suspect(routes, source_id, symbol_id, False)
        else:
            show_suspect(
                routes, source_id, symbol_id,
                is_frozen(seen, legs, source_id, symbol_id, epochs, limits, now),
            )
