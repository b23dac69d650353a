"""The ledger on disk: one SQLite file in WAL mode, written by the tracker alone.

Whatever one tick changed goes down in one transaction, together with the place in the ring up to
which its signals were applied. The ring's read position is moved only after that. So a tracker
killed at any instant finds either both or neither, and no opening is lost or doubled.

``synchronous=NORMAL``: a killed process loses nothing, a power cut may lose the last commits but
never tears the file. Readers open the file read-only and are never blocked.
"""

import itertools
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from spreadscan.errors import EXIT_TEMPORARY, ConfigError, SpreadscanError
from spreadscan.tracker.book import SnapshotRow
from spreadscan.tracker.episode import Episode
from spreadscan.tracker.rows import INSERT_SNAPSHOT, SELECT_OPEN, UPSERT_EPISODE, episode_of, row_of
from spreadscan.tracker.schema import LEDGER_NAME, SCHEMA_VERSION, migrate

__all__ = ["Batch", "EpisodeStore", "LedgerError", "is_damage"]

# Reading a whole file of this size takes about a second; beyond it damage shows when it is met.
FULL_CHECK_BYTES = 256 * 1024 * 1024
BUSY_TIMEOUT_S = 0.1

_PUT_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_NEXT_SNAPSHOT_ID = "SELECT coalesce(max(snapshot_id), 0) + 1 FROM snapshots"


class LedgerError(SpreadscanError):
    """The ledger cannot be opened now: no space, a failing disk, a lock. Starting again may help.

    Args:
        file: path of the ledger.
        found: what SQLite said.
    """

    exit_code = EXIT_TEMPORARY

    def __init__(self, file: Path, found: str) -> None:
        self.file = file
        self.found = found
        super().__init__(f"{file}: found {found}, expected a ledger that can be written")


