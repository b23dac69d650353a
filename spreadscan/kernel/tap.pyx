# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""Copies of a feed's frames on their way to the recorder.

The producer's half is inlined into the listener (tap.pxd): a copy into a ring that is there already.
The consumer's half writes the lines of a recording, without the interpreter's lock.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset, strlen

from spreadscan.kernel.memory cimport load_acquire_u64, load_relaxed_u64, store_release_u64

cdef enum:
    # How much is handed over at once: a compressor's work of some milliseconds.
    BATCH_BYTES = 262_144
    # Beside the payload: time, blank, line end, the words of a mark or of a loss.
    LINE_OVERHEAD = 160
    # What gather says.
    EMPTY = 0
    NOTE_NEXT = 1
    NO_MEMORY = -1

FRAME, MARK, NOTE = TAP_FRAME, TAP_MARK, TAP_NOTE
CAPACITY_BYTES = TAP_BYTES - TAP_RESERVE

cdef const char* HEX_DIGITS = "0123456789abcdef"


cdef inline size_t put_number(char* target, uint64_t value) noexcept nogil:
    cdef char digits[20]
    cdef size_t count = 0, index
    while True:
        digits[count] = <char>(48 + value % 10)
        value //= 10
        count += 1
        if value == 0:
            break
    for index in range(count):
        target[index] = digits[count - 1 - index]
    return count


cdef inline size_t put_text(char* target, const char* text) noexcept nogil:
    cdef size_t size = strlen(text)
    memcpy(target, text, size)
    return size


cdef inline bint is_plain(const uint8_t* payload, size_t size) noexcept nogil:
    # Whether a payload may stand in a line as it is: no control characters, no blanks at its ends,
    # and nothing that a reader would take for hex.
    cdef size_t index
    cdef bint has_other = False
    cdef uint8_t byte
    if payload[0] == 32 or payload[size - 1] == 32:
        return False
    for index in range(size):
        byte = payload[index]
        if byte < 32 or byte == 127:
            return False
        if not (48 <= byte <= 57 or 65 <= byte <= 70 or 97 <= byte <= 102):
            has_other = True
    return has_other


cdef inline size_t put_payload(char* target, const uint8_t* payload, size_t size) noexcept nogil:
    cdef size_t index
    if is_plain(payload, size):
        memcpy(target, payload, size)
        return size
    for index in range(size):
        target[2 * index] = HEX_DIGITS[payload[index] >> 4]
        target[2 * index + 1] = HEX_DIGITS[payload[index] & 15]
    return 2 * size


cdef size_t put_entry(char* target, const entry_t* entry, int64_t offset_ns) noexcept nogil:
    # One entry as its line, after a line about what was lost before it.
    cdef const uint8_t* payload = <const uint8_t*>entry + sizeof(entry_t)
    cdef const mark_t* mark = <const mark_t*>payload
    cdef uint64_t time_ns = <uint64_t>(entry.time_ns + offset_ns)
    cdef size_t used = 0
    if entry.lost:
        used += put_number(target, time_ns)
        used += put_text(target + used, ' {"spreadscan":"lost","count":')
        used += put_number(target + used, entry.lost)
        used += put_text(target + used, "}\n")
    if entry.size == 0:
        # An empty message says nothing, and a line of it would say its time.
        return used
    used += put_number(target + used, time_ns)
    if entry.kind == TAP_MARK:
        used += put_text(target + used, ' {"spreadscan":"mark","symbol_id":')
        used += put_number(target + used, mark.symbol_id)
        used += put_text(target + used, ',"flag":')
        used += put_number(target + used, mark.flag)
        used += put_text(target + used, "}\n")
        return used
    target[used] = 32
    used += 1
    used += put_payload(target + used, payload, entry.size)
    target[used] = 10
    return used + 1


