"""Child processes of the supervisor: start, watch, end, and what they said last.

A child dies with the supervisor (PR_SET_PDEATHSIG), stands in a session of its own so that a
terminal's Ctrl-C reaches the supervisor alone, and writes to ``<log folder>/<name>.log``.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["ChildProcess"]

PR_SET_PDEATHSIG = 1
LAST_BYTES = 8192
# Belongs to the supervisor's own unit, should it run under systemd; not to its children.
NOT_INHERITED = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

_libc = ctypes.CDLL(None, use_errno=True)


class ChildProcess:
    """One program and, while it runs, its process.

    Args:
        name: of the log file.
        command: the program with its arguments.
        log_dir: existing folder; the log of an earlier run is begun anew.

    Concurrency: start from the main thread; the child gets SIGTERM when that thread ends.
    """

    def __init__(self, name: str, command: Sequence[str], log_dir: Path) -> None:
        self.name = name
        self.log_file = log_dir / f"{name}.log"
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self.log_file.write_bytes(b"")

    @property
    def pid(self) -> int:
        """Process id; 0 when there is no process."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Start a process.

        Raises:
            OSError: the program is not there or cannot be executed.
        """
        assert self._process is None, self.name
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - the command is the topology's
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment(os.environ),
                start_new_session=True,
                # One thread only: the supervisor starts none.
                preexec_fn=_dying_with(os.getpid()),  # noqa: PLW1509
            )

    def poll(self) -> int | None:
        """Return the exit code once the process has ended (negative: a signal), else None."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is not None:
            self._process = None
        return code

    def terminate(self) -> None:
        """Ask the process to end."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()

    def has_said(self, beginning: str) -> bool:
        """Return whether a line of this life begins so."""
        return any(line.startswith(beginning) for line in self._lines(self._log_start))

    def last_line(self) -> str:
        """Return the last line of the log that is not empty; ``""`` when there is none."""
        size = self.log_file.stat().st_size
        lines = [line for line in self._lines(max(0, size - LAST_BYTES)) if line.strip()]
        return lines[-1].strip() if lines else ""

    def _lines(self, offset: int) -> list[str]:
        with self.log_file.open("rb") as log:
            log.seek(offset)
            return log.read(LAST_BYTES).decode(errors="replace").splitlines()


def child_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return what a child inherits, with its output unbuffered so that logs are current."""
    kept = {name: value for name, value in inherited.items() if name not in NOT_INHERITED}
    return kept | {"PYTHONUNBUFFERED": "1"}


def _dying_with(parent: int) -> Callable[[], None]:
    def before_exec() -> None:
        if _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
            os._exit(1)
        if os.getppid() != parent:
            # The parent died before the request was in place; nobody would ever tell us.
            os._exit(1)

    return before_exec
