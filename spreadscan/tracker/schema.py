"""Tables of the episode ledger, and how an older ledger becomes a present one.

``PRAGMA user_version`` counts the migrations a file has seen. A migration that was released is
never edited; a change is a further one. Words such as endings are stored as text without a CHECK,
so that a new ending needs no migration.

    episodes   one row each; ``ending`` is NULL while open. Columns first_*, peak_*, last_* are the
               route at those moments; quotes of a peak that a crash left only as a point are 0.
               *_ns is CLOCK_MONOTONIC of ``boot_id``, *_wall_ns Unix time.
    frames     the paths: one row a snapshot of all open episodes, columns packed (``frames.py``),
               appended in order of time, with a checksum. The points of an episode lie between its
               first_frame_id and its last_frame_id, in rows whose lowest and highest id enclose
               its own.
    previous   each route's latest ended episode when the file was begun.
    expired    routes whose latest ended episode expired while the engine held them open, and the
               engine's number of that opening: its further signals open no other episode.
    clocks     one row: both clocks at the latest commit.
    meta       single integers: where in which ring the ledger stands, and the highest id given out.
"""

import contextlib
import sqlite3
from collections.abc import Iterator

import numpy as np

from spreadscan.tracker.frames import FRAME_COLUMNS, Frame

__all__ = ["READABLE_VERSIONS", "SCHEMA_VERSION", "frame_columns", "migrate"]

# A frame made of a version-1 file's rows holds so many; of an open set it holds one each. Packing
# one is some 20 ms of work and 5 MB.
ROWS_IN_FRAME = 8192

_FRAMES = """
    CREATE TABLE IF NOT EXISTS frames (
        frame_id INTEGER PRIMARY KEY,
        points INTEGER NOT NULL CHECK (points > 0),
        min_episode_id INTEGER NOT NULL,
        max_episode_id INTEGER NOT NULL,
        episode_ids BLOB NOT NULL,
        t_ms BLOB NOT NULL,
        gross_bps BLOB NOT NULL,
        cost_bps BLOB NOT NULL,
        usd BLOB NOT NULL
    ) STRICT
    """

_VERSION_1 = (
    """
        CREATE TABLE episodes (
            episode_id INTEGER PRIMARY KEY,
            direction TEXT NOT NULL,
            symbol TEXT NOT NULL,
            direction_id INTEGER NOT NULL,
            symbol_id INTEGER NOT NULL,
            spot_source INTEGER NOT NULL,
            futures_source INTEGER NOT NULL,
            boot_id TEXT NOT NULL,
            opened_wall_ns INTEGER NOT NULL,
            opened_ns INTEGER NOT NULL,
            ending TEXT,
            ended_ns INTEGER,
            ended_wall_ns INTEGER,
            re_signals INTEGER NOT NULL,
            snapshots INTEGER NOT NULL,
            snapshots_unusable INTEGER NOT NULL,
            first_snapshot_id INTEGER NOT NULL,
            last_snapshot_id INTEGER,
            first_ns INTEGER NOT NULL,
            first_gross_bps REAL NOT NULL, first_net_bps REAL NOT NULL, first_usd REAL NOT NULL,
            first_spot_bid REAL NOT NULL, first_spot_ask REAL NOT NULL,
            first_spot_bid_qty REAL NOT NULL, first_spot_ask_qty REAL NOT NULL,
            first_futures_bid REAL NOT NULL, first_futures_ask REAL NOT NULL,
            first_futures_bid_qty REAL NOT NULL, first_futures_ask_qty REAL NOT NULL,
            peak_ns INTEGER NOT NULL,
            peak_gross_bps REAL NOT NULL, peak_net_bps REAL NOT NULL, peak_usd REAL NOT NULL,
            peak_spot_bid REAL NOT NULL, peak_spot_ask REAL NOT NULL,
            peak_spot_bid_qty REAL NOT NULL, peak_spot_ask_qty REAL NOT NULL,
            peak_futures_bid REAL NOT NULL, peak_futures_ask REAL NOT NULL,
            peak_futures_bid_qty REAL NOT NULL, peak_futures_ask_qty REAL NOT NULL,
            last_ns INTEGER NOT NULL,
            last_gross_bps REAL NOT NULL, last_net_bps REAL NOT NULL, last_usd REAL NOT NULL,
            last_spot_bid REAL NOT NULL, last_spot_ask REAL NOT NULL,
            last_spot_bid_qty REAL NOT NULL, last_spot_ask_qty REAL NOT NULL,
            last_futures_bid REAL NOT NULL, last_futures_ask REAL NOT NULL,
            last_futures_bid_qty REAL NOT NULL, last_futures_ask_qty REAL NOT NULL,
            CHECK ((ending IS NULL) = (ended_ns IS NULL)),
            CHECK ((ending IS NULL) = (ended_wall_ns IS NULL)),
            CHECK (ended_ns IS NULL OR ended_ns >= opened_ns)
        ) STRICT
        """,
    # Also the promise that a route has one open episode at most.
    """
        CREATE UNIQUE INDEX episodes_open ON episodes (direction, symbol) WHERE ending IS NULL
        """,
    "CREATE INDEX episodes_opened ON episodes (opened_wall_ns)",
    "CREATE INDEX episodes_ended ON episodes (ended_wall_ns, ending) WHERE ending IS NOT NULL",
    """
        CREATE TABLE snapshots (
            snapshot_id INTEGER PRIMARY KEY,
            episode_id INTEGER NOT NULL,
            t_ms INTEGER NOT NULL,
            gross_bps REAL NOT NULL,
            net_bps REAL NOT NULL,
            usd REAL NOT NULL
        ) STRICT
        """,
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
)

