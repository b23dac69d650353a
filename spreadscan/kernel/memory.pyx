# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=False
"""Seqlocked price slots, dirty bits, signal ring and health words over mapped regions.

The operations themselves stand in memory.pxd, where the other kernel modules inline them; here are
the objects through which Python reaches them. Layouts: layout.h and shm/layout.py.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport errno
from libc.string cimport memcmp
from libc.time cimport time_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef extern from "<sys/mman.h>" nogil:
    int mlock(const void* address, size_t length)

cdef extern from *:
    """
    #include <stddef.h>
    #define PRICES_SEQS offsetof(prices_t, seqs)
    #define PRICES_ENTRIES offsetof(prices_t, entries)
    #define PRICES_SOURCES offsetof(prices_t, sources)
    #define OF(type, field) offsetof(type, field)
    """
    size_t PRICES_SEQS, PRICES_ENTRIES, PRICES_SOURCES
    size_t OF(...)


def layout_table() -> dict[str, int]:
    """Return sizes and offsets as the C compiler sees them, by the names of shm/layout.py."""
    cdef signal_t s
    cdef price_data_t d
    cdef health_slot_t h
    cdef ring_t* r = NULL
    cdef dirty_t* b = NULL
    cdef source_state_t o
    return {
        "NUM_SOURCES": NUM_SOURCES,
        "MAX_SYMBOLS": MAX_SYMBOLS,
        "RING_CAPACITY": RING_CAPACITY,
        "HEALTH_SLOTS": HEALTH_SLOTS,
        "NUM_COUNTERS": NUM_COUNTERS,
        "NUM_HISTOGRAMS": NUM_HISTOGRAMS,
        "HISTOGRAM_BUCKETS": HISTOGRAM_BUCKETS,
        "HEADER_BYTES": HEADER_BYTES,
        "Prices.SOURCE_STATES": PRICES_SOURCES,
        "Prices.SOURCE_STATE_BYTES": sizeof(source_state_t),
        "Prices.SOURCE_EPOCH": <char*>&o.epoch - <char*>&o,
        "Prices.SOURCE_GENERATION": <char*>&o.generation - <char*>&o,
        "Prices.SEQ": PRICES_SEQS,
        "Prices.SEQ_ENTRY_BYTES": sizeof(price_seq_t),
        "Prices.DATA": PRICES_ENTRIES,
        "Prices.DATA_ENTRY_BYTES": sizeof(price_data_t),
        "Prices.BYTES": sizeof(prices_t),
        "PriceData.BID": <char*>&d.bid - <char*>&d,
        "PriceData.ASK": <char*>&d.ask - <char*>&d,
        "PriceData.BID_QTY": <char*>&d.bid_qty - <char*>&d,
        "PriceData.ASK_QTY": <char*>&d.ask_qty - <char*>&d,
        "PriceData.EXCHANGE_NS": <char*>&d.exchange_ns - <char*>&d,
        "PriceData.RECEIVED_NS": <char*>&d.received_ns - <char*>&d,
        "PriceData.UPDATE_ID": <char*>&d.update_id - <char*>&d,
        "PriceData.FLAGS": <char*>&d.flags - <char*>&d,
        "PriceData.EPOCH": <char*>&d.epoch - <char*>&d,
        "PriceData.PUBLISH_DELAY_NS": <char*>&d.publish_delay_ns - <char*>&d,
        "Dirty.ENGINE_LINE": <size_t>&b.engine_sleeping,
        "Dirty.BLOCKS": <size_t>&b.words[0][0],
        "Dirty.BYTES": sizeof(dirty_t),
        "Ring.PRODUCER_LINE": <size_t>&r.tail,
        "Ring.FULL_COUNT": <size_t>&r.full_count - <size_t>&r.tail,
        "Ring.CONSUMER_LINE": <size_t>&r.head,
        "Ring.RECORDS": <size_t>&r.records[0],
        "Ring.RECORD_BYTES": sizeof(signal_t),
        "Ring.BYTES": sizeof(ring_t),
        "Signal.SEQUENCE": <char*>&s.sequence - <char*>&s,
        "Signal.TIME_NS": <char*>&s.time_ns - <char*>&s,
        "Signal.TYPE": <char*>&s.type - <char*>&s,
        "Signal.VERSION": <char*>&s.version - <char*>&s,
        "Signal.LENGTH": <char*>&s.length - <char*>&s,
        "Signal.DIRECTION": <char*>&s.direction - <char*>&s,
        "Signal.SPOT_SOURCE": <char*>&s.spot_source - <char*>&s,
        "Signal.FUTURES_SOURCE": <char*>&s.futures_source - <char*>&s,
        "Signal.SYMBOL_ID": <char*>&s.symbol_id - <char*>&s,
        "Signal.SPOT_EPOCH": <char*>&s.spot_epoch - <char*>&s,
        "Signal.SPOT_BID": <char*>&s.spot_bid - <char*>&s,
        "Signal.SPOT_ASK": <char*>&s.spot_ask - <char*>&s,
        "Signal.FUTURES_BID": <char*>&s.futures_bid - <char*>&s,
        "Signal.FUTURES_ASK": <char*>&s.futures_ask - <char*>&s,
        "Signal.SPOT_BID_QTY": <char*>&s.spot_bid_qty - <char*>&s,
        "Signal.SPOT_ASK_QTY": <char*>&s.spot_ask_qty - <char*>&s,
        "Signal.FUTURES_BID_QTY": <char*>&s.futures_bid_qty - <char*>&s,
        "Signal.FUTURES_ASK_QTY": <char*>&s.futures_ask_qty - <char*>&s,
        "Signal.GROSS_BPS": <char*>&s.gross_bps - <char*>&s,
        "Signal.NET_BPS": <char*>&s.net_bps - <char*>&s,
        "Signal.EXECUTABLE_USD": <char*>&s.executable_usd - <char*>&s,
        "Signal.SPOT_AGE_US": <char*>&s.spot_age_us - <char*>&s,
        "Signal.FUTURES_AGE_US": <char*>&s.futures_age_us - <char*>&s,
        "Signal.FUTURES_EPOCH": <char*>&s.futures_epoch - <char*>&s,
        "Signal.OPENING": <char*>&s.opening - <char*>&s,
        "Signal.EXIT_BPS": <char*>&s.exit_bps - <char*>&s,
        "Health.PID": <char*>&h.pid - <char*>&h,
        "Health.STATE": <char*>&h.state - <char*>&h,
        "Health.START_TICKS": <char*>&h.start_ticks - <char*>&h,
        "Health.HEARTBEAT_NS": <char*>&h.heartbeat_ns - <char*>&h,
        "Health.STARTED_NS": <char*>&h.started_ns - <char*>&h,
        "Health.OBEYED_GENERATION": <char*>&h.obeyed_generation - <char*>&h,
        "Health.RESTARTS": <char*>&h.restarts - <char*>&h,
        "Health.UNIVERSE_GENERATION": <char*>&h.universe_generation - <char*>&h,
        "Health.NAME": <char*>&h.name[0] - <char*>&h,
        "Health.STATUS": <char*>&h.status[0] - <char*>&h,
        "Health.COUNTERS": <char*>&h.counters[0] - <char*>&h,
        "Health.HISTOGRAMS": <char*>&h.histograms[0][0] - <char*>&h,
        "Health.SLOT_BYTES": sizeof(health_slot_t),
    }


def monotonic_ns() -> int:
    """Return CLOCK_MONOTONIC in nanoseconds, the clock of every age in shared memory."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec


