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
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    owner = folder.stat()
    if owner.st_uid == 0:
        return
    try:
        groups = os.getgrouplist(pwd.getpwuid(owner.st_uid).pw_name, owner.st_gid)
    except KeyError:
        groups = [owner.st_gid]
    # Where root may not (some containers), it writes under its own name.
    with contextlib.suppress(PermissionError):
        os.setgroups(groups)
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
