# How far behind a connection is, as far as its frames can tell.
#
# An exchange's clock is not ours: received - exchange is the way's delay plus an unknown offset. The
# smallest difference seen lately stands for the offset, so that what is left is how much longer than
# the quickest frame this one took. The smallest but one is taken: a single time from the future
# would otherwise make everything late for a minute.

from libc.stdint cimport int64_t


cdef enum:
    # With fewer samples the smallest counts: first snapshots of quiet books are old, and one of them
    # must not pass for the quickest frame.
    ROBUST_FROM = 8
    # A read of less than this has emptied the socket. Well above what gathers between two turns of a
    # loop that keeps up (some frames), well below a backlog.
    BULK_BYTES = 8192
    # So many late frames in agreement, the first of them newer by its id and earlier by its time
    # than the one before it of its symbol: the exchange's clock was set back.
    BACK_FRAMES = 3

cdef extern from *:
    """
    #define UNKNOWN_NS INT64_MAX
    #define LONG_AGO_NS (-0x4000000000000000LL)
    #define LATEST_EXCHANGE_NS 0x4000000000000000LL
    #define HALF_WINDOW_NS 30000000000LL
    #define BACK_NS 250000000LL
    #define AMONG_NS 250000000LL
    """
    const int64_t UNKNOWN_NS
    const int64_t LONG_AGO_NS
    # Beyond (the year 2116) a time is a mistake, and differences of times no longer fit 64 bits.
    const int64_t LATEST_EXCHANGE_NS
    # What an exchange's clock was by is forgotten after one to two of these.
    const int64_t HALF_WINDOW_NS
    # As far may the times of one symbol's quotes be from the order of their ids, and the delays of
    # frames that agree from each other.
    const int64_t BACK_NS
    # One late frame among timely ones is a quiet book that is repeated, not a backlog: frames keep
    # their order, so a backlog has no timely frame in it. For the same time after a stall, a
    # connection that was not read since is taken for one whose frames waited.
    const int64_t AMONG_NS


cdef struct lag_t:
    int64_t newer_ns        # smallest difference of the running half window, and the next
    int64_t newer_next_ns
    int64_t older_ns        # of the half window before
    int64_t older_next_ns
    int64_t turns_ns        # when the running one ends
    int64_t offset_ns       # what follows from the four
    int64_t samples
    int64_t timely_ns       # arrival of the last timely frame
    int64_t late_ns         # arrival of the last late one, and how late it was
    int64_t late_by_ns
    int64_t back_frames     # late since the clock seemed to run back, and their smallest difference
    int64_t back_ns


cdef struct reference_t:
    # The smallest offset of all connections of a source, in half windows too.
    int64_t newer_ns
    int64_t older_ns
    int64_t turns_ns


cdef inline void start_reference(reference_t* reference) noexcept nogil:
    reference.newer_ns = reference.older_ns = UNKNOWN_NS
    reference.turns_ns = LONG_AGO_NS


cdef inline void start_lag(lag_t* lag, const reference_t* reference) noexcept nogil:
    # Begin with what the other connections know: one that is born behind is noticed.
    cdef int64_t known_ns = min(reference.newer_ns, reference.older_ns)
    lag.newer_ns = lag.newer_next_ns = lag.offset_ns = known_ns
    lag.older_ns = lag.older_next_ns = UNKNOWN_NS
    lag.turns_ns = UNKNOWN_NS
    lag.samples = 0
    lag.timely_ns = lag.late_ns = LONG_AGO_NS
    lag.late_by_ns = 0
    lag.back_frames = 0
    lag.back_ns = UNKNOWN_NS


cdef inline void refer(reference_t* reference, int64_t offset_ns, int64_t received_ns) noexcept nogil:
    if received_ns >= reference.turns_ns:
        reference.older_ns = reference.newer_ns
        reference.newer_ns = UNKNOWN_NS
        reference.turns_ns = received_ns + HALF_WINDOW_NS
    reference.newer_ns = min(reference.newer_ns, offset_ns)


cdef inline void set_offset(lag_t* lag) noexcept nogil:
    cdef int64_t next_ns = min(
        max(lag.newer_ns, lag.older_ns), min(lag.newer_next_ns, lag.older_next_ns)
    )
    if lag.samples < ROBUST_FROM or next_ns == UNKNOWN_NS:
        next_ns = min(lag.newer_ns, lag.older_ns)
    lag.offset_ns = next_ns


cdef inline int64_t lag_of(
    lag_t* lag, reference_t* reference, int64_t exchange_ns, int64_t received_ns
) noexcept nogil:
    # Take a sample and return how late it is; never negative.
    cdef int64_t difference_ns = received_ns - exchange_ns
    cdef bint has_turned = received_ns >= lag.turns_ns
    if has_turned:
        lag.older_ns, lag.older_next_ns = lag.newer_ns, lag.newer_next_ns
        lag.newer_ns = lag.newer_next_ns = UNKNOWN_NS
    if has_turned or lag.samples == 0:
        lag.turns_ns = received_ns + HALF_WINDOW_NS
    lag.samples += 1
    if difference_ns < lag.newer_next_ns or lag.samples <= ROBUST_FROM:
        if difference_ns < lag.newer_ns:
            lag.newer_next_ns = lag.newer_ns
            lag.newer_ns = difference_ns
        elif difference_ns < lag.newer_next_ns:
            lag.newer_next_ns = difference_ns
        set_offset(lag)
        refer(reference, lag.offset_ns, received_ns)
    return max(difference_ns - lag.offset_ns, <int64_t>0)


cdef inline bint was_set_back(
    lag_t* lag, reference_t* reference, int64_t exchange_ns, int64_t received_ns, bint is_earlier
) noexcept nogil:
    # Take a late frame, and return whether lateness is the clock's: then its measure begins anew.
    # Frames keep their order, so no backlog makes a newer quote earlier than the one before it.
    cdef int64_t difference_ns = received_ns - exchange_ns
    cdef bint agrees = lag.back_frames > 0 and (
        -BACK_NS <= difference_ns - lag.back_ns <= BACK_NS
    )
    if agrees:
        lag.back_frames += 1
        lag.back_ns = min(lag.back_ns, difference_ns)
    elif is_earlier:
        lag.back_frames = 1
        lag.back_ns = difference_ns
    if lag.back_frames < BACK_FRAMES:
        return False
    start_reference(reference)
    refer(reference, lag.back_ns, received_ns)
    start_lag(lag, reference)
    # These were no old books of a first subscription: the next smallest may be taken soon.
    lag.turns_ns = received_ns + HALF_WINDOW_NS
    lag.samples = BACK_FRAMES
    return True


cdef inline int64_t known_lag(const lag_t* lag, int64_t received_ns) noexcept nogil:
    # For a frame that says nothing about time itself: what those just before it were late by.
    return lag.late_by_ns if received_ns - lag.late_ns < AMONG_NS else 0