class Batch(NamedTuple):
    """What one commit stores."""

    episodes: Sequence[Episode]
    """In order of id, so that a route's ending comes before its next opening."""
    snapshots: Sequence[SnapshotRow]
    ring_created_ns: int
    """Which ring: its creation stamp."""
    ring_sequence: int
    """Sequence of the last signal applied, 0 for none."""


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether an error means that the file itself is broken, rather than its surroundings."""
    code = getattr(error, "sqlite_errorcode", None)
    # The low byte is the primary code; extended codes add detail above it.
    return code is not None and code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class EpisodeStore:
    """The ledger, opened for writing.

    Args:
        directory: the data folder; made when absent.
        wall_ns: Unix time, for the name under which a damaged file is set aside.

    Raises:
        ConfigError: the folder cannot be made or used, or the file is of a newer build.
        LedgerError: the file cannot be opened or written now.

    Concurrency: one writer, in one thread; readers in any process.
    """

    def __init__(self, directory: Path, wall_ns: int) -> None:
        self.file = directory / LEDGER_NAME
        self.set_aside_file: Path | None = None
        """Where a damaged predecessor was put while opening."""
        self._connection: sqlite3.Connection | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                str(directory), "tracker.data_dir", str(error), "a folder that can be written"
            ) from None
        try:
            self._connection = self._opened(wall_ns)
        except sqlite3.OperationalError as error:
            raise LedgerError(self.file, str(error)) from None

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._connection is not None:
            # Closing checkpoints; what that cannot write stays in the WAL for the next start.
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def last_episode_id(self) -> int:
        """Return the highest id in the ledger, 0 when it is empty."""
        (value,) = self._live().execute("SELECT max(episode_id) FROM episodes").fetchone()
        return int(value or 0)

    def ring_sequence(self, ring_created_ns: int) -> int:
        """Return the sequence of the last signal stored from this ring, 0 when from another one."""
        meta = dict(self._live().execute("SELECT key, value FROM meta").fetchall())
        if meta.get("ring_created_ns") != ring_created_ns:
            return 0
        return int(meta.get("ring_sequence", 0))

    def load_open(self) -> list[Episode]:
        """Return the open episodes, oldest first.

        Their row may be a few snapshots behind their path, so snapshots are counted anew.
        """
        connection = self._live()
        rows = connection.execute(SELECT_OPEN).fetchall()
        if not rows:
            return []
        counts = dict(
            connection.execute(
                "SELECT episode_id, count(*) FROM snapshots WHERE snapshot_id >= ? GROUP BY 1",
                (min(row[-1] for row in rows),),
            ).fetchall()
        )
        episodes = [episode_of(row) for row in rows]
        for episode in episodes:
            episode.snapshots = max(episode.snapshots, counts.get(episode.episode_id, 0))
        return episodes

    def commit(self, batch: Batch) -> None:
        """Store a batch in one transaction: all of it, or on an error nothing.

        After an error the file is closed and the next call opens it anew.

        Raises:
            sqlite3.OperationalError: the file cannot be written now; try again later.
            sqlite3.DatabaseError: the file is damaged, see `is_damage` and `begin_anew`.
        """
        try:
            connection = self._live()
            connection.execute("BEGIN IMMEDIATE")
            self._write(connection, batch)
            connection.execute("COMMIT")
        except sqlite3.Error:
            # An uncommitted transaction is rolled back by closing, also where ROLLBACK itself
            # would fail; and after a failed write nothing cached may be believed.
            self.close()
            raise

    def begin_anew(self, wall_ns: int) -> Path:
        """Set the damaged file aside; return its new path. The next commit makes a new ledger.

        Raises:
            OSError: it cannot be renamed.
        """
        self.close()
        return _set_aside(self.file, wall_ns)

    def _write(self, connection: sqlite3.Connection, batch: Batch) -> None:
        (first_id,) = connection.execute(_NEXT_SNAPSHOT_ID).fetchone()
        last_id = first_id + len(batch.snapshots) - 1
        connection.executemany(INSERT_SNAPSHOT, batch.snapshots)
        connection.executemany(
            UPSERT_EPISODE,
            (
                (*row_of(episode), first_id, None if episode.ending is None else last_id)
                for episode in batch.episodes
            ),
        )
        position = {
            "ring_created_ns": batch.ring_created_ns,
            "ring_sequence": batch.ring_sequence,
        }
        connection.executemany(_PUT_META, position.items())

    def _live(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connected()
        return self._connection

    def _opened(self, wall_ns: int) -> sqlite3.Connection:
        try:
            return self._connected(check=True)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        self.set_aside_file = _set_aside(self.file, wall_ns)
        return self._connected()

    def _connected(self, *, check: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            # Without its log a commit would block readers; never carry on silently without it.
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise sqlite3.OperationalError(f"journal mode {mode} instead of wal")
            connection.execute("PRAGMA synchronous = NORMAL")
            if check and self.file.stat().st_size <= FULL_CHECK_BYTES:
                _check(connection)
            version = migrate(connection)
        except sqlite3.Error:
            connection.close()
            raise
        if version != SCHEMA_VERSION:
            connection.close()
            raise ConfigError(
                str(self.file), "user_version", str(version),
                f"at most {SCHEMA_VERSION}; the ledger is of a newer build",
            )  # fmt: skip
        return connection


def _check(connection: sqlite3.Connection) -> None:
    """Read the whole file.

    Raises:
        sqlite3.DatabaseError: with the code of a damaged file.
    """
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        error = sqlite3.DatabaseError(verdict)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _set_aside(file: Path, wall_ns: int) -> Path:
    """Rename a damaged ledger with its log beside it; return its new path."""
    stamp = f"{file.name}.damaged-{wall_ns // 1_000_000_000}"
    names = itertools.chain([stamp], (f"{stamp}.{n}" for n in itertools.count(1)))
    target = next(path for name in names if not (path := file.with_name(name)).exists())
    for suffix in ("", "-wal", "-shm"):
        part = file.with_name(file.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
    return target
