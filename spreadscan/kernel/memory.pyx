# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=False
"""Seqlocked price slots, dirty bits and the signal ring over mapped regions.

The operations themselves stand in memory.pxd, where the other kernel modules inline them; here are
the objects through which Python reaches them. Layouts: layout.h and shm/layout.py.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport errno

cdef extern from "<sys/mman.h>" nogil:
    int mlock(const void* address, size_t length)


def monotonic_ns() -> int:
    """Return CLOCK_MONOTONIC in nanoseconds, the clock of every age in shared memory."""
    return now_ns()


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

    cdef int check_span(self, size_t offset, size_t size) except -1:
        if offset + size > <size_t>self._view.len:
            raise ValueError(f"{size} bytes at {offset} of {self._view.len}")
        return 0

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

    def swap_word(self, Py_ssize_t offset, uint64_t expected, uint64_t value) -> bool:
        """Store a word if it still is *expected*; return whether it was.

        Concurrency: any number of processes; of those that expect the same value one succeeds.
        """
        self._check_word(offset)
        return bool(replace_acq_rel_u64(
            <uint64_t*>(<char*>self.writable_base() + offset), expected, value
        ))

    def _check_word(self, Py_ssize_t offset) -> None:
        if offset < 0 or offset % 8 or offset + 8 > self._view.len:
            raise ValueError(f"no word at offset {offset} of {self._view.len} bytes")


cdef int check_slot(int slot) except -1:
    if not 0 <= slot < SLOT_COUNT:
        raise IndexError(f"slot {slot}, expected 0 to {SLOT_COUNT - 1}")
    return 0


cdef int check_source(int source_id) except -1:
    if not 0 <= source_id < NUM_SOURCES:
        raise IndexError(f"source {source_id}, expected 0 to {NUM_SOURCES - 1}")
    return 0


cdef bint read_pair(
    const prices_t* prices, int first_slot, int second_slot,
    price_data_t* first, price_data_t* second,
) noexcept nogil:
    # The first is looked at again after the second was read: what then still stands stood with it.
    cdef uint64_t first_seen, second_seen
    cdef int attempt
    for attempt in range(READ_ATTEMPTS):
        if (
            not seqlock_read(
                &prices.seqs[first_slot], &prices.entries[first_slot], first, &first_seen
            )
            or not seqlock_read(
                &prices.seqs[second_slot], &prices.entries[second_slot], second, &second_seen
            )
        ):
            return False
        # sync: ordered after the reading of the second by its fence_acquire; pairs with the
        # writer's fence_release.
        if load_relaxed_u64(&prices.seqs[first_slot].sequence) == first_seen:
            return True
    return False


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

    def read_pairs(self, const int[::1] slots, uint8_t[::1] records, uint8_t[::1] stable) -> None:
        """Copy pairs of records: pair i is slots[i] and slots[n + i], of 2n slots.

        stable[i] = stable[n + i] = 1 where both records stood in their slots at one moment, 0 where
        they kept changing.

        Concurrency: as read; at most four tries a pair.
        """
        cdef Py_ssize_t index, pairs = slots.shape[0] // 2
        cdef price_data_t* target
        cdef const int* slot
        if (
            slots.shape[0] % 2
            or records.shape[0] != slots.shape[0] * <Py_ssize_t>sizeof(price_data_t)
            or stable.shape[0] != slots.shape[0]
        ):
            raise ValueError(
                f"{records.shape[0]} and {stable.shape[0]} bytes for {slots.shape[0]} slots"
            )
        for index in range(slots.shape[0]):
            check_slot(slots[index])
        if pairs == 0:
            return
        target = <price_data_t*>&records[0]
        slot = &slots[0]
        with nogil:
            for index in range(pairs):
                stable[index] = stable[pairs + index] = read_pair(
                    self.prices, slot[index], slot[pairs + index],
                    target + index, target + pairs + index,
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
        check_source(source_id)
        return load_acquire_u64(&self.prices.sources[source_id].epoch)

    def living_epoch(self, int source_id) -> int:
        """Return the epoch that a usable slot must carry; 0 while the feed hangs.

        Concurrency: any reader.
        """
        check_source(source_id)
        return living_epoch(self.prices, source_id)

    def set_source_silent(self, int source_id, bint is_silent) -> None:
        """Take a hanging feed's slots out of use, or back into it.

        Concurrency: the engine only; the feed, should it go on, is not disturbed.
        """
        check_source(source_id)
        self.mapping.writable_base()
        store_release_u64(&self.prices.sources[source_id].is_silent, is_silent)

    def retire_source(self, int source_id, uint64_t epoch) -> bool:
        """Make every slot of a source unusable if *epoch* is still its epoch.

        Concurrency: anyone who has seen, after reading *epoch*, that the source's lock is free. A
        feed that takes the source at the same moment wins: its new epoch stays.
        """
        check_source(source_id)
        self.mapping.writable_base()
        return bool(replace_acq_rel_u64(
            &self.prices.sources[source_id].epoch, epoch, epoch + 1
        ))

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

    def peek_from(self, uint64_t position, uint8_t[::1] records) -> int:
        """Copy committed records out, the first of them at *position*; return how many.

        Before the head only what was not written over since: whoever asks compares the tail
        afterwards, which moves before a slot is written again. Concurrency: the consumer only.
        """
        cdef int64_t limit = records.shape[0] // <Py_ssize_t>sizeof(signal_t)
        if limit == 0:
            return 0
        return ring_peek_from(self.ring, position, <signal_t*>&records[0], limit)

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