cdef class Mapping:
    """A region's bytes, held for as long as somebody points into them.

    Args:
        buffer: the mmap (or any buffer); a read-only one refuses every writing operation.
        size: bytes that must be there.
    """

    def __cinit__(self, buffer, Py_ssize_t size) -> None:
        self._held = False
        try:
            PyObject_GetBuffer(buffer, &self._view, PyBUF_WRITABLE)
            self.writable = True
        except (BufferError, TypeError):
            PyObject_GetBuffer(buffer, &self._view, PyBUF_SIMPLE)
            self.writable = False
        self._held = True
        if self._view.len < size:
            raise ValueError(f"a mapping of {self._view.len} bytes, expected at least {size}")
        self.base = <char*>self._view.buf
        if <size_t>self.base % 64:
            raise ValueError("a mapping that is not aligned to a cache line")

    def __dealloc__(self) -> None:
        if self._held:
            PyBuffer_Release(&self._view)

    cdef void* writable_base(self) except NULL:
        if not self.writable:
            raise PermissionError("this region is mapped read-only")
        return self.base

    def lock(self) -> int:
        """Lock the pages into memory; return 0 or the errno of the refusal."""
        return 0 if mlock(self.base, self._view.len) == 0 else errno

    def store_word(self, Py_ssize_t offset, uint64_t value) -> None:
        """Store a word with release order.

        Concurrency: readers see the whole word and everything stored before it.
        """
        self._check_word(offset)
        store_release_u64(<uint64_t*>(<char*>self.writable_base() + offset), value)

    def load_word(self, Py_ssize_t offset) -> int:
        """Load a word with acquire order.

        Concurrency: sees everything stored before the word was released.
        """
        self._check_word(offset)
        return load_acquire_u64(<uint64_t*>(self.base + offset))

    def _check_word(self, Py_ssize_t offset) -> None:
        if offset < 0 or offset % 8 or offset + 8 > self._view.len:
            raise ValueError(f"no word at offset {offset} of {self._view.len} bytes")


