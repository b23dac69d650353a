# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""Frame bytes to one quote, by the paths an adapter declares; no Python object on the way.

The paths of a plan become a tree: a node is an object or array that some path passes through, an
edge a key or index that leads on or holds a field. A frame is walked once, in the order in which it
was sent; what no edge names is stepped over. The edge that followed in the frame before is tried
first, as an exchange sends its keys in the same order: a frame costs little more than its bytes.
The walk goes to the end of the frame, so that one cut off anywhere is refused.
"""

import json
from typing import NamedTuple

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

cdef extern from "Python.h":
    double PyOS_string_to_double(const char* text, char** end, object overflow) except? -1.0

cdef extern from "number.h" nogil:
    enum:
        NUMBER_OK
        NUMBER_SLOW
        NUMBER_BAD
    int read_decimal(const char** cursor, const char* end, double* value)
    int read_integer(const char** cursor, const char* end, int64_t* value)
    const char* number_end(const char* p, const char* end)

cdef extern from "json_walk.h" nogil:
    const char* skip_space(const char* p, const char* end)
    const char* find_quote_or_escape(const char* p, const char* end)
    const char* skip_string(const char* p, const char* end)
    const char* skip_value(const char* p, const char* end)

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
}
"""The kernel's numbers for QuoteStatus."""


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


cdef inline uint64_t load8(const char* p) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, p, 8)
    return word


cdef inline uint64_t key_bit(const char* key, Py_ssize_t length) noexcept nogil:
    # By first byte and length; no path declares an empty key.
    return <uint64_t>1 << ((<unsigned char>key[0] + 7 * length) & 63) if length else 0


cdef inline uint32_t symbol_hash(const char* symbol, Py_ssize_t length) noexcept nogil:
    # First and last eight bytes (overlapping for short ones) and the length: enough to spread
    # 1,024 tickers over 4,096 places; equality is always checked by bytes.
    cdef uint64_t first = 0, last = 0
    if length >= 8:
        memcpy(&first, symbol, 8)
        memcpy(&last, symbol + length - 8, 8)
    else:
        memcpy(&first, symbol, length)
    cdef uint64_t mixed = (first * <uint64_t>0x9E3779B97F4A7C15) ^ (
        (last + <uint64_t>length) * <uint64_t>0xC2B2AE3D27D4EB4F
    )
    mixed ^= mixed >> 29
    mixed *= <uint64_t>0xBF58476D1CE4E5B9
    return <uint32_t>(mixed >> 40)


cdef int slow_decimal(const char** cursor, const char* end, double* value) noexcept:
    # An exponent or more digits than the exact path takes: CPython's own correctly rounded parser.
    cdef char text[64]
    cdef const char* stop = number_end(cursor[0], end)
    cdef Py_ssize_t length = stop - cursor[0]
    if length >= 64:
        return NUMBER_BAD
    memcpy(text, cursor[0], length)
    text[length] = 0
    try:
        value[0] = PyOS_string_to_double(text, NULL, OverflowError)
    except (ValueError, OverflowError):
        return NUMBER_BAD
    cursor[0] = stop
    return NUMBER_OK


