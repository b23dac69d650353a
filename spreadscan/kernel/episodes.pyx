# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=False
"""Signals into the states of open episodes, a batch in one call, in the order of the ring.

The table belongs to one thread of the tracker; tracker/columns.py describes the same struct as a
numpy dtype, and compares sizes and offsets with TABLE when it is imported.
"""

from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from spreadscan.kernel.memory cimport MAX_SYMBOLS, NUM_SOURCES, signal_t

from spreadscan.model import SignalType

cdef uint16_t SIGNAL_OPEN = SignalType.OPEN
cdef uint16_t SIGNAL_UPDATE = SignalType.UPDATE
cdef uint16_t SIGNAL_CLOSE = SignalType.CLOSE

cdef enum:
    DIRECTIONS = 64
    # episode_t.state
    FREE = 0
    OPEN = 1
    SUSPENDED = 2
    ENDED = 3
    # episode_t.ending, as tracker/columns.py numbers them; the others are Python's to give.
    NO_ENDING = 0
    CONVERGED = 1
    EXPIRED = 2
    LOST = 5
    # episode_t.changed
    BY_SIGNAL = 1
    # first column of an event
    EVENT_OPENED = 1
    EVENT_ENDED = 2
    # tally
    REFUSED = 0
    IGNORED = 1
    RE_SIGNALS = 2
    # limits
    MAX_LIFE = 0
    MAX_SUSPENDED = 1
    MAX_GAP = 2


cdef struct moment_t:
    int64_t time_ns
    double gross_bps
    double net_bps
    double usd
    double spot_bid
    double spot_ask
    double spot_bid_qty
    double spot_ask_qty
    double futures_bid
    double futures_ask
    double futures_bid_qty
    double futures_ask_qty


cdef struct episode_t:
    int64_t episode_id
    int64_t previous_id
    int64_t opened_ns
    int64_t opened_wall_ns
    int64_t ended_ns
    int64_t ended_wall_ns
    int64_t suspended_since_ns
    int64_t suspended_ns
    int64_t gap_ns
    moment_t first
    moment_t peak
    moment_t last
    double z_score
    double net_after_funding_bps
    int32_t route
    uint32_t opening
    uint32_t re_signals
    uint32_t snapshots
    uint32_t snapshots_unusable
    uint32_t gaps
    uint8_t spot_source
    uint8_t futures_source
    uint8_t state
    uint8_t ending
    uint8_t changed


TABLE = {
    "BYTES": sizeof(episode_t),
    "MOMENT_BYTES": sizeof(moment_t),
    "FIRST": <size_t>&(<episode_t*>NULL).first,
    "Z_SCORE": <size_t>&(<episode_t*>NULL).z_score,
    "ROUTE": <size_t>&(<episode_t*>NULL).route,
    "OPENING": <size_t>&(<episode_t*>NULL).opening,
    "CHANGED": <size_t>&(<episode_t*>NULL).changed,
}
"""Sizes and offsets of episode_t, for whoever describes it elsewhere."""

ENDINGS = {"CONVERGED": CONVERGED, "EXPIRED": EXPIRED, "LOST": LOST}
"""Codes of the endings that are given here, by name."""


cdef inline bint is_price(double value) noexcept nogil:
    return isfinite(value) and value > 0.0


cdef inline bint is_sound(const signal_t* record) noexcept nogil:
    # What cannot be true must not become history.
    return (
        SIGNAL_OPEN <= record.type <= SIGNAL_CLOSE
        and record.direction < DIRECTIONS
        and record.symbol_id < MAX_SYMBOLS
        and record.spot_source < NUM_SOURCES
        and record.futures_source < NUM_SOURCES
        and is_price(record.spot_bid) and is_price(record.spot_ask)
        and is_price(record.futures_bid) and is_price(record.futures_ask)
        and isfinite(record.gross_bps) and isfinite(record.net_bps)
        and isfinite(record.executable_usd)
        and isfinite(record.spot_bid_qty) and isfinite(record.spot_ask_qty)
        and isfinite(record.futures_bid_qty) and isfinite(record.futures_ask_qty)
    )