cdef int check_slot(int slot) except -1:
    if not 0 <= slot < SLOT_COUNT:
        raise IndexError(f"slot {slot}, expected 0 to {SLOT_COUNT - 1}")
    return 0


cdef void derive(price_data_t* value, uint64_t counter) noexcept nogil:
    # A record in which a mixture of two counters shows in every word.
    value.bid = <double>counter
    value.ask = <double>counter + 0.5
    value.bid_qty = <double>counter * 3
    value.ask_qty = <double>counter * 5
    value.exchange_ns = counter * 7
    value.received_ns = ~counter
    value.update_id = counter
    value.flags = <uint16_t>counter
    value.epoch = <uint16_t>(counter >> 16)
    value.publish_delay_ns = <uint32_t>counter


cdef class PriceSlots:
    """The price store: 8 sources x 1,024 symbols.

    Concurrency: one writer a source, any number of readers, nobody blocks.
    """

    def __init__(self, Mapping mapping) -> None:
        self.mapping = mapping
        self.prices = <prices_t*>mapping.base

    def write(self, int slot, const uint8_t[::1] record) -> None:
        """Publish one PRICE_DTYPE record of 64 bytes.

        Concurrency: the source's owner only; readers see the old record or this one.
        """
        cdef price_data_t value
        self.mapping.writable_base()
        check_slot(slot)
        if record.shape[0] != sizeof(price_data_t):
            raise ValueError(f"{record.shape[0]} bytes, expected {sizeof(price_data_t)}")
        memcpy(&value, &record[0], sizeof(price_data_t))
        seqlock_write(&self.prices.seqs[slot], &self.prices.entries[slot], &value)

    def read(self, int slot, uint8_t[::1] record) -> bool:
        """Copy a record out; False when it kept changing or its writer died in the middle.

        Concurrency: any number of readers; at most four tries.
        """
        cdef price_data_t value
        cdef uint64_t seen
        check_slot(slot)
        if record.shape[0] != sizeof(price_data_t):
            raise ValueError(f"{record.shape[0]} bytes, expected {sizeof(price_data_t)}")
        if not seqlock_read(&self.prices.seqs[slot], &self.prices.entries[slot], &value, &seen):
            return False
        memcpy(&record[0], &value, sizeof(price_data_t))
        return True

    def read_many(self, const int[::1] slots, uint8_t[::1] records, uint8_t[::1] stable) -> None:
        """Copy many records: record i of *records* from slot i of *slots*, stable[i] = 1 or 0.

        Concurrency: as read, one record at a time; records are not from one instant.
        """
        cdef Py_ssize_t index
        cdef uint64_t seen
        cdef price_data_t* target
        if (
            records.shape[0] != slots.shape[0] * <Py_ssize_t>sizeof(price_data_t)
            or stable.shape[0] != slots.shape[0]
        ):
            raise ValueError(
                f"{records.shape[0]} and {stable.shape[0]} bytes for {slots.shape[0]} slots"
            )
        for index in range(slots.shape[0]):
            check_slot(slots[index])
        if slots.shape[0] == 0:
            return
        target = <price_data_t*>&records[0]
        with nogil:
            for index in range(slots.shape[0]):
                stable[index] = seqlock_read(
                    &self.prices.seqs[slots[index]],
                    &self.prices.entries[slots[index]],
                    target + index,
                    &seen,
                )

    def sequence(self, int slot) -> int:
        """Return the sequence word: even = at rest; it rises by two with every write.

        Concurrency: any reader.
        """
        check_slot(slot)
        return load_acquire_u64(&self.prices.seqs[slot].sequence)

    def source_epoch(self, int source_id) -> int:
        """Return a source's epoch: odd while a feed owns it.

        Concurrency: any reader.
        """
        if not 0 <= source_id < NUM_SOURCES:
            raise IndexError(f"source {source_id}, expected 0 to {NUM_SOURCES - 1}")
        return load_acquire_u64(&self.prices.sources[source_id].epoch)

    def retire_source(self, int source_id, uint64_t epoch) -> bool:
        """Make every slot of a source unusable if *epoch* is still its epoch.

        Concurrency: anyone who has seen, after reading *epoch*, that the source's lock is free. A
        feed that takes the source at the same moment wins: its new epoch stays.
        """
        self.source_epoch(source_id)
        self.mapping.writable_base()
        return bool(replace_acq_rel_u64(
            &self.prices.sources[source_id].epoch, epoch, epoch + 1
        ))

    def bench_write(self, int slot, int64_t count) -> None:
        """Write one slot *count* times inside the kernel (for `spreadscan bench`).

        Concurrency: the source's owner only.
        """
        cdef price_data_t value
        cdef int64_t index
        self.mapping.writable_base()
        check_slot(slot)
        memcpy(&value, &self.prices.entries[slot], sizeof(price_data_t))
        with nogil:
            for index in range(count):
                value.update_id = index
                seqlock_write(&self.prices.seqs[slot], &self.prices.entries[slot], &value)

    def stress_write(self, int slot, uint64_t first, int64_t count, int gap) -> None:
        """Write *count* records whose every field follows from a counter that begins at *first*.

        Between two writes 0 to *gap* pauses pass, in turn, so that a reader meets every phase.

        Concurrency: the source's owner only.
        """
        cdef price_data_t value
        cdef int64_t index
        cdef int pause
        self.mapping.writable_base()
        check_slot(slot)
        with nogil:
            for index in range(count):
                derive(&value, first + index)
                seqlock_write(&self.prices.seqs[slot], &self.prices.entries[slot], &value)
                for pause in range(index % (gap + 1)):
                    cpu_relax()

    def stress_read(self, int slot, int64_t count) -> tuple[int, int, int]:
        """Read what stress_write writes; return how many reads were stable, torn, and new.

        Torn: stable, but not all of one counter, or older than the read before.

        Concurrency: any reader.
        """
        cdef price_data_t value, expected
        cdef uint64_t seen
        cdef int64_t index, last = -1, stable = 0, torn = 0, fresh = 0
        check_slot(slot)
        with nogil:
            for index in range(count):
                if not seqlock_read(
                    &self.prices.seqs[slot], &self.prices.entries[slot], &value, &seen
                ):
                    continue
                stable += 1
                derive(&expected, value.update_id)
                torn += (
                    memcmp(&value, &expected, sizeof(price_data_t)) != 0 or value.update_id < last
                )
                fresh += value.update_id != last
                last = value.update_id
        return stable, torn, fresh

    def bench_read(self, int slot, int64_t count) -> int:
        """Read one slot *count* times inside the kernel; return how many were stable.

        Concurrency: any reader.
        """
        cdef price_data_t value
        cdef uint64_t seen
        cdef int64_t index, stable = 0
        check_slot(slot)
        with nogil:
            for index in range(count):
                stable += seqlock_read(
                    &self.prices.seqs[slot], &self.prices.entries[slot], &value, &seen
                )
        return stable


