# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""The engine's pass: dirty symbols in, signals out, one kernel call, no Python object.

A pass takes the dirty words, reads only the prices whose sequence moved, keeps its own copy of both
legs of every route and computes the routes that a change touches. The spread formulas are those of
engine/spread.py, in the same order.

Beside this file: route_table.pxd (routes and legs), outbox.pxd (the way into the ring),
engine_wait.pxd (sleeping).
"""

from libc.math cimport NAN
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from spreadscan.kernel.engine_wait cimport is_anything_dirty, sleep_until_woken
from spreadscan.kernel.health cimport HealthSlot
from spreadscan.kernel.memory cimport (
    DirtyBits, MAX_SYMBOLS, NUM_SOURCES, PriceSlots, SLOT_COUNT, SignalRing, count, cpu_relax,
    exchange_acq_rel_u64, living_epoch, load_acquire_u64, load_relaxed_u64, lowest_bit, mark_dirty,
    now_ns, record_latency, seqlock_read, signal_t,
)
from spreadscan.kernel.outbox cimport (
    CONFLATED, SENT, SPILL_CAPACITY, describe, flush, outbox_t, send,
)
from spreadscan.kernel.route_table cimport (
    allocate_table, leg_t, link_legs, release_table, route_t, route_table_t, same_route,
)

from spreadscan.model import SignalType
from spreadscan.shm.layout import (
    SIGNAL_PAYLOAD_BYTES, SIGNAL_VERSION, EngineCounter, Gate, Histogram,
)

cdef uint16_t SIGNAL_OPEN = SignalType.OPEN
cdef uint16_t SIGNAL_UPDATE = SignalType.UPDATE
cdef uint16_t SIGNAL_CLOSE = SignalType.CLOSE
cdef uint16_t VERSION = SIGNAL_VERSION
cdef uint32_t PAYLOAD_BYTES = SIGNAL_PAYLOAD_BYTES
cdef int PASSES = EngineCounter.PASSES
cdef int DIRTY_SYMBOLS = EngineCounter.DIRTY_SYMBOLS
cdef int ROUTES_EVALUATED = EngineCounter.ROUTES_EVALUATED
cdef int SIGNALS_OPEN = EngineCounter.SIGNALS_OPEN
cdef int SIGNALS_UPDATE = EngineCounter.SIGNALS_UPDATE
cdef int SIGNALS_CLOSE = EngineCounter.SIGNALS_CLOSE
cdef int RING_FULL = EngineCounter.RING_FULL
cdef int COUNT_CONFLATED = EngineCounter.CONFLATED
cdef int COUNT_SPILLED = EngineCounter.SPILLED
cdef int SLEEPS = EngineCounter.SLEEPS
cdef int TORN_READS = EngineCounter.TORN_READS
cdef int SUPPRESSED_UNUSABLE = EngineCounter.SUPPRESSED + Gate.UNUSABLE
cdef int SUPPRESSED_DEAD_EPOCH = EngineCounter.SUPPRESSED + Gate.DEAD_EPOCH
cdef int SUPPRESSED_STALE = EngineCounter.SUPPRESSED + Gate.STALE
cdef int SUPPRESSED_SIZE = EngineCounter.SUPPRESSED + Gate.SIZE
cdef int SUPPRESSED_INSANE = EngineCounter.SUPPRESSED + Gate.INSANE
cdef int SUPPRESSED_PAUSED = EngineCounter.SUPPRESSED + Gate.PAUSED
cdef int RECEIVE_TO_SCAN = Histogram.ENGINE_RECEIVE_TO_SCAN
cdef int SCAN_PASS = Histogram.ENGINE_SCAN_PASS

cdef enum:
    WAIT_SPIN = 0
    WAIT_ADAPTIVE = 1
    WAIT_EVENTFD = 2
    # One pass in this many is timed: a clock reading is a twentieth of a small pass.
    PASS_SAMPLE_EVERY = 16

WAIT_MODES = {"spin": WAIT_SPIN, "adaptive": WAIT_ADAPTIVE, "eventfd": WAIT_EVENTFD}


cdef class Scanner:
    """All routes of a universe, and the one producer of the ring; see the stub file."""

    cdef:
        PriceSlots prices
        DirtyBits dirty
        SignalRing ring
        HealthSlot health
        route_table_t table
        dict past_openings
        outbox_t outbox
        uint64_t epochs[NUM_SOURCES]
        # thresholds
        double open_net_bps
        double rearm_net_bps
        double update_step_bps
        double min_executable_usd
        double max_spread_bps
        int64_t max_leg_age_ns
        # pauses
        bint is_paused
        uint64_t paused_sources
        uint64_t paused_directions
        uint32_t busy_passes
        # waiting
        int wait_mode
        int64_t spin_ns
        int64_t wait_bound_ns
        int wake_fd

    def __cinit__(self) -> None:
        self.outbox.spill = <signal_t*>calloc(SPILL_CAPACITY, sizeof(signal_t))
        if self.outbox.spill == NULL or not allocate_table(&self.table, 0):
            raise MemoryError
        self.past_openings = {}
        self.wake_fd = -1

    def __dealloc__(self) -> None:
        release_table(&self.table)
        free(self.outbox.spill)

    def __init__(
        self, PriceSlots prices, DirtyBits dirty, SignalRing ring, HealthSlot health
    ) -> None:
        for mapping in (dirty.mapping, ring.mapping, health.mapping):
            if not mapping.writable:
                raise PermissionError("the engine writes dirty, ring and health")
        self.prices = prices
        self.dirty = dirty
        self.ring = ring
        self.outbox.ring = ring.ring
        self.outbox.cached_head = &ring.cached_head
        self.health = health

    def configure(self, config) -> None:
        """Take thresholds and wait mode from an EngineConfig."""
        self.open_net_bps = config.open_net_bps
        self.rearm_net_bps = config.rearm_net_bps
        self.update_step_bps = config.update_step_bps
        self.min_executable_usd = config.min_executable_usd
        self.max_spread_bps = config.max_spread_bps
        self.max_leg_age_ns = config.max_leg_age_ms * 1_000_000
        self.wait_mode = WAIT_MODES[config.wait]
        self.spin_ns = <int64_t>(config.spin_us * 1000)
        self.wait_bound_ns = config.wait_bound_ms * 1_000_000

    def set_wake_fd(self, int wake_fd) -> None:
        """Sleep on this eventfd; it must be non-blocking."""
        self.wake_fd = wake_fd

    def look_again(self) -> None:
        """Evaluate every route afresh in the next pass: call it when legs came back into use."""
        self.look_at_everything()

    def set_pause(self, bint everything, uint64_t sources, uint64_t directions) -> None:
        """Suppress signals of all routes, of sources (bit = id) or of directions (bit = id)."""
        self.is_paused = everything
        self.paused_sources = sources
        self.paused_directions = directions
        # What crossed the threshold meanwhile and has been quiet since must be seen when a pause
        # ends.
        self.look_at_everything()

    def set_routes(self, routes) -> None:
        """Replace the routes: (spot slot, futures slot, direction, symbol id, fee_bps) each.

        A route that was there before keeps its state, whatever its fee was: open stays open. One
        that is new begins closed, one that is gone is dropped without a signal. Every leg is read
        afresh with the next pass, so nothing that changed before is missed.

        Raises:
            IndexError: a slot or symbol does not exist; the routes are the same as before.
        """
        cdef route_table_t table
        cdef int index
        routes = list(routes)
        try:
            if not allocate_table(&table, len(routes)):
                raise MemoryError
            for index, (spot_slot, futures_slot, direction, symbol_id, fee_bps) in enumerate(routes):
                for slot in (spot_slot, futures_slot):
                    if not 0 <= slot < SLOT_COUNT:
                        raise IndexError(f"slot {slot}, expected 0 to {SLOT_COUNT - 1}")
                if not 0 <= symbol_id < MAX_SYMBOLS:
                    raise IndexError(f"symbol {symbol_id}, expected 0 to {MAX_SYMBOLS - 1}")
                table.routes[index].spot_slot = spot_slot
                table.routes[index].futures_slot = futures_slot
                table.routes[index].direction = direction
                table.routes[index].symbol_id = symbol_id
                table.routes[index].fee_bps = fee_bps
            link_legs(&table)
            self.take_over_states(&table)
        except BaseException:
            release_table(&table)
            raise
        release_table(&self.table)
        self.table = table
        self.look_at_everything()

    cdef void take_over_states(self, route_table_t* table):
        cdef const route_t* before
        cdef route_t* route
        cdef int index
        # Numbers of openings never repeat while the engine runs, also not those of a route that
        # goes and comes back.
        for index in range(self.table.route_total):
            before = &self.table.routes[index]
            if before.opening and same_route(table, before) == NULL:
                self.past_openings[before.direction, before.symbol_id] = before.opening
        for index in range(table.route_total):
            route = &table.routes[index]
            before = same_route(&self.table, route)
            if before == NULL:
                route.opening = self.past_openings.pop((route.direction, route.symbol_id), 0)
                continue
            route.is_open = before.is_open
            route.signalled_net_bps = before.signalled_net_bps
            route.opening = before.opening

    cdef void look_at_everything(self) noexcept:
        cdef int slot
        for slot in range(SLOT_COUNT):
            # Odd, so no stable sequence equals it: the next pass reads the leg afresh.
            self.table.legs[slot].sequence = 1
            if self.table.legs[slot].route_count:
                mark_dirty(self.dirty.dirty, slot // MAX_SYMBOLS, slot % MAX_SYMBOLS)

    def scan(self) -> int:
        """Do one pass now; return how many symbols had changed."""
        cdef int changed
        with nogil:
            changed = self.scan_pass(now_ns())
        return changed

    def scan_at(self, int64_t time_ns) -> int:
        """Do one pass as if it were *time_ns* now; return how many symbols had changed."""
        cdef int changed
        with nogil:
            changed = self.scan_pass(time_ns)
        return changed

    def run(self, int64_t budget_ns) -> int:
        """Scan and wait by the configured mode for *budget_ns*; return the passes that found work.

        A signal to the process ends a sleep early. Holds no lock; releases the GIL throughout.
        """
        cdef int busy
        with nogil:
            busy = self.run_loop(now_ns() + budget_ns)
        return busy

    cdef int run_loop(self, int64_t deadline_ns) noexcept nogil:
        cdef int busy = 0
        cdef int64_t now = now_ns()
        cdef int64_t idle_since = now
        while now < deadline_ns:
            if is_anything_dirty(self.dirty.dirty, self.table.words_in_use):
                self.scan_pass(now)
                busy += 1
                now = idle_since = now_ns()
                continue
            if self.wait_mode == WAIT_SPIN or (
                self.wait_mode == WAIT_ADAPTIVE and now - idle_since < self.spin_ns
            ):
                cpu_relax()
            elif self.sleep(min(self.wait_bound_ns, deadline_ns - now)) < 0:
                break
            now = now_ns()
        if self.outbox.spill_count:
            flush(&self.outbox)
        return busy

    cdef int sleep(self, int64_t limit_ns) noexcept nogil:
        cdef bint has_slept
        cdef int outcome = sleep_until_woken(
            self.dirty.dirty, self.table.words_in_use, self.wake_fd, limit_ns, &has_slept
        )
        if has_slept:
            count(self.health.slot, SLEEPS, 1)
        return outcome

    cdef int scan_pass(self, int64_t now) noexcept nogil:
        cdef int source_id, word, slot
        cdef uint64_t bits
        cdef int changed = 0
        if self.outbox.spill_count:
            flush(&self.outbox)
        for source_id in range(NUM_SOURCES):
            self.epochs[source_id] = living_epoch(self.prices.prices, source_id)
        for source_id in range(NUM_SOURCES):
            for word in range(self.table.words_in_use):
                if load_relaxed_u64(&self.dirty.dirty.words[source_id][word]) == 0:
                    continue
                # sync: pairs with mark_dirty.
                bits = exchange_acq_rel_u64(&self.dirty.dirty.words[source_id][word], 0)
                while bits:
                    slot = source_id * MAX_SYMBOLS + word * 64 + lowest_bit(bits)
                    bits &= bits - 1
                    changed += self.refresh(slot, now)
        count(self.health.slot, PASSES, 1)
        if changed:
            count(self.health.slot, DIRTY_SYMBOLS, changed)
            self.busy_passes += 1
            if self.busy_passes % PASS_SAMPLE_EVERY == 0:
                record_latency(self.health.slot, SCAN_PASS, now_ns() - now)
        return changed

    cdef int refresh(self, int slot, int64_t now) noexcept nogil:
        # Read a leg that may have changed and evaluate the routes it belongs to.
        cdef leg_t* leg = &self.table.legs[slot]
        cdef int index
        cdef uint64_t seen
        if leg.route_count == 0:
            return 0
        if load_acquire_u64(&self.prices.prices.seqs[slot].sequence) == leg.sequence:
            return 0
        leg.is_stable = seqlock_read(
            &self.prices.prices.seqs[slot], &self.prices.prices.entries[slot], &leg.data, &seen
        )
        if not leg.is_stable:
            # Its writer is in the middle and will mark it again, or is dead and its epoch with it.
            leg.sequence = 1
            count(self.health.slot, TORN_READS, 1)
            return 1
        leg.sequence = seen
        if self.why_unusable(leg, slot, now) < 0:
            record_latency(self.health.slot, RECEIVE_TO_SCAN, now - leg.data.received_ns)
        for index in range(leg.first_route, leg.first_route + leg.route_count):
            self.evaluate(&self.table.routes[self.table.route_of_slot[index]], now)
        return 1

    cdef int why_unusable(self, const leg_t* leg, int slot, int64_t now) noexcept nogil:
        # The counter of the reason, or -1 for a leg that may be believed.
        cdef uint64_t epoch = self.epochs[slot // MAX_SYMBOLS]
        if not leg.is_stable or leg.data.flags:
            return SUPPRESSED_UNUSABLE
        if not epoch & 1 or leg.data.epoch != <uint16_t>epoch:
            return SUPPRESSED_DEAD_EPOCH
        if now - leg.data.received_ns > self.max_leg_age_ns:
            return SUPPRESSED_STALE
        return -1

    cdef void evaluate(self, route_t* route, int64_t now) noexcept nogil:
        cdef const leg_t* spot = &self.table.legs[route.spot_slot]
        cdef const leg_t* futures = &self.table.legs[route.futures_slot]
        cdef double gross, net, usd, futures_usd
        cdef int reason
        if spot.data.ask <= 0 or futures.data.bid <= 0:
            return
        count(self.health.slot, ROUTES_EVALUATED, 1)
        gross = (futures.data.bid - spot.data.ask) / spot.data.ask * 10_000.0
        net = gross - route.fee_bps
        if not route.is_open and net < self.open_net_bps:
            return
        if route.is_open and net > self.rearm_net_bps and (
            -self.update_step_bps < net - route.signalled_net_bps < self.update_step_bps
        ):
            return
        # A leg that changed after this pass read it is marked, or is about to be, and will be looked
        # at again; with its old price this would be a spread that never was.
        if self.has_moved(spot, route.spot_slot) or self.has_moved(futures, route.futures_slot):
            return
        # From here on the route has something to say: may it?
        reason = self.why_unusable(spot, route.spot_slot, now)
        if reason < 0:
            reason = self.why_unusable(futures, route.futures_slot, now)
        usd = spot.data.ask * spot.data.ask_qty
        futures_usd = futures.data.bid * futures.data.bid_qty
        if futures_usd < usd:
            usd = futures_usd
        if reason < 0 and self.is_route_paused(route):
            reason = SUPPRESSED_PAUSED
        if reason < 0 and not -self.max_spread_bps < gross < self.max_spread_bps:
            reason = SUPPRESSED_INSANE
        if reason < 0 and not route.is_open and usd < self.min_executable_usd:
            reason = SUPPRESSED_SIZE
        if reason >= 0:
            count(self.health.slot, reason, 1)
            if reason == SUPPRESSED_PAUSED and net <= self.rearm_net_bps:
                # A pause holds back the message, not the truth: the tracker has seen the ending in
                # its snapshots, and the next crossing after the pause is an opening.
                route.is_open = False
            return
        if self.outbox.spill_count == SPILL_CAPACITY and not (route.is_open and net > self.rearm_net_bps):
            # No room for an opening or an ending: the route stays as it is and says so later.
            count(self.health.slot, RING_FULL, 1)
            return
        if not route.is_open:
            route.is_open = True
            route.opening += 1
            self.emit(route, SIGNAL_OPEN, gross, net, usd, now)
            count(self.health.slot, SIGNALS_OPEN, 1)
        elif net <= self.rearm_net_bps:
            route.is_open = False
            self.emit(route, SIGNAL_CLOSE, gross, net, usd, now)
            count(self.health.slot, SIGNALS_CLOSE, 1)
        else:
            self.emit(route, SIGNAL_UPDATE, gross, net, usd, now)
            count(self.health.slot, SIGNALS_UPDATE, 1)
        route.signalled_net_bps = net

    cdef bint has_moved(self, const leg_t* leg, int slot) noexcept nogil:
        return leg.is_stable and (
            load_acquire_u64(&self.prices.prices.seqs[slot].sequence) != leg.sequence
        )

    cdef bint is_route_paused(self, const route_t* route) noexcept nogil:
        cdef uint64_t sources = (
            <uint64_t>1 << (route.spot_slot // MAX_SYMBOLS)
            | <uint64_t>1 << (route.futures_slot // MAX_SYMBOLS)
        )
        return (
            self.is_paused
            or self.paused_sources & sources != 0
            or self.paused_directions >> route.direction & 1 != 0
        )

    cdef void emit(
        self, const route_t* route, uint16_t kind, double gross, double net, double usd, int64_t now
    ) noexcept nogil:
        cdef const leg_t* spot = &self.table.legs[route.spot_slot]
        cdef const leg_t* futures = &self.table.legs[route.futures_slot]
        cdef signal_t record
        cdef int outcome
        memset(&record, 0, sizeof(record))
        record.type = kind
        record.version = VERSION
        record.length = PAYLOAD_BYTES
        describe(&record, route, spot, futures, now)
        record.gross_bps = gross
        record.net_bps = net
        record.exit_bps = (futures.data.ask - spot.data.bid) / spot.data.bid * 10_000.0
        record.executable_usd = usd
        record.net_after_funding_bps = record.z_score = NAN
        # evaluate has seen that there is room.
        outcome = send(&self.outbox, &record, kind == SIGNAL_UPDATE)
        if outcome != SENT:
            count(self.health.slot, RING_FULL, 1)
            count(self.health.slot, COUNT_CONFLATED if outcome == CONFLATED else COUNT_SPILLED, 1)

    @property
    def spilled(self) -> int:
        """Openings and endings that wait for room in the ring."""
        return self.outbox.spill_count

    @property
    def open_routes(self) -> int:
        """Routes that have signalled an opening and no ending yet."""
        cdef int index, total = 0
        for index in range(self.table.route_total):
            total += self.table.routes[index].is_open
        return total
