"""The kernel's end of the table of open episodes: what it refuses. What it does: tests/tracker."""

import numpy as np
import pytest

from spreadscan.kernel.episodes import TABLE, apply_signals
from spreadscan.model import SignalType
from spreadscan.shm.layout import MAX_DIRECTIONS, MAX_SYMBOLS, SIGNAL_DTYPE
from spreadscan.tracker.columns import EPISODE_DTYPE


def arguments(count=4, rows=8):
    return {
        "records": np.zeros(count, SIGNAL_DTYPE).view(np.uint8),
        "table": np.zeros(rows, EPISODE_DTYPE).view(np.uint8),
        "row_of_route": np.full(MAX_DIRECTIONS * MAX_SYMBOLS, -1, np.int32),
        "canonical": np.arange(MAX_SYMBOLS, dtype=np.int32),
        "free_rows": np.arange(rows, dtype=np.int32),
        "ended_ns": np.zeros(MAX_DIRECTIONS * MAX_SYMBOLS, np.int64),
        "expired_openings": np.zeros(MAX_DIRECTIONS * MAX_SYMBOLS, np.uint32),
        "converge_net_bps": 0.0,
        "limits": np.full(3, 10**12, np.int64),
        "events": np.zeros((2 * count, 3), np.int32),
        "tally": np.zeros(3, np.uint64),
    }


def test_table_is_laid_out_as_numpy_sees_it():
    assert EPISODE_DTYPE.itemsize == TABLE["BYTES"]
    for name in ("first", "z_score", "route", "opening", "changed"):
        assert EPISODE_DTYPE.fields[name][1] == TABLE[name.upper()]


@pytest.mark.parametrize(
    "wrong",
    [
        {"records": np.zeros(100, np.uint8)},
        {"table": np.zeros(100, np.uint8)},
        {"row_of_route": np.zeros(5, np.int32)},
        {"canonical": np.zeros(5, np.int32)},
        {"free_rows": np.zeros(3, np.int32)},
        {"ended_ns": np.zeros(5, np.int64)},
        {"expired_openings": np.zeros(5, np.uint32)},
        {"limits": np.zeros(2, np.int64)},
        {"events": np.zeros((7, 3), np.int32)},
        {"events": np.zeros((8, 2), np.int32)},
        {"tally": np.zeros(2, np.uint64)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_shape_that_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError, match=r"records|routes|free rows"):
        apply_signals(**(arguments() | wrong))


@pytest.mark.parametrize("row", [-1, 8])
def test_free_row_that_does_not_exist_is_refused(row):
    with pytest.raises(IndexError, match=f"row {row}, expected 0 to 7"):
        apply_signals(**(arguments() | {"free_rows": np.full(8, row, np.int32)}))


@pytest.mark.parametrize("number", [-1, MAX_SYMBOLS])
def test_symbol_that_does_not_exist_is_refused(number):
    canonical = np.full(MAX_SYMBOLS, number, np.int32)

    with pytest.raises(IndexError, match=f"symbol {number}"):
        apply_signals(**(arguments() | {"canonical": canonical}))


def test_nothing_is_applied_of_an_empty_batch():
    given = arguments(count=0)

    assert apply_signals(**given) == 0
    assert not given["table"].any()


def test_rows_are_begun_in_the_order_of_the_free_ones():
    given = arguments(count=2)
    records = np.zeros(2, SIGNAL_DTYPE)
    records["type"] = SignalType.OPEN
    records["symbol_id"] = [3, 4]
    for name in ("spot_bid", "spot_ask", "futures_bid", "futures_ask"):
        records[name] = 1.0
    given["records"] = records.view(np.uint8)
    given["free_rows"] = np.array([5, 2], np.int32)

    found = apply_signals(**given)

    assert found == 2
    assert given["events"][:2].tolist() == [[1, 5, 0], [1, 2, 1]]
    assert given["row_of_route"][[3, 4]].tolist() == [5, 2]
