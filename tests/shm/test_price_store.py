"""The price store within one process: what is written is read, a dead writer wedges nobody."""

import numpy as np
import pytest

from spreadscan.kernel.drills import read_derived, write_derived
from spreadscan.shm.layout import MAX_SYMBOLS, PRICE_DTYPE, SLOT_COUNT, Prices, RegionKind
from spreadscan.shm.price_store import is_usable, slot_of
from spreadscan.shm.regions import attach_regions

SLOT = slot_of(3, 77)
NOW_NS = 10_000_000_000


def record(number=1, **values):
    row = np.zeros((), PRICE_DTYPE)
    for name in PRICE_DTYPE.names:
        row[name] = number
    for name, value in values.items():
        row[name] = value
    return row


def set_sequence(regions, slot, value):
    offset = Prices.SEQ + slot * Prices.SEQ_ENTRY_BYTES
    regions.prices.slots.mapping.store_word(offset, value)


def set_epoch(regions, source, value):
    offset = Prices.SOURCE_STATES + source * Prices.SOURCE_STATE_BYTES
    regions.prices.slots.mapping.store_word(offset, value)


def test_written_record_is_read_back_whole(regions):
    expected = record(5, bid=1.25, ask=1.5, received_ns=-3, flags=0xFFFF)

    regions.prices.write(SLOT, expected)

    assert regions.prices.read(SLOT) == expected


def test_slot_that_nobody_wrote_is_all_zero(regions):
    assert regions.prices.read(SLOT) == np.zeros((), PRICE_DTYPE)


def test_last_write_wins(regions):
    for number in range(10):
        regions.prices.write(SLOT, record(number))

    assert regions.prices.read(SLOT) == record(9)
    assert regions.prices.slots.sequence(SLOT) == 20


def test_first_and_last_slots_do_not_touch_their_neighbours(regions):
    edges = [slot_of(source, symbol) for source in range(8) for symbol in (0, MAX_SYMBOLS - 1)]

    for slot in edges:
        regions.prices.write(slot, record(slot + 1))

    every = np.arange(SLOT_COUNT, dtype=np.int32)
    records, stable = regions.prices.read_many(every)
    written = set(np.flatnonzero(records["update_id"]).tolist())
    assert stable.all()
    assert written == set(edges)
    assert all(records[slot] == record(slot + 1) for slot in edges)


def test_record_left_half_written_has_no_stable_value(regions):
    regions.prices.write(SLOT, record())
    set_sequence(regions, SLOT, 3)

    assert regions.prices.read(SLOT) is None


def test_reading_many_marks_only_the_half_written_record_unstable(regions):
    slots = np.array([SLOT - 1, SLOT, SLOT + 1], np.int32)
    for slot in slots:
        regions.prices.write(slot, record(slot))
    set_sequence(regions, SLOT, 3)

    records, stable = regions.prices.read_many(slots)

    assert stable.tolist() == [True, False, True]
    assert [records[0], records[2]] == [record(SLOT - 1), record(SLOT + 1)]


def test_pair_is_stable_only_where_both_legs_are(regions):
    slots = np.array([1, 2, 3, SLOT, SLOT + 1, SLOT + 2], np.int32)
    for slot in slots:
        regions.prices.write(slot, record(slot))
    set_sequence(regions, 2, 3)
    set_sequence(regions, SLOT + 2, 3)

    records, stable = regions.prices.read_pairs(slots)

    assert stable.tolist() == [True, False, False] * 2
    assert [records[0], records[3]] == [record(1), record(SLOT)]


@pytest.mark.parametrize("slots", [[1], [1, SLOT_COUNT], [-1, 1]])
def test_slots_that_are_no_pairs_or_do_not_exist_are_refused(regions, slots):
    with pytest.raises((ValueError, IndexError)):
        regions.prices.read_pairs(np.array(slots, np.int32))


def test_no_pairs_give_no_records(regions):
    records, stable = regions.prices.read_pairs(np.zeros(0, np.int32))

    assert len(records) == len(stable) == 0


def test_next_write_heals_a_half_written_record(regions):
    set_sequence(regions, SLOT, 41)

    regions.prices.write(SLOT, record(8))

    assert regions.prices.read(SLOT) == record(8)
    assert regions.prices.slots.sequence(SLOT) == 42


def test_sequence_word_wraps_around_without_losing_a_record(regions):
    set_sequence(regions, SLOT, 2**64 - 2)

    regions.prices.write(SLOT, record(6))

    assert regions.prices.slots.sequence(SLOT) == 0
    assert regions.prices.read(SLOT) == record(6)


