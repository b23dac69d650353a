"""What a test run takes of this host carries its process id: nothing of it stays, whatever happens.

Interrupted or told to end, a run gives everything back itself. Killed, its programs end with it
(``lifeline``), and the next run takes back its networks, control groups, mounts and folders.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lone_network import NETWORKS, delete_network
from room import end_groups, named_groups

__all__ = ["end_in_order", "take_back", "workshop"]

# Folders are on a disk, not in memory: overlays and images are made in them.
WORKSHOPS = Path("/var/tmp")
FOLDER = re.compile(r"spreadscan-deploy-(\d+)-\w+")
MACHINE = re.compile(r"spread(?:box|trial|vm)-(\d+)")


@contextlib.contextmanager
def workshop() -> Iterator[Path]:
    """Give a folder for the time of a run."""
    prefix = f"spreadscan-deploy-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=WORKSHOPS) as folder:
        yield Path(folder)


def end_in_order() -> None:
    """From now on give machines back when told to end, and be not interrupted in that."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)


def _end(*_: object) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def take_back() -> None:
    """Take back what runs left that are no more."""
    for name in {path.name for path in (*_entries(NETWORKS), *named_groups())}:
        if _is_of_the_dead(MACHINE.fullmatch(name)):
            end_groups(name)
            delete_network(name)
    for folder in _entries(WORKSHOPS):
        if _is_of_the_dead(FOLDER.fullmatch(folder.name)):
            for mount in _mounts_below(folder):
                subprocess.run(["umount", "--lazy", mount], check=True)
            shutil.rmtree(folder)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_of_the_dead(found: re.Match[str] | None) -> bool:
    # A number that somebody else has by now costs a run's delay, no more.
    return found is not None and not Path("/proc", found[1]).exists()


def _mounts_below(folder: Path) -> list[str]:
    """Return what is mounted there, the last one first."""
    places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [place for place in reversed(places) if place.startswith(f"{folder}/")]