cdef class DirtyBits:
    """The dirty bitmap and the engine's sleep word.

    Concurrency: feeds set bits, the engine takes them; nobody blocks.
    """

    def __init__(self, Mapping mapping) -> None:
        self.mapping = mapping
        self.dirty = <dirty_t*>mapping.base

    def mark(self, int source_id, int symbol_id) -> None:
        """Say that a symbol changed.

        Concurrency: any feed.
        """
        self.mapping.writable_base()
        if not (0 <= source_id < NUM_SOURCES and 0 <= symbol_id < MAX_SYMBOLS):
            raise IndexError(f"source {source_id} symbol {symbol_id}")
        mark_dirty(self.dirty, source_id, symbol_id)

    def take(self, int source_id) -> list[int]:
        """Return the symbols that changed since the last call and clear them.

        Concurrency: the engine only.
        """
        cdef int word
        cdef uint64_t bits
        self.mapping.writable_base()
        if not 0 <= source_id < NUM_SOURCES:
            raise IndexError(f"source {source_id}")
        found = []
        for word in range(WORDS_PER_SOURCE):
            bits = exchange_acq_rel_u64(&self.dirty.words[source_id][word], 0)
            while bits:
                found.append(word * 64 + lowest_bit(bits))
                bits &= bits - 1
        return found

    def wake(self, int wake_fd) -> bool:
        """Write the eventfd if the engine sleeps; say whether that was done.

        Concurrency: any feed; one of many pays.
        """
        self.mapping.writable_base()
        return wake_if_sleeping(self.dirty, wake_fd)

    @property
    def engine_sleeping(self) -> bool:
        """Whether the engine waits on its eventfd now."""
        return load_seq_cst_u32(&self.dirty.engine_sleeping) != 0

    @engine_sleeping.setter
    def engine_sleeping(self, bint value) -> None:
        self.mapping.writable_base()
        store_seq_cst_u32(&self.dirty.engine_sleeping, value)


