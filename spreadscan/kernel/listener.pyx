# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""From a WebSocket frame to the price store, without a Python object in between.

One FeedSink a source owns its slots in the store; one QuoteListener a connection extracts quotes
from its frames and hands them to the sink. Frames that are no quotes go to a Python callback.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset
from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

from spreadscan.kernel.extract cimport (
    Extractor, FIELD_ASK, FIELD_ASK_QTY, FIELD_BID, FIELD_BID_QTY, FIELD_EXCHANGE_MS, FIELD_SYMBOL,
    FIELD_UPDATE_ID, SIDES, STATUS_IMPLAUSIBLE, STATUS_MALFORMED, STATUS_NOT_A_QUOTE,
    STATUS_OLD_UPDATE, STATUS_ONE_SIDED, STATUS_QUOTE, STATUS_UNKNOWN_SYMBOL, frame_t, leg_t,
    quote_t,
)
from spreadscan.kernel.health cimport HealthSlot
from spreadscan.kernel.memory cimport (
    DirtyBits, MAX_SYMBOLS, NUM_SOURCES, PriceSlots, count, load_acquire_u64,
    mark_dirty, now_ns, price_data_t, record_latency, seqlock_write, store_relaxed_u64,
    store_release_u64,
    wake_if_sleeping,
)

from spreadscan.errors import FeedError
from spreadscan.model import SlotFlag
from spreadscan.shm.layout import FeedCounter, Histogram

cdef uint16_t NEVER_WRITTEN = SlotFlag.NEVER_WRITTEN
cdef uint16_t ONE_SIDED = SlotFlag.ONE_SIDED
cdef uint16_t REFUSED_FLAG = SlotFlag.REFUSED
cdef int FRAMES = FeedCounter.FRAMES
cdef int QUOTES = FeedCounter.QUOTES
cdef int CONTROL_FRAMES = FeedCounter.CONTROL_FRAMES
cdef int BYTES = FeedCounter.BYTES
cdef int SYMBOLS_LIVE = FeedCounter.SYMBOLS_LIVE
cdef int WAKEUPS = FeedCounter.WAKEUPS
cdef int REFUSED = FeedCounter.REFUSED
cdef int RECEIVE_TO_STORE = Histogram.FEED_RECEIVE_TO_STORE

cdef enum:
    # Sides of a slot that are the exchange's present ones; what a change may be merged with.
    BID_KNOWN = 1
    ASK_KNOWN = 2
    BOTH_KNOWN = 3

cdef int64_t NS_PER_MS = 1_000_000
cdef int64_t BEYOND = -2
INT64_MAX = 2**63 - 1


cdef int64_t bounded(number, limit) except? -1:
    # A Python int as it is, -1 for None, BEYOND for one that does not fit.
    if number is None:
        return -1
    return number if 0 <= number <= limit else BEYOND


cdef bint take_level(level, double* price, double* qty) except -1:
    # Whether a side came; what is not positive and finite is no level.
    if level is None:
        return False
    price[0], qty[0] = level
    return 0 < price[0] < INFINITY and 0 < qty[0] < INFINITY


