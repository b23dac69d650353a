"""The part of the ledger that is written: one SQLite file in WAL mode, the tracker's alone.

Whatever changed goes down in one transaction, together with the place in the ring up to which its
signals were applied. The ring's read position is moved only after that. So a tracker killed at any
instant finds either both or neither, and no opening is lost or doubled.

A batch with an opening or an ending is synced to the disk before it counts as stored
(``synchronous=FULL``); one with points alone is not, so that a power cut may cost the last seconds
of a path, but never tears the file. Readers open the file read-only and are never blocked.
"""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from spreadscan.errors import ConfigError
from spreadscan.tracker.disk_errors import damage, doubt
from spreadscan.tracker.episode import Clocks, Ending, Episode
from spreadscan.tracker.frames import Frame
from spreadscan.tracker.pages import is_empty, torn_bytes
from spreadscan.tracker.parts import WORKING_SUFFIX, Part, ledger_parts, set_aside, sync_folder
from spreadscan.tracker.rows import INSERT_FRAME, UPSERT_EPISODE, row_of
from spreadscan.tracker.schema import SCHEMA_VERSION, migrate

__all__ = [
    "Batch",
    "EpisodeStore",
    "KillsFollowed",
    "NewPart",
]

# Reading a whole file of this size takes about a second; beyond it damage shows when it is met.
FULL_CHECK_BYTES = 256 * 1024 * 1024
BUSY_TIMEOUT_S = 0.1
# What a long reader made the log grow to is given back.
WAL_LIMIT_BYTES = 64 * 1024 * 1024

_PUT_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_PUT_EXPIRED = "INSERT OR REPLACE INTO expired VALUES (?, ?, ?)"
_DELETE_EXPIRED = "DELETE FROM expired WHERE direction = ? AND symbol = ?"
_NEXT_FRAME_ID = "SELECT coalesce(max(frame_id), 0) + 1 FROM frames"


class NewPart(NamedTuple):
    """What a new part begins with."""

    day: str
    episodes: Sequence[Episode]
    """All that are open."""
    previous: Mapping[tuple[str, str], int]
    """Each route's latest ended episode."""
    expired: Mapping[tuple[str, str], int] = {}
    """The engine's opening under it, of routes where that episode expired."""
    is_damaged: bool = False
    """The part before it is to be set aside."""


class KillsFollowed(NamedTuple):
    """How many of the operator's kills have ended what was open, and of which control block."""

    control_created_ns: int
    number: int


class Batch(NamedTuple):
    """What one commit stores."""

    episodes: Sequence[Episode]
    """In order of id, so that a route's ending comes before its next opening."""
    frames: Sequence[Frame]
    ring_created_ns: int
    """Which ring: its creation stamp."""
    ring_sequence: int
    """Sequence of the last signal applied, 0 for none."""
    last_id: int
    """The highest episode id given out."""
    clocks: Clocks | None
    """Now; None where each episode was last seen at a time of its own."""
    is_synced: bool
    """Whether it must be on the disk itself before it counts as stored."""
    new_part: NewPart | None = None
    """Begin a new part with this batch."""
    kills: KillsFollowed | None = None
    """Whose endings are stored with this batch at the latest; None when that is not known."""


