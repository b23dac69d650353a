"""Tell one life of a process id from the next, as pids are reused."""

import os

__all__ = ["is_same_process", "start_ticks"]

STAT_BYTES = 4096


def start_ticks(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 when there is none.

    Field 22 of /proc/PID/stat (proc_pid_stat(5)); the name in field 2 may hold spaces, so the
    fields are counted from behind its closing bracket. A zombie counts as gone.
    """
    # No Path: it interns its parts, and a table of names that come and go grows by a megabyte where
    # this is asked several times a second.
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(descriptor, STAT_BYTES).decode(errors="replace")
        finally:
            os.close(descriptor)
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in {"Z", "X"} else int(fields[19])


def is_same_process(pid: int, ticks: int) -> bool:
    """Whether that very process still lives."""
    return pid > 0 and ticks > 0 and start_ticks(pid) == ticks