cdef class FeedSink:
    """A source's slots in the price store, and the only writer of them.

    Args:
        source_id: whose slots.
        extractor: the compiled plan with the source's instruments.
        prices: writable price store.
        dirty: writable bitmap.
        health: the feed's own slot.
        restart_update_id: a quote with this id is never old; -1 for none.
        is_restart_told_by_time: a lower id with a later exchange time is not old.

    Concurrency: one thread; holder of the source's lock. Taking the source raises its epoch, which
    makes every older slot unusable, and heals slots a killed predecessor left half written.
    """

    cdef:
        Extractor extractor
        PriceSlots prices
        DirtyBits dirty
        HealthSlot health
        readonly int source_id
        readonly int64_t epoch
        int wake_fd
        int64_t restart_update_id
        bint is_restart_told_by_time
        int first_slot
        int live
        int64_t received_ns                 # arrival of the bytes that are being consumed
        price_data_t slots[MAX_SYMBOLS]     # what stands in the store, without reading it back
        uint8_t known[MAX_SYMBOLS]          # which sides of it; off the path of whole quotes

    def __init__(
        self, int source_id, Extractor extractor, PriceSlots prices, DirtyBits dirty,
        HealthSlot health, *, int64_t restart_update_id=-1, bint is_restart_told_by_time=False,
    ) -> None:
        cdef int symbol_id
        if not 0 <= source_id < NUM_SOURCES:
            raise IndexError(f"source {source_id}, expected 0 to {NUM_SOURCES - 1}")
        prices.mapping.writable_base()
        dirty.mapping.writable_base()
        health.mapping.writable_base()
        self.source_id = source_id
        self.extractor = extractor
        self.prices = prices
        self.dirty = dirty
        self.health = health
        self.wake_fd = -1
        self.restart_update_id = restart_update_id
        self.is_restart_told_by_time = is_restart_told_by_time
        self.first_slot = source_id * MAX_SYMBOLS
        # Odd = owned. A predecessor that was killed left it odd: the next odd number then.
        self.epoch = (load_acquire_u64(&prices.prices.sources[source_id].epoch) + 1) | 1
        store_release_u64(&prices.prices.sources[source_id].epoch, self.epoch)
        memset(self.slots, 0, sizeof(self.slots))
        memset(self.known, 0, sizeof(self.known))
        for symbol_id in range(MAX_SYMBOLS):
            self.slots[symbol_id].flags = NEVER_WRITTEN
            self.slots[symbol_id].epoch = <uint16_t>self.epoch
            self.slots[symbol_id].update_id = -1
            self.publish(symbol_id)

    def close(self) -> None:
        """Give the source up: its epoch becomes even and every slot unusable at once."""
        store_release_u64(&self.prices.prices.sources[self.source_id].epoch, self.epoch + 1)

    def set_wake_fd(self, int wake_fd) -> None:
        """Use this eventfd to wake the engine; -1 for none."""
        self.wake_fd = wake_fd

    def mark(self, int symbol_id, uint16_t flag) -> None:
        """Make a symbol unusable until its next fresh quote, which may have any update id."""
        if not 0 <= symbol_id < MAX_SYMBOLS:
            raise IndexError(f"symbol {symbol_id}, expected 0 to {MAX_SYMBOLS - 1}")
        self.set_flag(symbol_id, flag)
        self.slots[symbol_id].update_id = -1
        self.known[symbol_id] = 0

    @property
    def live_count(self) -> int:
        """Symbols whose slot is usable."""
        return self.live

    def is_live(self, int symbol_id) -> bool:
        """Whether a symbol's slot is usable."""
        if not 0 <= symbol_id < MAX_SYMBOLS:
            raise IndexError(f"symbol {symbol_id}, expected 0 to {MAX_SYMBOLS - 1}")
        return self.slots[symbol_id].flags == 0

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

    cdef bint is_old(self, int symbol_id, int64_t update_id, int64_t exchange_ns) noexcept:
        # An id equal to the last one is the exchange repeating an unchanged book: proof of life.
        cdef price_data_t* slot = &self.slots[symbol_id]
        if update_id < 0 or update_id >= slot.update_id or update_id == self.restart_update_id:
            return False
        return not (self.is_restart_told_by_time and exchange_ns > slot.exchange_ns)

    cdef int accept(self, const quote_t* quote) noexcept:
        cdef price_data_t* slot = &self.slots[quote.symbol_id]
        cdef int64_t delay_ns
        if self.is_old(quote.symbol_id, quote.update_id, quote.exchange_ns):
            return STATUS_OLD_UPDATE
        if slot.flags:
            slot.flags = 0
            self.live += 1
            store_relaxed_u64(&self.health.slot.counters[SYMBOLS_LIVE], self.live)
        slot.bid = quote.bid
        slot.ask = quote.ask
        slot.bid_qty = quote.bid_qty
        slot.ask_qty = quote.ask_qty
        slot.exchange_ns = quote.exchange_ns
        slot.received_ns = self.received_ns
        slot.update_id = quote.update_id
        self.known[quote.symbol_id] = BOTH_KNOWN
        delay_ns = now_ns() - self.received_ns
        slot.publish_delay_ns = <uint32_t>min(delay_ns, <int64_t>0xFFFFFFFF)
        self.publish(quote.symbol_id)
        self.announce(quote.symbol_id)
        record_latency(self.health.slot, RECEIVE_TO_STORE, delay_ns)
        return STATUS_QUOTE

    cdef int consume(self, const char* payload, Py_ssize_t size) noexcept:
        # One whole message: extract, judge, publish; returns the status, which is counted.
        # received_ns was set by the caller.
        cdef quote_t quote
        cdef frame_t frame
        cdef int status = self.extractor.extract(payload, size, &quote, &frame)
        count(self.health.slot, FRAMES, 1)
        count(self.health.slot, BYTES, size)
        if status == STATUS_QUOTE:
            status = self.accept(&quote)
        elif status == STATUS_ONE_SIDED:
            self.set_flag(quote.symbol_id, ONE_SIDED)
            self.known[quote.symbol_id] = 0
        elif quote.symbol_id >= 0:
            # The book moved to something that cannot be believed; the price before is history.
            self.set_flag(quote.symbol_id, REFUSED_FLAG)
            self.known[quote.symbol_id] = 0
        self.tally(status)
        return status

    cdef void tally(self, int status) noexcept:
        if status == STATUS_QUOTE:
            count(self.health.slot, QUOTES, 1)
        elif status != STATUS_NOT_A_QUOTE:
            count(self.health.slot, REFUSED + status, 1)

    def merge(self, partial) -> int:
        """Merge a PartialQuote into its symbol's slot; return its QuoteStatus, which is counted.

        The slot is usable once both sides are known. What the gate refuses leaves it unusable, with
        the side that came alone as the only one known: the other must be the outdated one.
        """
        cdef int status = self.merged(partial)
        self.tally(status)
        return status

    cdef int merged(self, partial) except -1:
        cdef frame_t frame
        cdef quote_t quote
        cdef int status, known
        cdef bint bid_came, ask_came
        symbol = partial.symbol.encode()
        cdef int leg_number = self.extractor.find(symbol, len(symbol))
        if leg_number < 0:
            return STATUS_UNKNOWN_SYMBOL
        cdef leg_t* leg = &self.extractor.legs.rows[leg_number]
        cdef price_data_t* slot = &self.slots[leg.symbol_id]
        memset(&frame, 0, sizeof(frame_t))
        frame.symbol, frame.symbol_length = symbol, len(symbol)
        frame.seen = SIDES | 1 << FIELD_SYMBOL
        frame.update_id = bounded(partial.update_id, INT64_MAX)
        frame.exchange_ms = bounded(partial.exchange_ms, INT64_MAX // NS_PER_MS)
        if frame.update_id == BEYOND or frame.exchange_ms == BEYOND:
            return STATUS_IMPLAUSIBLE
        frame.seen |= (frame.update_id >= 0) << FIELD_UPDATE_ID
        frame.seen |= (frame.exchange_ms >= 0) << FIELD_EXCHANGE_MS
        if self.is_old(
            leg.symbol_id, frame.update_id, max(frame.exchange_ms * NS_PER_MS, <int64_t>-1)
        ):
            return STATUS_OLD_UPDATE
        # The gate judges in the exchange's units; the side that stays is put back untouched.
        frame.numbers[FIELD_BID] = slot.bid * leg.price_multiplier
        frame.numbers[FIELD_BID_QTY] = slot.bid_qty / leg.qty_factor
        frame.numbers[FIELD_ASK] = slot.ask * leg.price_multiplier
        frame.numbers[FIELD_ASK_QTY] = slot.ask_qty / leg.qty_factor
        bid_came = take_level(
            partial.bid, &frame.numbers[FIELD_BID], &frame.numbers[FIELD_BID_QTY]
        )
        ask_came = take_level(
            partial.ask, &frame.numbers[FIELD_ASK], &frame.numbers[FIELD_ASK_QTY]
        )
        status = self.extractor.judge(&frame, &quote)
        if not bid_came:
            quote.bid, quote.bid_qty = slot.bid, slot.bid_qty
        if not ask_came:
            quote.ask, quote.ask_qty = slot.ask, slot.ask_qty
        known = self.known[leg.symbol_id]
        if partial.bid is not None or partial.removed_bid:
            known = known & ~BID_KNOWN | bid_came * BID_KNOWN
        if partial.ask is not None or partial.removed_ask:
            known = known & ~ASK_KNOWN | ask_came * ASK_KNOWN
        if known != BOTH_KNOWN:
            status = STATUS_ONE_SIDED
        elif status == STATUS_QUOTE:
            return self.accept(&quote)
        else:
            known = (bid_came * BID_KNOWN | ask_came * ASK_KNOWN) % BOTH_KNOWN
        slot.bid, slot.bid_qty, slot.ask, slot.ask_qty = (
            quote.bid, quote.bid_qty, quote.ask, quote.ask_qty
        )
        slot.update_id = frame.update_id
        self.known[leg.symbol_id] = known
        self.set_flag(leg.symbol_id, ONE_SIDED)
        return status

    def feed(self, bytes payload) -> int:
        """Treat *payload* as one message; return its QuoteStatus."""
        self.received_ns = now_ns()
        return self.consume(payload, len(payload))

    def bench_consume(self, list payloads, int rounds) -> int:
        """Consume every payload *rounds* times inside the kernel; return how many were quotes."""
        cdef bytes payload
        cdef int round_number
        cdef int64_t quotes = 0
        for round_number in range(rounds):
            self.received_ns = now_ns()
            for payload in payloads:
                quotes += self.consume(payload, len(payload)) == STATUS_QUOTE
        return quotes


cdef class QuoteListener(WSListener):
    """One connection of a feed.

    Args:
        sink: where quotes go.
        on_control: called with this listener and the bytes of every message that is no whole quote;
            returns whether it merged a part of one. It may raise FeedError, which counts the
            message as malformed and keeps the connection.
        on_closed: called once with this listener when the connection is gone.
        max_message_bytes: longer fragmented messages are refused.
    """

    cdef:
        FeedSink sink
        object on_control
        object on_closed
        Py_ssize_t max_message_bytes
        bytearray parts
        bint skipping
        bint batch_goes_on                  # the next frame came with the same read
        readonly object transport
        readonly int64_t quotes
        readonly int64_t first_quote_ns
        readonly int64_t last_frame_ns

    def __init__(self, FeedSink sink, on_control, on_closed, Py_ssize_t max_message_bytes) -> None:
        self.sink = sink
        self.on_control = on_control
        self.on_closed = on_closed
        self.max_message_bytes = max_message_bytes

    cpdef on_ws_connected(self, WSTransport transport):
        """Remember the transport."""
        self.transport = transport
        self.last_frame_ns = now_ns()

    cpdef on_ws_disconnected(self, WSTransport transport):
        """Tell the owner; its symbols become unusable before anything else happens."""
        self.transport = None
        self.on_closed(self)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        """Consume one frame; called by the transport for every frame as it is parsed.

        All frames of one read arrived when the first of them is seen; what a later one waited for
        its turn is its publish delay. The transport must not answer pings itself, or the last frame
        of a read could pass by unseen.
        """
        if not self.batch_goes_on:
            self.sink.received_ns = self.last_frame_ns = now_ns()
        else:
            self.sink.received_ns = self.last_frame_ns
        self.batch_goes_on = not frame.last_in_buffer
        if frame.msg_type == WSMsgType.TEXT or frame.msg_type == WSMsgType.BINARY:
            if frame.fin:
                self.message(frame.payload_ptr, frame.payload_size)
            else:
                self.parts = bytearray()
                self.skipping = False
                self.fragment(frame)
        elif frame.msg_type == WSMsgType.CONTINUATION:
            self.fragment(frame)
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()

    cdef int fragment(self, WSFrame frame) except -1:
        # Exchanges send whole messages; one that does not is still understood, within the bound.
        if self.parts is None:
            count(self.sink.health.slot, REFUSED + STATUS_MALFORMED, 1)
            return 0
        if len(self.parts) + frame.payload_size > self.max_message_bytes:
            self.skipping = True
            self.parts.clear()
        if not self.skipping:
            self.parts += frame.payload_ptr[: frame.payload_size]
        if frame.fin:
            whole, self.parts = bytes(self.parts), None
            if self.skipping:
                count(self.sink.health.slot, REFUSED + STATUS_MALFORMED, 1)
            else:
                self.message(whole, len(whole))
        return 0

    cdef int message(self, const char* payload, Py_ssize_t size) except -1:
        cdef int status = self.sink.consume(payload, size)
        if status == STATUS_NOT_A_QUOTE:
            try:
                if self.on_control(self, payload[:size]):
                    status = STATUS_QUOTE
                else:
                    count(self.sink.health.slot, CONTROL_FRAMES, 1)
            except FeedError:
                count(self.sink.health.slot, REFUSED + STATUS_MALFORMED, 1)
        if status == STATUS_QUOTE:
            if self.quotes == 0:
                self.first_quote_ns = self.sink.received_ns
            self.quotes += 1
        return 0
