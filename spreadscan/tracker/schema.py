"""Tables of the episode ledger, and how an older ledger becomes a present one.

``PRAGMA user_version`` counts the migrations a file has seen. A migration that was released is
never edited; a change is a further one. Words such as endings are stored as text without a CHECK,
so that a new ending needs no migration.

    episodes   one row each; ``ending`` is NULL while open. Columns first_*, peak_*, last_* are the
               route at those moments. *_ns is CLOCK_MONOTONIC of ``boot_id``, *_wall_ns Unix time.
    snapshots  the paths. Rows are appended, in order of time, and carry no index: one for each
               episode would dirty a page for every open episode five times a second. The path of an
               episode lies between its first_snapshot_id and its last_snapshot_id.
    meta       single integers: where in which ring the ledger stands.
"""

import sqlite3

__all__ = ["LEDGER_NAME", "SCHEMA_VERSION", "migrate"]

LEDGER_NAME = "episodes.sqlite3"
"""File name of the ledger inside the data folder."""

_MIGRATIONS = (
    (
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
    ),
)

SCHEMA_VERSION = len(_MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the file behind ``connection`` to SCHEMA_VERSION; return the version it then has.

    A version above SCHEMA_VERSION is returned untouched: the file belongs to a newer build.
    Each migration is one transaction, so a crash leaves the file before or after it.

    Raises:
        sqlite3.DatabaseError: the file is damaged, or cannot be written.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    while version < SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _MIGRATIONS[version]:
                connection.execute(statement)
            # PRAGMA takes no parameters; the value is ours.
            connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        version += 1
    return int(version)
