"""The ring: order, fullness, and what a dead producer or consumer leaves behind."""

import multiprocessing

import numpy as np
import pytest

from spreadscan.kernel.drills import drain_signals, push_signals
from spreadscan.shm.layout import RING_CAPACITY, SIGNAL_DTYPE, RegionKind, Ring, Signal
from spreadscan.shm.regions import attach_regions
from spreadscan.shm.ring import DRAIN_BATCH, RingReader, RingWriter

SPAWN = multiprocessing.get_context("spawn")
TAIL = Ring.PRODUCER_LINE + Ring.TAIL


def record(number):
    row = np.zeros((), SIGNAL_DTYPE)
    row["time_ns"], row["net_bps"], row["symbol_id"] = number, number / 2, number % 1024
    row["exit_bps"] = -number
    return row


@pytest.fixture
def writer(regions):
    return RingWriter(regions.ring)


@pytest.fixture
def reader(regions):
    return RingReader(regions.ring)


def drain(reader, count):
    """Consume *count* records and return their numbers."""
    numbers = []
    while len(numbers) < count:
        batch = reader.peek(count - len(numbers))
        assert len(batch), "the ring holds fewer records than expected"
        numbers += batch["time_ns"].tolist()
        reader.advance(len(batch))
    return numbers


def test_records_come_out_as_they_went_in(writer, reader):
    for number in range(3):
        assert writer.push(record(number))

    found = reader.peek(10)

    assert found["sequence"].tolist() == [1, 2, 3]
    assert found["net_bps"].tolist() == [0.0, 0.5, 1.0]
    assert found["symbol_id"].tolist() == [0, 1, 2]
    assert found["exit_bps"].tolist() == [0.0, -1.0, -2.0]


def test_empty_ring_gives_nothing(reader):
    assert len(reader.peek(100)) == 0
    assert len(reader.peek(0)) == 0
    assert reader.depth() == 0


def test_records_that_were_peeked_but_not_consumed_are_read_again(regions, writer, reader):
    for number in range(5):
        writer.push(record(number))
    reader.peek(5)
    reader.advance(2)

    successor = RingReader(regions.ring)

    assert successor.peek(5)["time_ns"].tolist() == [2, 3, 4]
    assert successor.depth() == 3


def test_peeked_records_are_copies(writer, reader):
    writer.push(record(1))
    first = reader.peek(1)
    reader.advance(1)
    writer.push(record(2))

    second = reader.peek(1)

    assert (first["time_ns"][0], second["time_ns"][0]) == (1, 2)


def test_one_peek_takes_no_more_than_its_batch(writer, reader):
    for number in range(DRAIN_BATCH + 10):
        writer.push(record(number))

    assert len(reader.peek(10**6)) == DRAIN_BATCH


@pytest.mark.parametrize("count", [3, RING_CAPACITY, RING_CAPACITY + 2, 2**63])
def test_consuming_more_than_the_ring_holds_is_refused(writer, reader, count):
    writer.push(record(0))
    writer.push(record(1))

    with pytest.raises(ValueError, match=f"advance by {count}, the ring holds 2"):
        reader.advance(count)

    assert reader.depth() == 2


def test_consuming_nothing_is_allowed_on_an_empty_ring(reader):
    reader.advance(0)

    assert reader.depth() == 0


def test_full_ring_refuses_and_counts_and_keeps_what_it_holds(writer, reader):
    for number in range(RING_CAPACITY):
        assert writer.push(record(number))

    refused = [writer.push(record(-1)) for _ in range(3)]

    assert refused == [False] * 3
    assert writer.ring.full_count == 3
    assert reader.depth() == RING_CAPACITY
    assert drain(reader, RING_CAPACITY) == list(range(RING_CAPACITY))
    assert writer.push(record(RING_CAPACITY))
    assert drain(reader, 1) == [RING_CAPACITY]


def test_order_survives_many_wraps_with_every_fill(writer, reader):
    pushed = taken = 0
    for step in range(1, 400):
        for _ in range(min(step * 7 % 4_001, RING_CAPACITY - (pushed - taken))):
            assert writer.push(record(pushed))
            pushed += 1
        count = min(step * 5 % 4_003, pushed - taken)
        assert drain(reader, count) == list(range(taken, taken + count))
        taken += count

    assert pushed > 3 * RING_CAPACITY
    assert drain(reader, pushed - taken) == list(range(taken, pushed))