_VERSION_2 = (
    "ALTER TABLE episodes ADD COLUMN previous_id INTEGER",
    "ALTER TABLE episodes ADD COLUMN z_score REAL",
    "ALTER TABLE episodes ADD COLUMN net_after_funding_bps REAL",
    "ALTER TABLE episodes ADD COLUMN suspended_ns INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE episodes ADD COLUMN suspended_since_ns INTEGER",
    "ALTER TABLE episodes ADD COLUMN gaps INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE episodes ADD COLUMN gap_ns INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE episodes RENAME COLUMN first_snapshot_id TO first_frame_id",
    "ALTER TABLE episodes RENAME COLUMN last_snapshot_id TO last_frame_id",
    _FRAMES,
    """
    CREATE TABLE previous (
        direction TEXT NOT NULL, symbol TEXT NOT NULL, episode_id INTEGER NOT NULL,
        PRIMARY KEY (direction, symbol)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE clocks (
        boot_id TEXT NOT NULL, monotonic_ns INTEGER NOT NULL, wall_ns INTEGER NOT NULL
    ) STRICT
    """,
    # Frames are found by their ids; those of version 1 hold the points of several looks.
    "UPDATE episodes SET first_frame_id = 0, last_frame_id = NULL",
    # Empty by now, see `_pack_rows`.
    "DROP TABLE snapshots",
)

_VERSION_3 = (
    """
    CREATE TABLE expired (
        direction TEXT NOT NULL, symbol TEXT NOT NULL, opening INTEGER NOT NULL,
        PRIMARY KEY (direction, symbol)
    ) STRICT, WITHOUT ROWID
    """,
)

# NULL in rows of before.
_VERSION_4 = ("ALTER TABLE frames ADD COLUMN checksum INTEGER",)

_MIGRATIONS = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4)

SCHEMA_VERSION = len(_MIGRATIONS)
READABLE_VERSIONS = range(2, SCHEMA_VERSION + 1)
"""Versions whose episodes and paths stand as they do now: a finished part is not migrated."""
CHECKSUM_VERSION = 4


def frame_columns(connection: sqlite3.Connection) -> str:
    """Return the columns of a frame that `Frame.unpacked` takes, in the file's own version.

    Raises:
        sqlite3.DatabaseError: the file cannot be read.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    checksum = "checksum" if version >= CHECKSUM_VERSION else "NULL"
    return ", ".join([*FRAME_COLUMNS, checksum])


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the file behind ``connection`` to SCHEMA_VERSION; return the version it then has.

    A version above SCHEMA_VERSION is returned untouched: the file belongs to a newer build.
    Each migration is one transaction, so a crash leaves the file before or after it. What may take
    minutes comes before it in small ones: killed meanwhile, the next call goes on.

    Raises:
        sqlite3.DatabaseError: the file is damaged, or cannot be written.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    while version < SCHEMA_VERSION:
        if version == 1:
            _pack_rows(connection)
        with _transaction(connection):
            for step in _MIGRATIONS[version]:
                connection.execute(step)
            # PRAGMA takes no parameters; the value is ours.
            connection.execute(f"PRAGMA user_version = {version + 1}")
        version += 1
    return int(version)


def _pack_rows(connection: sqlite3.Connection) -> None:
    """Move a version-1 path of rows into frames, one frame a transaction."""
    connection.execute(_FRAMES)
    (frame_id,) = connection.execute("SELECT coalesce(max(frame_id), 0) FROM frames").fetchone()
    next_rows = (
        "SELECT snapshot_id, episode_id, t_ms, gross_bps, gross_bps - net_bps, usd FROM snapshots"
        " ORDER BY snapshot_id LIMIT ?"
    )
    places = ", ".join("?" * (len(FRAME_COLUMNS) + 4))
    insert_frame = f"INSERT INTO frames VALUES ({places})"  # noqa: S608 -- as of version 2
    while rows := connection.execute(next_rows, (ROWS_IN_FRAME,)).fetchall():
        frame_id += 1
        _, *columns = (np.array(column) for column in zip(*rows, strict=True))
        with _transaction(connection):
            *packed, _ = Frame(*columns).packed()
            connection.execute(insert_frame, (frame_id, *packed))
            connection.execute("DELETE FROM snapshots WHERE snapshot_id <= ?", (rows[-1][0],))


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
