import contextlib
import os
import shutil
import sqlite3

import pytest
from tracker_cases import NOW_NS, OFFSET_NS, WALL_NS, book, moment, opened_book, signal

from spreadscan.errors import ConfigError
from spreadscan.model import SignalType
from spreadscan.tracker.book import SnapshotRow
from spreadscan.tracker.schema import LEDGER_NAME, SCHEMA_VERSION, migrate
from spreadscan.tracker.store import Batch, EpisodeStore, LedgerError, is_damage

RING = 77


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def store(folder):
    with_file = EpisodeStore(folder, WALL_NS)
    yield with_file
    with_file.close()


def batch(episodes=(), snapshots=(), sequence=0, ring=RING):
    return Batch(episodes, snapshots, ring, sequence)


def reopened(store):
    store.close()
    return EpisodeStore(store.file.parent, WALL_NS)


def rows(store, query):
    with contextlib.closing(sqlite3.connect(store.file)) as connection:
        return connection.execute(query).fetchall()


def test_open_episode_comes_back_equal_in_every_field(store):
    subject, episode = opened_book()
    subject.apply(signal(time_ns=NOW_NS + 5, net_bps=44.0), OFFSET_NS)
    subject.observe([episode], [None], NOW_NS + 6, OFFSET_NS)
    store.commit(batch([episode]))

    again = reopened(store)

    assert again.load_open() == [episode]
    assert again.last_episode_id() == episode.episode_id
    again.close()


def test_ended_episode_is_kept_but_not_loaded_as_open(store):
    subject, episode = opened_book()
    store.commit(batch([episode]))
    subject.apply(signal(SignalType.CLOSE, time_ns=NOW_NS + 9), OFFSET_NS)

    store.commit(batch([episode]))

    assert store.load_open() == []
    assert store.last_episode_id() == episode.episode_id
    assert rows(store, "SELECT ending, ended_ns - opened_ns FROM episodes") == [("converged", 9)]


def test_ending_and_next_opening_of_a_route_fit_in_one_batch(store):
    subject, first = opened_book()
    store.commit(batch([first]))
    subject.apply(signal(SignalType.CLOSE, time_ns=NOW_NS + 1), OFFSET_NS)
    subject.apply(signal(time_ns=NOW_NS + 2), OFFSET_NS)

    store.commit(batch(subject.changed_episodes()))

    assert store.load_open() == subject.open_episodes()


def test_two_open_episodes_of_one_route_are_refused_by_the_file_itself(store):
    _, first = opened_book()
    other = book(last_id=first.episode_id)
    other.apply(signal(), OFFSET_NS)

    with pytest.raises(sqlite3.IntegrityError):
        store.commit(batch([first, *other.open_episodes()], sequence=5))

    assert store.load_open() == []
    assert store.ring_sequence(RING) == 0


def test_ring_position_counts_only_for_the_ring_it_came_from(store):
    assert store.ring_sequence(RING) == 0

    store.commit(batch(sequence=41))

    assert store.ring_sequence(RING) == 41
    assert store.ring_sequence(RING + 1) == 0


def test_snapshots_stored_after_the_row_are_counted_when_it_is_loaded(store):
    subject, episode = opened_book()
    store.commit(batch([episode]))
    for tick in (1, 2, 3):
        seen = moment(episode, net_bps=5.0, time_ns=NOW_NS + tick)
        store.commit(batch([], subject.observe([episode], [seen], NOW_NS + tick, OFFSET_NS)))

    (loaded,) = store.load_open()

    assert rows(store, "SELECT snapshots FROM episodes") == [(0,)]
    assert loaded.snapshots == 3


