"""A ledger with a hole: a page of zeros inside, as a power cut leaves one on some file systems."""

import contextlib
import shutil
import sqlite3

import numpy as np
import pytest
from history_cases import Days
from tracker_cases import WALL_NS

from spreadscan.config import load_config
from spreadscan.ops.compact import compact
from spreadscan.ops.history import EpisodeQuery, History
from spreadscan.tracker.frames import Frame
from spreadscan.tracker.parts import ledger_parts
from spreadscan.tracker.recovery import open_ledger

PAGE_BYTES = 4096
POINTS = 500
FIRST_ID = 1 << 50
LEAST_HOLES = 5
"""So many pages must have been missed, or the test has zeroed nothing that counts."""


def wide_frame(number):
    """A look at so many episodes that its columns need pages of their own."""
    ids = np.arange(FIRST_ID, FIRST_ID + POINTS)
    return Frame(
        ids, np.full(POINTS, 200 * number), np.full(POINTS, 50.0), np.full(POINTS, 30.0),
        np.full(POINTS, 100.0 + number),
    )  # fmt: skip


@pytest.fixture
def config(make_config):
    return load_config(make_config({}))


@pytest.fixture
def days(config):
    """Two finished days and one that is written; the first and the last hold wide looks."""
    subject = Days(config.path(config.tracker.data_dir))
    for _ in range(2):
        for symbol_id in (7, 8, 9):
            subject.open(symbol_id)
            subject.look(30.0)
            subject.close(symbol_id)
        subject.open(7)
        subject.frames.append(wide_frame(1))
        subject.commit()
        subject.close(7)
        subject.next_day()
    subject.open(8)
    subject.frames.append(wide_frame(2))
    subject.commit()
    subject.store.close()
    return subject


def with_holes(file):
    """Yield each page's number, with that page zeroed meanwhile."""
    whole = file.read_bytes()
    for start in range(PAGE_BYTES, len(whole), PAGE_BYTES):
        if any(whole[start : start + PAGE_BYTES]):
            file.write_bytes(whole[:start] + bytes(PAGE_BYTES) + whole[start + PAGE_BYTES :])
            yield start // PAGE_BYTES
    file.write_bytes(whole)


def points_of(folder):
    """All points that the history tells, and whether it told of a part that it left out."""
    subject = History(folder)
    numbers = [row.episode_id for row in subject.summaries(EpisodeQuery())]
    numbers += range(FIRST_ID, FIRST_ID + POINTS)
    rows = [
        tuple(row.values()) for table in subject.point_tables(numbers) for row in table.to_pylist()
    ]
    return set(rows), bool(subject.troubles)


def test_history_tells_no_zeros_out_of_a_hole(days):
    expected, _ = points_of(days.folder)
    holes = 0

    for page in with_holes(ledger_parts(days.folder)[0].ledger(days.folder)):
        told, is_trouble = points_of(days.folder)
        assert told <= expected, page
        assert is_trouble or told == expected, page
        holes += told != expected
    assert holes >= LEAST_HOLES


def test_compaction_archives_no_zeros_out_of_a_hole_and_sets_the_part_aside(days, config, tmp_path):
    expected, _ = points_of(days.folder)
    kept = tmp_path / "kept"
    shutil.copytree(days.folder, kept)
    first = ledger_parts(days.folder)[0].ledger(days.folder)
    aside = 0

    for page in with_holes(kept / first.name):
        shutil.rmtree(days.folder)
        shutil.copytree(kept, days.folder)
        done = compact(config, WALL_NS)
        told, _ = points_of(days.folder)
        assert told <= expected, page
        assert told == expected or first.name in done.failed[0], page
        aside += bool(done.failed)
    assert aside >= LEAST_HOLES


def test_tracker_begins_another_part_when_its_own_has_a_hole_and_keeps_what_is_open(days, tmp_path):
    kept = tmp_path / "kept"
    shutil.copytree(days.folder, kept)
    (still_open,) = days.case.open
    newest = ledger_parts(kept)[-1].ledger(kept)
    aside = 0

    for page in with_holes(newest):
        shutil.rmtree(days.folder)
        shutil.copytree(kept, days.folder)
        opened = open_ledger(days.folder, days.clocks())
        opened.store.close()
        if opened.damaged:
            assert newest.name in opened.damaged[0]
            aside += 1
        assert {each.episode_id for each in opened.saved.episodes} <= {still_open.episode_id}
        assert opened.damaged or opened.saved.episodes, page
    assert aside >= LEAST_HOLES


def test_part_of_a_build_without_checksums_is_read_as_it_stands_and_compacted(days, config):
    expected, _ = points_of(days.folder)
    for part in ledger_parts(days.folder):
        with contextlib.closing(sqlite3.connect(part.ledger(days.folder))) as connection:
            connection.execute("ALTER TABLE frames DROP COLUMN checksum")
            connection.execute("PRAGMA user_version = 3")

    read = points_of(days.folder)
    assert compact(config, WALL_NS).failed == ()
    open_ledger(days.folder, days.clocks()).store.close()

    assert read == points_of(days.folder) == (expected, False)