class EpisodeStore:
    """One part, opened for writing when that is needed; the parts after it are begun by batches.

    Args:
        directory: the data folder.
        part: the newest part; its file is made by the first batch with a `NewPart`.

    Concurrency: one thread at a time; readers in any process.
    """

    def __init__(self, directory: Path, part: Part) -> None:
        self.directory = directory
        self.part = part
        self.set_aside_file: Path | None = None
        """Where the latest damaged part was put."""
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._is_synchronous_full = False

    @property
    def file(self) -> Path:
        """The part's file."""
        return self.part.ledger(self.directory)

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._connection is not None:
            # Closing checkpoints; what that cannot write stays in the WAL for the next start.
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        self._inode = None

    def opened(self) -> sqlite3.Connection:
        """Check the whole file, bring it to this build's version and return the connection.

        Raises:
            ConfigError: the file is of a newer build.
            sqlite3.DatabaseError: it is damaged or cannot be opened now.
        """
        if self._connection is None:
            self._connection = connected(self.file, is_checked=True)
        return self._connection

    def commit(self, batch: Batch) -> None:
        """Store a batch in one transaction: all of it, or on an error nothing.

        After an error the file is closed and the next call opens it anew.

        Raises:
            sqlite3.OperationalError: the file cannot be written now; see `is_doubtful`.
            sqlite3.DatabaseError: the file is damaged, see `is_damage`.
            OSError: a new part cannot be put in place.
        """
        try:
            if batch.new_part is not None:
                self._begin(batch, batch.new_part)
                return
            self._require_file()
            if self._connection is None:
                self._connection = connected(self.file)
                self._is_synchronous_full = False
            if batch.is_synced != self._is_synchronous_full:
                level = "FULL" if batch.is_synced else "NORMAL"
                self._connection.execute(f"PRAGMA synchronous = {level}")
                self._is_synchronous_full = batch.is_synced
            self._connection.execute("BEGIN IMMEDIATE")
            _write(self._connection, batch)
            self._connection.execute("COMMIT")
        except (sqlite3.Error, OSError):
            # An uncommitted transaction is rolled back by closing, also where ROLLBACK itself
            # would fail; and after a failed write nothing cached may be believed.
            self.close()
            raise

    def _require_file(self) -> None:
        """Look whether the part is still where it was put, and still the same file.

        What is written to one that was taken away is lost with it, and SQLite would make an empty
        one in its place, without the rows of what is open.

        Raises:
            sqlite3.OperationalError: with the code of one after which another part is due.
        """
        try:
            inode = self.file.stat().st_ino
        except FileNotFoundError:
            raise doubt("somebody took the file away") from None
        if self._inode is None:
            self._inode = inode
        elif inode != self._inode:
            raise doubt("somebody put another file in its place")

    def _begin(self, batch: Batch, new: NewPart) -> None:
        """Make a part with everything that is open, put it in place, and go over to it."""
        taken = [part.number for part in ledger_parts(self.directory)]
        part = Part(max([self.part.number, *taken]) + 1, new.day)
        working = part.ledger(self.directory)
        working = working.with_name(working.name + WORKING_SUFFIX)
        for suffix in ("", "-wal", "-shm"):
            working.with_name(working.name + suffix).unlink(missing_ok=True)
        connection = connected(working)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO previous VALUES (?, ?, ?)",
                ((*key, episode_id) for key, episode_id in new.previous.items()),
            )
            connection.executemany(
                _PUT_EXPIRED, ((*key, opening) for key, opening in new.expired.items())
            )
            _write(connection, batch._replace(episodes=[*new.episodes, *batch.episodes]))
            connection.execute("COMMIT")
            # Everything into the file itself: its log would not be renamed with it.
            (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if is_busy:
                raise sqlite3.OperationalError("the new part's log could not be emptied")
        finally:
            connection.close()
        working.rename(part.ledger(self.directory))
        sync_folder(self.directory)
        self.close()
        before, self.part = self.part, part
        if new.is_damaged and before.ledger(self.directory).exists():
            assert batch.clocks is not None, "only a tracker that runs meets damage in its part"
            self.set_aside_file = set_aside(before.ledger(self.directory), batch.clocks.wall_ns)


def connected(file: Path, *, is_checked: bool = False) -> sqlite3.Connection:
    """Open a part for writing, made anew where there is none; any thread may use it, one at a time.

    Raises:
        ConfigError: the file is of a newer build.
        sqlite3.DatabaseError: it is damaged or cannot be opened now.
    """
    if torn := torn_bytes(file):
        raise damage(f"its last page has {torn} bytes")
    if is_empty(file):
        raise damage("it is empty")
    # SQLite would make it without the group's right to write, and its side files like it: what a
    # member's reading leaves could not be written by the tracker or the compaction.
    with suppress(OSError):
        os.close(os.open(file, os.O_CREAT | os.O_CLOEXEC, 0o666))
    connection = sqlite3.connect(
        file, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        # Without its log a commit would block readers; never carry on silently without it.
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise sqlite3.OperationalError(f"journal mode {mode} instead of wal")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        if is_checked and file.stat().st_size <= FULL_CHECK_BYTES:
            _check(connection)
        version = migrate(connection)
    except sqlite3.Error:
        connection.close()
        raise
    if version != SCHEMA_VERSION:
        connection.close()
        raise ConfigError(
            str(file), "user_version", str(version),
            f"at most {SCHEMA_VERSION}; the ledger is of a newer build",
        )  # fmt: skip
    return connection


def _write(connection: sqlite3.Connection, batch: Batch) -> None:
    (first_id,) = connection.execute(_NEXT_FRAME_ID).fetchone()
    last_id = first_id + len(batch.frames) - 1
    connection.executemany(
        INSERT_FRAME,
        ((first_id + n, *frame.packed()) for n, frame in enumerate(batch.frames)),
    )
    connection.executemany(
        UPSERT_EPISODE,
        (
            (*row_of(episode), first_id, None if episode.ending is None else last_id)
            for episode in batch.episodes
        ),
    )
    # In order of id, so that the latest ending of a route counts.
    for episode in batch.episodes:
        if episode.ending is Ending.EXPIRED and episode.opening:
            connection.execute(_PUT_EXPIRED, (*episode.route.key, episode.opening))
        elif episode.ending is not None:
            connection.execute(_DELETE_EXPIRED, episode.route.key)
    meta = {
        "ring_created_ns": batch.ring_created_ns,
        "ring_sequence": batch.ring_sequence,
        "last_id": batch.last_id,
    }
    if batch.kills is not None:
        meta |= {"control_created_ns": batch.kills.control_created_ns, "kills": batch.kills.number}
    connection.executemany(_PUT_META, meta.items())
    connection.execute("DELETE FROM clocks")
    if batch.clocks is not None:
        connection.execute("INSERT INTO clocks VALUES (?, ?, ?)", batch.clocks)


def _check(connection: sqlite3.Connection) -> None:
    """Read the whole file.

    Raises:
        sqlite3.DatabaseError: with the code of a damaged file.
    """
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise damage(verdict)
