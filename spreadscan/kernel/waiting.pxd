# Crossings that wait to be confirmed, by a number of quotes or by time. Few at once, so a plain
# list: what is next due is looked for only when something was.

from libc.stdint cimport INT64_MAX, int64_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free

from spreadscan.kernel.route_table cimport route_t, route_table_t


cdef struct crossing_t:
    int64_t since_ns
    uint32_t updates        # quotes of its legs that bore it out
    int place               # in the list
    uint16_t spot_epoch     # of its legs when it began
    uint16_t futures_epoch


cdef struct waiting_t:
    crossing_t* crossings   # by route
    int* routes             # the list: indexes into the table's routes
    int count
    int64_t next_due_ns     # no earlier than this is one due; INT64_MAX when there is none


cdef inline bint allocate_waiting(waiting_t* waiting, int route_total) noexcept:
    # False when there is no memory; release_waiting takes back what was had.
    waiting.count = 0
    waiting.next_due_ns = INT64_MAX
    waiting.crossings = <crossing_t*>calloc(max(1, route_total), sizeof(crossing_t))
    waiting.routes = <int*>calloc(max(1, route_total), sizeof(int))
    return waiting.crossings != NULL and waiting.routes != NULL


cdef inline void release_waiting(waiting_t* waiting) noexcept:
    free(waiting.crossings)
    free(waiting.routes)
    waiting.crossings = NULL
    waiting.routes = NULL


cdef inline crossing_t* start_waiting(
    waiting_t* waiting, const route_table_t* table, route_t* route, int64_t now, int64_t confirm_ns
) noexcept nogil:
    cdef int index = <int>(route - table.routes)
    cdef crossing_t* crossing = &waiting.crossings[index]
    route.is_waiting = True
    crossing.since_ns = now
    crossing.updates = 0
    crossing.place = waiting.count
    waiting.routes[waiting.count] = index
    waiting.count += 1
    if confirm_ns > 0:
        waiting.next_due_ns = min(waiting.next_due_ns, now + confirm_ns)
    return crossing


cdef inline void stop_waiting(
    waiting_t* waiting, const route_table_t* table, route_t* route
) noexcept nogil:
    cdef int place, last
    if not route.is_waiting:
        return
    route.is_waiting = False
    place = waiting.crossings[route - table.routes].place
    waiting.count -= 1
    last = waiting.routes[waiting.count]
    waiting.routes[place] = last
    waiting.crossings[last].place = place
    if waiting.count == 0:
        waiting.next_due_ns = INT64_MAX


cdef inline bint is_borne_out(
    const crossing_t* crossing, uint32_t confirm_updates, int64_t confirm_ns, int64_t now
) noexcept nogil:
    return (confirm_updates > 0 and crossing.updates >= confirm_updates) or (
        confirm_ns > 0 and now - crossing.since_ns >= confirm_ns
    )