cdef class SignalRing:
    """The SPSC ring from engine to tracker.

    Concurrency: one producer and one consumer, in different processes; neither blocks.
    """

    def __init__(self, Mapping mapping) -> None:
        self.mapping = mapping
        self.ring = <ring_t*>mapping.base
        self.cached_head = load_acquire_u64(&self.ring.head)

    def recover_tail(self) -> int:
        """Step over records that a killed producer committed without moving its tail.

        Return how many. Concurrency: the producer, before its first push.
        """
        cdef uint64_t tail = load_relaxed_u64(&self.ring.tail)
        cdef uint64_t start = tail
        self.mapping.writable_base()
        while (
            tail - start < RING_CAPACITY
            and load_acquire_u64(&self.ring.records[tail & (RING_CAPACITY - 1)].sequence)
            == tail + 1
        ):
            tail += 1
        store_release_u64(&self.ring.tail, tail)
        return tail - start

    def push(self, const uint8_t[::1] record) -> bool:
        """Append one SIGNAL_DTYPE record of 128 bytes; False when the ring is full (counted).

        Concurrency: the producer only; never blocks.
        """
        cdef signal_t value
        self.mapping.writable_base()
        if record.shape[0] != sizeof(signal_t):
            raise ValueError(f"{record.shape[0]} bytes, expected {sizeof(signal_t)}")
        memcpy(&value, &record[0], sizeof(signal_t))
        return ring_push(self.ring, &self.cached_head, &value)

    def peek(self, uint8_t[::1] records) -> int:
        """Copy committed records out without consuming them; return how many.

        Concurrency: the consumer only.
        """
        cdef int64_t limit = records.shape[0] // <Py_ssize_t>sizeof(signal_t)
        if limit == 0:
            return 0
        return ring_peek(self.ring, <signal_t*>&records[0], limit)

    def advance(self, uint64_t count) -> None:
        """Consume *count* records that were peeked.

        Concurrency: the consumer only.
        """
        cdef uint64_t end = load_relaxed_u64(&self.ring.head) + count
        self.mapping.writable_base()
        # By the last record's own commit, as peek does: the tail may stand behind it, for an
        # instant, or for long when the producer was killed in between.
        if count and load_acquire_u64(
            &self.ring.records[(end - 1) & (RING_CAPACITY - 1)].sequence
        ) != end:
            raise ValueError(f"advance by {count}, the ring holds {self.depth}")
        ring_advance(self.ring, count)

    @property
    def depth(self) -> int:
        """Records written and not yet consumed."""
        cdef uint64_t head = load_acquire_u64(&self.ring.head)
        # Negative where a killed producer's last record was consumed before its tail moved.
        return max(<int64_t>(load_acquire_u64(&self.ring.tail) - head), <int64_t>0)

    @property
    def tail(self) -> int:
        """Position of the next record to write."""
        return load_acquire_u64(&self.ring.tail)

    @property
    def head(self) -> int:
        """Position of the next record to read."""
        return load_acquire_u64(&self.ring.head)

    @property
    def full_count(self) -> int:
        """Pushes that found the ring full."""
        return load_relaxed_u64(&self.ring.full_count)

    def bench_push(self, int64_t count) -> int:
        """Push *count* records inside the kernel, waiting for room; return how many waits.

        Concurrency: the producer only.
        """
        cdef signal_t value
        cdef int64_t index, waits = 0
        self.mapping.writable_base()
        memcpy(&value, &self.ring.records[0], sizeof(signal_t))
        with nogil:
            for index in range(count):
                value.time_ns = index
                while not ring_push(self.ring, &self.cached_head, &value):
                    waits += 1
                    cpu_relax()
        return waits

    def bench_drain(self, int64_t count, uint8_t[::1] records) -> int:
        """Consume *count* records inside the kernel; return how many were out of order.

        Concurrency: the consumer only.
        """
        cdef int64_t limit = records.shape[0] // <Py_ssize_t>sizeof(signal_t)
        cdef signal_t* target = <signal_t*>&records[0]
        cdef int64_t seen = 0, taken, index, wrong = 0
        self.mapping.writable_base()
        with nogil:
            while seen < count:
                taken = ring_peek(self.ring, target, limit)
                if taken == 0:
                    cpu_relax()
                    continue
                for index in range(taken):
                    wrong += target[index].time_ns != seen + index
                ring_advance(self.ring, taken)
                seen += taken
        return wrong


