"""A descriptor that systemd keeps: given over a real socket, taken up again by the next process."""

import os
import socket
import subprocess
import sys

import pytest

from spreadscan.runtime.fd_store import FIRST_DESCRIPTOR, store_descriptor, take_descriptor

# What systemd does between two lives of a service, and then the second life.
NEXT_LIFE = f"""
import os, sys
kept, name = int(sys.argv[1]), sys.argv[2]
os.dup2(kept, {FIRST_DESCRIPTOR}, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=name)
from spreadscan.runtime.fd_store import take_descriptor
found = take_descriptor("wakeup")
print(os.eventfd_read(found), os.get_inheritable(found))
"""


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        name = str(tmp_path / "notify") if request.param == "path" else f"\0{tmp_path}"
        listening.bind(name)
        listening.settimeout(10)
        yield listening, {"NOTIFY_SOCKET": name.replace("\0", "@")}


def test_stored_descriptor_is_the_one_that_the_next_life_takes(systemd):
    listening, environment = systemd
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)

    assert store_descriptor("wakeup", eventfd, environment)
    message, [kept], _, _ = socket.recv_fds(listening, 200, 2)
    os.eventfd_write(eventfd, 7)
    life = subprocess.run(
        [sys.executable, "-c", NEXT_LIFE, str(kept), "wakeup"],
        pass_fds=[kept],
        check=True,
        capture_output=True,
        text=True,
    )

    assert message == b"FDSTORE=1\nFDNAME=wakeup"
    assert life.stdout.split() == ["7", "False"]
    os.close(eventfd)
    os.close(kept)


def test_without_systemd_nothing_is_stored_and_nothing_comes_back():
    assert not store_descriptor("wakeup", 0, {})
    assert take_descriptor("wakeup", {}) is None


def test_socket_that_is_gone_stores_nothing(tmp_path):
    assert not store_descriptor("wakeup", 0, {"NOTIFY_SOCKET": str(tmp_path / "gone")})


@pytest.mark.parametrize(
    "environment",
    [
        {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "wakeup"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0", "LISTEN_FDNAMES": ""},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "other"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"},
    ],
    ids=["of another process", "none", "of another name", "without names"],
)
def test_descriptors_that_are_not_ours_are_left_alone(environment):
    assert take_descriptor("wakeup", environment) is None
