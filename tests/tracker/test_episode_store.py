import contextlib
import datetime as dt
import itertools
import os
import random
import signal
import sqlite3

import pytest
from tracker_cases import (
    BOOT,
    CLOCKS,
    NOW_NS,
    SECOND_NS,
    WALL_NS,
    Case,
    opened_case,
)
from version_1 import write_version_1

from spreadscan.errors import ConfigError
from spreadscan.model import SignalType
from spreadscan.ops.history import EpisodeQuery, History
from spreadscan.tracker import recovery, schema
from spreadscan.tracker.disk_errors import LedgerError, is_damage, is_doubtful
from spreadscan.tracker.episode import NO_QUOTES, Clocks
from spreadscan.tracker.frames import Frame
from spreadscan.tracker.parts import Part, day_of, ledger_parts
from spreadscan.tracker.recovery import open_ledger
from spreadscan.tracker.schema import SCHEMA_VERSION, migrate
from spreadscan.tracker.store import Batch, NewPart

RING = 77
DAY = day_of(WALL_NS)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def store(folder):
    opened = open_ledger(folder, CLOCKS).store
    yield opened
    opened.close()


def batch(episodes=(), frames=(), sequence=0, ring=RING, **more):
    values = {"last_id": 0, "clocks": CLOCKS, "is_synced": False} | more
    return Batch(episodes, frames, ring, sequence, **values)


def saved(folder):
    """What the ledger says to a tracker that starts."""
    opened = open_ledger(folder, CLOCKS)
    opened.store.close()
    assert opened.damaged == ()
    return opened.saved


def rows(store, query):
    with contextlib.closing(sqlite3.connect(store.file)) as connection:
        return connection.execute(query).fetchall()


def test_open_episode_comes_back_equal_in_every_field(store, folder):
    subject = opened_case()
    subject.signal(time_ns=NOW_NS + 5, net_bps=44.0)
    subject.look(None, NOW_NS + 6)
    (episode,) = subject.store()

    store.commit(batch([episode], sequence=4, is_synced=True))
    store.close()

    found = saved(folder)
    assert found.episodes == (episode,)
    assert found.last_id == episode.episode_id
    assert found.clocks == CLOCKS
    assert (found.ring_created_ns, found.ring_sequence) == (RING, 4)


def test_ended_episode_is_kept_and_remembered_as_the_route_s_latest(store, folder):
    subject = opened_case()
    store.commit(batch(subject.store()))
    subject.signal(SignalType.CLOSE, time_ns=NOW_NS + 9)

    store.commit(batch(subject.store()))
    store.close()

    found = saved(folder)
    (episode,) = subject.all
    assert found.episodes == ()
    assert found.previous == {episode.route.key: episode.episode_id}
    assert rows(store, "SELECT ending, ended_ns - opened_ns FROM episodes") == [("converged", 9)]


def test_highest_id_is_remembered_though_its_episode_was_never_stored(store, folder):
    store.commit(batch(last_id=99))
    store.close()

    assert saved(folder).last_id == 99


def test_ending_and_next_opening_of_a_route_fit_in_one_batch(store, folder):
    subject = opened_case()
    store.commit(batch(subject.store()))
    subject.signal(SignalType.CLOSE, time_ns=NOW_NS + 1)
    subject.signal(time_ns=NOW_NS + 2)

    store.commit(batch(subject.store()))
    store.close()

    assert list(saved(folder).episodes) == subject.open


def test_two_open_episodes_of_one_route_are_refused_by_the_file_itself(store, folder):
    first = opened_case()
    other = Case(last_id=first.open[0].episode_id)
    other.signal()

    with pytest.raises(sqlite3.IntegrityError):
        store.commit(batch([*first.open, *other.open], sequence=5))

    assert saved(folder).episodes == ()


def test_points_stored_after_the_row_are_counted_when_it_is_loaded(store, folder):
    subject = opened_case()
    store.commit(batch(subject.store()))
    for tick in (1, 2, 3):
        frame = subject.look(5.0, NOW_NS + tick * 200_000_000)
        store.commit(batch([], [frame]))
    store.close()

    (loaded,) = saved(folder).episodes

    assert rows(store, "SELECT snapshots FROM episodes") == [(0,)]
    assert loaded.snapshots == 3


