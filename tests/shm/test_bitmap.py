"""Dirty bits: none is lost, none appears by itself."""

import multiprocessing
import random

import pytest

from spreadscan.shm.layout import MAX_SYMBOLS, NUM_SOURCES, RegionKind
from spreadscan.shm.regions import attach_regions

SPAWN = multiprocessing.get_context("spawn")


def test_marked_symbols_are_taken_once_in_ascending_order(regions):
    for symbol in (1023, 0, 64, 63, 500, 0):
        regions.dirty.mark(2, symbol)

    assert regions.dirty.take(2) == [0, 63, 64, 500, 1023]
    assert regions.dirty.take(2) == []


def test_bits_of_one_source_are_not_those_of_another(regions):
    for source in range(NUM_SOURCES):
        regions.dirty.mark(source, source * 100)

    assert [regions.dirty.take(source) for source in range(NUM_SOURCES)] == [
        [source * 100] for source in range(NUM_SOURCES)
    ]


@pytest.mark.parametrize(("source", "symbol"), [(-1, 0), (8, 0), (0, -1), (0, MAX_SYMBOLS)])
def test_symbol_or_source_that_does_not_exist_is_refused(regions, source, symbol):
    with pytest.raises(IndexError):
        regions.dirty.mark(source, symbol)


def test_source_that_does_not_exist_cannot_be_taken(regions):
    with pytest.raises(IndexError):
        regions.dirty.take(NUM_SOURCES)


def test_bitmap_attached_for_reading_cannot_be_changed(shm, regions):
    reader = attach_regions(shm, reads=[RegionKind.DIRTY], writes=(), timeout_s=0)

    with pytest.raises(PermissionError):
        reader.dirty.mark(0, 0)
    with pytest.raises(PermissionError):
        reader.dirty.take(0)


def test_a_million_random_marks_leave_the_bitmap_equal_to_a_set(regions):
    draw = random.Random(7)
    expected = [set() for _ in range(NUM_SOURCES)]
    for number in range(1_000_000):
        source, symbol = draw.getrandbits(3), draw.getrandbits(10)
        regions.dirty.mark(source, symbol)
        expected[source].add(symbol)
        if number % 97 == 0:
            assert regions.dirty.take(source) == sorted(expected[source])
            expected[source].clear()

    assert [set(regions.dirty.take(source)) for source in range(NUM_SOURCES)] == expected


def mark_a_million(shm, source, go):
    """Body of a feed-like process; each of its symbols is marked, the last time in order."""
    dirty = attach_regions(shm, reads=(), writes=[RegionKind.DIRTY], timeout_s=0).dirty
    go.wait()
    draw = random.Random(source)
    for _ in range(500_000):
        dirty.mark(source, draw.getrandbits(10))
    for symbol in range(MAX_SYMBOLS):
        dirty.mark(source, symbol)


def test_two_processes_marking_while_a_third_takes_lose_no_bit(shm, regions):
    go = SPAWN.Event()
    sources = (1, 6)
    feeds = [SPAWN.Process(target=mark_a_million, args=(shm, source, go)) for source in sources]
    for feed in feeds:
        feed.start()
    taken = dict.fromkeys(sources, 0)
    since_last = {source: set() for source in sources}
    go.set()

    while any(feed.is_alive() for feed in feeds):
        for source in sources:
            found = regions.dirty.take(source)
            taken[source] += len(found)
            since_last[source].update(found)
    for source in sources:
        since_last[source].update(regions.dirty.take(source))

    assert [feed.exitcode for feed in feeds] == [0, 0]
    assert all(len(seen) == MAX_SYMBOLS for seen in since_last.values())
    assert all(count >= MAX_SYMBOLS for count in taken.values())
    assert [regions.dirty.take(source) for source in range(NUM_SOURCES)] == [[]] * NUM_SOURCES


def pass_a_token(shm, rounds):
    """Answer each mark at source 0 with the same mark at source 1."""
    dirty = attach_regions(shm, reads=(), writes=[RegionKind.DIRTY], timeout_s=0).dirty
    for number in range(rounds):
        while dirty.take(0) != [number % MAX_SYMBOLS]:
            pass
        dirty.mark(1, number % MAX_SYMBOLS)


def test_each_single_mark_reaches_the_other_process(shm, regions):
    rounds = 2_000
    other = SPAWN.Process(target=pass_a_token, args=(shm, rounds))
    other.start()

    for number in range(rounds):
        regions.dirty.mark(0, number % MAX_SYMBOLS)
        found = []
        while not found and other.is_alive():
            found = regions.dirty.take(1)
        # The last answer may come with the other's end.
        assert (found or regions.dirty.take(1)) == [number % MAX_SYMBOLS]
    other.join(30)

    assert other.exitcode == 0