@cython.final
cdef class Extractor:
    """A plan compiled for the instruments of one source; see the stub file."""

    def __cinit__(self, plan, legs) -> None:
        memset(self.nodes, 0, sizeof(self.nodes))
        memset(self.edges, 0, sizeof(self.edges))
        memset(self.wheres, 0, sizeof(self.wheres))
        memset(self.table, 0xFF, sizeof(self.table))
        self.legs = <leg_t*>calloc(MAX_LEGS, sizeof(leg_t))
        if self.legs == NULL:
            raise MemoryError

    def __dealloc__(self) -> None:
        free(self.legs)

    def __init__(self, plan, legs) -> None:
        self._compile(plan)
        for symbol, symbol_id, price_multiplier, qty_factor in legs:
            self.add_leg(symbol, symbol_id, price_multiplier, qty_factor)

    def _compile(self, plan) -> None:
        """Turn the plan's paths into nodes and edges."""
        tree: dict = {}
        declared = [
            (FIELD_SYMBOL, plan.symbol), (FIELD_BID, plan.bid), (FIELD_BID_QTY, plan.bid_qty),
            (FIELD_ASK, plan.ask), (FIELD_ASK_QTY, plan.ask_qty),
            (FIELD_EXCHANGE_MS, plan.exchange_ms), (FIELD_UPDATE_ID, plan.update_id),
        ]  # fmt: skip
        for condition, (path, accepted) in enumerate(plan.where):
            declared.append((FIELD_WHERE + condition, (path,)))
            for value in accepted:
                self._add_where(condition, value)
            self.all_conditions |= 1 << condition
        for field, paths in declared:
            for path in paths:
                *above, leaf = path.split(".")
                place = tree
                for step in above:
                    place = place.setdefault(step, {})
                    if not isinstance(place, dict):
                        raise ValueError(f"path {path!r} goes through a value")
                if leaf in place:
                    raise ValueError(f"path {path!r} is declared twice")
                place[leaf] = field
        self._add_node(tree)

    def _add_where(self, int condition, str value) -> None:
        encoded = value.removesuffix("*").encode()
        if self.where_count == MAX_WHERE or condition >= MAX_WHERE or len(encoded) > KEY_BYTES:
            raise ValueError(f"condition {value!r}: at most {MAX_WHERE} of {KEY_BYTES} bytes")
        cdef where_t* where = &self.wheres[self.where_count]
        self.where_count += 1
        where.condition = condition
        where.length = len(encoded)
        where.is_prefix = value.endswith("*")
        memcpy(where.value, <const char*>encoded, len(encoded))

    def _add_node(self, tree: dict) -> int:
        """Add a node with its edges side by side, then the nodes below; return its number."""
        if self.node_count == MAX_NODES or self.edge_count + len(tree) > MAX_EDGES:
            raise ValueError(f"a plan of more than {MAX_NODES} nodes or {MAX_EDGES} edges")
        number = self.node_count
        self.node_count += 1
        cdef node_t* node = &self.nodes[number]
        node.is_array = all(key.isdecimal() for key in tree)
        node.holds_side = bool(_fields_below(tree) & {FIELD_BID, FIELD_ASK})
        node.first_edge = node.expected = self.edge_count
        node.edge_count = len(tree)
        self.edge_count += len(tree)
        cdef edge_t* edge
        for offset, (key, below) in enumerate(tree.items()):
            edge = &self.edges[node.first_edge + offset]
            encoded = key.encode()
            if len(encoded) > KEY_BYTES - 1:
                raise ValueError(f"key {key!r}: at most {KEY_BYTES - 1} bytes")
            memcpy(edge.key, <const char*>encoded, len(encoded))
            edge.key_length = len(encoded)
            node.key_bits |= key_bit(edge.key, edge.key_length)
            edge.index = int(key) if node.is_array else -1
            if edge.key_length < 8:
                quoted = encoded + b'"'
                edge.mask = ~<uint64_t>0 >> (64 - 8 * <int>len(quoted))
                edge.word = int.from_bytes(quoted, "little")
            edge.expected = node.first_edge + (offset + 1) % len(tree)
            edge.field = -1
            edge.node = -1
            if isinstance(below, dict):
                edge.node = self._add_node(below)
            else:
                edge.field = below
        return number

    def add_leg(
        self, str symbol, int symbol_id, double price_multiplier, double qty_factor
    ) -> None:
        """Add one instrument.

        Args:
            symbol: as the exchange spells it, at most 48 bytes of UTF-8.
            symbol_id: 0 to MAX_SYMBOLS - 1.
            price_multiplier: a price in a frame is divided by it.
            qty_factor: a quantity in a frame is multiplied by it.

        Raises:
            ValueError: too long, already known, out of range, or the table is full.
        """
        encoded = symbol.encode()
        if not 0 < len(encoded) <= SYMBOL_BYTES:
            raise ValueError(f"symbol {symbol!r}: {len(encoded)} bytes, expected 1 to 48")
        if not (price_multiplier > 0 and qty_factor > 0):
            raise ValueError(f"{symbol}: multiplier and factor must be positive")
        if self.leg_count == MAX_LEGS:
            raise ValueError(f"{symbol}: more than {MAX_LEGS} instruments")
        if self.find(encoded, len(encoded)) >= 0:
            raise ValueError(f"{symbol}: listed twice")
        cdef leg_t* leg = &self.legs[self.leg_count]
        memcpy(leg.symbol, <const char*>encoded, len(encoded))
        leg.length = len(encoded)
        leg.symbol_id = symbol_id
        leg.price_multiplier = price_multiplier
        leg.qty_factor = qty_factor
        cdef uint32_t place = symbol_hash(leg.symbol, leg.length) % TABLE_SIZE
        while self.table[place] >= 0:
            place = (place + 1) % TABLE_SIZE
        self.table[place] = self.leg_count
        self.leg_count += 1

    cdef int find(self, const char* symbol, Py_ssize_t length) noexcept:
        cdef uint32_t place = symbol_hash(symbol, length) % TABLE_SIZE
        cdef leg_t* leg
        while self.table[place] >= 0:
            leg = &self.legs[self.table[place]]
            if leg.length == length and memcmp(leg.symbol, symbol, length) == 0:
                return self.table[place]
            place = (place + 1) % TABLE_SIZE
        return -1

    cdef int extract(
        self, const char* payload, Py_ssize_t size, quote_t* quote, frame_t* frame
    ) noexcept:
        cdef const char* p
        frame.end = payload + size
        frame.seen = frame.bad = frame.passed = 0
        frame.rejected = frame.empty_side = frame.escaped_symbol = False
        frame.symbol = NULL
        frame.symbol_length = 0
        quote.symbol_id = -1
        p = skip_space(payload, frame.end)
        if p == frame.end or p[0] != c"{":
            # Plain words such as a pong; the adapter knows them or calls them malformed.
            return STATUS_NOT_A_QUOTE
        p = self.walk(p, 0, frame)
        if p == NULL:
            return STATUS_NOT_A_QUOTE if frame.rejected else STATUS_MALFORMED
        if skip_space(p, frame.end) != frame.end:
            return STATUS_MALFORMED
        if frame.passed != self.all_conditions or not frame.seen & 1 << FIELD_SYMBOL:
            return STATUS_NOT_A_QUOTE
        return self.judge(frame, quote)

    cdef const char* walk(self, const char* p, int node, frame_t* frame) noexcept:
        # p stands at a value that a path passes through; one of another kind is stepped over.
        cdef node_t* place = &self.nodes[node]
        if p >= frame.end:
            return NULL
        if place.is_array and p[0] == c"[":
            return self.walk_array(p + 1, place, frame)
        if not place.is_array and p[0] == c"{":
            return self.walk_object(p + 1, place, frame)
        return skip_value(p, frame.end)

    cdef const char* walk_object(self, const char* p, node_t* node, frame_t* frame) noexcept:
        cdef const char* end = frame.end
        cdef const char* key
        cdef int* expected = &node.expected
        cdef edge_t* edge
        p = skip_space(p, end)
        if p < end and p[0] == c"}":
            return p + 1
        while True:
            if p >= end or p[0] != c'"':
                return NULL
            p += 1
            edge = &self.edges[expected[0]]
            if edge.mask and end - p >= 8 and (load8(p) & edge.mask) == edge.word:
                p += edge.key_length + 1
            else:
                key = p
                p = skip_string(p, end)
                if p == NULL:
                    return NULL
                edge = self.edge_of(node, key, p - key - 1, end)
                if edge != NULL:
                    expected[0] = edge - self.edges
            p = skip_space(p, end)
            if p >= end or p[0] != c":":
                return NULL
            p = skip_space(p + 1, end)
            if edge == NULL:
                p = skip_value(p, end)
            else:
                expected = &edge.expected
                p = self.take(p, edge, frame)
            if p == NULL:
                return NULL
            p = skip_space(p, end)
            if p >= end:
                return NULL
            if p[0] == c"}":
                return p + 1
            if p[0] != c",":
                return NULL
            p = skip_space(p + 1, end)

    cdef edge_t* edge_of(
        self, node_t* node, const char* key, Py_ssize_t length, const char* frame_end
    ) noexcept:
        # The key stands in the frame with its closing quote.
        cdef edge_t* edge = &self.edges[node.first_edge]
        cdef uint64_t word = 0
        cdef int index
        if not node.key_bits & key_bit(key, length):
            return NULL
        if length < 8 and frame_end - key >= 8:
            word = load8(key) & ~<uint64_t>0 >> (56 - 8 * length)
        elif length < 8:
            memcpy(&word, key, length + 1)
        for index in range(node.edge_count):
            if edge.mask:
                # A word is zero behind its quote, and no key holds one: equal words, equal keys.
                if edge.word == word:
                    return edge
            elif edge.key_length == length and memcmp(edge.key, key, length) == 0:
                return edge
            edge += 1
        return NULL

    cdef const char* walk_array(self, const char* p, node_t* node, frame_t* frame) noexcept:
        cdef const char* end = frame.end
        cdef edge_t* edge
        cdef edge_t* last = &self.edges[node.first_edge] + node.edge_count
        cdef int index = 0
        p = skip_space(p, end)
        if p < end and p[0] == c"]":
            frame.empty_side |= node.holds_side
            return p + 1
        while True:
            edge = &self.edges[node.first_edge]
            while edge < last and edge.index != index:
                edge += 1
            p = skip_value(p, end) if edge == last else self.take(p, edge, frame)
            if p == NULL:
                return NULL
            index += 1
            p = skip_space(p, end)
            if p >= end:
                return NULL
            if p[0] == c"]":
                return p + 1
            if p[0] != c",":
                return NULL
            p = skip_space(p + 1, end)

    cdef const char* take(self, const char* p, edge_t* edge, frame_t* frame) noexcept:
        # The value at p is wanted: go on below it, or read it as the field it is.
        cdef const char* start = p
        cdef const char* stop
        cdef const char* end = frame.end
        cdef uint32_t bit
        cdef bint is_quoted
        cdef int outcome
        cdef int index
        cdef where_t* where
        if edge.node >= 0:
            return self.walk(p, edge.node, frame)
        if p >= end:
            return NULL
        bit = <uint32_t>1 << edge.field
        is_quoted = p[0] == c'"'
        p += is_quoted
        if FIELD_BID <= edge.field <= FIELD_UPDATE_ID:
            if edge.field <= FIELD_ASK_QTY:
                outcome = read_decimal(&p, end, &frame.numbers[edge.field])
                if outcome == NUMBER_SLOW:
                    outcome = slow_decimal(&p, end, &frame.numbers[edge.field])
            elif edge.field == FIELD_EXCHANGE_MS:
                outcome = read_integer(&p, end, &frame.exchange_ms)
            else:
                outcome = read_integer(&p, end, &frame.update_id)
            if outcome == NUMBER_OK and (not is_quoted or (p < end and p[0] == c'"')):
                frame.seen |= bit
                return p + is_quoted
            # No number, or more than one: step over whatever stands here. "" means "none".
            p = skip_value(start, end)
            if not (is_quoted and p == start + 2):
                frame.seen |= bit
                frame.bad |= bit
            return p
        if not is_quoted:
            # A condition may compare a bare word; a symbol is always a string.
            stop = p = skip_value(start, end)
            if p == NULL or edge.field == FIELD_SYMBOL:
                return p
        else:
            start = p
            stop = find_quote_or_escape(p, end)
            if stop == NULL:
                return NULL
            if stop[0] == c"\\":
                frame.escaped_symbol |= edge.field == FIELD_SYMBOL
                p = skip_string(stop, end)
                stop = p - 1
            else:
                p = stop + 1
            if p == NULL:
                return NULL
        if edge.field == FIELD_SYMBOL:
            frame.symbol = start
            frame.symbol_length = stop - start
            frame.seen |= bit
            return p
        for index in range(self.where_count):
            where = &self.wheres[index]
            if (
                where.condition == edge.field - FIELD_WHERE
                and (where.length <= stop - start if where.is_prefix
                     else where.length == stop - start)
                and memcmp(where.value, start, where.length) == 0
            ):
                frame.passed |= 1 << where.condition
                return p
        frame.rejected = True
        return NULL

    cdef int judge(self, frame_t* frame, quote_t* quote) noexcept:
        # The frame is well formed and is about a symbol: which, and is the quote one to believe?
        cdef int leg_number
        cdef leg_t* leg
        cdef uint32_t sides = (
            1 << FIELD_BID | 1 << FIELD_BID_QTY | 1 << FIELD_ASK | 1 << FIELD_ASK_QTY
        )
        if frame.seen >> FIELD_BID == 0 and not frame.empty_side:
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
        leg = &self.legs[leg_number]
        quote.symbol_id = leg.symbol_id
        if frame.bad:
            return STATUS_BAD_NUMBER
        if frame.seen & sides != sides:
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

    def decode(self, bytes frame) -> Extracted:
        """Read one frame; see the stub file."""
        cdef quote_t quote
        cdef frame_t found
        memset(&quote, 0, sizeof(quote))
        quote.exchange_ns = quote.update_id = -1
        status = self.extract(frame, len(frame), &quote, &found)
        symbol = None
        if found.symbol != NULL:
            spelled = found.symbol[: found.symbol_length]
            try:
                symbol = json.loads(b'"' + spelled + b'"')
            except ValueError:
                symbol = spelled.decode(errors="replace")
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
                quotes += self.extract(frame, len(frame), &quote, &found) == STATUS_QUOTE
        return quotes


def _fields_below(tree: dict) -> set:
    found = set()
    for below in tree.values():
        found |= _fields_below(below) if isinstance(below, dict) else {below}
    return found