def test_peak_that_stands_in_the_points_alone_is_the_loaded_one(store, folder):
    subject = opened_case(net_bps=20.1)
    store.commit(batch(subject.store()))
    for tick, net_bps in enumerate((25.0, 44.5, 44.5, 3.0), start=1):
        frame = subject.look(net_bps, NOW_NS + tick * 200_000_000)
        store.commit(batch([], [frame]))
    store.close()

    (loaded,) = saved(folder).episodes

    assert rows(store, "SELECT peak_net_bps FROM episodes") == [(20.1,)]
    assert loaded.peak[:4] == (NOW_NS + 400_000_000, 74.5, 44.5, 201.0)
    assert loaded.peak[4:] == NO_QUOTES


def test_frame_that_is_damaged_inside_costs_its_points_and_no_start(store, folder):
    subject = opened_case(net_bps=20.1)
    store.commit(batch(subject.store()))
    for tick, net_bps in enumerate((25.0, 44.5), start=1):
        frame = subject.look(net_bps, NOW_NS + tick * 200_000_000)
        store.commit(batch([], [frame]))
    store.close()
    with contextlib.closing(sqlite3.connect(store.file)) as connection, connection:
        connection.execute("UPDATE frames SET usd = x'00' WHERE frame_id = 2")

    (loaded,) = saved(folder).episodes

    assert (loaded.peak.net_bps, loaded.snapshots) == (25.0, 1)


def test_points_that_are_no_higher_leave_the_peak_with_its_quotes(store, folder):
    subject = opened_case(net_bps=20.1)
    store.commit(batch(subject.store()))
    for tick, net_bps in enumerate((20.1, 5.0), start=1):
        frame = subject.look(net_bps, NOW_NS + tick * 200_000_000)
        store.commit(batch([], [frame]))
    store.close()

    (loaded,) = saved(folder).episodes

    assert loaded.peak == subject.open[0].peak
    assert loaded.peak.spot_ask == 100.0


