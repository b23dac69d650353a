"""The ledger read by a user who may not write to its folder, beside trackers in every state."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from history_cases import three_days

from spreadscan.ops import history, ledger
from spreadscan.ops.part_reader import open_part
from spreadscan.tracker.episode import Clocks
from spreadscan.tracker.parts import ledger_parts
from spreadscan.tracker.recovery import open_ledger

NOBODY = 65_534
# Prints what the history and the board say, as a user of its own: who may read everything and write
# nothing.
OTHER_USER = f"""
import os, sys
from pathlib import Path
from spreadscan.ops.history import EpisodeQuery, History
from spreadscan.ops.ledger import LedgerReader
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
folder = Path(sys.argv[1])
assert not os.access(folder, os.W_OK)
history = History(folder)
rows = history.summaries(EpisodeQuery())
points = [len(history.path(row.episode_id)) for row in rows]
with LedgerReader(folder) as reader:
    recent = [row.symbol for row in reader.recent_episodes(9)]
print([row.symbol for row in rows], points, recent, history.troubles)
"""
ASK_AS_OTHER_USER = f"""
import os, sys
from spreadscan.cli import ctl, history
from spreadscan.cli.entry import spread_ctl
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
sys.argv = ["spread-ctl", "history", "--config", sys.argv[1]]
sys.exit(spread_ctl())
"""
TRACK_AS_OTHER_USER = f"""
import os, sys, tempfile
from pathlib import Path
from spreadscan.errors import SpreadscanError
from spreadscan.tracker.episode import Clocks
from spreadscan.tracker.recovery import open_ledger
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
try:
    open_ledger(Path(sys.argv[1]), Clocks("boot", 1, 1))
except SpreadscanError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""
THREE_DAYS = (
    "['SOL-USDT', 'ETH-USDT', 'BTC-USDT'] [1, 2, 2] ['SOL-USDT', 'ETH-USDT', 'BTC-USDT'] []"
)


@pytest.fixture
def folder():
    """A data folder that everybody may enter; pytest's own are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="spreadscan-") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "data"


def said_by(script, path):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    return subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def said_to_another_user(folder):
    done = said_by(OTHER_USER, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_another_user_reads_the_ledger_of_a_tracker_that_stopped(folder):
    three_days(folder).store.close()
    assert list(folder.glob("*-wal")) == []

    assert said_to_another_user(folder) == THREE_DAYS
    assert list(folder.glob("*-*")) == list(folder.glob("*.sqlite3"))


def test_another_user_reads_the_ledger_of_a_tracker_that_runs(folder):
    days = three_days(folder)

    assert said_to_another_user(folder) == THREE_DAYS
    days.store.close()


def killed_tracker(folder):
    """Leave what a tracker leaves that was killed."""
    child = os.fork()
    if child == 0:
        three_days(folder)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_another_user_reads_the_ledger_of_a_tracker_that_was_killed(folder):
    killed_tracker(folder)
    assert list(folder.glob("*-wal"))

    assert said_to_another_user(folder) == THREE_DAYS


def test_log_of_a_part_that_lost_all_else_is_kept_by_readers_and_by_the_next_tracker(folder):
    killed_tracker(folder)
    newest = ledger_parts(folder)[-1].ledger(folder)
    log = newest.with_name(f"{newest.name}-wal")
    kept = log.read_bytes()
    os.truncate(newest, 0)

    asked = history.History(folder)
    asked.summaries(history.EpisodeQuery())
    with pytest.raises(sqlite3.DatabaseError, match="found it empty"):
        ledger.LedgerReader(folder)
    opened = open_ledger(folder, Clocks("boot", 1, 1))
    opened.store.close()

    assert asked.troubles == [f"{newest}: left out: found it empty, expected a part of the ledger"]
    assert len(opened.damaged) == 1
    (aside,) = folder.glob("*.damaged-*-wal")
    assert kept
    assert aside.read_bytes() == kept


@pytest.mark.parametrize(
    ("closed", "said", "status"),
    [
        ("data", "data: tracker.data_dir: found Permission denied, expected a folder that", 78),
        ("data/*.sqlite3", ".sqlite3: left out: found no right to read it, expected a user", 1),
    ],
)
def test_user_who_may_not_read_is_told_in_one_line_what_is_expected(
    folder, config_writer, closed, said, status
):
    three_days(folder).store.close()
    config_file = config_writer(folder.parent, "none", {})
    for path in list(folder.parent.glob(closed)):
        path.chmod(0)

    done = said_by(ASK_AS_OTHER_USER, config_file)

    assert done.returncode == status
    lines = done.stderr.splitlines()
    assert lines
    assert all(said in line for line in lines), done.stderr


@pytest.mark.parametrize(("closed", "named"), [("folder", "data"), ("file", "2025-06-17.sqlite3")])
def test_tracker_of_a_user_who_may_not_write_ends_with_78_and_names_what_is_closed(
    folder, closed, named
):
    three_days(folder).store.close()
    if closed == "file":
        folder.chmod(0o777)

    done = said_by(TRACK_AS_OTHER_USER, folder)

    assert done.returncode == 78, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{folder}: tracker.data_dir: found [Errno 13] Permission denied: ")
    assert f"{named}', expected a folder that can be written" in line


@pytest.fixture
def still(folder):
    """A stopped ledger's newest part, read as it stands by somebody who may not write."""
    days = three_days(folder)
    days.store.close()
    readable = folder.parent / "readable"
    readable.mkdir()
    if subprocess.run(["mount", "--bind", folder, readable], check=False).returncode != 0:
        pytest.skip("mounting needs privileges that this user does not have")
    subprocess.run(["mount", "-o", "remount,bind,ro", readable], check=True)
    try:
        file = ledger_parts(folder)[-1].ledger(readable)
        with contextlib.closing(open_part(file)) as connection:
            yield days, file, connection
    finally:
        subprocess.run(["umount", "-l", readable], check=True)


