import contextlib
import sqlite3

import pytest
from tracker_cases import NOW_NS, OFFSET_NS, SECOND_NS, WALL_NS, book, moment, signal

from spreadscan.cli.discover import open_routes
from spreadscan.config import load_config
from spreadscan.model import SignalType
from spreadscan.ops.ledger import LedgerReader, PathPoint
from spreadscan.tracker.schema import LEDGER_NAME
from spreadscan.tracker.store import Batch, EpisodeStore


@pytest.fixture
def store(tmp_path):
    with_file = EpisodeStore(tmp_path, WALL_NS)
    yield with_file
    with_file.close()


def stored(store, subject, points=()):
    store.commit(Batch(subject.changed_episodes(), points, 1, 0))
    subject.mark_stored()


def three_episodes(store):
    """One converged after 2 s, one expired, one open, opened in this order."""
    subject = book()
    subject.apply(signal(symbol_id=7), OFFSET_NS)
    subject.apply(signal(SignalType.CLOSE, symbol_id=7, time_ns=NOW_NS + 2 * SECOND_NS), OFFSET_NS)
    subject.apply(signal(symbol_id=8, time_ns=NOW_NS + SECOND_NS), OFFSET_NS)
    subject.observe(subject.open_episodes(), [None], NOW_NS + 61 * SECOND_NS, OFFSET_NS)
    subject.apply(signal(symbol_id=9, time_ns=NOW_NS + 70 * SECOND_NS, net_bps=31.5), OFFSET_NS)
    stored(store, subject)
    return subject


def test_counts_tell_openings_and_each_ending(store, tmp_path):
    three_episodes(store)

    with LedgerReader(tmp_path) as reader:
        counts = reader.counts()

    assert (counts.opened, counts.open, counts.converged, counts.expired) == (3, 1, 1, 1)


def test_counts_since_a_time_leave_out_what_was_before_it(store, tmp_path):
    three_episodes(store)

    with LedgerReader(tmp_path) as reader:
        counts = reader.counts(since_wall_ns=WALL_NS + 10 * SECOND_NS)

    assert (counts.opened, counts.open, counts.converged, counts.expired) == (1, 1, 0, 1)


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
    subject = book()
    for symbol_id, net_bps in ((7, 12.0), (8, 40.0), (9, 25.0)):
        subject.apply(signal(symbol_id=symbol_id, net_bps=net_bps), OFFSET_NS)
    stored(store, subject)

    with LedgerReader(tmp_path) as reader:
        found = reader.open_episodes(10)

    assert [row.last_net_bps for row in found] == [40.0, 25.0, 12.0]


def test_path_holds_the_snapshots_of_that_episode_only(store, tmp_path):
    subject = book()
    subject.apply(signal(symbol_id=7), OFFSET_NS)
    subject.apply(signal(symbol_id=8), OFFSET_NS)
    first, second = subject.open_episodes()
    stored(store, subject)
    for tick, (one, two) in enumerate([(11.0, 21.0), (12.0, -3.0)], start=1):
        now_ns = NOW_NS + tick * 200_000_000
        seen = [
            moment(first, net_bps=one, time_ns=now_ns),
            moment(second, net_bps=two, time_ns=now_ns),
        ]
        stored(store, subject, subject.observe([first, second], seen, now_ns, OFFSET_NS))

    with LedgerReader(tmp_path) as reader:
        open_path = reader.path(first.episode_id)
        ended_path = reader.path(second.episode_id)
        no_path = reader.path(12345)

    assert open_path == [PathPoint(200, 41.0, 11.0, 201.0), PathPoint(400, 42.0, 12.0, 201.0)]
    assert [point.net_bps for point in ended_path] == [21.0, -3.0]
    assert no_path == []


def test_reader_follows_the_writer_and_survives_its_end(store, tmp_path):
    subject = book()
    with LedgerReader(tmp_path) as reader:
        before = reader.counts().open
        subject.apply(signal(), OFFSET_NS)
        stored(store, subject)
        during = reader.counts().open
        store.close()
        after = reader.counts().open

    assert (before, during, after) == (0, 1, 1)


def test_ledger_can_be_read_when_no_tracker_runs(store, tmp_path):
    three_episodes(store)
    store.close()

    with LedgerReader(tmp_path) as reader:
        assert reader.counts().opened == 3


def test_reader_cannot_write(store, tmp_path):
    with LedgerReader(tmp_path) as reader, pytest.raises(sqlite3.OperationalError):
        reader._connection.execute("DELETE FROM episodes")


def test_missing_ledger_is_said_so_and_not_created(tmp_path):
    with pytest.raises(FileNotFoundError, match="has not run yet"):
        LedgerReader(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_ledger_of_another_build_is_not_misread(store, tmp_path):
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as connection:
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
    (ledger / LEDGER_NAME).write_bytes(b"no ledger" * 1000)

    assert open_routes(config) == []
    assert "open episodes are not known" in capsys.readouterr().err