def test_failed_commit_stores_nothing_and_the_next_one_stores_all(store, folder):
    episodes = opened_case().store()
    blocker = sqlite3.connect(store.file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    with pytest.raises(sqlite3.OperationalError) as caught:
        store.commit(batch(episodes, sequence=3))
    blocker.execute("ROLLBACK")
    blocker.close()
    before = rows(store, "SELECT count(*) FROM episodes")
    store.commit(batch(episodes, sequence=3))
    store.close()

    assert not is_doubtful(caught.value)
    assert before == [(0,)]
    assert list(saved(folder).episodes) == episodes


def test_openings_and_endings_are_synced_and_points_are_not(store):
    levels = []
    for is_synced in (True, False, True):
        store.commit(batch(is_synced=is_synced))
        levels.append(store._connection.execute("PRAGMA synchronous").fetchone())

    assert levels == [(2,), (1,), (2,)]


def test_reader_sees_whole_commits_while_the_writer_is_at_work(store):
    subject = opened_case()
    count = "SELECT count(*) FROM frames"
    store.commit(batch(subject.store(), [subject.look(9.0, NOW_NS + 1)]))
    reader = sqlite3.connect(f"{store.file.as_uri()}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    first_look = reader.execute(count).fetchone()

    store.commit(batch([], [subject.look(9.0, NOW_NS + 2)]))
    second_look = reader.execute(count).fetchone()
    reader.execute("COMMIT")
    third_look = reader.execute(count).fetchone()
    reader.close()

    assert (first_look, second_look, third_look) == ((1,), (1,), (2,))


def test_new_part_begins_with_all_that_is_open_and_the_old_one_keeps_its_rows(store, folder):
    subject = opened_case()
    subject.signal(symbol_id=8)
    store.commit(batch(subject.store(), sequence=2))
    subject.signal(SignalType.CLOSE, symbol_id=8, time_ns=NOW_NS + 5)
    before = store.file
    changed, tomorrow = subject.store(), day_of(WALL_NS + 86_400 * SECOND_NS)

    store.commit(
        batch(
            changed, sequence=3, last_id=7,
            new_part=NewPart(tomorrow, subject.open, subject.book.previous),
        )
    )  # fmt: skip
    store.close()

    assert store.part == Part(2, tomorrow)
    assert before.exists()
    found = saved(folder)
    assert list(found.episodes) == subject.open
    assert found.ring_sequence == 3
    assert found.previous == subject.book.previous
    assert rows(store, "SELECT count(*) FROM episodes") == [(2,)]
    assert [path.name for path in folder.glob("*.new*")] == []


def test_part_that_was_never_finished_is_forgotten(store, folder):
    store.close()
    leftover = folder / "ledger-000002-2025-06-16.sqlite3.new"
    leftover.write_bytes(b"half a file")

    assert saved(folder).episodes == ()
    assert not leftover.exists()


def committed_folder(store):
    """Fill the ledger with a hundred ended episodes and one open; return the open one."""
    subject = Case()
    for step in range(100):
        subject.signal(time_ns=NOW_NS + step)
        subject.signal(SignalType.CLOSE, time_ns=NOW_NS + step)
    subject.signal(time_ns=NOW_NS + 200)
    store.commit(batch(subject.store(), sequence=9, last_id=subject.book.ids.last))
    store.close()
    return subject.open[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"no database at all, but text " * 1000,
        lambda data: data[:5000],
        lambda data: data[:4096] + random.Random(1).randbytes(8192) + data[12288:],
        lambda data: b"\0" * len(data),
    ],
    ids=["text", "cut", "garbled-page", "zeros"],
)
def test_damaged_file_is_set_aside_whole_and_a_new_part_begun(store, folder, damage):
    committed_folder(store)
    broken = damage(store.file.read_bytes())
    store.file.write_bytes(broken)

    again = open_ledger(folder, CLOCKS)

    again.store.close()
    (sentence,) = again.damaged
    aside = folder / f"{store.file.name}.damaged-1750000000"
    assert aside.name in sentence
    assert aside.read_bytes() == broken
    assert again.store.part == Part(2, DAY)
    assert again.saved.episodes == ()
    assert saved(folder).episodes == ()


def test_cut_file_whose_rows_can_still_be_read_loses_no_open_episode(store, folder):
    subject = opened_case()
    store.commit(batch(subject.store(), sequence=6))
    # Pages of paths come last; without them the file is damaged, and says so.
    for tick in range(400):
        store.commit(batch([], [subject.look(9.0, NOW_NS + tick)]))
    store.close()
    size = store.file.stat().st_size
    os.truncate(store.file, size - 3 * 4096)
    found = open_ledger(folder, CLOCKS)
    found.store.close()

    assert len(found.damaged) == 1
    if found.saved.episodes:
        assert found.saved.ring_sequence == 6
    assert found.store.part == Part(2, DAY)


def test_damaged_newest_part_leaves_the_ones_before_it_in_use(store, folder):
    subject = opened_case()
    store.commit(batch(subject.store(), sequence=2))
    store.commit(batch(sequence=5, new_part=NewPart("2025-06-16", subject.open, {})))
    store.close()
    store.file.write_bytes(b"torn " * 2000)

    again = open_ledger(folder, CLOCKS)
    again.store.close()

    assert len(again.damaged) == 1
    assert list(again.saved.episodes) == subject.open
    assert again.saved.ring_sequence == 2
    assert [part.number for part in ledger_parts(folder)] == [1, 3]


def test_second_damage_in_one_second_overwrites_no_earlier_evidence(folder):
    kept = []
    for text in (b"first " * 1000, b"other " * 1000):
        opened = open_ledger(folder, CLOCKS)
        opened.store.close()
        opened.store.file.write_bytes(text)
        again = open_ledger(folder, CLOCKS)
        again.store.close()
        again.store.file.rename(opened.store.file)
        kept = sorted(folder.glob("*.damaged-*"))

    assert [path.read_bytes()[:5] for path in kept] == [b"first", b"other"]


def test_damage_met_while_running_is_told_apart_and_a_new_part_takes_the_batch(store, folder):
    episode = committed_folder(store)
    store.file.write_bytes(b"torn " * 2000)

    with pytest.raises(sqlite3.DatabaseError) as caught:
        store.commit(batch([episode]))
    store.commit(batch([episode], new_part=NewPart(DAY, [episode], {}, is_damaged=True)))
    store.close()

    assert is_damage(caught.value)
    assert store.set_aside_file.exists()
    assert saved(folder).episodes == (episode,)


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "closed"])
@pytest.mark.parametrize("comes", [None, b"", b"another file"], ids=["away", "empty", "replaced"])
def test_part_that_somebody_took_away_is_not_written_and_another_takes_the_batch(
    store, folder, comes, is_open
):
    subject = opened_case()
    store.commit(batch(subject.store(), sequence=2))
    if not is_open:
        store.close()
    file = store.file
    file.rename(folder.with_name("elsewhere"))
    if comes is not None:
        file.write_bytes(comes)

    with pytest.raises(sqlite3.DatabaseError) as caught:
        store.commit(batch(sequence=3))
    store.commit(batch(sequence=3, new_part=NewPart(DAY, subject.open, {})))
    store.close()

    assert is_doubtful(caught.value) or is_damage(caught.value)
    assert (file.read_bytes() if file.exists() else None) == comes
    newest = saved(folder)
    assert list(newest.episodes) == subject.open
    assert newest.ring_sequence == 3


