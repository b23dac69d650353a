"""How the ledger lies on disk: a file a day, and what each is called.

    ledger-000007-2026-11-29.sqlite3           a part; the newest is the one that is written
    ledger-000007-2026-11-29.sqlite3.damaged-… set aside, never read again
    history/000006-2026-11-28-episodes.parquet a finished part, compacted
    history/000006-2026-11-28-paths.parquet    its paths; written first, so the other is the mark

Parts are ordered by number, not by date: the wall clock may step back. Rows of open episodes count
in the newest part alone; each new part begins with all of them.
"""

import itertools
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

__all__ = [
    "WORKING_SUFFIX",
    "Part",
    "archived_parts",
    "day_of",
    "ledger_parts",
    "set_aside",
    "sync_folder",
]

WORKING_SUFFIX = ".new"
"""A part that is being made; worthless after a crash."""
HISTORY = "history"
_PART = re.compile(r"ledger-(\d{6})-(\d{4}-\d{2}-\d{2})\.sqlite3")
_ARCHIVED = re.compile(r"(\d{6})-(\d{4}-\d{2}-\d{2})-episodes\.parquet")
_SIDE_FILES = ("", "-wal", "-shm")


class Part(NamedTuple):
    """One part, wherever it is stored; sorts by age."""

    number: int
    day: str
    """The UTC day on which it was begun, ``2026-11-29``."""

    def ledger(self, directory: Path) -> Path:
        """Return its file while it is a ledger."""
        return directory / f"ledger-{self.number:06d}-{self.day}.sqlite3"

    def episodes(self, directory: Path) -> Path:
        """Return the file of its episodes once it is compacted."""
        return directory / HISTORY / f"{self.number:06d}-{self.day}-episodes.parquet"

    def paths(self, directory: Path) -> Path:
        """Return the file of its paths once it is compacted."""
        return directory / HISTORY / f"{self.number:06d}-{self.day}-paths.parquet"

    @classmethod
    def named(cls, match: re.Match[str]) -> Self:
        """Return the part of a file name that matched."""
        return cls(int(match[1]), match[2])


def ledger_parts(directory: Path) -> list[Part]:
    """Return the parts that are ledgers, oldest first; none when there is no such folder."""
    return _found(directory, _PART)


def archived_parts(directory: Path) -> list[Part]:
    """Return the parts that are compacted, oldest first."""
    return _found(directory / HISTORY, _ARCHIVED)


def day_of(wall_ns: int) -> str:
    """Return the UTC day of a Unix time."""
    return datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).date().isoformat()


def set_aside(file: Path, wall_ns: int) -> Path:
    """Rename a damaged file with its log beside it; return its new path.

    Raises:
        OSError: it cannot be renamed.
    """
    stamp = f"{file.name}.damaged-{wall_ns // 1_000_000_000}"
    names = itertools.chain([stamp], (f"{stamp}.{n}" for n in itertools.count(1)))
    target = next(path for name in names if not (path := file.with_name(name)).exists())
    for suffix in _SIDE_FILES:
        part = file.with_name(file.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
    return target


def sync_folder(directory: Path) -> None:
    """Make a renamed or new file's name durable.

    Raises:
        OSError: the folder cannot be opened or synced.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _found(directory: Path, pattern: re.Pattern[str]) -> list[Part]:
    try:
        names = [file.name for file in directory.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(
        Part.named(match) for name in names if (match := pattern.fullmatch(name)) is not None
    )
