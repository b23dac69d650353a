# A changed part of a book as a frame that can be judged: what came, over the side that stays.

from libc.math cimport INFINITY
from libc.stdint cimport INT64_MAX, int64_t

from spreadscan.kernel.extract cimport (
    FIELD_ASK, FIELD_ASK_QTY, FIELD_BID, FIELD_BID_QTY, FIELD_EXCHANGE_MS, FIELD_SYMBOL,
    FIELD_UPDATE_ID, SIDES, frame_t, leg_t,
)
from spreadscan.kernel.memory cimport price_data_t


cdef enum:
    # Sides of a slot that are the exchange's present ones; what a change may be merged with.
    BID_KNOWN = 1
    ASK_KNOWN = 2
    BOTH_KNOWN = 3
    # A number that does not fit.
    BEYOND = -2
    NS_PER_MS = 1_000_000


cdef inline int64_t bounded(number, int64_t limit) except? -1:
    # A Python int as it is, -1 for None, BEYOND for one that does not fit.
    if number is None:
        return -1
    return number if 0 <= number <= limit else BEYOND


cdef inline bint take_level(level, double* price, double* qty) except -1:
    # Whether a side came; what is not positive and finite is no level.
    if level is None:
        return False
    price[0], qty[0] = level
    return 0 < price[0] < INFINITY and 0 < qty[0] < INFINITY


cdef inline bint take_stamps(partial, frame_t* frame) except -1:
    # Id and time; False when one of them is no number of an exchange.
    frame.seen = SIDES | 1 << FIELD_SYMBOL
    frame.update_id = bounded(partial.update_id, INT64_MAX)
    frame.exchange_ms = bounded(partial.exchange_ms, INT64_MAX // NS_PER_MS)
    if frame.update_id == BEYOND or frame.exchange_ms == BEYOND:
        return False
    frame.seen |= (frame.update_id >= 0) << FIELD_UPDATE_ID
    frame.seen |= (frame.exchange_ms >= 0) << FIELD_EXCHANGE_MS
    return True


cdef inline int take_sides(
    partial, const leg_t* leg, const price_data_t* slot, frame_t* frame
) except -1:
    # Returns which sides came. Judged are the exchange's units, so the side that stays is turned
    # back into them; it is put back untouched afterwards.
    cdef int came
    frame.numbers[FIELD_BID] = slot.bid * leg.price_multiplier
    frame.numbers[FIELD_BID_QTY] = slot.bid_qty / leg.qty_factor
    frame.numbers[FIELD_ASK] = slot.ask * leg.price_multiplier
    frame.numbers[FIELD_ASK_QTY] = slot.ask_qty / leg.qty_factor
    came = BID_KNOWN * take_level(
        partial.bid, &frame.numbers[FIELD_BID], &frame.numbers[FIELD_BID_QTY]
    )
    return came | ASK_KNOWN * take_level(
        partial.ask, &frame.numbers[FIELD_ASK], &frame.numbers[FIELD_ASK_QTY]
    )


cdef inline int known_after(partial, int known, int came) except -1:
    # Which sides are known once the change is made.
    if partial.bid is not None or partial.removed_bid:
        known = known & ~BID_KNOWN | came & BID_KNOWN
    if partial.ask is not None or partial.removed_ask:
        known = known & ~ASK_KNOWN | came & ASK_KNOWN
    return known
