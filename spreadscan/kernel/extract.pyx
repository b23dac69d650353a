# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""Frame bytes to one quote, by the paths an adapter declares; no Python object on the way.

``plan.py`` turns the paths into a tree, ``json_plan.h`` and ``protobuf_plan.h`` walk a frame along
it; what the walk has found is judged here, for the instruments of one source.
"""

import contextlib
import json
from typing import NamedTuple

from spreadscan.kernel.plan import Field, plan_tree

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

cdef extern from "json_plan.h" nogil:
    const char* skip_space(const char* p, const char* end)

cdef extern from "json_plan.h":
    const char* json_frame(plan_t* plan, const char* p, frame_t* frame)
    void forget_all(frame_t* frame)

cdef extern from "protobuf_plan.h":
    const char* protobuf_walk(plan_t* plan, const char* p, frame_t* frame)

# Beyond these a number is a mistake, whatever the coin: the dearest coin is below 1e9 USDT, and no
# top of book holds 1e18 coins.
cdef double MAX_PRICE = 1e9
cdef double MIN_PRICE = 1e-15
cdef double MAX_QTY = 1e18
# Milliseconds after 1970 that still fit int64 nanoseconds.
cdef int64_t MAX_MS = 9_223_372_036_854

STATUS_NUMBERS = {
    "QUOTE": STATUS_QUOTE,
    "NOT_A_QUOTE": STATUS_NOT_A_QUOTE,
    "MALFORMED": STATUS_MALFORMED,
    "MISSING_FIELD": STATUS_MISSING_FIELD,
    "UNKNOWN_SYMBOL": STATUS_UNKNOWN_SYMBOL,
    "BAD_NUMBER": STATUS_BAD_NUMBER,
    "NOT_POSITIVE": STATUS_NOT_POSITIVE,
    "ONE_SIDED": STATUS_ONE_SIDED,
    "CROSSED": STATUS_CROSSED,
    "IMPLAUSIBLE": STATUS_IMPLAUSIBLE,
    "OLD_UPDATE": STATUS_OLD_UPDATE,
    "LATE": STATUS_LATE,
    "JUMP": STATUS_JUMP,
}
"""The kernel's numbers for QuoteStatus."""

FIELD_NUMBERS = {
    "SYMBOL": FIELD_SYMBOL,
    "BID": FIELD_BID,
    "BID_QTY": FIELD_BID_QTY,
    "ASK": FIELD_ASK,
    "ASK_QTY": FIELD_ASK_QTY,
    "EXCHANGE_MS": FIELD_EXCHANGE_MS,
    "UPDATE_ID": FIELD_UPDATE_ID,
    "WHERE": FIELD_WHERE,
}
"""The kernel's numbers for plan.Field."""


class Extracted(NamedTuple):
    """What `Extractor.decode` found; see the stub file."""

    status: int
    symbol_id: int
    bid: float
    bid_qty: float
    ask: float
    ask_qty: float
    exchange_ns: int
    update_id: int
    symbol: str | None


cdef inline void take_words(
    const char* symbol, Py_ssize_t length, uint64_t* first, uint64_t* last
) noexcept nogil:
    # Up to sixteen bytes in two words, which overlap where there are fewer.
    first[0] = last[0] = 0
    if length >= 8:
        memcpy(first, symbol, 8)
        memcpy(last, symbol + length - 8, 8)
    else:
        memcpy(first, symbol, length)


cdef inline uint32_t place_of(uint64_t first, uint64_t last, Py_ssize_t length) noexcept nogil:
    # The words and the length are enough to spread 1,024 tickers over 4,096 places.
    cdef uint64_t mixed = (first * <uint64_t>0x9E3779B97F4A7C15) ^ (
        (last + <uint64_t>length) * <uint64_t>0xC2B2AE3D27D4EB4F
    )
    mixed ^= mixed >> 29
    mixed *= <uint64_t>0xBF58476D1CE4E5B9
    return <uint32_t>(mixed >> 40) % TABLE_SIZE


