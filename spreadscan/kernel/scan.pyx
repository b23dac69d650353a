# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""The engine as Python sees it: its routes, its limits, one kernel call a pass.

The pass itself stands in scan_pass.pxd, and what it makes of one route in evaluate.pxd. Beside them:
engine_state.pxd (all that is known), route_table.pxd (routes and legs), gates.pxd and stillness.pxd
(what may be believed), waiting.pxd (confirmation), money.pxd (funding, z), outbox.pxd and spill.pxd
(the way into the ring), engine_wait.pxd (sleeping). The formulas are those of engine/spread.py.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from spreadscan.kernel cimport gates, scan_numbers as steps
from spreadscan.kernel.engine_state cimport engine_t, look_at_everything
from spreadscan.kernel.engine_wait cimport is_anything_dirty, sleep_until_woken
from spreadscan.kernel.health cimport HealthSlot
from spreadscan.kernel.memory cimport (
    DELAY_NOT_MEASURED, DirtyBits, MAX_DIRECTIONS, MAX_SYMBOLS, Mapping, PriceSlots, RING_CAPACITY, SLOT_COUNT,
    SignalRing, control_t, count, cpu_relax, now_ns, signal_t,
)
from spreadscan.kernel.outbox cimport SPILL_CAPACITY, end_quietly, note_state, state_index
from spreadscan.kernel.records cimport baseline_t, funding_t, route_state_t, routes_t
from spreadscan.kernel.route_table cimport (
    allocate_table, leg_t, link_legs, release_table, route_t, route_table_t, same_route,
)
from spreadscan.kernel.scan_numbers cimport COUNT_RESUMED, COUNT_SLEEPS
from spreadscan.kernel.scan_pass cimport scan_pass
from spreadscan.kernel.spill cimport catch_up
from spreadscan.kernel.stillness cimport inherit, stillness_t
from spreadscan.kernel.waiting cimport (
    allocate_waiting, release_waiting, stop_waiting, waiting_t,
)

from spreadscan.errors import LayoutMismatch
from spreadscan.model import SignalType, SlotFlag
from spreadscan.shm import counters as names
from spreadscan.shm import layout

cdef enum:
    WAIT_SPIN = 0
    WAIT_ADAPTIVE = 1
    WAIT_EVENTFD = 2

WAIT_MODES = {"spin": WAIT_SPIN, "adaptive": WAIT_ADAPTIVE, "eventfd": WAIT_EVENTFD}