def test_a_million_writes_and_reads_in_turn_lose_nothing(regions):
    slots = regions.prices.slots
    for first in range(0, 1_000_000, 1_000):
        write_derived(slots, SLOT, first, 1_000, 0)

        stable, torn, fresh = read_derived(slots, SLOT, 1_000)

        assert (stable, torn, fresh) == (1_000, 0, 1)
    assert slots.sequence(SLOT) == 2_000_000


def test_hunt_reports_a_record_that_mixes_two_counters(regions):
    write_derived(regions.prices.slots, SLOT, 500, 1, 0)
    mixed = regions.prices.read(SLOT).copy()
    mixed["ask"] += 1

    regions.prices.write(SLOT, np.array(mixed))

    assert read_derived(regions.prices.slots, SLOT, 10)[:2] == (10, 10)


@pytest.mark.parametrize("slot", [-1, SLOT_COUNT, 2**31 - 1])
def test_slot_that_does_not_exist_is_refused(regions, slot):
    with pytest.raises(IndexError, match="slot"):
        regions.prices.read(slot)
    with pytest.raises(IndexError, match="slot"):
        regions.prices.write(slot, record())
    with pytest.raises(IndexError, match="slot"):
        regions.prices.read_many(np.array([0, slot], np.int32))


def test_record_of_another_size_is_refused(regions):
    with pytest.raises(ValueError, match="63 bytes, expected 64"):
        regions.prices.slots.write(SLOT, np.zeros(63, np.uint8))
    with pytest.raises(ValueError, match="65 bytes, expected 64"):
        regions.prices.slots.read(SLOT, np.zeros(65, np.uint8))
    with pytest.raises(ValueError, match="for 2 slots"):
        regions.prices.slots.read_many(
            np.zeros(2, np.int32), np.zeros(64, np.uint8), np.zeros(2, np.uint8)
        )


def test_store_attached_for_reading_cannot_be_written(shm, regions):
    reader = attach_regions(shm, reads=[RegionKind.PRICES], writes=(), timeout_s=0)

    with pytest.raises(PermissionError):
        reader.prices.write(SLOT, record())
    with pytest.raises(PermissionError):
        reader.prices.retire_source(3, 0)


def test_retiring_a_source_makes_its_epoch_even(regions):
    set_epoch(regions, 3, 5)

    retired = regions.prices.retire_source(3, 5)

    assert retired
    assert regions.prices.source_epoch(3) == 6


def test_retiring_loses_against_a_feed_that_took_the_source_meanwhile(regions):
    set_epoch(regions, 3, 7)

    retired = regions.prices.retire_source(3, 5)

    assert not retired
    assert regions.prices.source_epoch(3) == 7


@pytest.mark.parametrize("source", [-1, 8])
def test_source_that_does_not_exist_is_refused(regions, source):
    with pytest.raises(IndexError, match="source"):
        regions.prices.source_epoch(source)


def test_epochs_are_those_of_each_slots_source(regions):
    set_epoch(regions, 1, 3)
    set_epoch(regions, 7, 9)
    slots = np.array([slot_of(7, 0), slot_of(0, 5), slot_of(1, MAX_SYMBOLS - 1)], np.int32)

    assert regions.prices.epochs_of(slots).tolist() == [9, 0, 3]
    assert regions.prices.source_epochs().tolist() == [0, 3, 0, 0, 0, 0, 0, 9]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({}, True),
        ({"flags": 1}, False),
        ({"flags": 0x8000}, False),
        ({"epoch": 5}, False),
        ({"received_ns": NOW_NS - 1_001}, False),
        ({"received_ns": NOW_NS - 1_000}, True),
    ],
)
def test_price_is_usable_only_with_no_flag_a_living_epoch_and_a_fresh_quote(case, expected):
    row = record(received_ns=NOW_NS, flags=0, epoch=7)
    for name, value in case.items():
        row[name] = value

    usable = is_usable(
        row[None], np.array([True]), np.array([0x1_0007], np.uint64), NOW_NS, max_age_ns=1_000
    )

    assert usable.tolist() == [expected]


@pytest.mark.parametrize(("stable", "epoch"), [(False, 7), (True, 8), (True, 6)])
def test_price_of_an_unstable_slot_or_an_unowned_source_is_not_usable(stable, epoch):
    row = record(received_ns=NOW_NS, flags=0, epoch=epoch if stable else 7)

    usable = is_usable(
        row[None], np.array([stable]), np.array([epoch], np.uint64), NOW_NS, max_age_ns=1_000
    )

    assert usable.tolist() == [False]
