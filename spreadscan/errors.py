"""Errors, sorted by who must act.

* SpreadscanError
    * ConfigError: the operator must edit a file. Exit 78, systemd does not retry.
    * RegionError: a shared-memory region cannot be used.
        * LayoutMismatch: the region was made by another build. Exit 78.
        * RegionMissing: its creator has not run yet. Exit 75, systemd retries.
        * RegionRefused: truncated, foreign or damaged. Exit 78.
    * AlreadyRunning: another process holds this role. Exit 75.
    * RunFolderRefused: the lock files cannot be used, mostly by the wrong user. Exit 78; 75 where
      that may pass by itself (`is_passing`).
    * UniverseError: the symbol set in ``generated/`` is absent, mixed or damaged. Exit 78.
    * DiscoveryError: a listing could not be read; the last universe stays.
    * FeedError: one connection is unusable; drop it, back off, count. The process lives.
    * PortInUse: a listening address is taken. Exit 75.
    * RouteUnknown: the command line names a symbol or direction that is not listed. Exit 64.

Outside data raises one of these; an inside mistake is an ``AssertionError`` and crashes the
process. Each error keeps its values as attributes and says what was found and expected.
"""

import errno

__all__ = [
    "EXIT_CONFIG",
    "EXIT_DEGRADED",
    "EXIT_DOWN",
    "EXIT_FAILED",
    "EXIT_MEANINGS",
    "EXIT_NOT_RUNNING",
    "EXIT_TEMPORARY",
    "EXIT_USAGE",
    "AlreadyRunning",
    "ConfigError",
    "DiscoveryError",
    "FeedError",
    "LayoutMismatch",
    "PortInUse",
    "RegionError",
    "RegionMissing",
    "RegionRefused",
    "RouteUnknown",
    "RunFolderRefused",
    "SpreadscanError",
    "UniverseError",
    "is_passing",
]

# The one table of all programs and commands; --help shows it. From 64 on they are those of
# sysexits(3), the shell's and systemd's own vocabulary; 3 is that of the Linux Standard Base.
EXIT_FAILED = 1
EXIT_DEGRADED = 1
EXIT_DOWN = 2
EXIT_NOT_RUNNING = 3
EXIT_USAGE = 64
EXIT_TEMPORARY = 75
EXIT_CONFIG = 78
EXIT_MEANINGS = {
    0: "healthy, or done as asked",
    EXIT_DEGRADED: "degraded: it runs and something is wrong; also a mistake of the program's own",
    EXIT_DOWN: "down: something runs, and no signal can come of it",
    EXIT_NOT_RUNNING: "nothing is running",
    EXIT_USAGE: "wrong command line",
    EXIT_TEMPORARY: (
        "try again: a region, lock or port is not free, somebody has not obeyed yet, or Ctrl-C"
    ),
    EXIT_CONFIG: "an operator must edit a file; restarting does not help",
}


_PASSING = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE
}  # fmt: skip


def is_passing(error: OSError) -> bool:
    """Tell whether the system may grant later what it refused, with nobody editing a file.

    A disk that is full, read-only or failing, and a want of memory or descriptors: the exit status
    is 75, as a unit that ended with 78 is not started again.
    """
    return error.errno in _PASSING


class SpreadscanError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = EXIT_FAILED


class ConfigError(SpreadscanError):
    """A configuration file holds something that cannot be used.

    Args:
        file: the file as the operator wrote it on the command line.
        key: dotted path of the key, ``""`` when the file as a whole is meant.
        found: what stands there.
        expected: what would have been accepted.
    """

    exit_code = EXIT_CONFIG

    def __init__(self, file: str, key: str, found: str, expected: str) -> None:
        self.file = file
        self.key = key
        self.found = found
        self.expected = expected
        where = f"{file}: {key}" if key else file
        super().__init__(f"{where}: found {found}, expected {expected}")


class RegionError(SpreadscanError):
    """A shared-memory region cannot be used."""

    exit_code = EXIT_CONFIG


class LayoutMismatch(RegionError):
    """A region or the kernel was built to another layout.

    Args:
        region: name of the region, or ``"kernel"``.
        field: the header field or constant that differs.
        found: the value in the region.
        expected: the value of this build.
    """

    def __init__(self, region: str, field: str, found: object, expected: object) -> None:
        self.region = region
        self.field = field
        self.found = found
        self.expected = expected
        super().__init__(f"{region}: {field} is {found}, this build expects {expected}")


class RegionMissing(RegionError):
    """A region has not been created yet."""

    exit_code = EXIT_TEMPORARY

    def __init__(self, region: str) -> None:
        self.region = region
        super().__init__(f"{region}: no such shared-memory region; run shm-init first")


class RegionRefused(RegionError):
    """A region is truncated, damaged, or belongs to somebody else."""

    def __init__(self, region: str, reason: str, found: object, expected: object) -> None:
        self.region = region
        self.reason = reason
        self.found = found
        self.expected = expected
        super().__init__(f"{region}: {reason}: found {found}, expected {expected}")


class AlreadyRunning(SpreadscanError):
    """Another living process holds this role's lock."""

    exit_code = EXIT_TEMPORARY

    def __init__(self, role: str, owner: str) -> None:
        self.role = role
        self.owner = owner
        super().__init__(f"{role}: already running ({owner})")


class RunFolderRefused(SpreadscanError):
    """The lock files cannot be used.

    Args:
        file: which.
        error: what the system said.
    """

    def __init__(self, file: str, error: OSError) -> None:
        self.file = file
        self.found = found = error.strerror or str(error)
        self.exit_code = EXIT_TEMPORARY if is_passing(error) else EXIT_CONFIG
        super().__init__(
            f"{file}: found {found}, expected the locks of the programs; run it as their user"
        )


class UniverseError(SpreadscanError):
    """The generated symbol set is absent, mixed or damaged."""

    exit_code = EXIT_CONFIG

    def __init__(self, file: str, found: str, expected: str) -> None:
        self.file = file
        self.found = found
        self.expected = expected
        super().__init__(f"{file}: found {found}, expected {expected}")


class DiscoveryError(SpreadscanError):
    """A listing could not be fetched or read."""

    exit_code = EXIT_TEMPORARY


class FeedError(SpreadscanError):
    """One connection is unusable."""


class RouteUnknown(SpreadscanError):
    """A symbol, a direction, or both together are not in the universe."""

    exit_code = EXIT_USAGE

    def __init__(self, what: str, found: str, expected: str) -> None:
        self.what = what
        self.found = found
        self.expected = expected
        super().__init__(f"{what}: found {found!r}, expected {expected}")


class PortInUse(SpreadscanError):
    """A listening address is taken by another process."""

    exit_code = EXIT_TEMPORARY

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(f"{address}: address already in use; stop its owner or change the port")