def test_successor_steps_over_a_record_that_a_killed_producer_did_not_count(
    regions, writer, reader
):
    writer.push(record(0))
    writer.push(record(1))
    # As if the producer had been killed between the record's commit and its tail.
    regions.ring.mapping.store_word(TAIL, 1)

    successor = RingWriter(regions.ring)
    successor.push(record(2))

    assert successor.recovered_count == 1
    assert drain(reader, 3) == [0, 1, 2]


def test_consumer_takes_a_committed_record_before_the_tail_counts_it(regions, writer, reader):
    writer.push(record(0))
    regions.ring.mapping.store_word(TAIL, 0)

    taken = drain(reader, 1)

    assert taken == [0]
    assert reader.depth() == 0
    successor = RingWriter(regions.ring)
    assert successor.recovered_count == 1
    assert successor.push(record(1))
    assert drain(reader, 1) == [1]


def test_record_without_its_commit_is_not_there(regions, writer, reader):
    writer.push(record(0))
    slot = Ring.RECORDS + 1 * Ring.RECORD_BYTES
    # A producer killed in the middle of the second record: its bytes, but no sequence.
    regions.ring.mapping.store_word(slot + Signal.TIME_NS, 99)

    successor = RingWriter(regions.ring)

    assert successor.recovered_count == 0
    assert len(reader.peek(10)) == 1
    successor.push(record(1))
    assert drain(reader, 2) == [0, 1]


def test_recovery_of_a_full_ring_ends(regions, writer):
    for number in range(RING_CAPACITY):
        writer.push(record(number))
    regions.ring.mapping.store_word(TAIL, 0)

    assert RingWriter(regions.ring).recovered_count == RING_CAPACITY


def test_record_of_another_size_is_refused(writer):
    with pytest.raises(ValueError, match="127 bytes, expected 128"):
        writer.ring.push(np.zeros(127, np.uint8))


def test_ring_attached_for_reading_cannot_be_changed(shm, regions):
    read_only = attach_regions(shm, reads=[RegionKind.RING], writes=(), timeout_s=0)
    reader = RingReader(read_only.ring)

    with pytest.raises(PermissionError):
        RingWriter(read_only.ring)
    with pytest.raises(PermissionError):
        reader.advance(0)


ITEMS = 2_000_000


def push_items(shm):
    """Body of the producer's process."""
    ring = attach_regions(shm, reads=(), writes=[RegionKind.RING], timeout_s=0).ring
    push_signals(RingWriter(ring).ring, ITEMS)


def test_two_million_records_cross_to_another_process_in_order(shm, regions, reader):
    producer = SPAWN.Process(target=push_items, args=(shm,))
    producer.start()
    batch = np.empty(4096 * SIGNAL_DTYPE.itemsize, np.uint8)

    wrong = drain_signals(reader.ring, ITEMS, batch)
    producer.join(30)

    assert wrong == 0
    assert producer.exitcode == 0
    assert (reader.ring.head, reader.ring.tail) == (ITEMS, ITEMS)


def push_python_records(shm, count):
    ring = attach_regions(shm, reads=(), writes=[RegionKind.RING], timeout_s=0).ring
    writer = RingWriter(ring)
    for number in range(count):
        while not writer.push(record(number)):
            pass


def test_records_of_another_process_are_whole_while_it_still_writes(shm, regions, reader):
    count = 100_000
    producer = SPAWN.Process(target=push_python_records, args=(shm, count))
    producer.start()
    expected = 0

    while expected < count:
        batch = reader.peek(DRAIN_BATCH)
        numbers = np.arange(expected, expected + len(batch))
        assert (batch["time_ns"] == numbers).all()
        assert (batch["net_bps"] == numbers / 2).all()
        assert (batch["exit_bps"] == -numbers).all()
        assert (batch["sequence"] == numbers + 1).all()
        reader.advance(len(batch))
        expected += len(batch)
        assert len(batch) or producer.is_alive() or reader.depth()
    producer.join(30)

    assert producer.exitcode == 0
