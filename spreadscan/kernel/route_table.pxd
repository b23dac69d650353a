# The engine's routes and the legs under them, laid out so that a pass finds the routes of a changed
# leg without a search: for each source and symbol the directions that it is a leg of. A table is
# built once and then only its states change.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from spreadscan.kernel.memory cimport SLOT_COUNT, price_data_t


cdef struct leg_t:
    price_data_t data
    uint64_t sequence   # of data; odd when there is none
    # When it could last be believed; 0 = never. A price of which nothing is believed is no move.
    double believed_bid
    double believed_ask
    uint32_t moves      # times that those changed
    uint8_t is_stable
    uint8_t is_asked    # its routes are to be evaluated whether or not it changed
    int first_route     # in route_of_slot
    int route_count


cdef struct route_t:
    # 40 bytes: thousands are looked at in a pass, and most have nothing to say.
    int spot_slot
    int futures_slot
    double fee_bps
    double signalled_net_bps
    uint32_t opening
    uint32_t void_through   # openings up to this one that wait in the spill are not told any more
    uint16_t symbol_id
    uint8_t direction
    uint8_t is_open
    uint8_t is_resumed      # open by the word of an earlier engine: says so again, or ends
    uint8_t is_waiting      # its crossing waits to be confirmed, see waiting.pxd


cdef struct route_table_t:
    leg_t* legs             # by slot
    route_t* routes
    int* route_of_slot      # indexes into routes, those of one leg beside each other
    int route_total
    int words_in_use        # of each source's dirty bits


cdef inline bint allocate_table(route_table_t* table, int route_total) noexcept:
    # False when there is no memory; release_table takes back what was had.
    table.route_total = route_total
    table.words_in_use = 0
    table.legs = <leg_t*>calloc(SLOT_COUNT, sizeof(leg_t))
    table.routes = <route_t*>calloc(max(1, route_total), sizeof(route_t))
    table.route_of_slot = <int*>calloc(max(1, 2 * route_total), sizeof(int))
    return table.legs != NULL and table.routes != NULL and table.route_of_slot != NULL


cdef inline void release_table(route_table_t* table) noexcept:
    free(table.legs)
    free(table.routes)
    free(table.route_of_slot)
    table.legs = NULL
    table.routes = NULL
    table.route_of_slot = NULL
    table.route_total = 0


cdef inline void link_legs(route_table_t* table) noexcept:
    # Call it once all routes stand in the table: counts each leg's, then gives each its place.
    cdef int index, side, slot
    cdef int first = 0
    cdef leg_t* leg
    for index in range(table.route_total):
        table.legs[table.routes[index].spot_slot].route_count += 1
        table.legs[table.routes[index].futures_slot].route_count += 1
        table.words_in_use = max(table.words_in_use, table.routes[index].symbol_id // 64 + 1)
    for slot in range(SLOT_COUNT):
        table.legs[slot].first_route = first
        first += table.legs[slot].route_count
        table.legs[slot].route_count = 0
    for index in range(table.route_total):
        for side in range(2):
            slot = table.routes[index].futures_slot if side else table.routes[index].spot_slot
            leg = &table.legs[slot]
            table.route_of_slot[leg.first_route + leg.route_count] = index
            leg.route_count += 1


cdef inline route_t* same_route(
    const route_table_t* table, const route_t* wanted
) noexcept nogil:
    # The route over the same legs under the same numbers, or NULL; a leg has a dozen at most.
    cdef const leg_t* leg
    cdef route_t* route
    cdef int index
    if table.route_total == 0:
        return NULL
    leg = &table.legs[wanted.spot_slot]
    for index in range(leg.first_route, leg.first_route + leg.route_count):
        route = &table.routes[table.route_of_slot[index]]
        if (
            route.spot_slot == wanted.spot_slot
            and route.futures_slot == wanted.futures_slot
            and route.direction == wanted.direction
            and route.symbol_id == wanted.symbol_id
        ):
            return route
    return NULL
