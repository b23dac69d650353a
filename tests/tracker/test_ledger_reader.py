import contextlib
import sqlite3

import pytest
from tracker_cases import CLOCKS, NOW_NS, SECOND_NS, Case

from spreadscan.cli.discover import open_routes
from spreadscan.config import load_config
from spreadscan.model import SignalType
from spreadscan.ops.history import EpisodeQuery, History
from spreadscan.ops.ledger import LedgerReader, PathPoint
from spreadscan.tracker.recovery import open_ledger
from spreadscan.tracker.store import Batch, NewPart


@pytest.fixture
def store(tmp_path):
    opened = open_ledger(tmp_path, CLOCKS).store
    yield opened
    opened.close()


def stored(store, subject, frames=(), new_part=None):
    store.commit(
        Batch(subject.store(), frames, 1, 0, 0, CLOCKS, is_synced=False, new_part=new_part)
    )


def three_episodes(store):
    """One converged after 2 s, one expired, one open, opened in this order."""
    subject = Case()
    subject.signal(symbol_id=7)
    subject.signal(SignalType.CLOSE, symbol_id=7, time_ns=NOW_NS + 2 * SECOND_NS)
    subject.signal(symbol_id=8, time_ns=NOW_NS + SECOND_NS)
    subject.look(None, NOW_NS + 61 * SECOND_NS)
    subject.signal(symbol_id=9, time_ns=NOW_NS + 70 * SECOND_NS, net_bps=31.5)
    stored(store, subject)
    return subject


def test_recent_episodes_come_latest_first_and_say_how_they_ended(store, tmp_path):
    three_episodes(store)

    with LedgerReader(tmp_path) as reader:
        found = reader.recent_episodes(2)

    assert [(row.symbol, row.ending) for row in found] == [
        ("SOL-USDT", None),
        ("ETH-USDT", "expired"),
    ]
    assert found[1].life_ns == 60 * SECOND_NS
    assert found[0].last_net_bps == 31.5


def test_open_episodes_come_widest_first(store, tmp_path):
    subject = Case()
    for symbol_id, net_bps in ((7, 12.0), (8, 40.0), (9, 25.0)):
        subject.signal(symbol_id=symbol_id, net_bps=net_bps)
    stored(store, subject)

    with LedgerReader(tmp_path) as reader:
        found = reader.open_episodes(10)

    assert [row.last_net_bps for row in found] == [40.0, 25.0, 12.0]


def test_path_holds_the_snapshots_of_that_episode_only(store, tmp_path):
    subject = Case()
    subject.signal(symbol_id=7)
    subject.signal(symbol_id=8)
    first, second = subject.open
    stored(store, subject)
    for tick, (one, two) in enumerate([(11.0, 21.0), (12.0, -3.0)], start=1):
        nets = {"BTC-USDT": one, "ETH-USDT": two}
        stored(store, subject, [subject.look(nets, NOW_NS + tick * 200_000_000)])

    history = History(tmp_path)
    open_path = history.path(first.episode_id)
    ended_path = history.path(second.episode_id)
    no_path = history.path(12345)

    assert open_path == [PathPoint(200, 41.0, 11.0, 201.0), PathPoint(400, 42.0, 12.0, 201.0)]
    assert [point.net_bps for point in ended_path] == [21.0, -3.0]
    assert no_path == []


def test_episode_that_lives_over_midnight_is_one_with_its_whole_path(store, tmp_path):
    subject = Case()
    subject.signal(symbol_id=7)
    subject.signal(symbol_id=8)
    stored(store, subject, [subject.look(11.0, NOW_NS + 200_000_000)])
    new = NewPart("2025-06-16", subject.open, subject.book.previous)
    stored(store, subject, [subject.look(12.0, NOW_NS + 400_000_000)], new)
    subject.signal(SignalType.CLOSE, symbol_id=8, time_ns=NOW_NS + SECOND_NS)
    stored(store, subject, [subject.look(13.0, NOW_NS + 600_000_000)])

    with LedgerReader(tmp_path) as reader:
        recent = reader.recent_episodes(10)
    path = History(tmp_path).path(subject.open[0].episode_id)

    assert [(row.symbol, row.ending) for row in recent] == [
        ("ETH-USDT", "converged"),
        ("BTC-USDT", None),
    ]
    assert [(point.t_ms, point.net_bps) for point in path] == [
        (200, 11.0), (400, 12.0), (600, 13.0),
    ]  # fmt: skip


def test_batch_that_stands_in_two_parts_is_told_once(store, tmp_path):
    subject = Case()
    subject.signal(symbol_id=7)
    frames = [subject.look(11.0, NOW_NS + 200_000_000)]
    subject.signal(SignalType.CLOSE, symbol_id=7, time_ns=NOW_NS + SECOND_NS)
    rows = subject.store()
    # Written, its sync refused, and written once more at the head of a new part.
    for new_part in (None, NewPart("2025-06-16", [], {})):
        store.commit(Batch(rows, frames, 1, 0, 0, CLOCKS, is_synced=False, new_part=new_part))

    with LedgerReader(tmp_path) as reader:
        recent = reader.recent_episodes(10)
    history = History(tmp_path)
    points = list(history.point_tables([recent[0].episode_id]))

    assert [row.ending for row in recent] == ["converged"]
    assert len(recent) == len(history.summaries(EpisodeQuery())) == 1
    assert sum(table.num_rows for table in points) == 1


def test_reader_follows_the_writer_and_survives_its_end(store, tmp_path):
    subject = Case()
    with LedgerReader(tmp_path) as reader:
        before = len(reader.open_episodes(9))
        subject.signal()
        stored(store, subject)
        during = len(reader.open_episodes(9))
        store.close()
        after = len(reader.open_episodes(9))

    assert (before, during, after) == (0, 1, 1)


def test_ledger_can_be_read_when_no_tracker_runs(store, tmp_path):
    three_episodes(store)
    store.close()

    with LedgerReader(tmp_path) as reader:
        assert len(reader.recent_episodes(9)) == 3


def test_reader_cannot_write(store, tmp_path):
    with LedgerReader(tmp_path) as reader, pytest.raises(sqlite3.OperationalError):
        reader._connection.execute("DELETE FROM episodes")


def test_missing_ledger_is_said_so_and_not_created(tmp_path):
    with pytest.raises(FileNotFoundError, match="has not run yet"):
        LedgerReader(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_ledger_of_another_build_is_not_misread(store, tmp_path):
    store.close()
    with contextlib.closing(sqlite3.connect(store.file)) as connection:
        connection.execute("PRAGMA user_version = 999")

    with pytest.raises(sqlite3.DatabaseError, match="version 999"):
        LedgerReader(tmp_path)


@pytest.fixture
def config(make_config):
    return load_config(make_config({}))


def test_discovery_is_told_the_routes_with_an_open_episode(store, tmp_path, config):
    three_episodes(store)
    ledger = config.path(config.tracker.data_dir)
    ledger.parent.mkdir(parents=True, exist_ok=True)
    ledger.symlink_to(tmp_path)

    (route,) = open_routes(config)

    assert route.symbol == "SOL-USDT"


def test_discovery_goes_on_without_a_ledger_or_with_a_damaged_one(config, capsys):
    assert open_routes(config) == []

    ledger = config.path(config.tracker.data_dir)
    ledger.mkdir(parents=True)
    (ledger / "ledger-000001-2025-06-15.sqlite3").write_bytes(b"no ledger" * 1000)

    assert open_routes(config) == []
    assert "open episodes are not known" in capsys.readouterr().err