def numbers() -> list[tuple[str, int, int]]:
    """Return (name, here, in layout and model) of every number that the pass has in its code."""
    counters, times = names.EngineCounter, names.Histogram
    quarantined = SlotFlag.REFUSED | SlotFlag.LATE | SlotFlag.HELD
    return [
        ("Gate.UNUSABLE", gates.GATE_UNUSABLE, names.Gate.UNUSABLE),
        ("Gate.DEAD_EPOCH", gates.GATE_DEAD_EPOCH, names.Gate.DEAD_EPOCH),
        ("Gate.STALE", gates.GATE_STALE, names.Gate.STALE),
        ("Gate.SIZE", gates.GATE_SIZE, names.Gate.SIZE),
        ("Gate.INSANE", gates.GATE_INSANE, names.Gate.INSANE),
        ("Gate.PAUSED", gates.GATE_PAUSED, names.Gate.PAUSED),
        ("Gate.CROSSED", gates.GATE_CROSSED, names.Gate.CROSSED),
        ("Gate.HALTED", gates.GATE_HALTED, names.Gate.HALTED),
        ("Gate.QUARANTINED", gates.GATE_QUARANTINED, names.Gate.QUARANTINED),
        ("Gate.KILLED", gates.GATE_KILLED, names.Gate.KILLED),
        ("Gate.UNCONFIRMED", gates.GATE_UNCONFIRMED, names.Gate.UNCONFIRMED),
        ("Gate.FROZEN", gates.GATE_FROZEN, names.Gate.FROZEN),
        ("SlotFlag.HALTED", gates.FLAG_HALTED, SlotFlag.HALTED),
        ("SlotFlag, quarantined", gates.FLAGS_QUARANTINED, quarantined),
        ("SignalType.OPEN", steps.KIND_OPEN, SignalType.OPEN),
        ("SignalType.UPDATE", steps.KIND_UPDATE, SignalType.UPDATE),
        ("SignalType.CLOSE", steps.KIND_CLOSE, SignalType.CLOSE),
        ("SIGNAL_VERSION", steps.SIGNAL_VERSION, layout.SIGNAL_VERSION),
        ("SIGNAL_PAYLOAD_BYTES", steps.PAYLOAD_BYTES, layout.SIGNAL_PAYLOAD_BYTES),
        ("DELAY_NOT_MEASURED", DELAY_NOT_MEASURED, layout.DELAY_NOT_MEASURED),
        ("EngineCounter.PASSES", steps.COUNT_PASSES, counters.PASSES),
        ("EngineCounter.DIRTY_SYMBOLS", steps.COUNT_DIRTY_SYMBOLS, counters.DIRTY_SYMBOLS),
        ("EngineCounter.ROUTES_EVALUATED", steps.COUNT_ROUTES_EVALUATED, counters.ROUTES_EVALUATED),
        ("EngineCounter.SIGNALS_OPEN", steps.COUNT_SIGNALS_OPEN, counters.SIGNALS_OPEN),
        ("EngineCounter.SIGNALS_UPDATE", steps.COUNT_SIGNALS_UPDATE, counters.SIGNALS_UPDATE),
        ("EngineCounter.SIGNALS_CLOSE", steps.COUNT_SIGNALS_CLOSE, counters.SIGNALS_CLOSE),
        ("EngineCounter.RING_FULL", steps.COUNT_RING_FULL, counters.RING_FULL),
        ("EngineCounter.CONFLATED", steps.COUNT_CONFLATED, counters.CONFLATED),
        ("EngineCounter.SPILLED", steps.COUNT_SPILLED, counters.SPILLED),
        ("EngineCounter.SLEEPS", steps.COUNT_SLEEPS, counters.SLEEPS),
        ("EngineCounter.TORN_READS", steps.COUNT_TORN_READS, counters.TORN_READS),
        ("EngineCounter.RESUMED", steps.COUNT_RESUMED, counters.RESUMED),
        ("EngineCounter.SUPPRESSED", steps.COUNT_SUPPRESSED, counters.SUPPRESSED),
        ("Histogram.ENGINE_RECEIVE_TO_SCAN", steps.TIME_RECEIVE_TO_SCAN,
         times.ENGINE_RECEIVE_TO_SCAN),
        ("Histogram.ENGINE_SCAN_PASS", steps.TIME_SCAN_PASS, times.ENGINE_SCAN_PASS),
        ("Histogram.ENGINE_STORE_TO_SCAN", steps.TIME_STORE_TO_SCAN, times.ENGINE_STORE_TO_SCAN),
        ("Histogram.ENGINE_SCAN_TO_RING", steps.TIME_SCAN_TO_RING, times.ENGINE_SCAN_TO_RING),
    ]


def _check() -> None:
    for name, found, expected in numbers():
        if found != expected:
            raise LayoutMismatch("kernel", name, found, int(expected))


_check()


cdef int64_t wall_offset_ns() noexcept nogil:
    cdef timespec wall
    clock_gettime(CLOCK_REALTIME, &wall)
    return <int64_t>wall.tv_sec * 1_000_000_000 + wall.tv_nsec - now_ns()