cdef int check_counter(int counter) except -1:
    if not 0 <= counter < NUM_COUNTERS:
        raise IndexError(f"counter {counter}, expected 0 to {NUM_COUNTERS - 1}")
    return 0


cdef void store_text(char* target, int size, bytes text) noexcept:
    # Zero-padded, and always a zero at the end.
    cdef int index
    cdef int length = min(len(text), size - 1)
    for index in range(size):
        target[index] = text[index] if index < length else 0


cdef class HealthSlot:
    """One process's health words.

    Concurrency: one writer, the process that holds the role's lock; any number of readers.
    """

    def __init__(self, Mapping mapping, int index) -> None:
        if not 0 <= index < HEALTH_SLOTS:
            raise IndexError(f"health slot {index}, expected 0 to {HEALTH_SLOTS - 1}")
        self.mapping = mapping
        self.slot = <health_slot_t*>(mapping.base + HEADER_BYTES) + index

    def take(self, uint32_t pid, uint64_t start_ticks, bytes name) -> None:
        """Begin a new life in this slot: counters and histograms at zero, restarts + 1.

        Concurrency: holder of the role's lock.
        """
        cdef int index, bucket
        self.mapping.writable_base()
        self.slot.start_ticks = start_ticks
        self.slot.heartbeat_ns = self.slot.started_ns = monotonic_ns()
        self.slot.obeyed_generation = self.slot.universe_generation = 0
        store_relaxed_u64(&self.slot.restarts, self.slot.restarts + 1)
        for index in range(NUM_COUNTERS):
            store_relaxed_u64(&self.slot.counters[index], 0)
        for index in range(NUM_HISTOGRAMS):
            for bucket in range(HISTOGRAM_BUCKETS):
                store_relaxed_u64(&self.slot.histograms[index][bucket], 0)
        store_text(self.slot.name, 32, name)
        store_text(self.slot.status, 128, b"")
        store_seq_cst_u32(&self.slot.pid, pid)

    def beat(self, uint64_t now_ns) -> None:
        """Say that the working loop moved.

        Concurrency: the owner.
        """
        self.mapping.writable_base()
        store_relaxed_u64(&self.slot.heartbeat_ns, now_ns)

    def set_state(self, uint32_t state) -> None:
        """Publish a ProcessState.

        Concurrency: the owner.
        """
        self.mapping.writable_base()
        store_seq_cst_u32(&self.slot.state, state)

    def set_status(self, bytes text) -> None:
        """Publish a status line of at most 127 bytes; a reader may see it half changed.

        Concurrency: the owner.
        """
        self.mapping.writable_base()
        store_text(self.slot.status, 128, text)

    def set_generations(self, uint64_t obeyed, uint64_t universe) -> None:
        """Write back which control command and which universe this process acts on.

        Concurrency: the owner.
        """
        self.mapping.writable_base()
        store_release_u64(&self.slot.obeyed_generation, obeyed)
        store_release_u64(&self.slot.universe_generation, universe)

    def add(self, int counter, uint64_t amount=1) -> None:
        """Raise a counter.

        Concurrency: the owner.
        """
        check_counter(counter)
        self.mapping.writable_base()
        count(self.slot, counter, amount)

    def set(self, int counter, uint64_t value) -> None:
        """Set a counter that is a gauge.

        Concurrency: the owner.
        """
        check_counter(counter)
        self.mapping.writable_base()
        store_relaxed_u64(&self.slot.counters[counter], value)

    def get(self, int counter) -> int:
        """Read a counter.

        Concurrency: any reader.
        """
        check_counter(counter)
        return load_relaxed_u64(&self.slot.counters[counter])

    def record(self, int histogram, int64_t value_ns) -> None:
        """Count a latency sample; a negative one counts as zero.

        Concurrency: the owner.
        """
        if not 0 <= histogram < NUM_HISTOGRAMS:
            raise IndexError(f"histogram {histogram}, expected 0 to {NUM_HISTOGRAMS - 1}")
        self.mapping.writable_base()
        record_latency(self.slot, histogram, value_ns)


def bucket_of(uint64_t value_ns) -> int:
    """Return the histogram bucket of a sample in nanoseconds."""
    return histogram_bucket(value_ns)