cdef inline void look(moment_t* moment, const signal_t* record) noexcept nogil:
    moment.time_ns = record.time_ns
    moment.gross_bps = record.gross_bps
    moment.net_bps = record.net_bps
    moment.usd = record.executable_usd
    moment.spot_bid = record.spot_bid
    moment.spot_ask = record.spot_ask
    moment.spot_bid_qty = record.spot_bid_qty
    moment.spot_ask_qty = record.spot_ask_qty
    moment.futures_bid = record.futures_bid
    moment.futures_ask = record.futures_ask
    moment.futures_bid_qty = record.futures_bid_qty
    moment.futures_ask_qty = record.futures_ask_qty


cdef inline void begin(episode_t* episode, const signal_t* record, int32_t route) noexcept nogil:
    memset(episode, 0, sizeof(episode_t))
    episode.opened_ns = record.time_ns
    look(&episode.first, record)
    episode.peak = episode.first
    episode.last = episode.first
    episode.z_score = record.z_score
    episode.net_after_funding_bps = record.net_after_funding_bps
    episode.route = route
    episode.opening = record.opening
    episode.spot_source = record.spot_source
    episode.futures_source = record.futures_source
    episode.state = OPEN
    episode.changed = BY_SIGNAL


cdef inline void observe(episode_t* episode, const signal_t* record) noexcept nogil:
    cdef int64_t away_ns
    if episode.state == SUSPENDED:
        # The engine signals on fresh quotes of both legs only: the route is in sight again.
        away_ns = record.time_ns - episode.suspended_since_ns
        episode.suspended_ns += away_ns if away_ns > 0 else 0
        episode.state = OPEN
    # A signal may be drained after a snapshot that was later: it can raise the peak, but it does
    # not turn `last` back.
    if record.time_ns >= episode.last.time_ns:
        look(&episode.last, record)
    if record.net_bps > episode.peak.net_bps:
        look(&episode.peak, record)
    # A number of before may be of another shm-init, or not known.
    episode.opening = record.opening
    episode.changed |= BY_SIGNAL


cdef inline int overdue_ending(
    const episode_t* episode, int64_t time_ns, const int64_t* limits
) noexcept nogil:
    # How an episode ended before this signal: sight.overdue says the same of a look.
    cdef int64_t unseen_since_ns = episode.last.time_ns
    if time_ns - episode.opened_ns >= limits[MAX_LIFE]:
        return EXPIRED
    if episode.state == SUSPENDED:
        unseen_since_ns = episode.suspended_since_ns
    if time_ns - unseen_since_ns >= limits[MAX_SUSPENDED] or episode.gap_ns > limits[MAX_GAP]:
        return LOST
    return NO_ENDING


cdef inline void finish(episode_t* episode, int ending, int64_t time_ns) noexcept nogil:
    cdef int64_t away_ns = time_ns - episode.last.time_ns
    if episode.state == SUSPENDED:
        away_ns = time_ns - episode.suspended_since_ns
    if ending == LOST or (ending == EXPIRED and episode.state == SUSPENDED):
        episode.suspended_ns += away_ns if away_ns > 0 else 0
    episode.state = ENDED
    episode.ending = ending
    episode.ended_ns = time_ns if time_ns > episode.opened_ns else episode.opened_ns


cdef inline bint is_dislocation(
    const signal_t* record, double converge_net_bps, int64_t ended_ns, uint32_t expired_opening
) noexcept nogil:
    # Of a route without an episode. The engine says UPDATE while it holds the route open: so it is,
    # unless this was sent before the ending, or is the opening whose episode has expired.
    if record.type == SIGNAL_OPEN:
        return True
    return (
        record.type == SIGNAL_UPDATE
        and record.net_bps > converge_net_bps
        and record.time_ns >= ended_ns
        and (expired_opening == 0 or record.opening != expired_opening)
    )