def test_ledger_of_a_newer_build_is_refused_and_left_alone(store, folder):
    store.close()
    with contextlib.closing(sqlite3.connect(store.file)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")

    with pytest.raises(ConfigError, match="newer build"):
        open_ledger(folder, CLOCKS)

    assert [path.name for path in folder.glob("*damaged*")] == []


def test_version_1_ledger_becomes_part_0_with_its_open_episodes_and_paths(folder):
    folder.mkdir()
    write_version_1(folder / "episodes.sqlite3", BOOT, NOW_NS, WALL_NS)

    opened = open_ledger(folder, CLOCKS)
    connection = opened.store.opened()
    points = connection.execute("SELECT sum(points), count(*) FROM frames").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    opened.store.close()

    (episode,) = opened.saved.episodes
    assert opened.store.part.number == 0
    assert (episode.route.symbol, episode.peak.net_bps, episode.snapshots) == ("ETH-USDT", 31.0, 3)
    assert opened.saved.ring_sequence == 17
    assert opened.saved.clocks is None
    assert points == (5, 1)
    assert "snapshots" not in tables
    now = Clocks(BOOT, NOW_NS + 10 * SECOND_NS, WALL_NS)
    (resumed,) = opened.saved.resumed(now)
    assert resumed.opened_ns == NOW_NS
    assert resumed.gaps == 1


def test_migration_of_a_long_path_goes_on_where_it_was_killed(folder, monkeypatch):
    folder.mkdir()
    legacy = folder / "episodes.sqlite3"
    write_version_1(legacy, BOOT, NOW_NS, WALL_NS, more_points=10 * schema.ROWS_IN_FRAME)
    packed = itertools.count()
    real = Frame.packed

    def killed_at_the_fifth(frame):
        if next(packed) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(frame)

    with monkeypatch.context() as patch:
        patch.setattr(Frame, "packed", killed_at_the_fifth)
        child = os.fork()
        if child == 0:
            open_ledger(folder, CLOCKS)
        _, status = os.waitpid(child, 0)
    (part,) = ledger_parts(folder)
    with contextlib.closing(sqlite3.connect(part.ledger(folder))) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (done,) = connection.execute("SELECT count(*) FROM frames").fetchone()

    (episode,) = saved(folder).episodes
    history = History(folder)
    path = history.path(episode.episode_id)

    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert (version, done) == (1, 4)
    assert [point.t_ms for point in path] == [
        200 * number for number in range(1, 10 * schema.ROWS_IN_FRAME + 4)
    ]
    assert len(history.path(1)) == 2


def went_back(folder):
    """A ledger with ETH and SOL open, and a version-1 file that was written after it."""
    store = open_ledger(folder, CLOCKS).store
    subject = Case()
    for symbol_id in (8, 9):
        subject.signal(symbol_id=symbol_id)
    store.commit(batch(subject.store(), last_id=subject.book.ids.last, sequence=4))
    store.close()
    eth, sol = subject.open
    later_ns = 60 * SECOND_NS
    write_version_1(
        folder / "episodes.sqlite3", BOOT, NOW_NS + later_ns, WALL_NS + later_ns,
        first_id=sol.episode_id + 1,
    )  # fmt: skip
    return eth, sol


def test_ledger_of_an_older_build_beside_a_newer_one_hides_nothing_that_is_open(folder):
    eth, sol = went_back(folder)

    found = saved(folder)
    again = saved(folder)
    history = History(folder)
    told = {row.episode_id: row for row in history.summaries(EpisodeQuery())}

    other = sol.episode_id + 2
    assert {row.episode_id: row.previous_id for row in found.episodes} == {
        sol.episode_id: None, other: eth.episode_id,
    }  # fmt: skip
    assert again.episodes == found.episodes
    assert found.ring_sequence == 17
    assert found.previous[eth.route.key] == eth.episode_id
    assert [told[number].ending for number in sorted(told)] == ["lost", None, "converged", None]
    assert told[eth.episode_id].life_ns == told[eth.episode_id].seen_ns == 0
    assert len(history.path(other)) == 3
    assert not (folder / "episodes.sqlite3").exists()
    assert len({part.number for part in ledger_parts(folder)}) == 3


def test_tracker_killed_while_it_takes_over_an_older_ledger_takes_it_over_once(folder, monkeypatch):
    went_back(folder)
    with monkeypatch.context() as patch:
        patch.setattr(recovery, "put_in_place", lambda *_: os._exit(1))
        child = os.fork()
        if child == 0:
            open_ledger(folder, CLOCKS)
            os._exit(0)
        _, status = os.waitpid(child, 0)

    found = saved(folder)
    rows_told = History(folder).summaries(EpisodeQuery())

    assert os.waitstatus_to_exitcode(status) == 1
    assert len(found.episodes) == 2
    assert sorted(str(row.ending) for row in rows_told) == ["None", "None", "converged", "lost"]
    assert len(ledger_parts(folder)) == 4


def test_gap_counts_from_the_last_sight_though_the_run_that_took_over_stored_nothing(folder):
    went_back(folder)
    first_start, second_start = (
        Clocks(BOOT, NOW_NS + after_s * SECOND_NS, WALL_NS + after_s * SECOND_NS)
        for after_s in (100, 300)
    )
    open_ledger(folder, first_start).store.close()

    opened = open_ledger(folder, second_start)
    opened.store.close()

    gaps_s = {
        episode.route.symbol: episode.gap_ns / SECOND_NS
        for episode in opened.saved.resumed(second_start)
    }
    assert gaps_s == {"SOL-USDT": 300.0, "ETH-USDT": pytest.approx(300.0 - 60.4)}


def test_copy_of_an_older_ledger_changes_nothing_that_is_open(folder):
    _, sol = went_back(folder)
    (folder / "episodes.sqlite3").unlink()
    before = saved(folder)
    write_version_1(folder / "episodes.sqlite3", BOOT, NOW_NS - SECOND_NS, WALL_NS - SECOND_NS)

    found = saved(folder)

    assert found.episodes == before.episodes
    assert found.ring_sequence == 4
    assert found.last_id == sol.episode_id


def test_migration_that_fails_leaves_the_file_as_it_was(tmp_path):
    connection = sqlite3.connect(tmp_path / "other.sqlite3", isolation_level=None)
    connection.execute("CREATE TABLE snapshots (something TEXT)")

    with pytest.raises(sqlite3.OperationalError):
        migrate(connection)

    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    version = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    assert (tables, version) == ([("snapshots",)], (0,))


def test_data_folder_that_cannot_be_made_is_a_configuration_error(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(ConfigError, match=r"tracker\.data_dir"):
        open_ledger(tmp_path / "file" / "data", CLOCKS)


def test_file_that_cannot_be_opened_now_is_a_temporary_error(folder):
    (folder / "ledger-000001-2025-06-15.sqlite3").mkdir(parents=True)

    with pytest.raises(LedgerError) as caught:
        open_ledger(folder, CLOCKS)

    assert caught.value.exit_code == 75


def test_error_without_a_code_is_not_taken_for_damage():
    error = sqlite3.OperationalError("disk I/O error")

    assert not is_damage(error)
    assert not is_doubtful(error)


@pytest.mark.parametrize("day", ["1970-01-01", "2000-02-29", "2025-12-31", "2026-01-01"])
def test_day_of_a_time_is_the_utc_day(day):
    noon = dt.datetime.fromisoformat(f"{day}T12:00:00+00:00")

    assert day_of(int(noon.timestamp()) * SECOND_NS) == day


def test_group_that_the_umask_lets_in_may_write_every_file_of_the_ledger(folder):
    umask = os.umask(0o007)
    try:
        opened = open_ledger(folder, CLOCKS).store
        modes = {file.stat().st_mode & 0o777 for file in folder.glob("ledger-*")}
        opened.close()
    finally:
        os.umask(umask)

    assert modes == {0o660}
