"""What an error says of the ledger: damaged, doubtful, only not now, or never without somebody."""

import sqlite3
from pathlib import Path

from spreadscan.errors import EXIT_TEMPORARY, ConfigError, SpreadscanError, is_passing

__all__ = [
    "LedgerError",
    "damage",
    "doubt",
    "folder_refused",
    "is_damage",
    "is_doubtful",
    "is_of_the_disk",
]


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


def folder_refused(directory: Path, error: OSError) -> SpreadscanError:
    """Return the error of a data folder that cannot be used, by who must act."""
    if is_passing(error):
        return LedgerError(directory, str(error))
    return ConfigError(
        str(directory), "tracker.data_dir", str(error), "a folder that can be written"
    )


def damage(found: str) -> sqlite3.DatabaseError:
    """Return the error of a damaged file."""
    error = sqlite3.DatabaseError(found)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def doubt(found: str) -> sqlite3.OperationalError:
    """Return the error of a file that may not hold what was stored, so that another is due."""
    error = sqlite3.OperationalError(found)
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether an error means that the file itself is broken, rather than its surroundings."""
    return _primary_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_doubtful(error: sqlite3.Error) -> bool:
    """Tell whether nobody knows what the disk holds after an error, so that another file is due.

    After a failed sync the kernel may have dropped what it could not write, and the next sync
    would succeed without it (fsync(2)): trying again and believing the answer is wrong.
    """
    return _primary_code(error) == sqlite3.SQLITE_IOERR


def is_of_the_disk(error: sqlite3.Error) -> bool:
    """Tell whether the disk is full, read-only or failing, which says nothing of what it holds."""
    return _primary_code(error) in {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
    }


def _primary_code(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    # The low byte is the primary code; extended codes add detail above it.
    return None if code is None else code & 0xFF
