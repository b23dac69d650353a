"""What systemd is told, and how often."""

import os
import socket

import pytest

from spreadscan.runtime.systemd import Systemd


@pytest.fixture
def heard(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))

        def everything():
            found = []
            while True:
                try:
                    found.append(listener.recv(4096).decode())
                except BlockingIOError:
                    return found

        yield everything


def test_ready_status_and_stopping_are_one_datagram_each_without_line_breaks(heard):
    systemd = Systemd({})

    systemd.ready("scanning\nWATCHDOG=1")
    systemd.status("a\nb")
    systemd.stopping()

    assert heard() == ["READY=1\nSTATUS=scanning WATCHDOG=1", "STATUS=a b", "STOPPING=1"]


def test_watchdog_is_fed_four_times_an_interval_and_no_more(heard):
    systemd = Systemd({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())})

    fed = [systemd.feed_watchdog(1 + n * 100_000_000) for n in range(40)]

    assert sum(fed) == 4
    assert heard() == ["WATCHDOG=1"] * 4


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}],
    ids=["none", "of another process", "no number"],
)
def test_without_a_watchdog_of_ours_nothing_is_fed(heard, environment):
    assert not Systemd(environment).feed_watchdog(10**18)
    assert heard() == []
