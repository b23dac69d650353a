"""Memory of a process that must answer at once: never swapped, and not searched for garbage anew.

Only pages that are touched are locked (MCL_ONFAULT): a process reserves far more than it uses.
"""

import ctypes
import gc
import os
import resource
from pathlib import Path

__all__ = ["freeze_garbage_collector", "lock_process_memory"]

# <sys/mman.h>, the same on x86-64 and arm64.
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
CAP_IPC_LOCK = 14

_libc = ctypes.CDLL(None, use_errno=True)


def lock_process_memory() -> str | None:
    """Lock what this process has and will have; return why that was not done, None when it was.

    Under a limit it is not tried: MCL_FUTURE would make an allocation fail hours later.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if limit != resource.RLIM_INFINITY and not _may_lock_any():
        return f"memlock limit is {limit // 1024} KiB, expected unlimited or CAP_IPC_LOCK"
    if _libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        return os.strerror(ctypes.get_errno())
    return None


def freeze_garbage_collector() -> None:
    """Take everything that start-up made out of later collections: it lives as long as we do."""
    gc.collect()
    gc.freeze()


def _may_lock_any() -> bool:
    for line in (
        Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    ):
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> CAP_IPC_LOCK & 1)
    return False