cdef int apply_all(
    const signal_t* records, Py_ssize_t count, episode_t* table, int32_t* row_of_route,
    const int32_t* canonical, const int32_t* free_rows, int64_t* ended_ns,
    uint32_t* expired_openings, double converge_net_bps, const int64_t* limits, int32_t* events,
    uint64_t* tally,
) noexcept nogil:
    cdef const signal_t* record
    cdef episode_t* episode
    cdef Py_ssize_t index
    cdef int32_t route, row
    cdef int used = 0, found = 0, ending
    for index in range(count):
        record = records + index
        if not is_sound(record):
            tally[REFUSED] += 1
            continue
        route = record.direction * MAX_SYMBOLS + canonical[record.symbol_id]
        row = row_of_route[route]
        ending = NO_ENDING
        if row >= 0:
            episode = table + row
            ending = overdue_ending(episode, record.time_ns, limits)
            if ending == NO_ENDING:
                observe(episode, record)
                if record.type == SIGNAL_OPEN:
                    episode.re_signals += 1
                    tally[RE_SIGNALS] += 1
                elif record.type == SIGNAL_CLOSE:
                    # The engine closes a route only on fresh quotes of both legs.
                    ending = CONVERGED
            if ending != NO_ENDING:
                finish(episode, ending, record.time_ns)
                row_of_route[route] = -1
                ended_ns[route] = episode.ended_ns
                expired_openings[route] = episode.opening if ending == EXPIRED else 0
                events[3 * found] = EVENT_ENDED
                events[3 * found + 1] = row
                events[3 * found + 2] = <int32_t>index
                found += 1
            if ending == NO_ENDING or ending == CONVERGED:
                continue
        if not is_dislocation(
            record, converge_net_bps, ended_ns[route], expired_openings[route]
        ):
            tally[IGNORED] += 1
            continue
        row = free_rows[used]
        used += 1
        row_of_route[route] = row
        begin(table + row, record, route)
        events[3 * found] = EVENT_OPENED
        events[3 * found + 1] = row
        events[3 * found + 2] = <int32_t>index
        found += 1
    return found


def apply_signals(
    const uint8_t[::1] records, uint8_t[::1] table, int32_t[::1] row_of_route,
    const int32_t[::1] canonical, const int32_t[::1] free_rows, int64_t[::1] ended_ns,
    uint32_t[::1] expired_openings, double converge_net_bps, const int64_t[::1] limits,
    int32_t[:, ::1] events, uint64_t[::1] tally,
) -> int:
    """Apply a batch in order; see the stub file."""
    cdef Py_ssize_t count = records.shape[0] // <Py_ssize_t>sizeof(signal_t)
    cdef Py_ssize_t rows = table.shape[0] // <Py_ssize_t>sizeof(episode_t)
    cdef Py_ssize_t index
    cdef int found
    if records.shape[0] % sizeof(signal_t) or table.shape[0] % sizeof(episode_t):
        raise ValueError(f"{records.shape[0]} bytes of records, {table.shape[0]} of episodes")
    if (
        row_of_route.shape[0] != DIRECTIONS * MAX_SYMBOLS or canonical.shape[0] != MAX_SYMBOLS
        or ended_ns.shape[0] != row_of_route.shape[0] or limits.shape[0] != 3
        or expired_openings.shape[0] != row_of_route.shape[0]
        or tally.shape[0] != 3 or events.shape[1] != 3
    ):
        raise ValueError(
            f"{row_of_route.shape[0]} routes, {canonical.shape[0]} symbols, "
            f"{tally.shape[0]} tallies, {events.shape[1]} columns of events"
        )
    if free_rows.shape[0] < count or events.shape[0] < 2 * count:
        raise ValueError(
            f"{free_rows.shape[0]} free rows and {events.shape[0]} events for {count} records"
        )
    for index in range(count):
        if not 0 <= free_rows[index] < rows:
            raise IndexError(f"row {free_rows[index]}, expected 0 to {rows - 1}")
    for index in range(MAX_SYMBOLS):
        if not 0 <= canonical[index] < MAX_SYMBOLS:
            raise IndexError(f"symbol {canonical[index]}, expected 0 to {MAX_SYMBOLS - 1}")
    if count == 0:
        return 0
    with nogil:
        found = apply_all(
            <const signal_t*>&records[0], count, <episode_t*>&table[0], &row_of_route[0],
            &canonical[0], &free_rows[0], &ended_ns[0], &expired_openings[0], converge_net_bps,
            &limits[0], &events[0, 0], &tally[0],
        )
    return found
