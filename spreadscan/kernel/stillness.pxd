# Legs that stand still while their symbol moves elsewhere: a venue that repeats an old book, with
# fresh times, because something behind it hangs.
#
# For each leg it is kept where the others stood when it was last seen to move. Beyond a while of
# standing still, a leg is suspect when most of the others, of other exchanges and two at least,
# have moved by more than the limit since. It stays suspect until it moves.
#
# An engine that begins takes over which legs are suspect, and does not believe them before they move
# or the others stand where they stand.
#
# The looking around is not done with a quote but a few symbols at a time, so that each is visited
# once a second: a quote costs only the count of its leg's moves.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from spreadscan.kernel.gates cimport NO_GATE, judge_leg
from spreadscan.kernel.limits cimport limits_t
from spreadscan.kernel.memory cimport (
    MAX_SYMBOLS, NUM_SOURCES, living_epoch, load_relaxed_u64, prices_t, store_relaxed_u64,
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
    # Suspect by the word of an earlier engine, and not looked at by this one.
    uint8_t is_inherited[NUM_SOURCES]
    double stood[NUM_SOURCES][NUM_SOURCES]  # [leg][other]: the other's middle then; 0 = none


cdef inline double middle_of(const leg_t* leg) noexcept nogil:
    return (leg.believed_bid + leg.believed_ask) / 2


cdef inline bint is_witness(
    const leg_t* leg, const prices_t* prices, int source_id, const limits_t* limits, int64_t now
) noexcept nogil:
    return leg.believed_bid > 0 and judge_leg(
        leg, living_epoch(prices, source_id), limits.max_leg_age_ns, now
    ) == NO_GATE


cdef inline bint is_frozen(
    const stillness_t* seen, const leg_t* legs, int source_id, int symbol_id,
    const prices_t* prices, const limits_t* limits, int64_t now,
) noexcept nogil:
    cdef const leg_t* leg = &legs[source_id * MAX_SYMBOLS + symbol_id]
    cdef double stood, moved
    cdef int other, witnesses = 0, movers = 0
    if limits.frozen_move <= 0 or leg.moves != seen.moves[source_id]:
        return False
    if seen.is_inherited[source_id]:
        return True
    if (
        seen.moved_ns[source_id] == 0
        or now - seen.moved_ns[source_id] < limits.frozen_after_ns
    ):
        return False
    for other in range(NUM_SOURCES):
        stood = seen.stood[source_id][other]
        leg = &legs[other * MAX_SYMBOLS + symbol_id]
        # Both markets of an exchange may hang together.
        if stood <= 0 or other >> 1 == source_id >> 1:
            continue
        if not is_witness(leg, prices, other, limits, now):
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


cdef inline void inherit(
    stillness_t* seen, routes_t* routes, int source_id, int symbol_id, bint is_used
) noexcept nogil:
    # A leg of which this engine knows nothing yet, or nothing any more: whether it is suspect is
    # what the table says, for as long as it is used.
    if not is_used:
        show_suspect(routes, source_id, symbol_id, False)
    seen.moved_ns[source_id] = seen.moves[source_id] = 0
    seen.is_inherited[source_id] = (
        load_relaxed_u64(&routes.suspects[source_id][symbol_id >> 6]) >> (symbol_id & 63) & 1
    )


cdef inline void visit_symbol(
    stillness_t* seen, const leg_t* legs, int symbol_id, routes_t* routes,
    const prices_t* prices, const limits_t* limits, int64_t now,
) noexcept nogil:
    # After a pass, so that every leg has been read.
    cdef const leg_t* leg
    cdef const leg_t* witness
    cdef int source_id, other
    cdef bint has_moved, is_inherited
    for source_id in range(NUM_SOURCES):
        leg = &legs[source_id * MAX_SYMBOLS + symbol_id]
        if leg.route_count == 0 or leg.believed_bid <= 0:
            continue
        is_inherited = seen.is_inherited[source_id] and leg.moves == seen.moves[source_id]
        has_moved = not is_inherited and (
            seen.moved_ns[source_id] == 0 or leg.moves != seen.moves[source_id]
        )
        seen.is_inherited[source_id] = False
        if has_moved:
            seen.moved_ns[source_id] = now
            seen.moves[source_id] = leg.moves
        elif is_inherited:
            # Where the others stood when it last moved is not known any more. It does not become
            # believable by that: from now on they are measured from its own price.
            seen.moved_ns[source_id] = max(1, now - limits.frozen_after_ns)
        for other in range(NUM_SOURCES):
            witness = &legs[other * MAX_SYMBOLS + symbol_id]
            if is_inherited:
                seen.stood[source_id][other] = middle_of(leg)
            elif has_moved or seen.stood[source_id][other] == 0:
                # Also of one that came up only after the leg had moved for the last time.
                seen.stood[source_id][other] = middle_of(witness) if is_witness(
                    witness, prices, other, limits, now
                ) else 0.0
        show_suspect(
            routes, source_id, symbol_id,
            is_frozen(seen, legs, source_id, symbol_id, prices, limits, now),
        )