cdef legs_t* new_legs() except NULL:
    # Rows and places without an instrument; whoever asked frees them.
    cdef legs_t* legs = <legs_t*>calloc(1, sizeof(legs_t))
    if legs == NULL:
        raise MemoryError
    memset(legs.table, 0xFF, sizeof(legs.table))
    return legs


cdef int find_leg(const legs_t* legs, const char* symbol, Py_ssize_t length) noexcept nogil:
    # Row of a symbol, -1 when there is none.
    cdef uint64_t first, last
    take_words(symbol, length, &first, &last)
    cdef uint32_t place = place_of(first, last, length)
    cdef const leg_t* leg
    while legs.table[place] >= 0:
        leg = &legs.rows[legs.table[place]]
        if leg.first == first and leg.last == last and leg.length == length and (
            # Of longer ones the words say not all.
            length <= 16 or memcmp(leg.symbol, symbol, length) == 0
        ):
            return legs.table[place]
        place = (place + 1) % TABLE_SIZE
    return -1


cdef int put_leg(
    legs_t* legs, str symbol, int symbol_id, double price_multiplier, double qty_factor
) except -1:
    # Judge one instrument and give it a row; one that is refused leaves everything as it was.
    cdef bytes encoded = symbol.encode()
    if not 0 < len(encoded) <= SYMBOL_BYTES:
        raise ValueError(f"symbol {symbol!r}: {len(encoded)} bytes, expected 1 to {SYMBOL_BYTES}")
    if not (0 < price_multiplier < INFINITY and 0 < qty_factor < INFINITY):
        raise ValueError(f"{symbol}: multiplier and factor must be positive and finite")
    if legs.count == MAX_LEGS:
        raise ValueError(f"{symbol}: more than {MAX_LEGS} instruments")
    if not 0 <= symbol_id < MAX_LEGS:
        raise ValueError(f"{symbol}: symbol id {symbol_id}, expected 0 to {MAX_LEGS - 1}")
    if legs.is_taken[symbol_id]:
        # Two books would be written into one slot.
        raise ValueError(f"{symbol}: symbol id {symbol_id} is another's")
    if find_leg(legs, encoded, len(encoded)) >= 0:
        raise ValueError(f"{symbol}: listed twice")
    cdef leg_t* leg = &legs.rows[legs.count]
    memcpy(leg.symbol, <const char*>encoded, len(encoded))
    leg.length = len(encoded)
    take_words(leg.symbol, leg.length, &leg.first, &leg.last)
    leg.symbol_id = symbol_id
    leg.price_multiplier = price_multiplier
    leg.qty_factor = qty_factor
    cdef uint32_t place = place_of(leg.first, leg.last, leg.length)
    while legs.table[place] >= 0:
        place = (place + 1) % TABLE_SIZE
    legs.table[place] = legs.count
    legs.is_taken[symbol_id] = True
    legs.count += 1
    return 0


