"""The second process of a benchmark, on the other core."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from spreadscan.ops.benchmark import CannotMeasure

HERE = Path(__file__).parent
PATIENCE_S = 30.0
CORES = sorted(os.sched_getaffinity(0))


@contextlib.contextmanager
def on_core(index: int) -> Iterator[None]:
    """Stay on the index-th core this process may use; a child started inside stays there too."""
    if len(CORES) <= index:
        raise CannotMeasure(f"needs {index + 1} cores, may use {len(CORES)}")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CORES[index]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def ahead_of_others(*pids: int) -> Iterator[None]:
    """Let this process, its children and *pids* run before whatever else wants their cores.

    A latency is of interest as it is on a core of its own. Where the system does not allow it
    (CAP_SYS_NICE) all of them go on as they are.
    """
    everyone = (0, *pids)
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with contextlib.suppress(PermissionError):
        for pid in everyone:
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        for pid in everyone:
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.sched_setscheduler(pid, *before)


@contextlib.contextmanager
def peer(
    script: str, *arguments: object, pass_fds: Sequence[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a script of this folder on the second core; it has said its first line when this yields.

    It must end within PATIENCE_S of the block, or is killed.
    """
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    with on_core(1):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=pass_fds
        )
    try:
        yield process
        if process.stdin is not None:
            process.stdin.close()
        process.wait(PATIENCE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def line_of(process: subprocess.Popen[bytes]) -> str:
    """Return the next line that the process says; fails when it ended without one."""
    assert process.stdout is not None
    line = process.stdout.readline().decode().strip()
    assert line, f"{process.args}: ended without an answer"
    return line
