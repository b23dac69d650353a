"""The supervisor's door: one request, one answer, and nobody can hold it up."""

import socket
import threading

import pytest

from spreadscan.ops.supervisor_door import (
    DoorClosed,
    Reply,
    Request,
    SupervisorDoor,
    ask_supervisor,
    door_path,
)


@pytest.fixture
def door(tmp_path):
    door = SupervisorDoor(door_path(tmp_path))
    yield door
    door.close()


def asked(door, folder, request):
    """Ask from another thread while the door is served here."""
    found = []

    def ask():
        found.append(ask_supervisor(folder, request))

    asking = threading.Thread(target=ask)
    asking.start()
    heard = []
    while asking.is_alive():
        door.serve(lambda got: heard.append(got) or Reply(programs=got.programs))
    asking.join()
    return found[0], heard


def test_request_is_answered(door, tmp_path):
    request = Request(verb="restart", programs=("feed-a", "feed-b"))

    reply, heard = asked(door, tmp_path, request)

    assert heard == [request]
    assert reply == Reply(programs=("feed-a", "feed-b"))
    assert door_path(tmp_path).stat().st_mode & 0o777 == 0o600


def test_visitor_that_says_nothing_keeps_nobody_else_waiting(door, tmp_path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(door_path(tmp_path)))

        reply, _ = asked(door, tmp_path, Request(verb="stop"))

    assert reply.refusal == ""


def test_nonsense_is_answered_with_a_refusal(door, tmp_path):
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.connect(str(door_path(tmp_path)))
        visitor.sendall(b'{"verb": "explode"}\n')
        door.serve(lambda _: Reply())
        answer = visitor.recv(4096)

    assert b"not understood" in answer


def test_closed_door_is_one_line(tmp_path):
    with pytest.raises(DoorClosed, match="expected the answer of `spreadscan up`"):
        ask_supervisor(tmp_path, Request(verb="stop"))
