"""Finished days become Parquet, proven before anything is deleted."""

import contextlib
import fcntl
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from history_cases import DAY_NS, Days, three_days
from tracker_cases import NOW_NS, OFFSET_NS

from spreadscan.config import load_config
from spreadscan.errors import ConfigError
from spreadscan.ops import archive, retention
from spreadscan.ops import compact as compact_module
from spreadscan.ops.compact import CompactionBusyError, compact
from spreadscan.ops.history import EpisodeQuery, History
from spreadscan.tracker.parts import Part, archived_parts, ledger_parts
from spreadscan.tracker.schema import SCHEMA_VERSION

LATER_NS = NOW_NS + OFFSET_NS + 3 * DAY_NS
EVERYTHING = EpisodeQuery()


@pytest.fixture
def config(make_config):
    return load_config(make_config({}))


@pytest.fixture
def folder(config):
    return config.path(config.tracker.data_dir)


@pytest.fixture
def days(folder):
    subject = three_days(folder)
    yield subject
    subject.store.close()


def answers(folder):
    """Everything that the history says, of parts that are whole."""
    found, troubles = answers_and_troubles(folder)
    assert troubles == []
    return found


def answers_and_troubles(folder):
    history = History(folder)
    rows = history.summaries(EVERYTHING)
    return [(row, history.path(row.episode_id)) for row in rows], history.troubles


def test_compaction_changes_no_answer_and_leaves_the_newest_part(config, folder, days):
    before = answers(folder)

    found = compact(config, LATER_NS)

    assert [part.day for part in found.compacted] == ["2025-06-15", "2025-06-16"]
    assert (found.dropped, found.failed) == ((), ())
    assert len(ledger_parts(folder)) == 1
    assert len(archived_parts(folder)) == 2
    assert answers(folder) == before
    assert [len(path) for _, path in before] == [1, 2, 2]


class Killed(BaseException):
    """What a kill leaves is what stands on the disk at that moment."""


def killed_at(monkeypatch, step):
    """Kill the compaction before its n-th change of a name; return whether it came that far."""
    left = [step]
    for name in ("unlink", "rename"):
        real = getattr(Path, name)

        def change(self, *arguments, _real=real, **more):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return _real(self, *arguments, **more)

        monkeypatch.setattr(Path, name, change)


@pytest.mark.parametrize("is_read", [False, True], ids=["alone", "beside-a-reader"])
@pytest.mark.parametrize("step", range(11))
def test_compaction_killed_at_any_step_loses_nothing(
    config, folder, days, monkeypatch, step, is_read
):
    before = answers(folder)
    reader = sqlite3.connect(ledger_parts(folder)[0].ledger(folder))
    if is_read:
        # A transaction that holds the log: it cannot be emptied.
        with sqlite3.connect(ledger_parts(folder)[0].ledger(folder)) as writer:
            writer.execute("PRAGMA journal_mode = WAL")
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM episodes").fetchone()
            writer.execute("UPDATE meta SET value = value")
        writer.close()
    with monkeypatch.context() as patch:
        killed_at(patch, step)
        with contextlib.suppress(Killed):
            compact(config, LATER_NS)
    between = answers(folder)
    with contextlib.suppress(sqlite3.Error):
        reader.rollback()
    reader.close()

    found = compact(config, LATER_NS)

    assert between == before
    assert found.failed == ()
    assert len(ledger_parts(folder)) == 1
    assert answers(folder) == before


def test_archive_that_an_earlier_run_proved_is_never_written_again(config, folder, days):
    part = ledger_parts(folder)[0]
    kept = part.ledger(folder).read_bytes()
    compact(config, LATER_NS)
    archived = part.episodes(folder).read_bytes(), part.paths(folder).read_bytes()
    part.ledger(folder).write_bytes(kept)
    with sqlite3.connect(part.ledger(folder)) as connection:
        connection.execute("DELETE FROM episodes")
        connection.execute("DELETE FROM frames")

    found = compact(config, LATER_NS)

    assert "expected" in found.failed[0]
    assert part.ledger(folder).exists()
    assert (part.episodes(folder).read_bytes(), part.paths(folder).read_bytes()) == archived