def test_failed_commit_stores_nothing_and_the_next_one_stores_all(store):
    _, episode = opened_book()
    blocker = sqlite3.connect(store.file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    with pytest.raises(sqlite3.OperationalError):
        store.commit(batch([episode], sequence=3))
    blocker.execute("ROLLBACK")
    blocker.close()
    before = store.ring_sequence(RING)
    store.commit(batch([episode], sequence=3))

    assert before == 0
    assert store.load_open() == [episode]
    assert store.ring_sequence(RING) == 3


def test_reader_sees_whole_commits_while_the_writer_is_at_work(store):
    subject, episode = opened_book()
    store.commit(batch([episode], [SnapshotRow(episode.episode_id, 0, 50.0, 20.0, 1.0)]))
    reader = sqlite3.connect(f"{store.file.as_uri()}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    first_look = reader.execute("SELECT count(*) FROM snapshots").fetchone()

    store.commit(batch([episode], [SnapshotRow(episode.episode_id, 200, 50.0, 20.0, 1.0)]))
    second_look = reader.execute("SELECT count(*) FROM snapshots").fetchone()
    reader.execute("COMMIT")
    third_look = reader.execute("SELECT count(*) FROM snapshots").fetchone()
    reader.close()

    assert (first_look, second_look, third_look) == ((1,), (1,), (2,))
    assert subject.open_episodes() == [episode]


def committed_folder(store):
    """Fill the ledger with a hundred ended episodes and one open; return the open one."""
    subject = book()
    for step in range(100):
        subject.apply(signal(time_ns=NOW_NS + step), OFFSET_NS)
        subject.apply(signal(SignalType.CLOSE, time_ns=NOW_NS + step), OFFSET_NS)
    subject.apply(signal(time_ns=NOW_NS + 200), OFFSET_NS)
    store.commit(batch(subject.changed_episodes(), sequence=9))
    store.close()
    return subject.open_episodes()[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"no database at all, but text " * 1000,
        lambda data: data[:5000],
        lambda data: data[:4096] + os.urandom(8192) + data[12288:],
        lambda data: b"\0" * len(data),
    ],
    ids=["text", "cut", "garbled-page", "zeros"],
)
def test_damaged_file_is_set_aside_whole_and_a_new_ledger_begun(store, damage):
    committed_folder(store)
    broken = damage(store.file.read_bytes())
    store.file.write_bytes(broken)

    again = EpisodeStore(store.file.parent, WALL_NS)

    assert again.set_aside_file is not None
    assert again.set_aside_file.name == f"{LEDGER_NAME}.damaged-1750000000"
    assert again.set_aside_file.read_bytes() == broken
    assert (again.load_open(), again.last_episode_id(), again.ring_sequence(RING)) == ([], 0, 0)
    again.close()


def test_second_damage_in_one_second_overwrites_no_earlier_evidence(store):
    kept = []
    for text in (b"first " * 1000, b"other " * 1000):
        store.close()
        store.file.write_bytes(text)
        store = EpisodeStore(store.file.parent, WALL_NS)
        kept.append(store.set_aside_file)
    store.close()

    assert [path.read_bytes()[:5] for path in kept] == [b"first", b"other"]


def test_undamaged_file_is_not_set_aside(store):
    episode = committed_folder(store)

    again = EpisodeStore(store.file.parent, WALL_NS)

    assert again.set_aside_file is None
    assert again.load_open() == [episode]
    again.close()


def test_damage_met_while_running_is_told_apart_and_a_new_ledger_takes_the_batch(store):
    episode = committed_folder(store)
    store.file.write_bytes(b"torn " * 2000)

    with pytest.raises(sqlite3.DatabaseError) as caught:
        store.commit(batch([episode]))
    aside = store.begin_anew(WALL_NS)
    store.commit(batch([episode]))

    assert is_damage(caught.value)
    assert aside.exists()
    assert store.load_open() == [episode]


def test_log_cut_at_any_place_gives_some_earlier_commit_and_never_half_of_one(tmp_path):
    origin = EpisodeStore(tmp_path / "origin", WALL_NS)
    subject = book()
    for step in range(6):
        subject.apply(signal(symbol_id=7 + step % 3, time_ns=NOW_NS + 2 * step), OFFSET_NS)
        kind = SignalType.CLOSE if step % 2 else SignalType.UPDATE
        subject.apply(signal(kind, symbol_id=7, time_ns=NOW_NS + 2 * step + 1), OFFSET_NS)
        episodes = subject.changed_episodes()
        points = [SnapshotRow(episodes[0].episode_id, step, 1.0, 1.0, 1.0)]
        origin.commit(batch(episodes, points, sequence=step + 1))
        subject.mark_stored()
    log = origin.file.with_name(LEDGER_NAME + "-wal").read_bytes()
    # Offsets around frame borders and spread through the last commits.
    offsets = sorted({*range(32, len(log), 4120), *range(len(log) - 12_000, len(log), 1_009)})
    seen = []

    for number, offset in enumerate(offsets):
        place = tmp_path / f"cut-{number}"
        place.mkdir()
        shutil.copy(origin.file, place / LEDGER_NAME)
        (place / f"{LEDGER_NAME}-wal").write_bytes(log[:offset])
        cut = EpisodeStore(place, WALL_NS)
        sequence = cut.ring_sequence(RING)
        points = rows(cut, "SELECT count(*) FROM snapshots")[0][0]
        assert cut.set_aside_file is None
        assert points == sequence
        seen.append(sequence)
        cut.close()
    origin.close()

    assert seen == sorted(seen)
    assert seen[-1] >= 4


def test_ledger_of_a_newer_build_is_refused_and_left_alone(store):
    store.close()
    with contextlib.closing(sqlite3.connect(store.file)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")

    with pytest.raises(ConfigError, match="newer build"):
        EpisodeStore(store.file.parent, WALL_NS)

    assert [path.name for path in store.file.parent.glob("*damaged*")] == []


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
        EpisodeStore(tmp_path / "file" / "data", WALL_NS)


def test_file_that_cannot_be_opened_now_is_a_temporary_error(folder):
    (folder / LEDGER_NAME).mkdir(parents=True)

    with pytest.raises(LedgerError) as caught:
        EpisodeStore(folder, WALL_NS)

    assert caught.value.exit_code == 75


def test_error_without_a_code_is_not_taken_for_damage():
    assert not is_damage(sqlite3.OperationalError("disk I/O error"))