def count(connection):
    return connection.execute("SELECT count(*) FROM episodes").fetchone()


READS = {
    "all": lambda connection: connection.execute("SELECT * FROM episodes").fetchall(),
    "some": lambda connection: connection.execute("SELECT * FROM episodes").fetchmany(2),
    "one": count,
    "each": lambda connection: list(connection.execute("SELECT * FROM episodes")),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_what_was_read_while_a_tracker_began_to_write_is_not_believed(still, read):
    days, file, connection = still
    before = count(connection)
    opened = open_ledger(days.folder, days.clocks()).store
    opened.opened()

    with pytest.raises(sqlite3.OperationalError, match="began to write"):
        read(connection)
    opened.close()
    with contextlib.closing(open_part(file)) as anew:
        assert count(anew) == before


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_what_was_read_while_a_tracker_came_and_went_is_not_believed(still, read):
    days, file, connection = still
    before = count(connection)
    days.store = open_ledger(days.folder, days.clocks()).store
    days.open(8)
    days.commit()
    days.store.close()

    with pytest.raises(sqlite3.OperationalError, match="began to write"):
        read(connection)
    with contextlib.closing(open_part(file)) as anew:
        assert count(anew) == (before[0] + 1,)


def test_history_is_whole_though_a_tracker_begins_to_write_while_it_is_read(still, monkeypatch):
    days, file, _ = still
    opened = []

    def tracker_begins():
        if not opened:
            opened.append(open_ledger(days.folder, days.clocks()).store)
            opened[0].opened()

    read = history.episodes_table
    monkeypatch.setattr(history, "episodes_table", lambda *a: (tracker_begins(), read(*a))[1])
    subject = history.History(file.parent)

    rows = subject.summaries(history.EpisodeQuery())

    opened[0].close()
    assert [row.symbol for row in rows] == ["SOL-USDT", "ETH-USDT", "BTC-USDT"]
    assert (subject.troubles, subject.exit_code) == ([], 0)


def test_path_is_whole_though_a_tracker_begins_to_write_while_it_is_read(still, monkeypatch):
    days, file, _ = still
    days.store = open_ledger(days.folder, days.clocks()).store
    for net_bps in (14.0, 15.0):
        days.look(net_bps)
    days.commit()
    days.store.close()
    subject = history.History(file.parent)
    (row,) = subject.summaries(history.EpisodeQuery(symbol="SOL-USDT"))
    monkeypatch.setattr(ledger, "FRAMES_AT_ONCE", 2)

    tables = subject.point_tables([row.episode_id])
    told = [next(tables)]
    opened = open_ledger(days.folder, days.clocks()).store
    opened.opened()
    told += tables

    opened.close()
    assert pa.concat_tables(told)["t_ms"].to_pylist() == [200, 400, 600]
    assert (subject.troubles, subject.exit_code) == ([], 0)
