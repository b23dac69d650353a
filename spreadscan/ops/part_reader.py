"""Opening a part of the ledger for reading, by whoever may read it.

SQLite reads a part through its log and the log's index, and makes them where they are missing. A
reader who may not write to the folder cannot, once the tracker has stopped and taken them along.
Then the file is all there is and nobody writes it, so it is read as it stands (``immutable``, which
takes no locks); should a tracker begin to write meanwhile, what was read is not believed.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple, Self

from spreadscan.tracker.pages import is_empty
from spreadscan.tracker.schema import READABLE_VERSIONS

__all__ = ["PartMoved", "open_part"]

BUSY_TIMEOUT_S = 1.0
_MAY_NOT_WRITE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


class PartMoved(sqlite3.OperationalError):
    """A tracker began to write what was read as it stood; opened again, it can be read."""


def open_part(file: Path) -> sqlite3.Connection:
    """Open a part of the ledger for reading.

    Raises:
        sqlite3.DatabaseError: it is damaged, cannot be read, or is of another build. Of a part that
            is read as it stands, reading raises `PartMoved`, when a tracker has begun to write.

    Concurrency: beside the tracker; nothing is written, and no file but SQLite's own is made.
    """
    if file.exists() and not os.access(file, os.R_OK):
        raise sqlite3.OperationalError("found no right to read it, expected a user who may")
    if is_empty(file):
        raise sqlite3.DatabaseError("found it empty, expected a part of the ledger")
    uri = f"{file.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)
    try:
        return _of_this_build(connection)
    except sqlite3.OperationalError as error:
        if (error.sqlite_errorcode & 0xFF) not in _MAY_NOT_WRITE or not file.exists():
            raise
        stood = _Standing.of(file)
        if stood.has_log:
            raise sqlite3.OperationalError(
                "found a log without its index, expected the tracker's user to read it"
            ) from error
    still = sqlite3.connect(f"{uri}&immutable=1", uri=True, factory=_StillPart)
    still.stands_as(file, stood)
    return _of_this_build(still)


def _of_this_build(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return the connection if this build reads the part's version, or close it."""
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in READABLE_VERSIONS:
            first, *_, last = READABLE_VERSIONS
            raise sqlite3.DatabaseError(
                f"found ledger version {version}, expected {first} to {last}"
            )
    except sqlite3.Error:
        connection.close()
        raise
    return connection


class _Standing(NamedTuple):
    """What a part looks like from outside; it changes when somebody writes."""

    has_log: bool
    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, file: Path) -> Self:
        # The log first: it goes only after the file has changed.
        has_log = file.with_name(f"{file.name}-wal").exists()
        found = file.stat()
        return cls(has_log, found.st_ino, found.st_size, found.st_mtime_ns)


class _StillPart(sqlite3.Connection):
    """A part that nobody writes; every row of it is given out only if that is still so."""

    def stands_as(self, file: Path, stood: _Standing) -> None:
        """Say which file it is, and what that looked like before it was opened."""
        self._file = file
        self._stood = stood

    def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:  # type: ignore[explicit-override]
        return self.cursor(_StillRows).execute(sql, values)

    def prove(self) -> None:
        if _Standing.of(self._file) != self._stood:
            raise PartMoved("found a tracker that began to write, expected it to stand still")


class _StillRows(sqlite3.Cursor):
    """Rows of a still part."""

    connection: _StillPart

    def fetchone(self) -> Any:  # type: ignore[explicit-override] # typing, 3.12
        row = super().fetchone()
        self.connection.prove()
        return row

    def fetchmany(self, size: int | None = 1) -> list[Any]:  # type: ignore[explicit-override] # 3.12
        rows = super().fetchmany(size)
        self.connection.prove()
        return rows

    def fetchall(self) -> list[Any]:  # type: ignore[explicit-override] # typing, 3.12
        rows = super().fetchall()
        self.connection.prove()
        return rows

    def __next__(self) -> Any:  # type: ignore[explicit-override] # typing, 3.12
        row = super().__next__()
        self.connection.prove()
        return row
