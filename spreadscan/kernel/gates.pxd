# The truth gate: may this leg be believed, may this route speak? Each gate is a number of
# shm/counters.Gate; scan.pyx compares them when it is imported.

from libc.stdint cimport int64_t, uint16_t, uint64_t

from spreadscan.kernel.memory cimport MAX_SYMBOLS, control_t, load_relaxed_u64
from spreadscan.kernel.route_table cimport leg_t, route_t


cdef enum:
    NO_GATE = -1            # nothing holds it back
    GATE_UNUSABLE = 0
    GATE_DEAD_EPOCH = 1
    GATE_STALE = 2
    GATE_SIZE = 3
    GATE_INSANE = 4
    GATE_PAUSED = 5
    GATE_CROSSED = 6
    GATE_HALTED = 7
    GATE_QUARANTINED = 8
    GATE_KILLED = 9
    GATE_UNCONFIRMED = 10
    GATE_FROZEN = 11
    # Bits of model.SlotFlag.
    FLAG_HALTED = 128
    FLAGS_QUARANTINED = 16 | 32 | 64


cdef inline int judge_leg(
    const leg_t* leg, uint64_t epoch, int64_t max_age_ns, int64_t now
) noexcept nogil:
    # *epoch*: the living one of its source.
    if not leg.is_stable:
        return GATE_UNUSABLE
    if leg.data.flags:
        if leg.data.flags & FLAG_HALTED:
            return GATE_HALTED
        return GATE_QUARANTINED if leg.data.flags & FLAGS_QUARANTINED else GATE_UNUSABLE
    if not epoch & 1 or leg.data.epoch != <uint16_t>epoch:
        return GATE_DEAD_EPOCH
    if not 0 < leg.data.bid < leg.data.ask:
        return GATE_CROSSED
    if now - leg.data.received_ns > max_age_ns:
        return GATE_STALE
    return NO_GATE


cdef inline bint is_paused(const control_t* control, const route_t* route) noexcept nogil:
    # The operator's own words, so that a pause holds whether or not Python has had a turn.
    cdef uint64_t sources = (
        <uint64_t>1 << (route.spot_slot // MAX_SYMBOLS)
        | <uint64_t>1 << (route.futures_slot // MAX_SYMBOLS)
    )
    return (
        load_relaxed_u64(&control.is_paused) != 0
        or load_relaxed_u64(&control.paused_sources) & sources != 0
        or load_relaxed_u64(&control.paused_directions) >> route.direction & 1 != 0
        or load_relaxed_u64(&control.paused_symbols[route.symbol_id >> 6])
        >> (route.symbol_id & 63) & 1 != 0
    )