def test_second_run_has_nothing_to_do(config, folder, days):
    compact(config, LATER_NS)
    files = sorted(folder.rglob("*.parquet"))
    times = [file.stat().st_mtime_ns for file in files]

    found = compact(config, LATER_NS)

    assert found.compacted == found.dropped == found.failed == ()
    assert [file.stat().st_mtime_ns for file in files] == times


def test_compaction_before_the_tracker_ever_ran_does_nothing(config, folder):
    found = compact(config, LATER_NS)

    assert found.compacted == ()
    assert not folder.exists()


def test_log_that_a_killed_tracker_left_belongs_to_its_part(config, folder, tmp_path):
    days = Days(tmp_path / "origin")
    days.open(7)
    days.look(30.0)
    days.close(7)
    days.commit()
    # As a kill leaves it: everything is in the log, nothing in the file.
    shutil.copytree(days.folder, folder)
    days.next_day()
    days.store.close()
    newest = days.store.file
    shutil.copy(newest, folder / newest.name)

    found = compact(config, LATER_NS)

    assert [part.points for part in found.compacted] == [1]
    assert [row.symbol for row, _ in answers(folder)] == ["BTC-USDT"]


def test_files_that_do_not_hold_what_the_ledger_held_delete_nothing(
    config, folder, days, monkeypatch
):
    before = answers(folder)
    real = archive._Digest.text
    texts = iter(range(100))
    monkeypatch.setattr(archive._Digest, "text", lambda self: f"{real(self)} {next(texts)}")

    found = compact(config, LATER_NS)

    assert len(found.failed) == 2
    assert found.compacted == ()
    assert len(ledger_parts(folder)) == 3
    assert list(folder.rglob("*.new")) == []
    assert answers(folder) == before


def test_damaged_part_is_set_aside_and_the_others_are_compacted(config, folder, days):
    first, second, _ = ledger_parts(folder)
    first.ledger(folder).write_bytes(b"torn " * 5000)
    for suffix in ("-wal", "-shm"):
        first.ledger(folder).with_name(first.ledger(folder).name + suffix).unlink(missing_ok=True)

    found = compact(config, LATER_NS)

    assert [part.number for part in found.compacted] == [second.number]
    (sentence,) = found.failed
    assert "set aside as" in sentence
    assert len(list(folder.glob("*.damaged-*"))) == 1
    assert [row.symbol for row, _ in answers(folder)] == ["SOL-USDT", "ETH-USDT"]


def test_part_of_a_newer_build_is_left_alone_and_the_others_are_compacted(config, folder, days):
    first, second, _ = ledger_parts(folder)
    with contextlib.closing(sqlite3.connect(first.ledger(folder))) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")

    found = compact(config, LATER_NS)

    assert [part.number for part in found.compacted] == [second.number]
    (sentence,) = found.failed
    assert (
        f"not compacted: {first.ledger(folder)}: user_version: found {SCHEMA_VERSION + 1}"
        in sentence
    )
    assert first.ledger(folder).exists()


@pytest.mark.parametrize(
    ("name", "found"),
    [("history", "File exists"), (compact_module.LOCK_NAME, "Is a directory")],
)
def test_name_that_is_taken_by_something_else_is_told_and_costs_nothing(
    config, folder, days, name, found
):
    if name == "history":
        (folder / name).write_text("not a folder")
        said = compact(config, LATER_NS).failed
    else:
        (folder / name).mkdir()
        with pytest.raises(ConfigError, match=r"tracker\.data_dir") as caught:
            compact(config, LATER_NS)
        said = [str(caught.value)]

    assert said
    assert all(found in sentence for sentence in said)
    assert len(ledger_parts(folder)) == 3


def damage_frame(file):
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "UPDATE frames SET usd = x'00' WHERE frame_id = (SELECT min(frame_id) FROM frames)"
        )


