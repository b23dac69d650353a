"""Funding, baselines and states of routes: whole records, whatever becomes of their writer."""

import multiprocessing
import time

import numpy as np
import pytest

from spreadscan.shm.counters import Gate
from spreadscan.shm.layout import (
    MAX_DIRECTIONS,
    MAX_SYMBOLS,
    NUM_GATES,
    ROUTE_CAPACITY,
    SLOT_COUNT,
    Baseline,
    Funding,
    RegionKind,
    Routes,
)
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.record_table import route_index
from spreadscan.shm.regions import attach_regions

SPAWN = multiprocessing.get_context("spawn")
SLOT = slot_of(3, 17)


def publish(regions, number):
    """Write funding whose every field follows from one number."""
    regions.funding.write(
        SLOT,
        rate=number / 1e6,
        interval_s=float(number),
        next_settlement_ms=number * 3,
        received_ns=number * 5,
    )


def test_funding_is_read_as_it_was_written(regions):
    regions.funding.write(
        SLOT, rate=-0.0001, interval_s=14_400.0, next_settlement_ms=1_764_000_000_000, received_ns=9
    )

    found = regions.funding.read(SLOT)

    assert found is not None
    assert (found["rate"], found["interval_s"], found["next_settlement_ms"]) == (
        -0.0001, 14_400.0, 1_764_000_000_000,
    )  # fmt: skip
    assert found["received_ns"] == 9


def test_funding_that_nobody_wrote_is_unknown(regions):
    found = regions.funding.read(SLOT)

    assert found is not None
    assert (found["interval_s"], found["next_settlement_ms"], found["received_ns"]) == (0, 0, 0)


def test_baseline_is_read_as_it_was_written(regions):
    index = route_index(11, 1023)
    regions.baseline.write(index, median_bps=3.5, mad_bps=0.25, samples=400, updated_ns=77)

    found = regions.baseline.read(index)

    assert index == 11 * MAX_SYMBOLS + 1023
    assert found is not None
    assert (found["median_bps"], found["mad_bps"], found["samples"], found["updated_ns"]) == (
        3.5, 0.25, 400, 77,
    )  # fmt: skip


def test_whole_table_is_read_at_once_and_says_which_records_are_stable(regions):
    for slot in (0, SLOT, SLOT_COUNT - 1):
        regions.funding.write(
            slot, rate=slot / 1e9, interval_s=3600.0, next_settlement_ms=1, received_ns=1
        )
    half_written = Funding.RECORDS + 5 * Funding.RECORD_BYTES
    regions.funding.table.mapping.store_word(half_written, 1)

    records, stable = regions.funding.read_all()

    assert len(records) == SLOT_COUNT
    assert np.flatnonzero(records["interval_s"]).tolist() == [0, SLOT, SLOT_COUNT - 1]
    assert records["rate"][SLOT] == SLOT / 1e9
    assert np.flatnonzero(~stable).tolist() == [5]


@pytest.mark.parametrize("name", ["funding", "baseline"])
def test_record_of_a_writer_that_died_in_the_middle_is_refused_until_the_next_one_heals_it(
    regions, name
):
    table = getattr(regions, name)
    offset = {"funding": Funding.RECORDS, "baseline": Baseline.RECORDS}[name]
    table.table.mapping.store_word(offset, 7)

    refused = table.read(0)
    if name == "funding":
        table.write(0, rate=0.1, interval_s=1.0, next_settlement_ms=2, received_ns=3)
    else:
        table.write(0, median_bps=0.1, mad_bps=1.0, samples=2, updated_ns=3)

    assert refused is None
    assert table.read(0) is not None
    assert table.table.mapping.load_word(offset) == 8


@pytest.mark.parametrize("index", [-1, SLOT_COUNT])
def test_record_that_does_not_exist_is_refused(regions, index):
    with pytest.raises(IndexError, match=str(index)):
        regions.funding.read(index)


def test_reader_may_look_but_not_write(shm, regions):
    publish(regions, 4)
    read_only = attach_regions(shm, reads=[RegionKind.FUNDING], writes=(), timeout_s=0)

    with pytest.raises(PermissionError):
        publish(read_only, 5)

    assert read_only.funding.read(SLOT)["interval_s"] == 4.0


def test_counts_of_the_gates_are_a_table_of_directions(regions):
    last = Routes.GATES + 8 * (63 * NUM_GATES + Gate.FROZEN)
    regions.routes.table.mapping.store_word(last, 12)

    counts = regions.routes.suppressed()

    assert counts.shape == (MAX_DIRECTIONS, NUM_GATES)
    assert counts[63, Gate.FROZEN] == counts.sum() == 12


def test_route_without_a_signal_has_no_state(regions):
    states, stable = regions.routes.read_all()

    assert len(states) == ROUTE_CAPACITY
    assert stable.all()
    assert not states["time_ns"].any()


def write_until_stopped(shm, stop):
    """Body of the writing process."""
    regions = attach_regions(shm, reads=(), writes=[RegionKind.FUNDING], timeout_s=0)
    number = 1
    while not stop.is_set():
        publish(regions, number)
        number += 1


def test_reader_beside_a_writer_at_full_speed_finds_no_torn_record(shm, regions):
    publish(regions, 1)
    stop = SPAWN.Event()
    writer = SPAWN.Process(target=write_until_stopped, args=(shm, stop))
    writer.start()
    deadline_s = time.monotonic() + 60
    seen = set()

    while len(seen) < 5_000:
        assert time.monotonic() < deadline_s
        found = regions.funding.read(SLOT)
        if found is not None:
            number = int(found["interval_s"])
            assert found["rate"] == number / 1e6
            assert (found["next_settlement_ms"], found["received_ns"]) == (number * 3, number * 5)
            seen.add(number)
    stop.set()
    writer.join(30)

    assert writer.exitcode == 0
