# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""The only way into the price store: a source's slots and the gates before them.

A message is extracted and judged by itself (``extract``), then against what was known of its
symbol and its connection: an older id, a frame that waited too long (``lag.pxd``), a price that
jumped. What passes is published; what does not makes its slot unusable, under a flag of its own.
"""

cimport cython
from libc.math cimport INFINITY, fabs
from libc.stdint cimport int64_t, uint16_t, uint32_t
from libc.string cimport memset

from spreadscan.kernel.extract cimport (
    Extractor, STATUS_IMPLAUSIBLE, STATUS_JUMP, STATUS_LATE, STATUS_NOT_A_QUOTE,
    STATUS_OLD_UPDATE, STATUS_ONE_SIDED, STATUS_QUOTE, STATUS_UNKNOWN_SYMBOL, frame_t, leg_t,
    quote_t,
)
from spreadscan.kernel.health cimport HealthSlot
from spreadscan.kernel.lag cimport (
    AMONG_NS, BACK_NS, BULK_BYTES, LATEST_EXCHANGE_NS, LONG_AGO_NS, known_lag, lag_of, lag_t,
    start_lag, start_reference, was_set_back,
)
from spreadscan.kernel.memory cimport (
    DELAY_NOT_MEASURED, MAX_SYMBOLS, NUM_SOURCES, DirtyBits, PriceSlots, count, load_acquire_u64,
    mark_dirty, now_ns, price_data_t, record_latency, seqlock_write, store_relaxed_u64, store_release_u64,
    wake_if_sleeping,
)
from spreadscan.kernel.partial cimport (
    ASK_KNOWN, BID_KNOWN, BOTH_KNOWN, NS_PER_MS, known_after, take_sides, take_stamps,
)
from spreadscan.kernel.tap cimport TAP_FRAME, Tap, tap_mark, tap_put

from spreadscan.model import SlotFlag
from spreadscan.shm.counters import FeedCounter, Histogram

cdef uint16_t NEVER_WRITTEN = SlotFlag.NEVER_WRITTEN
cdef uint16_t ONE_SIDED = SlotFlag.ONE_SIDED
cdef uint16_t UNSUBSCRIBED = SlotFlag.UNSUBSCRIBED
cdef uint16_t REFUSED_FLAG = SlotFlag.REFUSED
cdef uint16_t LATE = SlotFlag.LATE
cdef uint16_t HELD = SlotFlag.HELD
# The next quote of such a slot is the first of its subscription.
cdef uint16_t AWAITED = SlotFlag.NEVER_WRITTEN | SlotFlag.DISCONNECTED | SlotFlag.UNSUBSCRIBED
cdef int FRAMES = FeedCounter.FRAMES
cdef int QUOTES = FeedCounter.QUOTES
cdef int BYTES = FeedCounter.BYTES
cdef int SYMBOLS_LIVE = FeedCounter.SYMBOLS_LIVE
cdef int WAKEUPS = FeedCounter.WAKEUPS
cdef int STALLS = FeedCounter.STALLS
cdef int REFUSED = FeedCounter.REFUSED
cdef int RECEIVE_TO_STORE = Histogram.FEED_RECEIVE_TO_STORE
cdef int LAG = Histogram.FEED_LAG

# How long a price may be compared with the one before. Reconnects take seconds, an exchange's
# maintenance longer; after ten minutes a coin may well have moved, and the first quote is believed.
cdef int64_t MEMORY_NS = 600_000_000_000
# Of the quotes of one read every so many has its publish delay measured, the first among them.
cdef int QUOTES_A_LOOK = 8
# No slot is dated back further: older is stale to every reader, and a time of 1970 is a mistake.
cdef int64_t MAX_AGE_NS = 3_600_000_000_000


cdef int checked(int symbol_id) except -1:
    if not 0 <= symbol_id < MAX_SYMBOLS:
        raise IndexError(f"symbol {symbol_id}, expected 0 to {MAX_SYMBOLS - 1}")
    return symbol_id


@cython.final
cdef class ConnectionLag:
    """How far behind one connection is; see lag.pxd."""


@cython.final
cdef class FeedSink:
    """A source's slots in the price store, and the only writer of them; see the stub file."""

    def __init__(
        self, int source_id, Extractor extractor, PriceSlots prices, DirtyBits dirty,
        HealthSlot health, *, int64_t restart_update_id=-1, bint is_restart_told_by_time=False,
        bint sends_unchanged=True, int64_t max_lag_ms=1_000, double max_jump_pct=10.0,
    ) -> None:
        cdef int symbol_id
        if not 0 <= source_id < NUM_SOURCES:
            raise IndexError(f"source {source_id}, expected 0 to {NUM_SOURCES - 1}")
        if max_lag_ms < 0 or not 0 <= max_jump_pct < INFINITY:
            raise ValueError(f"max_lag_ms {max_lag_ms}, max_jump_pct {max_jump_pct}: 0 or more")
        prices.mapping.writable_base()
        dirty.mapping.writable_base()
        health.mapping.writable_base()
        self.source_id = source_id
        self.extractor = extractor
        self.prices = prices
        self.dirty = dirty
        self.health = health
        self.recorder = None
        self.taps = NULL
        self.wake_fd = -1
        self.restart_update_id = restart_update_id
        self.is_restart_told_by_time = is_restart_told_by_time
        self.sends_unchanged = sends_unchanged
        self.max_lag_ns = max_lag_ms * NS_PER_MS
        self.max_jump = max_jump_pct / 100
        start_reference(&self.reference)
        self.own = self.connection = self.connected(now_ns())
        self.turned_ns = 0
        self.stalled_from_ns = self.stalled_until_ns = LONG_AGO_NS
        self.first_slot = source_id * MAX_SYMBOLS
        # Odd = owned. A predecessor that was killed left it odd: the next odd number then.
        self.epoch = (load_acquire_u64(&prices.prices.sources[source_id].epoch) + 1) | 1
        store_release_u64(&prices.prices.sources[source_id].epoch, self.epoch)
        memset(self.slots, 0, sizeof(self.slots))
        memset(self.symbols, 0, sizeof(self.symbols))
        for symbol_id in range(MAX_SYMBOLS):
            self.slots[symbol_id].flags = NEVER_WRITTEN
            self.slots[symbol_id].epoch = <uint16_t>self.epoch
            self.slots[symbol_id].update_id = -1
            self.publish(symbol_id)

    def close(self) -> None:
        """Give the source up: its epoch becomes even and every slot unusable at once."""
        store_release_u64(&self.prices.prices.sources[self.source_id].epoch, self.epoch + 1)

    def set_wake_fd(self, int wake_fd) -> None:
        """Use this eventfd to wake the engine; see the stub file."""
        self.wake_fd = wake_fd
        self.saw_turn(now_ns())

    @property
    def tap(self):
        """Where received messages are copied to; None for nowhere."""
        return self.recorder

    @tap.setter
    def tap(self, Tap tap) -> None:
        self.recorder = tap
        self.taps = NULL if tap is None else &tap.tap

    def mark(self, int symbol_id, uint16_t flag) -> None:
        """Make a symbol unusable until its next fresh quote; see the stub file."""
        cdef price_data_t* slot = &self.slots[checked(symbol_id)]
        if self.taps != NULL:
            tap_mark(self.taps, now_ns(), symbol_id, flag)
        self.release(symbol_id)
        if slot.flags == 0:
            self.set_flag(symbol_id, flag)
        else:
            # What its last frames were suspected of ends with the subscription.
            slot.flags = slot.flags & ~(LATE | HELD) | flag
            self.publish(symbol_id)
            self.announce(symbol_id)
        slot.update_id = -1
        self.symbols[symbol_id].known = 0
        if flag & UNSUBSCRIBED:
            # Its next instrument may have other factors.
            self.symbols[symbol_id].good_mid = 0
            self.symbols[symbol_id].heard_ns = 0

    @property
    def live_count(self) -> int:
        """Symbols whose slot is usable."""
        return self.live

    def is_live(self, int symbol_id) -> bool:
        """Whether a symbol's slot is usable."""
        return self.slots[checked(symbol_id)].flags == 0

    def last_ns(self, int symbol_id) -> int:
        """When the last accepted quote or repeat of a symbol arrived; see the stub file."""
        return self.symbols[checked(symbol_id)].heard_ns

    def silent(self, int64_t older_than_ns) -> list[int]:
        """Symbols that were heard and last before a moment; see the stub file."""
        return [
            symbol_id for symbol_id in range(MAX_SYMBOLS)
            if self.symbols[symbol_id].heard_ns and not self.slots[symbol_id].flags & AWAITED
            and self.symbols[symbol_id].heard_ns < older_than_ns
        ]

    def held(self) -> dict[int, int]:
        """Symbols that wait for a second quote after a jump; see the stub file."""
        if self.held_count == 0:
            return {}
        return {
            symbol_id: self.symbols[symbol_id].held_since_ns for symbol_id in range(MAX_SYMBOLS)
            if self.symbols[symbol_id].held_since_ns
        }

    def confirm(self, int symbol_id, double price) -> bool:
        """Believe a held candidate because somebody else says so; see the stub file."""
        cdef candidate_t* candidate = &self.candidates[checked(symbol_id)]
        cdef symbol_t* symbol = &self.symbols[symbol_id]
        if not symbol.held_since_ns:
            return False
        if not fabs(price - candidate.mid) <= self.max_jump * candidate.mid:
            return False
        if self.slots[symbol_id].flags == HELD:
            self.unmeasured = 0
            self.put(
                &candidate.quote, candidate.mid, candidate.received_ns, candidate.age_ns
            )
            return True
        # Something else stands against the quote; the price itself is no jump any more.
        symbol.good_mid = candidate.mid
        self.release(symbol_id)
        self.slots[symbol_id].flags &= ~HELD
        self.publish(symbol_id)
        return True

    def feed(self, bytes payload) -> int:
        """Treat *payload* as one message; return its QuoteStatus."""
        self.is_replayed = False
        self.unmeasured = 0
        self.connection = self.own
        self.received_ns = self.waited_since_ns = now_ns()
        return self.consume(payload, len(payload), 0)

    def feed_at(self, bytes payload, int64_t received_ns) -> int:
        """Treat *payload* as one message that arrived then; see the stub file."""
        self.is_replayed = True
        self.connection = self.own
        self.received_ns = self.waited_since_ns = received_ns
        return self.consume(payload, len(payload), 0)

    def merge(self, partial) -> int:
        """Merge a PartialQuote into its symbol's slot; see the stub file."""
        cdef int status = self.merged(partial)
        self.tally(status)
        return status

    def bench_consume(self, list payloads, int rounds) -> int:
        """Consume every payload *rounds* times inside the kernel; return how many were quotes."""
        cdef bytes payload
        cdef int round_number
        cdef int64_t quotes = 0
        for round_number in range(rounds):
            self.received_ns = self.waited_since_ns = now_ns()
            self.unmeasured = 0
            for payload in payloads:
                quotes += self.consume(payload, len(payload), 0) == STATUS_QUOTE
        return quotes

    # Connections.

    cdef ConnectionLag connected(self, int64_t now):
        cdef ConnectionLag connection = ConnectionLag()
        start_lag(&connection.lag, &self.reference)
        connection.read_ns = connection.waited_since_ns = now
        connection.was_bulky = False
        return connection

    cdef void begin_read(self, ConnectionLag connection, int64_t now, Py_ssize_t size) noexcept:
        # Bytes of a connection are about to be consumed; since when may they have waited, at worst?
        # They arrived after the loop last looked, unless it left some of them in the socket.
        cdef int64_t since_ns = now
        cdef bint was_away
        self.is_replayed = False
        self.unmeasured = 0
        self.connection = connection
        self.received_ns = now
        if self.turned_ns:
            self.saw_turn(now)
            was_away = (
                connection.read_ns < self.stalled_until_ns
                and now - self.stalled_until_ns < AMONG_NS
            )
            if was_away:
                since_ns = self.stalled_from_ns
            if connection.was_bulky and (was_away or now - connection.read_ns < AMONG_NS):
                since_ns = min(since_ns, connection.waited_since_ns)
        self.waited_since_ns = connection.waited_since_ns = since_ns
        connection.was_bulky = size >= BULK_BYTES
        connection.read_ns = now

    cdef void saw_turn(self, int64_t now) noexcept:
        # The loop is alive. One that was away (stopped, or busy) for too long left frames waiting.
        if self.max_lag_ns and self.turned_ns and now - self.turned_ns > self.max_lag_ns:
            self.stalled_from_ns = self.turned_ns
            self.stalled_until_ns = now
            count(self.health.slot, STALLS, 1)
        self.turned_ns = now

    # Slots.

    cdef void publish(self, int symbol_id) noexcept:
        cdef int slot = self.first_slot + symbol_id
        seqlock_write(
            &self.prices.prices.seqs[slot], &self.prices.prices.entries[slot], &self.slots[symbol_id]
        )

    cdef void announce(self, int symbol_id) noexcept:
        mark_dirty(self.dirty.dirty, self.source_id, symbol_id)
        if wake_if_sleeping(self.dirty.dirty, self.wake_fd):
            count(self.health.slot, WAKEUPS, 1)

    cdef void set_flag(self, int symbol_id, uint16_t flag) noexcept:
        cdef price_data_t* slot = &self.slots[symbol_id]
        if slot.flags & flag:
            return
        if slot.flags == 0:
            self.live -= 1
            store_relaxed_u64(&self.health.slot.counters[SYMBOLS_LIVE], self.live)
        slot.flags |= flag
        self.publish(symbol_id)
        self.announce(symbol_id)

    cdef void put(
        self, const quote_t* quote, double mid, int64_t arrived_ns, int64_t age_ns
    ) noexcept:
        # The quote is believed: it arrived then, and its price is older than that by age_ns.
        cdef price_data_t* slot = &self.slots[quote.symbol_id]
        cdef symbol_t* symbol = &self.symbols[quote.symbol_id]
        if slot.flags:
            slot.flags = 0
            self.live += 1
            store_relaxed_u64(&self.health.slot.counters[SYMBOLS_LIVE], self.live)
            self.release(quote.symbol_id)
        slot.bid = quote.bid
        slot.ask = quote.ask
        slot.bid_qty = quote.bid_qty
        slot.ask_qty = quote.ask_qty
        slot.exchange_ns = quote.exchange_ns
        slot.received_ns = arrived_ns - age_ns
        slot.update_id = quote.update_id
        symbol.known = BOTH_KNOWN
        symbol.good_mid = mid
        symbol.heard_ns = arrived_ns
        slot.publish_delay_ns = self.publish_delay(arrived_ns)
        if age_ns > 0:
            # It counts from the arrival, and the slot's time no longer says when that was.
            slot.publish_delay_ns = DELAY_NOT_MEASURED
        self.publish(quote.symbol_id)
        self.announce(quote.symbol_id)

    cdef uint32_t publish_delay(self, int64_t arrived_ns) noexcept:
        # The clock costs a tenth of a frame, and one quote takes a fraction of a microsecond.
        if self.is_replayed:
            return 0
        if self.unmeasured == 0:
            self.unmeasured = QUOTES_A_LOOK
            self.delay_ns = <uint32_t>min(
                now_ns() - arrived_ns, <int64_t>DELAY_NOT_MEASURED - 1
            )
        self.unmeasured -= 1
        return self.delay_ns

    # Gates.

    cdef bint is_old(self, int symbol_id, int64_t update_id, int64_t exchange_ns) noexcept:
        # An id equal to the last one is the exchange repeating an unchanged book: proof of life.
        cdef price_data_t* slot = &self.slots[symbol_id]
        if update_id < 0 or update_id >= slot.update_id or update_id == self.restart_update_id:
            return False
        return not (self.is_restart_told_by_time and exchange_ns > slot.exchange_ns)

    cdef int64_t age_of(self, const quote_t* quote, bint is_repeat, bint* is_late) noexcept:
        # How long the frame waited, at worst, and whether that is a backlog's.
        cdef lag_t* lag = &self.connection.lag
        cdef price_data_t* slot = &self.slots[quote.symbol_id]
        cdef int64_t received_ns = self.received_ns
        cdef int64_t lag_ns
        cdef bint is_earlier
        if is_repeat or not 0 < quote.exchange_ns < LATEST_EXCHANGE_NS:
            # A repeat carries its book's old time; others none at all.
            lag_ns = max(received_ns - self.waited_since_ns, known_lag(lag, received_ns))
            is_late[0] = lag_ns > self.max_lag_ns
            return lag_ns
        lag_ns = lag_of(lag, &self.reference, quote.exchange_ns, received_ns)
        if lag_ns > self.max_lag_ns > 0:
            # Of a newer quote, as its id says.
            is_earlier = (
                slot.flags & AWAITED == 0 and 0 <= slot.update_id < quote.update_id
                and quote.exchange_ns < slot.exchange_ns - BACK_NS
            )
            if was_set_back(lag, &self.reference, quote.exchange_ns, received_ns, is_earlier):
                lag_ns = received_ns - quote.exchange_ns - lag.offset_ns
        record_latency(self.health.slot, LAG, lag_ns)
        if lag_ns <= self.max_lag_ns:
            lag.back_frames = 0
            lag.timely_ns = received_ns
            lag.late_ns = LONG_AGO_NS
            is_late[0] = False
        else:
            is_late[0] = received_ns - lag.timely_ns > AMONG_NS
        return lag_ns

    cdef bint is_second(self, const quote_t* quote, double mid) noexcept:
        # Whether it bears out the candidate: another statement of the exchange, of the same price.
        cdef candidate_t* candidate = &self.candidates[quote.symbol_id]
        if not self.symbols[quote.symbol_id].held_since_ns:
            return False
        if fabs(mid - candidate.mid) > self.max_jump * candidate.mid:
            return False
        if quote.update_id >= 0 and candidate.quote.update_id >= 0:
            return quote.update_id != candidate.quote.update_id
        return self.received_ns > candidate.received_ns

    cdef void hold(self, const quote_t* quote, double mid, int64_t age_ns) noexcept:
        cdef price_data_t* slot = &self.slots[quote.symbol_id]
        cdef candidate_t* candidate = &self.candidates[quote.symbol_id]
        cdef symbol_t* symbol = &self.symbols[quote.symbol_id]
        if not symbol.held_since_ns:
            symbol.held_since_ns = max(self.received_ns, <int64_t>1)
            self.held_count += 1
        candidate.quote = quote[0]
        candidate.mid = mid
        candidate.received_ns = self.received_ns
        candidate.age_ns = age_ns
        if slot.flags == 0:
            self.set_flag(quote.symbol_id, HELD)
        elif slot.flags != HELD:
            # The quote is sound and the newest: only that it jumped stands against it.
            slot.flags = HELD
            self.publish(quote.symbol_id)
            self.announce(quote.symbol_id)

    cdef void release(self, int symbol_id) noexcept:
        if self.symbols[symbol_id].held_since_ns:
            self.symbols[symbol_id].held_since_ns = 0
            self.held_count -= 1

    cdef int accept(self, const quote_t* quote) noexcept:
        cdef price_data_t* slot = &self.slots[quote.symbol_id]
        cdef symbol_t* symbol = &self.symbols[quote.symbol_id]
        cdef bint is_repeat = quote.update_id >= 0 and quote.update_id == slot.update_id
        cdef bint is_first = slot.flags & AWAITED != 0
        cdef bint is_late = False
        cdef double mid = (quote.bid + quote.ask) * 0.5
        cdef int64_t age_ns
        if self.is_old(quote.symbol_id, quote.update_id, quote.exchange_ns) or (
            is_repeat and not is_first and not self.sends_unchanged
        ):
            return STATUS_OLD_UPDATE
        age_ns = self.age_of(quote, is_repeat, &is_late)
        if is_first or is_repeat:
            # The price stands, whatever its age; but a late book that is late again is late.
            is_late = is_late and not is_first and slot.flags & LATE != 0
            age_ns = min(age_ns, MAX_AGE_NS, max(self.received_ns, <int64_t>0))
            if is_repeat:
                # It was not older before.
                age_ns = min(age_ns, max(self.received_ns - slot.received_ns, <int64_t>0))
        if is_late and self.max_lag_ns:
            if not is_repeat and quote.exchange_ns > 0:
                self.connection.lag.late_ns = self.received_ns
                self.connection.lag.late_by_ns = age_ns
            self.set_flag(quote.symbol_id, LATE)
            # What comes next is newer than this, or repeats it; changes need both sides anew.
            slot.update_id = quote.update_id
            slot.exchange_ns = quote.exchange_ns
            symbol.known = 0
            return STATUS_LATE
        if fabs(mid - symbol.good_mid) > self.max_jump * symbol.good_mid > 0 and (
            self.received_ns - symbol.heard_ns < MEMORY_NS
        ) and not self.is_second(quote, mid):
            self.hold(quote, mid, age_ns if is_first or is_repeat else 0)
            symbol.known = 0
            return STATUS_JUMP
        self.put(quote, mid, self.received_ns, age_ns if is_first or is_repeat else 0)
        if not self.is_replayed:
            record_latency(self.health.slot, RECEIVE_TO_STORE, self.delay_ns)
        return STATUS_QUOTE

    # Messages.

    cdef int consume(self, const char* payload, Py_ssize_t size, Py_ssize_t slack) noexcept:
        # One whole message: extract, judge, publish; returns the status, which is counted.
        # received_ns was set by the caller. *slack* bytes behind the payload may be read.
        cdef quote_t quote
        cdef frame_t frame
        cdef int status
        if self.taps != NULL:
            tap_put(self.taps, TAP_FRAME, self.received_ns, payload, size)
        status = self.extractor.extract(payload, size, slack, &quote, &frame)
        count(self.health.slot, FRAMES, 1)
        count(self.health.slot, BYTES, size)
        if status == STATUS_QUOTE:
            status = self.accept(&quote)
        elif status == STATUS_ONE_SIDED:
            self.set_flag(quote.symbol_id, ONE_SIDED)
            self.symbols[quote.symbol_id].known = 0
        elif quote.symbol_id >= 0:
            # The book moved to something that cannot be believed; the price before is history.
            self.set_flag(quote.symbol_id, REFUSED_FLAG)
            self.symbols[quote.symbol_id].known = 0
        self.tally(status)
        return status

    cdef void tally(self, int status) noexcept:
        if status == STATUS_QUOTE:
            count(self.health.slot, QUOTES, 1)
        elif status != STATUS_NOT_A_QUOTE:
            count(self.health.slot, REFUSED + status, 1)

    cdef int merged(self, partial) except -1:
        cdef frame_t frame
        cdef quote_t quote
        cdef int status, known, came
        symbol = partial.symbol.encode()
        cdef int leg_number = self.extractor.find(symbol, len(symbol))
        if leg_number < 0:
            return STATUS_UNKNOWN_SYMBOL
        cdef leg_t* leg = &self.extractor.legs.rows[leg_number]
        cdef price_data_t* slot = &self.slots[leg.symbol_id]
        memset(&frame, 0, sizeof(frame_t))
        frame.symbol, frame.symbol_length = symbol, len(symbol)
        if not take_stamps(partial, &frame):
            return STATUS_IMPLAUSIBLE
        if self.is_old(
            leg.symbol_id, frame.update_id, max(frame.exchange_ms * NS_PER_MS, <int64_t>-1)
        ):
            return STATUS_OLD_UPDATE
        came = take_sides(partial, leg, slot, &frame)
        status = self.extractor.judge(&frame, &quote)
        if not came & BID_KNOWN:
            quote.bid, quote.bid_qty = slot.bid, slot.bid_qty
        if not came & ASK_KNOWN:
            quote.ask, quote.ask_qty = slot.ask, slot.ask_qty
        known = known_after(partial, self.symbols[leg.symbol_id].known, came)
        if known != BOTH_KNOWN:
            status = STATUS_ONE_SIDED
        elif status == STATUS_QUOTE:
            status = self.accept(&quote)
            if status != STATUS_LATE and status != STATUS_JUMP:
                return status
            # Not to be used, but the book that the next change is a change of.
        else:
            # Both at once contradict each other; one alone shows that the other is outdated.
            known = came % BOTH_KNOWN
        slot.bid, slot.bid_qty, slot.ask, slot.ask_qty = (
            quote.bid, quote.bid_qty, quote.ask, quote.ask_qty
        )
        slot.update_id = frame.update_id
        self.symbols[leg.symbol_id].known = known
        if status != STATUS_LATE and status != STATUS_JUMP:
            self.set_flag(leg.symbol_id, ONE_SIDED)
        return status