def test_frame_that_is_damaged_inside_costs_its_points_and_no_episode(config, folder, days):
    before = answers(folder)
    first = ledger_parts(folder)[0]
    damage_frame(first.ledger(folder))

    found = compact(config, LATER_NS)

    assert len(found.compacted) == 1
    (sentence,) = found.failed
    assert "set aside as" in sentence
    assert "its episodes are archived, with the 2 points that can be read" in sentence
    assert not first.ledger(folder).exists()
    assert len(list(folder.glob("*.damaged-*"))) == 1
    assert list(folder.rglob("*.new")) == []
    after = answers(folder)
    assert [row for row, _ in after] == [row for row, _ in before]
    assert sorted(len(path) for _, path in after) == [1, 1, 2]
    assert compact(config, LATER_NS).failed == ()


@pytest.mark.parametrize("step", range(5))
def test_compaction_killed_at_any_step_over_a_damaged_part_archives_it_once(
    config, folder, days, monkeypatch, step
):
    first = ledger_parts(folder)[0]
    damage_frame(first.ledger(folder))
    rows = [row for row, _ in answers_and_troubles(folder)[0]]
    with monkeypatch.context() as patch:
        killed_at(patch, step)
        with contextlib.suppress(Killed):
            compact(config, LATER_NS)
    between = [row for row, _ in answers_and_troubles(folder)[0]]

    compact(config, LATER_NS)

    assert between == rows
    assert [row for row, _ in answers(folder)] == rows
    assert not first.ledger(folder).exists()
    assert len(list(folder.glob("*.sqlite3.damaged-*"))) == 1
    assert sorted(len(path) for _, path in answers(folder)) == [1, 1, 2]
    assert compact(config, LATER_NS).failed == ()


@pytest.mark.parametrize("lost_bytes", [1, 42, 2_000, 4_095])
def test_part_that_lost_its_end_is_archived_without_a_value_that_was_not_there(
    config, folder, days, lost_bytes
):
    before = {row.episode_id: row for row, _ in answers(folder)}
    file = ledger_parts(folder)[0].ledger(folder)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        # Rows of episodes are on the last page of all.
        connection.executescript(
            "CREATE TABLE moved AS SELECT * FROM episodes; DELETE FROM episodes; VACUUM;"
            "INSERT INTO episodes SELECT * FROM moved"
        )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = file.stat().st_size
    os.truncate(file, size - lost_bytes)

    (sentence,) = compact(config, LATER_NS).failed

    assert "its last page has" in sentence
    assert "set aside as" in sentence
    after = {row.episode_id: row for row, _ in answers(folder)}
    assert after.items() <= before.items()
    (aside,) = folder.glob("*.sqlite3.damaged-*")
    assert aside.stat().st_size == size - lost_bytes
    assert list(folder.glob("*.torn-page")) == []


def test_torn_page_of_points_costs_no_episode(config, folder, days):
    before = [row for row, _ in answers(folder)]
    file = ledger_parts(folder)[0].ledger(folder)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'frames'"
        ).fetchone()
    with file.open("r+b") as target:
        target.seek((page - 1) * size)
        target.write(b"\xff" * size)

    (sentence,) = compact(config, LATER_NS).failed

    assert "set aside as" in sentence
    assert "with the 0 points that can be read" in sentence
    assert [row for row, _ in answers(folder)] == before


