"""Compaction of a big day stays far within the memory that its unit may have."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from history_cases import Days

from spreadscan.ops.history import EpisodeQuery, History
from spreadscan.topology import CHORES
from spreadscan.tracker.frames import Frame
from spreadscan.tracker.rows import EPISODE_COLUMNS, INSERT_FRAME
from spreadscan.tracker.store import connected

OPEN_EPISODES, FRAMES = 5_000, 1_000
EPISODES = 120_000
# 405 here; 500 when all episodes are Python's objects at once, or all frames.
MAX_MIB = 450
COMPACT = """
import resource, sys
from pathlib import Path
from spreadscan.config import load_config
from spreadscan.ops.compact import compact
found = compact(load_config(Path(sys.argv[1])), 1_750_300_000_000_000_000)
assert found.failed == (), found.failed
print(sum(part.points for part in found.compacted))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def write_big_day(folder):
    """As many episodes at once as the design knows, and as many in a day as a wild one has."""
    days = Days(folder)
    days.open(7)
    days.look(30.0)
    days.close(7)
    days.next_day()
    days.store.close()
    file = min(folder.glob("ledger-*.sqlite3"))
    connection = connected(file)
    # Not everything twice: what is proven begins when the day is there.
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    copied = ", ".join(f"{name} + n" if name == "episode_id" else name for name in EPISODE_COLUMNS)
    connection.execute(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"
        f" INSERT INTO episodes ({', '.join(EPISODE_COLUMNS)}, first_frame_id)"
        f" SELECT {copied}, first_frame_id FROM episodes, numbers",
        (EPISODES - 1,),
    )
    (first_id,) = connection.execute("SELECT min(episode_id) FROM episodes").fetchone()
    ids = np.arange(first_id, first_id + OPEN_EPISODES)
    chance = np.random.default_rng(7)
    gross = chance.normal(60.0, 10.0, OPEN_EPISODES)
    for number in range(FRAMES):
        gross += chance.normal(0.0, 0.3, OPEN_EPISODES)
        frame = Frame(ids, np.full(len(ids), 200 * number), gross, np.full(len(ids), 30.0), gross)
        connection.execute(INSERT_FRAME, (1_000 + number, *frame.packed()))
    connection.execute("COMMIT")
    connection.close()


@pytest.fixture
def folder():
    """A data folder in memory: how long a busy disk takes says nothing of the compaction."""
    with tempfile.TemporaryDirectory(prefix="spreadscan-", dir="/dev/shm") as name:
        yield Path(name)


@pytest.mark.timeout(600)
def test_big_day_is_compacted_in_half_of_the_memory_that_the_unit_may_have(make_config, folder):
    config_file = make_config({"tracker.data_dir": str(folder)})
    write_big_day(folder)

    done = subprocess.run(
        [sys.executable, "-c", COMPACT, str(config_file)],
        capture_output=True, text=True, check=True, timeout=540,
    )  # fmt: skip

    points, peak_mib = map(int, done.stdout.split())
    (chore,) = [chore for chore in CHORES if chore.command == ("spreadscan", "compact")]
    assert chore.memory_max_mib >= 2 * MAX_MIB
    assert points == OPEN_EPISODES * FRAMES + 1
    assert peak_mib < MAX_MIB
    found = History(folder).tables(EpisodeQuery(), ["episode_id"])
    assert sum(table.num_rows for table in found) == EPISODES
