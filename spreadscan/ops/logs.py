"""What programs said: where it stands, and reading it on. Prints nothing."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from spreadscan.config import Config
from spreadscan.ops.pipeline import log_dir
from spreadscan.ops.units import unit_of
from spreadscan.topology import program_named, programs

__all__ = ["journal_command", "log_files", "log_lines"]

POLL_S = 0.2


def journal_command(names: Sequence[str], lines: int, *, follows: bool) -> list[str]:
    """Return the command that shows programs' lines where systemd keeps them."""
    command = ["journalctl", "--no-pager", f"--lines={lines}", *(["--follow"] if follows else [])]
    return command + [f"--unit={unit_of(program_named(name))}" for name in names]


def log_files(config: Config, names: Sequence[str]) -> dict[str, Path]:
    """Return the files that ``spreadscan up`` writes, of those programs that have one."""
    folder = log_dir(config)
    wanted = names or [*programs(), "simulator"]
    files = {name: folder / f"{name}.log" for name in wanted}
    return {name: file for name, file in files.items() if file.is_file()}


def log_lines(
    files: dict[str, Path], lines: int, is_wanted: Callable[[], bool]
) -> Iterator[tuple[str, str]]:
    """Return the last lines of each file with its name, and then each new one while it is wanted.

    A file that begins anew, with its program's supervisor, is read from its beginning.

    Args:
        files: by name.
        lines: of each to begin with.
        is_wanted: asked before each look at what is new.
    """
    offsets = {}
    for name, file in files.items():
        with file.open("rb") as stream:
            for line in deque(stream, maxlen=lines):
                yield name, line.decode(errors="replace").rstrip("\n")
            offsets[name] = stream.tell()
    while is_wanted():
        for name, file in files.items():
            if file.stat().st_size < offsets[name]:
                offsets[name] = 0
            with file.open("rb") as stream:
                stream.seek(offsets[name])
                for line in stream:
                    if not line.endswith(b"\n"):
                        break
                    offsets[name] += len(line)
                    yield name, line.decode(errors="replace").rstrip("\n")
        time.sleep(POLL_S)
