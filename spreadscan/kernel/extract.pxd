# Frame bytes to one quote: a compiled plan (plan.h) and the instruments of a source as a hash table.

cimport cython
from libc.stdint cimport int16_t, int64_t, uint32_t, uint64_t


cdef enum:
    SYMBOL_BYTES = 48
    TABLE_SIZE = 4096
    MAX_LEGS = 1024    # one a slot of the source: symbol ids are below it too


cdef enum:
    # Order of QuoteStatus in model.py; compared when the kernel is imported.
    STATUS_QUOTE = 0
    STATUS_NOT_A_QUOTE = 1
    STATUS_MALFORMED = 2
    STATUS_MISSING_FIELD = 3
    STATUS_UNKNOWN_SYMBOL = 4
    STATUS_BAD_NUMBER = 5
    STATUS_NOT_POSITIVE = 6
    STATUS_ONE_SIDED = 7
    STATUS_CROSSED = 8
    STATUS_IMPLAUSIBLE = 9
    STATUS_OLD_UPDATE = 10
    STATUS_LATE = 11
    STATUS_JUMP = 12


cdef extern from "plan.h" nogil:
    enum:
        MAX_NODES
        MAX_EDGES
        MAX_WHERE
        KEY_BYTES
        WHERE_BYTES
        FIELD_SYMBOL
        FIELD_BID
        FIELD_BID_QTY
        FIELD_ASK
        FIELD_ASK_QTY
        FIELD_EXCHANGE_MS
        FIELD_UPDATE_ID
        FIELD_WHERE
        SIDES

    ctypedef struct edge_t:
        uint64_t word
        uint64_t mask
        char* key
        int key_length
        int number
        int expected
        int field
        int node

    ctypedef struct node_t:
        uint64_t key_bits
        int first_edge
        int expected
        int edge_count
        int last_number
        bint is_array
        bint holds_side

    ctypedef struct where_t:
        char* value
        int length
        bint is_prefix
        int condition

    ctypedef struct plan_t:
        node_t* nodes
        edge_t* edges
        where_t* wheres
        int where_count
        bint is_protobuf
        uint32_t all_conditions

    ctypedef struct frame_t:
        const char* end
        const char* limit
        uint32_t seen
        uint32_t bad
        uint32_t passed
        bint rejected
        bint empty_side
        bint escaped_symbol
        const char* symbol
        int64_t symbol_length
        double* numbers
        int64_t exchange_ms
        int64_t update_id

    uint64_t key_bit(const char* key, int64_t length)


cdef struct leg_t:
    char symbol[SYMBOL_BYTES]
    uint64_t first              # its first and its last eight bytes; all of a shorter one, and 0
    uint64_t last
    int length
    int symbol_id
    double price_multiplier
    double qty_factor


cdef struct legs_t:
    int count
    int16_t table[TABLE_SIZE]   # rows by the hash of their symbol; -1 where a place is free
    bint is_taken[MAX_LEGS]     # which symbol ids have a row
    leg_t rows[MAX_LEGS]


cdef struct quote_t:
    int symbol_id
    double bid
    double bid_qty
    double ask
    double ask_qty
    int64_t exchange_ns
    int64_t update_id


@cython.final
cdef class Extractor:
    cdef:
        plan_t plan
        legs_t* legs

    cdef int _load_node(self, node_t* node, int first_edge, declared) except -1
    cdef int extract(
        self, const char* payload, Py_ssize_t size, Py_ssize_t slack, quote_t* quote,
        frame_t* frame,
    ) noexcept
    cdef int find(self, const char* symbol, Py_ssize_t length) noexcept
    cdef int judge(self, frame_t* frame, quote_t* quote) noexcept
