"""A ledger cut anywhere in its last records, reopened on the ring that it was written from."""

import contextlib
import random
import shutil
import sqlite3
from collections import Counter

import pytest

from spreadscan.model import SignalType
from spreadscan.shm.layout import RING_CAPACITY
from spreadscan.tracker.parts import ledger_parts

SYMBOLS = (7, 8)
FRAME_BYTES = 4096 + 24
PAGE_BYTES = 4096
LAST_RECORDS = 5


class Scene:
    """A run of a tracker that ended at an instant, kept so that it can end in many ways."""

    def __init__(self, bench, tmp_path, *, in_log):
        self.bench = bench
        self.kept = tmp_path / "kept"
        self.expected = Counter()
        chance = random.Random(11)
        open_since = {}
        tracker = bench.tracker()
        for _ in range(60):
            symbol_id = chance.choice(SYMBOLS)
            time_ns = bench.clock.monotonic_ns()
            if symbol_id in open_since:
                bench.push(SignalType.CLOSE, symbol_id=symbol_id)
                self.expected[symbol_id, open_since.pop(symbol_id), time_ns] += 1
            else:
                bench.push(symbol_id=symbol_id)
                open_since[symbol_id] = time_ns
            tracker.step()
            bench.clock.advance(0.01)
        for symbol_id, opened_ns in open_since.items():
            self.expected[symbol_id, opened_ns, None] += 1
        if not in_log:
            tracker.close()
        shutil.copytree(bench.data_dir, self.kept)
        tracker.close()
        (part,) = ledger_parts(self.kept)
        self.file = part.ledger(self.kept)
        self.log = self.file.with_name(f"{self.file.name}-wal")

    def reopened(self, cut, size):
        """Put the run back with a file cut to this size; return what a new tracker makes of it."""
        folder = self.bench.data_dir
        shutil.rmtree(folder)
        shutil.copytree(self.kept, folder)
        with (folder / cut.name).open("r+b") as target:
            target.truncate(size)
        tracker = self.bench.tracker()
        tracker.step()
        tracker.close()
        (newest, *_) = reversed(ledger_parts(folder))
        with contextlib.closing(sqlite3.connect(newest.ledger(folder))) as connection:
            rows = connection.execute(
                "SELECT episode_id, symbol_id, opened_ns, ended_ns FROM episodes"
            ).fetchall()
        assert len({row[0] for row in rows}) == len(rows)
        return Counter(row[1:] for row in rows)


# Every place of one record is some minutes.
@pytest.mark.parametrize(
    ("records", "step"),
    [
        (range(LAST_RECORDS), FRAME_BYTES // 3 + 7),
        *(pytest.param([record], 1, marks=pytest.mark.nightly) for record in range(LAST_RECORDS)),
    ],
)
def test_log_cut_at_any_place_of_its_last_records_loses_doubles_and_invents_nothing(
    bench, tmp_path, records, step
):
    scene = Scene(bench, tmp_path, in_log=True)
    size = scene.log.stat().st_size
    assert size > 20 * FRAME_BYTES

    for record in records:
        end = size - record * FRAME_BYTES
        for cut in range(end, end - FRAME_BYTES, -step):
            assert scene.reopened(scene.log, cut) == scene.expected, cut


@pytest.mark.parametrize("step", [PAGE_BYTES + 511, pytest.param(41, marks=pytest.mark.nightly)])
def test_file_cut_anywhere_is_set_aside_and_made_good_from_the_ring(bench, tmp_path, step):
    scene = Scene(bench, tmp_path, in_log=False)
    size = scene.file.stat().st_size

    # The last page of all holds rows: what is missing of one must not be read as zeros.
    for cut in [0, *range(size - 1, 0, -step), *range(size - 2, size - 130, -20)]:
        assert scene.reopened(scene.file, cut) == scene.expected, cut
    assert list(bench.data_dir.glob("*.damaged-*"))


def test_signals_that_were_written_over_are_told_and_mark_nothing_as_converged(
    bench, tmp_path, caplog
):
    scene = Scene(bench, tmp_path, in_log=True)
    for _ in range(RING_CAPACITY // 4096 + 1):
        tracker = bench.tracker()
        for _ in range(4096):
            bench.push(SignalType.UPDATE, symbol_id=9)
        tracker.step()
        tracker.close()

    found = scene.reopened(scene.log, scene.log.stat().st_size - 3 * FRAME_BYTES)

    assert "signals were written over before they were stored" in caplog.text
    # The ring holds nothing any more of what the cut took: what was open then is open, unseen.
    assert all(ended_ns is None for _, _, ended_ns in found - scene.expected)
