# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""Loops that call one operation of the kernel again and again, without Python in between.

`spreadscan bench` measures with them, the stress tests hunt with them; no process of the appliance
imports this module.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from spreadscan.kernel.memory cimport (
    PriceSlots, SignalRing, cpu_relax, price_data_t, ring_advance, ring_peek, ring_push,
    seqlock_read, seqlock_write, signal_t,
)


def write_prices(PriceSlots slots, int slot, int64_t count) -> None:
    """Write one slot *count* times inside the kernel.

    Concurrency: the source's owner only.
    """
    cdef price_data_t value
    cdef int64_t index
    slots.mapping.writable_base()
    slots.sequence(slot)
    memcpy(&value, &slots.prices.entries[slot], sizeof(price_data_t))
    with nogil:
        for index in range(count):
            value.update_id = index
            seqlock_write(&slots.prices.seqs[slot], &slots.prices.entries[slot], &value)


def read_prices(PriceSlots slots, int slot, int64_t count) -> int:
    """Read one slot *count* times inside the kernel; return how many were stable.

    Concurrency: any reader.
    """
    cdef price_data_t value
    cdef uint64_t seen
    cdef int64_t index, stable = 0
    slots.sequence(slot)
    with nogil:
        for index in range(count):
            stable += seqlock_read(
                &slots.prices.seqs[slot], &slots.prices.entries[slot], &value, &seen
            )
    return stable


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


def write_derived(PriceSlots slots, int slot, uint64_t first, int64_t count, int gap) -> None:
    """Write *count* records whose every field follows from a counter that begins at *first*.

    Between two writes 0 to *gap* pauses pass, in turn, so that a reader meets every phase.

    Concurrency: the source's owner only.
    """
    cdef price_data_t value
    cdef int64_t index
    cdef int pause
    slots.mapping.writable_base()
    slots.sequence(slot)
    with nogil:
        for index in range(count):
            derive(&value, first + index)
            seqlock_write(&slots.prices.seqs[slot], &slots.prices.entries[slot], &value)
            for pause in range(index % (gap + 1)):
                cpu_relax()


def read_derived(PriceSlots slots, int slot, int64_t count) -> tuple[int, int, int]:
    """Read what write_derived writes; return how many reads were stable, torn, and new.

    Torn: stable, but not all of one counter, or older than the read before.

    Concurrency: any reader.
    """
    cdef price_data_t value, expected
    cdef uint64_t seen
    cdef int64_t index, last = -1, stable = 0, torn = 0, fresh = 0
    slots.sequence(slot)
    with nogil:
        for index in range(count):
            if not seqlock_read(
                &slots.prices.seqs[slot], &slots.prices.entries[slot], &value, &seen
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


def push_signals(SignalRing ring, int64_t count) -> int:
    """Push *count* records inside the kernel, waiting for room; return how many waits.

    Concurrency: the producer only.
    """
    cdef signal_t value
    cdef int64_t index, waits = 0
    ring.mapping.writable_base()
    memcpy(&value, &ring.ring.records[0], sizeof(signal_t))
    with nogil:
        for index in range(count):
            value.time_ns = index
            while not ring_push(ring.ring, &ring.cached_head, &value):
                waits += 1
                cpu_relax()
    return waits


def drain_signals(SignalRing ring, int64_t count, uint8_t[::1] records) -> int:
    """Consume *count* records inside the kernel; return how many were out of order.

    Concurrency: the consumer only.
    """
    cdef int64_t limit = records.shape[0] // <Py_ssize_t>sizeof(signal_t)
    cdef signal_t* target = <signal_t*>&records[0]
    cdef int64_t seen = 0, taken, index, wrong = 0
    ring.mapping.writable_base()
    with nogil:
        while seen < count:
            taken = ring_peek(ring.ring, target, limit)
            if taken == 0:
                cpu_relax()
                continue
            for index in range(taken):
                wrong += target[index].time_ns != seen + index
            ring_advance(ring.ring, taken)
            seen += taken
    return wrong
