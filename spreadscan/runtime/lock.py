"""One process a role: an exclusive lock held for life.

A held lock is proof of life, a free one proof of death; a pid is neither, as zombies answer signals
and pids are reused. Open-file-description locks (fcntl(2), F_OFD_SETLK) end with their process like
flock(2), and can also be looked at without being taken.
"""

import contextlib
import fcntl
import os
import struct
import time
from pathlib import Path

from spreadscan.errors import AlreadyRunning, RunFolderRefused

__all__ = ["CONTROL_ROLE", "RoleLock", "control_lock", "is_lock_held", "lock_owner"]

CONTROL_ROLE = "control"
"""Of whoever writes the control block."""
POLL_S = 0.02
# It is held for a few stores and a small file; a holder that takes longer hangs.
CONTROL_PATIENCE_S = 2.0

# struct flock on 64-bit Linux: type, whence, start, length, pid.
_FLOCK = struct.Struct("hhqqi4x")
_WHOLE_FILE = (os.SEEK_SET, 0, 0, 0)


class RoleLock:
    """The lock of a role, taken at construction.

    Args:
        folder: where lock files are; made when it is not there.
        role: name of the program.

    Raises:
        AlreadyRunning: a living process holds it; the error names that process.
        RunFolderRefused: the file cannot be made, or is no file of its own.
    """

    def __init__(self, folder: Path, role: str) -> None:
        self._path = _lock_path(folder, role)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor = _opened(folder, self._path)
        except OSError as error:
            raise _refused(self._path, error) from None
        try:
            fcntl.fcntl(
                self._descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, *_WHOLE_FILE)
            )
        except BlockingIOError:
            owner = os.pread(self._descriptor, 64, 0).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise AlreadyRunning(role, owner or "owner unknown") from None
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"pid {os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(self._descriptor)
            raise _refused(self._path, error) from None

    def release(self) -> None:
        """Give the role up; the file stays, as unlinking it could let two owners in."""
        os.close(self._descriptor)


def control_lock(folder: Path) -> RoleLock:
    """Take the control block's lock, after whoever has it now.

    Raises:
        AlreadyRunning: its holder does not come to an end.
        RunFolderRefused: lock files cannot be used.
    """
    deadline_s = time.monotonic() + CONTROL_PATIENCE_S
    while True:
        try:
            return RoleLock(folder, CONTROL_ROLE)
        except AlreadyRunning:
            if time.monotonic() >= deadline_s:
                raise
        time.sleep(POLL_S)


def is_lock_held(folder: Path, role: str) -> bool:
    """Say whether a living process holds a role; takes nothing.

    Raises:
        RunFolderRefused: its lock cannot be looked at.
    """
    try:
        # For reading: looking needs no more, on a file system that takes no writes either.
        descriptor = os.open(_lock_path(folder, role), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _refused(_lock_path(folder, role), error) from None
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, *_WHOLE_FILE)
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
    finally:
        os.close(descriptor)
    return int(_FLOCK.unpack(answer)[0]) != fcntl.F_UNLCK


def lock_owner(folder: Path, role: str) -> int | None:
    """Return the pid that a held lock's file names; None when nobody holds it.

    To send a signal to, not to prove anything by: see ``is_lock_held``.
    """
    if not is_lock_held(folder, role):
        return None
    word = _lock_path(folder, role).read_text(encoding="ascii", errors="replace").split()
    return int(word[1]) if len(word) == 2 and word[1].isdigit() else None


def _refused(file: Path, error: OSError) -> RunFolderRefused:
    # What is refused after it was opened names no file.
    return RunFolderRefused(str(error.filename or file), error)


def _opened(folder: Path, file: Path) -> int:
    # Root may come where the folder's user rules: it follows no link of theirs, and the file that
    # it makes stays theirs, or no program of theirs could take the role any more.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(file, flags, 0o660)
    if os.geteuid() == 0:
        made, owner = os.fstat(descriptor), folder.stat()
        if made.st_uid == 0 and made.st_nlink == 1:
            # Where root may not, it stays as it is.
            with contextlib.suppress(OSError):
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _lock_path(folder: Path, role: str) -> Path:
    return folder / f"{role}.lock"
