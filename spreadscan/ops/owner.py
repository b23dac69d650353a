"""Root acts as the programs' user where files are written: what it leaves behind must stay theirs.

A lock, a universe or a list of what is held that belongs to root is one that a program, the nightly
reload or an operator without root cannot use any more.
"""

import contextlib
import os
import pwd
from pathlib import Path

__all__ = ["act_as_owner"]


def act_as_owner(folder: Path) -> None:
    """Become, for files and signals, whoever owns a folder; only root can, and only root needs to.

    The real user stays what it was, so that it can still be told who did something. The folder or,
    while there is none, the nearest one above it counts.

    Concurrency: of the whole process, for good; before anything is opened.
    """
    if os.geteuid() != 0:
        return
    owner = _owner_of(folder)
    if owner is None or owner.st_uid == 0:
        return
    try:
        groups = os.getgrouplist(pwd.getpwuid(owner.st_uid).pw_name, owner.st_gid)
    except KeyError:
        groups = [owner.st_gid]
    # Where root may not, or the owner has no number here (both in some containers), it writes under
    # its own name.
    with contextlib.suppress(OSError):
        os.setgroups(groups)
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)


def _owner_of(folder: Path) -> os.stat_result | None:
    """Return what the nearest folder that is there is like; None when not even that can be told."""
    try:
        return folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _owner_of(folder.parent)
    except OSError:
        # The command itself meets the same, and says it.
        return None