cdef class Scanner:
    """All routes of a universe, and the one producer of the ring; see the stub file."""

    cdef:
        # Held for as long as the engine points into them.
        PriceSlots prices
        DirtyBits dirty
        SignalRing ring
        HealthSlot health
        Mapping control
        Mapping funding
        Mapping baseline
        Mapping routes
        engine_t engine
        dict past_openings
        # waiting
        int wait_mode
        int64_t spin_ns
        int64_t wait_bound_ns
        int wake_fd
        bint is_wake_written

    def __cinit__(self) -> None:
        memset(&self.engine, 0, sizeof(engine_t))
        self.engine.outbox.spill = <signal_t*>calloc(SPILL_CAPACITY, sizeof(signal_t))
        self.engine.stillness = <stillness_t*>calloc(MAX_SYMBOLS, sizeof(stillness_t))
        if (
            self.engine.outbox.spill == NULL or self.engine.stillness == NULL
            or not allocate_waiting(&self.engine.waiting, 0)
            or not allocate_table(&self.engine.table, 0)
        ):
            raise MemoryError
        self.past_openings = {}
        self.wake_fd = -1

    def __dealloc__(self) -> None:
        release_table(&self.engine.table)
        release_waiting(&self.engine.waiting)
        free(self.engine.stillness)
        free(self.engine.outbox.spill)

    def __init__(self, channels) -> None:
        self.prices, self.dirty = channels.prices, channels.dirty
        self.ring, self.health = channels.ring, channels.health
        self.control, self.routes = channels.control, channels.routes
        self.funding, self.baseline = channels.funding, channels.baseline
        for mapping in (
            self.dirty.mapping, self.ring.mapping, self.health.mapping, self.routes
        ):
            if not mapping.writable:
                raise PermissionError("the engine writes dirty, ring, health and routes")
        self.control.check_span(0, sizeof(control_t))
        self.funding.check_span(0, sizeof(funding_t))
        self.baseline.check_span(0, sizeof(baseline_t))
        self.routes.check_span(0, sizeof(routes_t))
        self.engine.prices = self.prices.prices
        self.engine.dirty = self.dirty.dirty
        self.engine.health = self.health.slot
        self.engine.control = <const control_t*>self.control.base
        self.engine.funding = <const funding_t*>self.funding.base
        self.engine.baseline = <const baseline_t*>self.baseline.base
        self.engine.outbox.ring = self.ring.ring
        self.engine.outbox.cached_head = &self.ring.cached_head
        self.engine.outbox.health = self.engine.health
        self.engine.outbox.control = self.engine.control
        self.engine.outbox.routes = <routes_t*>self.routes.base
        self.note_last_signal()

    cdef void note_last_signal(self):
        # An engine that was killed between a signal and the state of its route left that undone.
        cdef const signal_t* last
        cdef const route_state_t* state
        cdef uint64_t tail = self.ring.ring.tail
        if tail == 0:
            return
        last = &self.ring.ring.records[(tail - 1) & (RING_CAPACITY - 1)]
        if last.direction >= MAX_DIRECTIONS or last.symbol_id >= MAX_SYMBOLS or not last.type:
            return
        state = &self.engine.outbox.routes.states[last.direction * MAX_SYMBOLS + last.symbol_id]
        if (
            state.sequence & 1 or state.time_ns != last.time_ns or state.type != last.type
            or state.opening != last.opening
        ):
            note_state(self.engine.outbox.routes, last)

    def configure(self, config) -> None:
        """Take limits and wait mode from an EngineConfig."""
        cdef route_t* waiting_route
        self.engine.limits.open_net_bps = config.open_net_bps
        self.engine.limits.rearm_net_bps = config.rearm_net_bps
        self.engine.limits.update_step_bps = config.update_step_bps
        self.engine.limits.min_executable_usd = config.min_executable_usd
        self.engine.limits.max_spread_bps = config.max_spread_bps
        self.engine.limits.max_leg_age_ns = config.max_leg_age_ms * 1_000_000
        self.engine.limits.confirm_updates = config.confirm_updates
        self.engine.limits.confirm_ns = config.confirm_ms * 1_000_000
        self.engine.limits.frozen_move = config.frozen_move_bps / 10_000.0
        self.engine.limits.frozen_after_ns = <int64_t>(config.frozen_after_s * 1e9)
        self.engine.limits.holding_ms = config.holding_h * 3_600_000.0
        self.engine.limits.max_funding_age_ns = <int64_t>(config.max_funding_age_s * 1e9)
        self.engine.limits.max_baseline_age_ns = <int64_t>(config.max_baseline_age_s * 1e9)
        self.wait_mode = WAIT_MODES[config.wait]
        self.spin_ns = <int64_t>(config.spin_us * 1000)
        self.wait_bound_ns = config.wait_bound_ms * 1_000_000
        while self.engine.waiting.count:
            # By the new limits, from now on.
            waiting_route = &self.engine.table.routes[self.engine.waiting.routes[0]]
            stop_waiting(&self.engine.waiting, &self.engine.table, waiting_route)
        look_at_everything(&self.engine)

    def set_wake_fd(self, int wake_fd) -> None:
        """Sleep on this eventfd; it must be non-blocking."""
        self.wake_fd = wake_fd
        self.is_wake_written = False

    def look_again(self) -> None:
        """Evaluate every route afresh in the next pass.

        Call it when legs came back into use, and when the operator's words changed: what crossed
        the threshold meanwhile and has been quiet since must be seen.
        """
        look_at_everything(&self.engine)

    def set_routes(self, routes) -> None:
        """Replace the routes: (spot slot, futures slot, direction, symbol id, fee_bps) each.

        A route that was there before keeps its state, whatever its fee was: open stays open. One
        that is gone is dropped without a signal. One that is new begins closed, or resumed where
        an earlier engine left it open. Every route is looked at with the next pass, so nothing that
        changed before is missed; confirmation begins anew. Legs that stay keep what is known of
        them: one that stands still does not become believable by a reload, nor by a restart.

        Raises:
            IndexError: a slot, direction or symbol does not exist; the routes are the same as
                before.
        """
        cdef route_table_t table
        cdef waiting_t waiting
        cdef int index
        cdef bint has_room
        routes = list(routes)
        has_room = allocate_table(&table, len(routes))
        has_room = allocate_waiting(&waiting, len(routes)) and has_room
        try:
            if not has_room:
                raise MemoryError
            for index, route in enumerate(routes):
                place_route(&table.routes[index], route)
            link_legs(&table)
        except BaseException:
            release_table(&table)
            release_waiting(&waiting)
            raise
        self.take_over_states(&table)
        self.take_over_legs(&table)
        release_table(&self.engine.table)
        release_waiting(&self.engine.waiting)
        self.engine.table, self.engine.waiting = table, waiting
        look_at_everything(&self.engine)

    cdef void take_over_legs(self, route_table_t* table):
        cdef leg_t* before
        cdef leg_t* leg
        cdef int slot
        for slot in range(SLOT_COUNT):
            before, leg = &self.engine.table.legs[slot], &table.legs[slot]
            if before.route_count and leg.route_count:
                leg.data, leg.sequence = before.data, before.sequence
                leg.is_stable, leg.moves = before.is_stable, before.moves
                leg.believed_bid, leg.believed_ask = before.believed_bid, before.believed_ask
            else:
                inherit(
                    &self.engine.stillness[slot % MAX_SYMBOLS], self.engine.outbox.routes,
                    slot // MAX_SYMBOLS, slot % MAX_SYMBOLS, leg.route_count > 0,
                )

    cdef void take_over_states(self, route_table_t* table):
        cdef route_t* before
        cdef route_t* route
        cdef const route_state_t* state
        cdef int index
        # Numbers of openings never repeat, also not those of a route that goes and comes back.
        for index in range(self.engine.table.route_total):
            before = &self.engine.table.routes[index]
            if same_route(table, before) == NULL:
                self.past_openings[before.direction, before.symbol_id] = before.opening
                end_quietly(self.engine.outbox.routes, before)
        for index in range(table.route_total):
            route = &table.routes[index]
            before = same_route(&self.engine.table, route)
            if before != NULL:
                route.is_open, route.is_resumed = before.is_open, before.is_resumed
                route.signalled_net_bps = before.signalled_net_bps
                route.opening, route.void_through = before.opening, before.void_through
                continue
            state = &self.engine.outbox.routes.states[state_index(route)]
            route.opening = max(
                <object>state.opening,
                self.past_openings.pop((route.direction, route.symbol_id), 0),
            )
            # One that is resumed is to be told again under its number.
            route.void_through = route.opening - (state.is_open != 0)
            if state.is_open:
                route.is_open = route.is_resumed = True
                route.signalled_net_bps = state.net_bps
                count(self.engine.health, COUNT_RESUMED, 1)

    def scan(self) -> int:
        """Do one pass now; return how many symbols had changed."""
        cdef int changed
        self.engine.wall_offset_ns = wall_offset_ns()
        self.engine.is_timed = True
        with nogil:
            changed = scan_pass(&self.engine, now_ns())
        return changed

    def scan_at(self, int64_t time_ns, int64_t wall_offset_ns=0) -> int:
        """Do one pass as if it were *time_ns* now; return how many symbols had changed.

        Args:
            time_ns: of the pass, in the clock of the quotes' received_ns.
            wall_offset_ns: Unix time less that clock; settlements of funding are in Unix time.
        """
        cdef int changed
        self.engine.wall_offset_ns = wall_offset_ns
        self.engine.is_timed = False
        with nogil:
            changed = scan_pass(&self.engine, time_ns)
        return changed

    def run(self, int64_t budget_ns) -> int:
        """Scan and wait by the configured mode for *budget_ns*; return the passes that found work.

        A signal to the process ends a sleep early. Holds no lock; releases the GIL throughout.
        """
        cdef int busy
        self.engine.wall_offset_ns = wall_offset_ns()
        self.engine.is_timed = True
        with nogil:
            busy = self.run_loop(now_ns() + budget_ns)
        return busy

    cdef int run_loop(self, int64_t deadline_ns) noexcept nogil:
        cdef int busy = 0
        cdef int64_t now = now_ns()
        cdef int64_t idle_since = now
        cdef int64_t limit_ns
        while now < deadline_ns:
            if now >= self.engine.waiting.next_due_ns or is_anything_dirty(
                self.engine.dirty, self.engine.table.words_in_use
            ):
                scan_pass(&self.engine, now)
                busy += 1
                now = idle_since = now_ns()
                continue
            if self.wait_mode == WAIT_SPIN or (
                self.wait_mode == WAIT_ADAPTIVE and now - idle_since < self.spin_ns
            ):
                cpu_relax()
            else:
                limit_ns = min(deadline_ns, self.engine.waiting.next_due_ns) - now
                if self.sleep(min(self.wait_bound_ns, limit_ns)) < 0:
                    break
            now = now_ns()
        catch_up(&self.engine, now)
        return busy

    cdef int sleep(self, int64_t limit_ns) noexcept nogil:
        cdef bint has_slept
        cdef int outcome = sleep_until_woken(
            self.engine.dirty, self.engine.table.words_in_use, self.wake_fd, limit_ns, &has_slept,
            &self.is_wake_written,
        )
        if has_slept:
            count(self.engine.health, COUNT_SLEEPS, 1)
        return outcome

    @property
    def spilled(self) -> int:
        """Openings and endings that wait for room in the ring."""
        return self.engine.outbox.spill_count

    @property
    def open_routes(self) -> int:
        """Routes that have signalled an opening and no ending yet."""
        cdef int index, total = 0
        for index in range(self.engine.table.route_total):
            total += self.engine.table.routes[index].is_open
        return total


cdef int place_route(route_t* route, described) except -1:
    spot_slot, futures_slot, direction, symbol_id, fee_bps = described
    for slot in (spot_slot, futures_slot):
        if not 0 <= slot < SLOT_COUNT:
            raise IndexError(f"slot {slot}, expected 0 to {SLOT_COUNT - 1}")
    if not 0 <= symbol_id < MAX_SYMBOLS:
        raise IndexError(f"symbol {symbol_id}, expected 0 to {MAX_SYMBOLS - 1}")
    if not 0 <= direction < MAX_DIRECTIONS:
        raise IndexError(f"direction {direction}, expected 0 to {MAX_DIRECTIONS - 1}")
    route.spot_slot = spot_slot
    route.futures_slot = futures_slot
    route.direction = direction
    route.symbol_id = symbol_id
    route.fee_bps = fee_bps
    return 0
