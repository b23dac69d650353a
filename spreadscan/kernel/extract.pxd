# Frame bytes to one quote: the declared paths as a tree of nodes and edges, the instruments of a
# source as a hash table. See extract.pyx for how a frame is walked.

cimport cython
from libc.stdint cimport int16_t, int64_t, uint32_t, uint64_t


cdef enum:
    MAX_NODES = 32
    MAX_EDGES = 64
    MAX_WHERE = 8
    KEY_BYTES = 32
    SYMBOL_BYTES = 48
    TABLE_SIZE = 4096
    MAX_LEGS = 1024


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


cdef enum:
    # Fields of a quote, as bits in `seen` and `bad`; WHERE + n is the n-th condition.
    FIELD_SYMBOL = 0
    FIELD_BID = 1
    FIELD_BID_QTY = 2
    FIELD_ASK = 3
    FIELD_ASK_QTY = 4
    FIELD_EXCHANGE_MS = 5
    FIELD_UPDATE_ID = 6
    FIELD_WHERE = 8


cdef struct edge_t:
    uint64_t word       # key and its closing quote, when both fit eight bytes
    uint64_t mask       # which bytes of `word` count; 0 = compare with memcmp
    char key[KEY_BYTES]
    int key_length
    int index           # position in an array
    int expected        # the edge that stood behind this one in the frame before
    int field           # what the value is, or -1
    int node            # where the path goes on, or -1


cdef struct node_t:
    uint64_t key_bits   # key_bit of every edge: most keys that nobody wants are seen by it
    int first_edge
    int expected        # the edge that came first in the frame before
    int edge_count
    bint is_array
    bint holds_side     # an empty array here means that a side has no quote


cdef struct where_t:
    char value[KEY_BYTES]
    int length
    bint is_prefix
    int condition


cdef struct leg_t:
    char symbol[SYMBOL_BYTES]
    int length
    int symbol_id
    double price_multiplier
    double qty_factor


cdef struct quote_t:
    int symbol_id
    double bid
    double bid_qty
    double ask
    double ask_qty
    int64_t exchange_ns
    int64_t update_id


cdef struct frame_t:
    # What one walk has found.
    const char* end
    uint32_t seen
    uint32_t bad
    uint32_t passed
    bint rejected       # a condition failed: not a quote
    bint empty_side
    bint escaped_symbol
    const char* symbol
    Py_ssize_t symbol_length
    double numbers[5]
    int64_t exchange_ms
    int64_t update_id


@cython.final
cdef class Extractor:
    cdef:
        node_t nodes[MAX_NODES]
        edge_t edges[MAX_EDGES]
        where_t wheres[MAX_WHERE]
        int node_count
        int edge_count
        int where_count
        uint32_t all_conditions
        bint wants_time
        bint wants_id
        leg_t* legs
        int leg_count
        int16_t table[TABLE_SIZE]

    cdef int extract(
        self, const char* payload, Py_ssize_t size, quote_t* quote, frame_t* frame
    ) noexcept
    cdef const char* walk(self, const char* p, int node, frame_t* frame) noexcept
    cdef const char* walk_object(self, const char* p, node_t* node, frame_t* frame) noexcept
    cdef const char* walk_array(self, const char* p, node_t* node, frame_t* frame) noexcept
    cdef const char* take(self, const char* p, edge_t* edge, frame_t* frame) noexcept
    cdef edge_t* edge_of(
        self, node_t* node, const char* key, Py_ssize_t length, const char* frame_end
    ) noexcept
    cdef int find(self, const char* symbol, Py_ssize_t length) noexcept
    cdef int judge(self, frame_t* frame, quote_t* quote) noexcept
