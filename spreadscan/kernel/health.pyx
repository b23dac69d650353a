# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""One process's health words: state, heartbeat, counters, latency histograms.

The counting itself stands in memory.pxd, where feed and engine inline it.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from spreadscan.kernel.memory cimport (
    HEADER_BYTES, HEALTH_SLOTS, HISTOGRAM_BUCKETS, Mapping, NUM_COUNTERS, NUM_HISTOGRAMS, count,
    health_slot_t, histogram_bucket, load_relaxed_u64, record_latency, store_relaxed_u64,
    store_release_u64, store_seq_cst_u32,
)

from spreadscan.kernel.memory import monotonic_ns


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
        self.slot.started_ns = monotonic_ns()
        # sync: pairs with load_word of who asks whether this process lives, before it looks at the
        # epochs: what the one before left was retired before this.
        store_release_u64(&self.slot.heartbeat_ns, self.slot.started_ns)
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
        # sync: as in take.
        store_release_u64(&self.slot.heartbeat_ns, now_ns)

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


    def record_all(self, int histogram, const int64_t[::1] values_ns) -> None:
        """Count many latency samples.

        Concurrency: the owner.
        """
        cdef Py_ssize_t index
        if not 0 <= histogram < NUM_HISTOGRAMS:
            raise IndexError(f"histogram {histogram}, expected 0 to {NUM_HISTOGRAMS - 1}")
        self.mapping.writable_base()
        for index in range(values_ns.shape[0]):
            record_latency(self.slot, histogram, values_ns[index])


def bucket_of(uint64_t value_ns) -> int:
    """Return the histogram bucket of a sample in nanoseconds."""
    return histogram_bucket(value_ns)