cdef class Tap:
    """What a feed received and its recorder has not written yet; see the stub file."""

    def __cinit__(self) -> None:
        memset(&self.tap, 0, sizeof(tap_t))
        self.tap.ring = <char*>malloc(TAP_BYTES)
        self.lines = <char*>malloc(BATCH_BYTES)
        self.lines_bytes = BATCH_BYTES
        if self.tap.ring == NULL or self.lines == NULL:
            raise MemoryError
        # Every page now, so that no frame waits for one.
        memset(self.tap.ring, 0, TAP_BYTES)

    def __dealloc__(self) -> None:
        free(self.tap.ring)
        free(self.lines)

    def put(self, uint32_t kind, int64_t time_ns, const uint8_t[::1] payload) -> bool:
        """Put one entry in; False, counted, when there is no room."""
        cdef const uint8_t* start = &payload[0] if payload.shape[0] else NULL
        if kind > TAP_NOTE:
            raise ValueError(f"kind {kind}, expected 0 to {TAP_NOTE}")
        if kind == TAP_MARK and payload.shape[0] != sizeof(mark_t):
            raise ValueError(f"a mark of {payload.shape[0]} bytes, expected {sizeof(mark_t)}")
        return tap_put(&self.tap, kind, time_ns, start, payload.shape[0])

    def drain(self, int64_t offset_ns) -> bytes:
        """Take entries up to the next note, some 256 KiB at most; return them as lines."""
        cdef int outcome
        with nogil:
            outcome = self.gather(offset_ns)
        if outcome == NO_MEMORY:
            raise MemoryError
        return self.lines[:self.lines_used]

    def take_note(self) -> object:
        """Take the note that stands next; None when something else does, or nothing."""
        cdef uint64_t head = self.tap.head
        cdef const entry_t* entry = self.next_entry(&head)
        cdef int64_t time_ns
        cdef bytes text
        if entry == NULL or entry.kind != TAP_NOTE:
            return None
        time_ns = entry.time_ns
        text = (<const char*>entry + sizeof(entry_t))[:entry.size]
        store_release_u64(&self.tap.head, head + entry_bytes(entry))
        return time_ns, text

    cdef const entry_t* next_entry(self, uint64_t* head) noexcept nogil:
        # The entry at *head, which is moved over a lap's end; NULL when there is none.
        cdef const entry_t* entry
        # sync: pairs with the producer's store_release of tail.
        if head[0] == load_acquire_u64(&self.tap.tail):
            return NULL
        entry = <const entry_t*>(self.tap.ring + (head[0] & (TAP_BYTES - 1)))
        if entry.size == TAP_LAP_ENDS:
            head[0] = (head[0] | (TAP_BYTES - 1)) + 1
            entry = <const entry_t*>self.tap.ring
        return entry

    cdef int gather(self, int64_t offset_ns) noexcept nogil:
        cdef uint64_t head = self.tap.head
        cdef const entry_t* entry
        cdef size_t worst
        cdef char* larger
        self.lines_used = 0
        while True:
            entry = self.next_entry(&head)
            if entry == NULL:
                return EMPTY
            if entry.kind == TAP_NOTE:
                return NOTE_NEXT
            worst = 2 * <size_t>entry.size + LINE_OVERHEAD
            if self.lines_used + worst > self.lines_bytes:
                if self.lines_used:
                    return EMPTY
                larger = <char*>realloc(self.lines, worst)
                if larger == NULL:
                    return NO_MEMORY
                self.lines = larger
                self.lines_bytes = worst
            self.lines_used += put_entry(self.lines + self.lines_used, entry, offset_ns)
            head += entry_bytes(entry)
            # sync: pairs with the producer's load_acquire of head.
            store_release_u64(&self.tap.head, head)

    @property
    def taken_count(self) -> int:
        """Entries put in so far."""
        return load_relaxed_u64(&self.tap.taken_total)

    @property
    def lost_count(self) -> int:
        """Entries that found no room so far."""
        return load_relaxed_u64(&self.tap.lost_total)

    @property
    def waiting_bytes(self) -> int:
        """How much waits to be written."""
        cdef uint64_t head = load_acquire_u64(&self.tap.head)
        return load_acquire_u64(&self.tap.tail) - head


cdef inline uint64_t entry_bytes(const entry_t* entry) noexcept nogil:
    return (sizeof(entry_t) + <uint64_t>entry.size + 7) & ~<uint64_t>7