def test_damaged_part_stays_where_it_is_while_nothing_of_it_can_be_archived(
    config, folder, days, monkeypatch
):
    first = ledger_parts(folder)[0]
    damage_frame(first.ledger(folder))

    def full(*_arguments, **_more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(archive, "_put_in_place", full)
        (sentence, _) = compact(config, LATER_NS).failed

    assert "left as it is for the next run" in sentence
    assert first.ledger(folder).exists()
    assert "set aside as" in compact(config, LATER_NS).failed[0]
    assert len(answers(folder)) == 3


def with_retention(config, **keys):
    tracker = msgspec.structs.replace(config.tracker, **keys)
    return msgspec.structs.replace(config, tracker=tracker)


def test_days_older_than_allowed_are_dropped(config, folder, days):
    found = compact(with_retention(config, retention_days=2), LATER_NS)

    assert found.dropped == (
        "000001-2025-06-15-episodes.parquet", "000001-2025-06-15-paths.parquet",
    )  # fmt: skip
    assert [part.day for part in archived_parts(folder)] == ["2025-06-16"]
    assert [row.symbol for row, _ in answers(folder)] == ["SOL-USDT", "ETH-USDT"]


def with_days(folder, *days):
    """Compacted parts of these days, one after the other, after those that are there."""
    first = archived_parts(folder)[0]
    for number, day in enumerate(days, start=first.number + 1_000):
        part = Part(number, day)
        shutil.copy(first.paths(folder), part.paths(folder))
        shutil.copy(first.episodes(folder), part.episodes(folder))


@pytest.mark.parametrize("ahead_days", [1, 400, 10_000])
def test_clock_that_runs_ahead_deletes_nothing(config, folder, days, ahead_days):
    compact(config, LATER_NS)
    # The tracker runs on the same clock: it goes over to a part of that day.
    days.now_ns += ahead_days * DAY_NS
    days.next_day()
    days.commit()

    found = compact(with_retention(config, retention_days=4), days.now_ns + OFFSET_NS)

    assert found.dropped == ()
    assert len(archived_parts(folder)) == 3


def test_age_is_counted_in_days_recorded_wherever_the_clock_was(config, folder, days):
    compact(config, LATER_NS)
    with_days(folder, "2025-06-18", "2031-01-01", "2025-06-18", "2025-06-19", "2025-06-19")

    found = compact(with_retention(config, retention_days=3), LATER_NS)

    assert [part.day for part in archived_parts(folder)] == [
        "2031-01-01", "2025-06-18", "2025-06-19", "2025-06-19",
    ]  # fmt: skip
    assert len(found.dropped) == 6
    assert ledger_parts(folder)[-1].day == "2025-06-17"


def test_oldest_days_make_room_when_there_is_too_much(config, folder, days, monkeypatch):
    compact(config, LATER_NS)
    total = sum(file.stat().st_size for file in (folder / "history").iterdir())
    monkeypatch.setattr(retention, "MIB", total - 1)

    found = compact(with_retention(config, retention_max_mib=1), LATER_NS)

    assert len(found.dropped) == 2
    assert [part.day for part in archived_parts(folder)] == ["2025-06-16"]


def test_paths_without_their_episodes_are_removed(config, folder, days):
    compact(config, LATER_NS)
    archived_parts(folder)[0].episodes(folder).unlink()

    found = compact(config, LATER_NS)

    assert found.dropped == ("000001-2025-06-15-paths.parquet",)


def test_two_compactions_do_not_run_at_once(config, folder, days):
    descriptor = os.open(folder / compact_module.LOCK_NAME, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    with pytest.raises(CompactionBusyError) as caught:
        compact(config, LATER_NS)
    os.close(descriptor)

    assert caught.value.exit_code == 75


def test_child_that_was_forked_during_a_compaction_keeps_out_no_other(
    config, folder, days, monkeypatch
):
    children = []

    def forking(*arguments):
        child = os.fork()
        if not child:
            signal.pause()
        children.append(child)
        return retention.drop_old(*arguments)

    monkeypatch.setattr(compact_module, "drop_old", forking)
    compact(config, LATER_NS)
    try:
        monkeypatch.undo()
        found = compact(config, LATER_NS)
    finally:
        os.kill(children[0], signal.SIGKILL)
        os.waitpid(children[0], 0)

    assert found.failed == ()


def test_compacted_paths_are_small(config, folder):
    days = Days(folder)
    for symbol_id in range(7, 10):
        days.open(symbol_id, net_bps=20.0)
    for step in range(900):
        days.look(20.0 + (step % 17) / 8, after_s=0.05)
    days.next_day()
    days.store.close()

    (part,) = compact(config, LATER_NS).compacted

    paths = archived_parts(folder)[0].paths(folder)
    assert part.points == 2_700
    assert pq.read_metadata(paths).num_rows == 2_700
    assert paths.stat().st_size / part.points < 12
