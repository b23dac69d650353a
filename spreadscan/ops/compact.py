"""Compaction of finished parts of the ledger.

Every part but the newest is finished: the tracker never writes it again. It is written as Parquet,
read back, and only then deleted. Of a part that is damaged, what can be read is written, then it is
set aside and the others go on.

Killed at any step, the next run finds either the whole part, and begins again, or its proven
archive, which it never writes again: what is left of the ledger is then only compared and deleted.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from spreadscan.config import Config
from spreadscan.errors import EXIT_TEMPORARY, ConfigError, SpreadscanError
from spreadscan.ops.archive import ArchiveError, prove_part, readable_frames, write_part
from spreadscan.ops.retention import drop_old
from spreadscan.tracker.disk_errors import folder_refused, is_damage
from spreadscan.tracker.pages import without_torn_page
from spreadscan.tracker.parts import Part, archived_parts, ledger_parts, set_aside
from spreadscan.tracker.store import connected

__all__ = ["CompactedPart", "Compaction", "CompactionBusyError", "compact"]

LOCK_NAME = "compact.lock"
# Of one part; the others go on. A ConfigError is of one that a newer build wrote.
_FAILURES = (
    sqlite3.DatabaseError, ValueError, TypeError, OSError, ArchiveError, ConfigError
)  # fmt: skip


class CompactionBusyError(SpreadscanError):
    """Another compaction of the same folder runs.

    Args:
        directory: the folder.
    """

    exit_code = EXIT_TEMPORARY

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        super().__init__(f"{directory}: found another compaction at work, expected none")


class CompactedPart(msgspec.Struct, frozen=True, kw_only=True):
    """One part that is Parquet now."""

    day: str
    number: int
    points: int
    before_bytes: int
    after_bytes: int


class Compaction(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did."""

    compacted: tuple[CompactedPart, ...]
    dropped: tuple[str, ...]
    """Names of files that were too old or too many."""
    failed: tuple[str, ...]
    """One sentence for every part that is damaged or could not be written."""


def compact(config: Config, wall_ns: int) -> Compaction:
    """Compact what is finished, then apply ``[tracker] retention_days`` and ``retention_max_mib``.

    Args:
        config: whose data folder, and what it may hold.
        wall_ns: Unix time, for the names of what is set aside.

    Raises:
        CompactionBusyError: another one runs.
        ConfigError: the folder cannot be used.
        LedgerError: it cannot be used now.
    """
    directory = config.path(config.tracker.data_dir)
    try:
        return _compacted_folder(config, directory, wall_ns)
    except OSError as error:
        raise folder_refused(directory, error) from None


def _compacted_folder(config: Config, directory: Path, wall_ns: int) -> Compaction:
    if not ledger_parts(directory) and not archived_parts(directory):
        return Compaction(compacted=(), dropped=(), failed=())
    with _alone(directory):
        compacted, failed = [], []
        for part in ledger_parts(directory)[:-1]:
            try:
                compacted.append(_compacted(part, directory))
            except _FAILURES as error:
                failed.append(_failure(part, directory, error, wall_ns))
        dropped = tuple(drop_old(config, directory))
    return Compaction(compacted=tuple(compacted), dropped=dropped, failed=tuple(failed))


def _compacted(part: Part, directory: Path) -> CompactedPart:
    file = part.ledger(directory)
    before_bytes = _size(file)
    # Opened for writing: what a killed tracker left in the log belongs to the part.
    with contextlib.closing(connected(file)) as connection:
        if part.episodes(directory).exists():
            points = prove_part(connection, part, directory)
        else:
            points = write_part(connection, part, directory)
        # Nothing may stand in the log alone: the file goes first, and without it nobody reads that.
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise sqlite3.OperationalError("somebody reads it; the next run deletes it")
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    after_bytes = _size(part.paths(directory)) + _size(part.episodes(directory))
    return CompactedPart(
        day=part.day, number=part.number, points=points, before_bytes=before_bytes,
        after_bytes=after_bytes,
    )  # fmt: skip


def _failure(part: Part, directory: Path, error: Exception, wall_ns: int) -> str:
    file = part.ledger(directory)
    try:
        if not _is_torn(error):
            return f"{file}: not compacted: {error}"
        try:
            kept = _salvaged(part, directory)
        except _FAILURES as trouble:
            if not _is_torn(trouble):
                return f"{file}: damaged ({error}), left as it is for the next run: {trouble}"
            kept = "its episodes cannot be read"
    finally:
        for left in part.episodes(directory).parent.glob("*.new"):
            left.unlink(missing_ok=True)
    try:
        return f"{file}: damaged ({error}), set aside as {set_aside(file, wall_ns).name}; {kept}"
    except OSError as rename_error:
        return f"{file}: damaged ({error}), and cannot be set aside: {rename_error}; {kept}"


def _salvaged(part: Part, directory: Path) -> str:
    """Archive what can be read of a damaged part; return what that is, in words."""
    if part.episodes(directory).exists():
        return "an earlier run has archived it"
    file = part.ledger(directory)
    with without_torn_page(file), contextlib.closing(connected(file)) as connection:
        points = write_part(connection, part, directory, readable_frames(connection))
    return f"its episodes are archived, with the {points} points that can be read"


def _is_torn(error: Exception) -> bool:
    """Tell whether an error means that the part is damaged, rather than its surroundings."""
    if isinstance(error, sqlite3.DatabaseError):
        return is_damage(error)
    return isinstance(error, ValueError | TypeError)


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CompactionBusyError(directory) from None
        yield
    finally:
        # By closing alone it would last as long as a child that was forked meanwhile.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _size(file: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_size
    return 0