@cython.final
cdef class Extractor:
    """A plan compiled for the instruments of one source; see the stub file."""

    def __cinit__(self, plan, legs) -> None:
        memset(&self.plan, 0, sizeof(self.plan))
        self.legs = new_legs()

    def __dealloc__(self) -> None:
        free(self.legs)

    def __init__(self, plan, legs) -> None:
        self._load(plan_tree(plan))
        self.set_legs(legs)

    def _load(self, tree) -> None:
        """Copy a compiled plan into the tables that the walks read."""
        edge_count = sum(len(node.edges) for node in tree.nodes)
        if len(tree.nodes) > MAX_NODES or edge_count > MAX_EDGES:
            raise ValueError(f"a plan of more than {MAX_NODES} nodes or {MAX_EDGES} edges")
        if len(tree.wheres) > MAX_WHERE or tree.condition_count > MAX_WHERE:
            raise ValueError(f"conditions: at most {MAX_WHERE} values")
        self.plan.is_protobuf = tree.is_protobuf
        self.plan.all_conditions = (1 << tree.condition_count) - 1
        first_edge = 0
        for number, node in enumerate(tree.nodes):
            self._load_node(&self.plan.nodes[number], first_edge, node)
            first_edge += len(node.edges)
        cdef where_t* where
        for condition, value, is_prefix in tree.wheres:
            if len(value) > WHERE_BYTES:
                raise ValueError(f"condition {value!r}: at most {WHERE_BYTES} bytes")
            where = &self.plan.wheres[self.plan.where_count]
            where.condition = condition
            where.length = len(value)
            where.is_prefix = is_prefix
            memcpy(where.value, <const char*>value, len(value))
            self.plan.where_count += 1

    cdef int _load_node(self, node_t* node, int first_edge, declared) except -1:
        node.is_array = declared.is_array
        node.holds_side = declared.holds_side
        node.first_edge = node.expected = first_edge
        node.edge_count = len(declared.edges)
        cdef edge_t* edge
        for offset, (key, number, field, below) in enumerate(declared.edges):
            if len(key) >= KEY_BYTES:
                raise ValueError(f"key {key!r}: at most {KEY_BYTES - 1} bytes")
            edge = &self.plan.edges[first_edge + offset]
            memcpy(edge.key, <const char*>key, len(key))
            edge.key_length = len(key)
            node.key_bits |= key_bit(edge.key, edge.key_length)
            if edge.key_length < 8:
                quoted = key + b'"'
                edge.mask = ~<uint64_t>0 >> (64 - 8 * <int>len(quoted))
                edge.word = int.from_bytes(quoted, "little")
            edge.number = number
            node.last_number = max(node.last_number, number)
            edge.field = field
            edge.node = below
            edge.expected = first_edge + (offset + 1) % node.edge_count
        return 0

    def add_leg(
        self, str symbol, int symbol_id, double price_multiplier, double qty_factor
    ) -> None:
        """Add one instrument; see the stub file."""
        put_leg(self.legs, symbol, symbol_id, price_multiplier, qty_factor)

    def set_legs(self, legs) -> None:
        """Replace all instruments; see the stub file."""
        cdef legs_t* other = new_legs()
        try:
            for symbol, symbol_id, price_multiplier, qty_factor in legs:
                put_leg(other, symbol, symbol_id, price_multiplier, qty_factor)
            self.legs, other = other, self.legs
        finally:
            # The old rows, or those that were not taken over.
            free(other)

    cdef int find(self, const char* symbol, Py_ssize_t length) noexcept:
        return find_leg(self.legs, symbol, length)

    cdef int extract(
        self, const char* payload, Py_ssize_t size, Py_ssize_t slack, quote_t* quote,
        frame_t* frame,
    ) noexcept:
        # As many bytes behind the payload may be read as *slack* says; they mean nothing.
        cdef const char* p
        frame.end = payload + size
        frame.limit = frame.end + slack
        forget_all(frame)
        quote.symbol_id = -1
        if self.plan.is_protobuf:
            if size > 0 and payload[0] == c"{":
                # Answers are JSON there; in protobuf a brace would open a group, which none has.
                return STATUS_NOT_A_QUOTE
            p = protobuf_walk(&self.plan, payload, frame)
        else:
            p = skip_space(payload, frame.end)
            if p == frame.end or p[0] != c"{":
                # Plain words such as a pong; the adapter knows them or calls them malformed.
                return STATUS_NOT_A_QUOTE
            p = json_frame(&self.plan, p, frame)
            if p == NULL and frame.rejected:
                return STATUS_NOT_A_QUOTE
        if p != frame.end:
            return STATUS_MALFORMED
        if frame.passed != self.plan.all_conditions or not frame.seen & 1 << FIELD_SYMBOL:
            return STATUS_NOT_A_QUOTE
        return self.judge(frame, quote)

    cdef int judge(self, frame_t* frame, quote_t* quote) noexcept:
        # The frame is well formed and is about a symbol: which, and is the quote one to believe?
        cdef int leg_number
        cdef leg_t* leg
        # Protobuf's quiet symbols are pushed with a time and no body.
        cdef uint32_t of_quote = SIDES if self.plan.is_protobuf else ~<uint32_t>1
        if not frame.seen & of_quote and not frame.empty_side:
            # Names a symbol and nothing of a quote: an acknowledgement that repeats the request.
            return STATUS_NOT_A_QUOTE
        if frame.escaped_symbol:
            try:
                plain = json.loads(b'"' + frame.symbol[: frame.symbol_length] + b'"').encode()
            except ValueError:
                return STATUS_MALFORMED
            leg_number = self.find(plain, len(plain))
        else:
            leg_number = self.find(frame.symbol, frame.symbol_length)
        if leg_number < 0:
            return STATUS_UNKNOWN_SYMBOL
        leg = &self.legs.rows[leg_number]
        quote.symbol_id = leg.symbol_id
        if frame.bad:
            return STATUS_BAD_NUMBER
        if frame.seen & SIDES != SIDES:
            return STATUS_ONE_SIDED if frame.empty_side else STATUS_MISSING_FIELD
        quote.bid = frame.numbers[FIELD_BID]
        quote.ask = frame.numbers[FIELD_ASK]
        if leg.price_multiplier != 1:
            quote.bid /= leg.price_multiplier
            quote.ask /= leg.price_multiplier
        quote.bid_qty = frame.numbers[FIELD_BID_QTY] * leg.qty_factor
        quote.ask_qty = frame.numbers[FIELD_ASK_QTY] * leg.qty_factor
        if quote.bid < 0 or quote.ask < 0 or quote.bid_qty < 0 or quote.ask_qty < 0:
            return STATUS_NOT_POSITIVE
        if quote.bid == 0 or quote.ask == 0 or quote.bid_qty == 0 or quote.ask_qty == 0:
            return STATUS_ONE_SIDED
        # Written so that a NaN or an infinity fails too.
        if not (
            MIN_PRICE <= quote.bid <= MAX_PRICE
            and MIN_PRICE <= quote.ask <= MAX_PRICE
            and quote.bid_qty <= MAX_QTY
            and quote.ask_qty <= MAX_QTY
        ):
            return STATUS_IMPLAUSIBLE
        if quote.bid >= quote.ask:
            return STATUS_CROSSED
        quote.exchange_ns = -1
        if frame.seen & 1 << FIELD_EXCHANGE_MS:
            if frame.exchange_ms > MAX_MS:
                return STATUS_IMPLAUSIBLE
            quote.exchange_ns = frame.exchange_ms * 1_000_000
        quote.update_id = frame.update_id if frame.seen & 1 << FIELD_UPDATE_ID else -1
        return STATUS_QUOTE

    def decode(self, frame) -> Extracted:
        """Read one frame; see the stub file."""
        cdef quote_t quote
        cdef frame_t found
        cdef Py_buffer payload
        memset(&quote, 0, sizeof(quote))
        quote.exchange_ns = quote.update_id = -1
        spelled = None
        PyObject_GetBuffer(frame, &payload, PyBUF_SIMPLE)
        status = self.extract(<const char*>payload.buf, payload.len, 0, &quote, &found)
        if found.symbol != NULL:
            spelled = found.symbol[: found.symbol_length]
        PyBuffer_Release(&payload)
        symbol = None if spelled is None else spelled.decode(errors="replace")
        if found.escaped_symbol:
            with contextlib.suppress(ValueError):
                symbol = json.loads(b'"' + spelled + b'"')
        return Extracted(
            status, quote.symbol_id, quote.bid, quote.bid_qty, quote.ask, quote.ask_qty,
            quote.exchange_ns, quote.update_id, symbol,
        )  # fmt: skip

    def bench_decode(self, list frames, int rounds) -> int:
        """Extract every frame *rounds* times inside the kernel; return how many were quotes."""
        cdef quote_t quote
        cdef frame_t found
        cdef int64_t quotes = 0
        cdef int round_number
        cdef bytes frame
        for round_number in range(rounds):
            for frame in frames:
                quotes += self.extract(frame, len(frame), 0, &quote, &found) == STATUS_QUOTE
        return quotes


def _fields_below(tree: dict) -> set:
    found = set()
    for below in tree.values():
        found |= _fields_below(below) if isinstance(below, dict) else {below}
    return found
