"""Waking the engine: the eventfd finds its way to feeds, and no wake-up is lost."""

import multiprocessing
import os
import select
import time

import pytest

from spreadscan.errors import PortInUse
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions
from spreadscan.shm.wakeup import WakeupClient, WakeupServer

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "wakeup.sock"


@pytest.fixture
def server(path):
    server = WakeupServer(path)
    yield server
    server.close()


@pytest.fixture
def client(path):
    client = WakeupClient(path)
    yield client
    client.close()


def is_readable(eventfd):
    return bool(select.select([eventfd], [], [], 0)[0])


def test_without_an_engine_there_is_no_eventfd_and_no_waiting(client):
    began_ns = time.thread_time_ns()

    found = [client.refresh() for _ in range(100)]

    assert found == [-1] * 100
    assert time.thread_time_ns() - began_ns < 100_000_000


def test_feed_gets_the_very_eventfd_the_engine_sleeps_on(server, client):
    client.refresh()
    served = server.serve()

    os.eventfd_write(client.refresh(), 3)

    assert served == 1
    assert is_readable(server.eventfd)
    assert os.eventfd_read(server.eventfd) == 3


def test_engine_that_does_not_answer_yet_leaves_the_feed_without_an_eventfd(server, client):
    assert [client.refresh(), client.refresh()] == [-1, -1]

    server.serve()

    assert client.refresh() >= 0


def test_several_feeds_share_one_eventfd(server, path):
    clients = [WakeupClient(path) for _ in range(8)]
    for client in clients:
        client.refresh()

    served = server.serve()
    for client in clients:
        os.eventfd_write(client.refresh(), 1)

    assert served == 8
    assert os.eventfd_read(server.eventfd) == 8
    for client in clients:
        client.close()


def test_feed_notices_that_its_engine_is_gone(server, path, client):
    client.refresh()
    server.serve()
    client.refresh()
    second = WakeupServer(path)

    for connection in server._clients:
        connection.close()
    server._clients.clear()
    found = client.refresh()
    second.serve()
    again = client.refresh()

    assert found == -1
    os.eventfd_write(again, 1)
    assert is_readable(second.eventfd)
    assert not is_readable(server.eventfd)
    second.close()


def test_kept_eventfd_wakes_the_next_engine_before_the_feed_has_found_it(server, path, client):
    server.is_kept = True
    client.refresh()
    server.serve()
    client.refresh()
    kept = os.dup(server.eventfd)
    for connection in server._clients:
        connection.close()
    server._clients.clear()

    second = WakeupServer(path, kept=kept)
    os.eventfd_write(client.refresh(), 1)
    is_woken_early = is_readable(second.eventfd)
    second.serve()
    os.eventfd_write(client.refresh(), 1)

    assert second.is_kept
    assert is_woken_early
    assert os.eventfd_read(second.eventfd) == 2
    second.close()


def test_engine_forgets_feeds_that_are_gone(server, path):
    for _ in range(50):
        client = WakeupClient(path)
        client.refresh()
        server.serve()
        client.close()

    server.serve()

    assert server._clients == []


def test_flag_is_cleared_and_eventfd_written_once_for_many_feeds(regions, server, client):
    client.refresh()
    server.serve()
    wake_fd = client.refresh()
    regions.dirty.bits.engine_sleeping = True

    woken = [regions.dirty.bits.wake(wake_fd) for _ in range(5)]

    assert woken == [True, False, False, False, False]
    assert not regions.dirty.bits.engine_sleeping
    assert os.eventfd_read(server.eventfd) == 1


def test_feed_does_not_write_while_the_engine_is_awake(regions, server, client):
    client.refresh()
    server.serve()

    assert not regions.dirty.bits.wake(client.refresh())
    assert not is_readable(server.eventfd)


def test_waking_without_an_eventfd_does_nothing_and_does_not_fail(regions):
    regions.dirty.bits.engine_sleeping = True

    assert not regions.dirty.bits.wake(-1)


def test_path_that_cannot_be_bound_is_named(tmp_path):
    path = tmp_path / ("x" * 120)

    with pytest.raises(PortInUse) as refusal:
        WakeupServer(path)

    assert str(path) in str(refusal.value)


def feed_rounds(shm, path, rounds):
    """Body of a feed: mark, wake, and wait until the engine took the mark."""
    regions = attach_regions(shm, reads=(), writes=[RegionKind.DIRTY], timeout_s=0)
    client = WakeupClient(path)
    while client.refresh() < 0:
        time.sleep(0.001)
    dirty = regions.dirty
    answers = 0
    for number in range(rounds):
        dirty.mark(0, number % 1024)
        dirty.bits.wake(client.eventfd)
        while not dirty.take(1):
            answers += 1


def test_handshake_loses_no_wake_up_over_many_rounds(shm, regions, server, path):
    rounds = 20_000
    bits = regions.dirty.bits
    feed = SPAWN.Process(target=feed_rounds, args=(shm, path, rounds))
    feed.start()
    while server.serve() == 0:
        assert feed.is_alive()
        time.sleep(0.001)
    taken = sleeps = 0

    while taken < rounds:
        # The engine's half, as in kernel/scan.pyx: say that we sleep, look again, sleep.
        bits.engine_sleeping = True
        found = bits.take(0)
        if not found:
            sleeps += 1
            # Five seconds is no bound of the handshake: a lost wake-up would show as a timeout.
            ready, _, _ = select.select([server.eventfd], [], [], 5)
            assert ready, f"wake-up lost in round {taken}"
            os.eventfd_read(server.eventfd)
            found = bits.take(0)
        bits.engine_sleeping = False
        assert len(found) <= 1
        taken += len(found)
        if found:
            bits.mark(1, 0)
    feed.join(30)

    assert feed.exitcode == 0
    assert sleeps > 0
