"""A run gives back what it took; when it was killed, the next one does that."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from leftovers import take_back
from lone_network import NETWORKS
from room import groups_of

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(os.geteuid() != 0, reason="takes networks and mounts, so it needs root"),
]

# What both legs take: a folder, a network, a mount, control groups, a program in the network.
RUN = """
import os, signal, subprocess
from leftovers import end_in_order, workshop
from lifeline import bound_family
from room import Room, groups_of

end_in_order()
with workshop() as folder:
    (folder / "image").mkdir()
    room = Room(f"spreadtrial-{os.getpid()}", folder / "image", folder / "room")
    try:
        for group in groups_of(room.name):
            group.mkdir()
        command = room.network.command(*bound_family("sh", "-c", "setsid sleep 600 & echo; wait"))
        program = subprocess.Popen(command, stdout=subprocess.PIPE)
        program.stdout.readline()
        print(folder, flush=True)
        signal.pause()
    finally:
        room.clear()
"""


@contextlib.contextmanager
def run():
    """Give a run that has taken everything, and its folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process, Path(process.stdout.readline().rstrip())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        take_back()


def taken(process, folder):
    """Return what of a run is still there."""
    name = f"spreadtrial-{process.pid}"
    mounts = Path("/proc/self/mounts").read_text()
    places = (folder, NETWORKS / name, *groups_of(name))
    return [str(path) for path in places if path.exists()] + [
        line for line in mounts.splitlines() if f"{folder}/" in line
    ]


def programs(process):
    """Return what still runs in its network."""
    found = subprocess.run(
        ["ip", "netns", "pids", f"spreadtrial-{process.pid}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return found.stdout.split()


def test_run_that_is_told_to_end_leaves_nothing():
    for number in (signal.SIGINT, signal.SIGTERM):
        with run() as (process, folder):
            assert taken(process, folder)

            process.send_signal(number)
            process.wait()

            assert taken(process, folder) == []


def test_programs_of_a_killed_run_end_with_it_and_the_next_takes_back_the_rest():
    with run() as (killed, folder), run() as (living, other_folder):
        held = taken(living, other_folder)
        assert programs(killed)

        killed.kill()
        killed.wait()
        deadline_s = time.monotonic() + 10
        while programs(killed):
            assert time.monotonic() < deadline_s, "its programs go on"
            time.sleep(0.01)
        assert len(taken(killed, folder)) == len(held)
        take_back()

        assert taken(killed, folder) == []
        assert taken(living, other_folder) == held
        assert programs(living)
