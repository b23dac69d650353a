"""The price store between processes: no torn read, and no writer's death wedges a reader."""

import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pytest

from spreadscan.kernel.drills import read_derived, write_derived
from spreadscan.shm.layout import PRICE_DTYPE, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions

SLOT = slot_of(5, 900)
SPAWN = multiprocessing.get_context("spawn")
HUNT_S = 10.0
KILLS = 1_000


def attach(shm, writes=()):
    return attach_regions(shm, reads=[RegionKind.PRICES], writes=writes, timeout_s=0)


def write_until_stopped(shm, stop, gap):
    """Body of the writing process: every field of every record follows from one counter."""
    slots = attach(shm, [RegionKind.PRICES]).prices.slots
    counter = 0
    while not stop.is_set():
        write_derived(slots, SLOT, counter, 100_000, gap)
        counter += 100_000


def write_in_turns(shm, stop):
    """Body of the writing process: at every moment the first leg is as far as the second, or one
    ahead."""
    prices = attach(shm, [RegionKind.PRICES]).prices
    row = np.zeros((), PRICE_DTYPE)
    while not stop.is_set():
        row["update_id"] += 1
        prices.write(SLOT, row)
        prices.write(SLOT + 1, row)


def write_once(shm):
    row = np.zeros((), PRICE_DTYPE)
    row["bid"], row["ask"], row["update_id"] = 1.5, 2.5, 77
    attach(shm, [RegionKind.PRICES]).prices.write(SLOT, row)


def test_record_written_by_another_process_is_read_whole(shm, regions):
    writer = SPAWN.Process(target=write_once, args=(shm,))
    writer.start()
    writer.join(30)

    found = attach(shm).prices.read(SLOT)

    assert writer.exitcode == 0
    assert (found["bid"], found["ask"], found["update_id"]) == (1.5, 2.5, 77)


def test_both_legs_of_a_pair_stood_there_at_one_moment(shm, regions):
    stop = SPAWN.Event()
    writer = SPAWN.Process(target=write_in_turns, args=(shm, stop))
    writer.start()
    prices = attach(shm).prices
    slots = np.repeat(np.array([SLOT, SLOT + 1], np.int32), 5_000)
    seen, apart = set(), []

    deadline_s = time.monotonic() + 60
    while len(seen) < 2_000:
        assert time.monotonic() < deadline_s
        assert writer.is_alive()
        records, stable = prices.read_pairs(slots)
        first, second = records["update_id"][:5_000], records["update_id"][5_000:]
        assert (stable[:5_000] == stable[5_000:]).all()
        apart += (first - second)[stable[:5_000]].tolist()
        seen.update(second[stable[:5_000]].tolist())
    stop.set()
    writer.join(30)

    assert writer.exitcode == 0
    assert set(apart) == {0, 1}


def test_ten_seconds_of_reading_beside_a_writer_at_full_speed_find_no_torn_record(shm, regions):
    write_derived(regions.prices.slots, SLOT, 0, 1, 0)
    stop = SPAWN.Event()
    # A gap between writes, of changing length, lets many reads be stable beside a running writer.
    writer = SPAWN.Process(target=write_until_stopped, args=(shm, stop, 7))
    writer.start()
    slots = attach(shm).prices.slots
    reads = stable = torn = fresh = 0
    while slots.sequence(SLOT) < 4:
        time.sleep(0.01)
        assert writer.is_alive()

    deadline_s = time.monotonic() + HUNT_S
    while time.monotonic() < deadline_s:
        found = read_derived(slots, SLOT, 100_000)
        reads += 100_000
        stable, torn, fresh = stable + found[0], torn + found[1], fresh + found[2]
    stop.set()
    writer.join(30)

    assert writer.exitcode == 0
    assert torn == 0
    assert reads >= 1_000_000
    assert slots.sequence(SLOT) >= 2_000_000
    # Without reads of many different records, and tries that met the writer, nothing was hunted.
    assert fresh >= 100
    assert stable < reads


def kill_writers(shm, channel):
    """Body of the killing process: fork a writer, kill it at a random moment, report, again."""
    slots = attach(shm, [RegionKind.PRICES]).prices.slots
    delays_s = random.Random(20_260_101)
    for _ in range(KILLS):
        writer = os.fork()
        if writer == 0:
            write_derived(slots, SLOT, 0, 2**62, 0)
            os._exit(1)
        time.sleep(delays_s.uniform(0.0002, 0.002))
        os.kill(writer, signal.SIGKILL)
        _, status = os.waitpid(writer, 0)
        channel.send(os.WTERMSIG(status))
        channel.recv()


@pytest.mark.timeout(110)
def test_a_thousand_writers_killed_in_the_middle_never_wedge_a_reader(shm, regions):
    ours, theirs = SPAWN.Pipe()
    killer = SPAWN.Process(target=kill_writers, args=(shm, theirs))
    store = regions.prices
    write_derived(store.slots, SLOT, 0, 1, 0)
    killer.start()
    half_written = 0

    for number in range(KILLS):
        assert ours.poll(30)
        assert ours.recv() == signal.SIGKILL
        is_half_written = store.slots.sequence(SLOT) % 2 == 1
        half_written += is_half_written
        began_ns = time.thread_time_ns()
        found = store.read(SLOT)
        took_ns = time.thread_time_ns() - began_ns
        assert (found is None) == is_half_written
        assert read_derived(store.slots, SLOT, 1)[1] == 0
        # Four tries are microseconds of this thread's own time; a reader that waits is not.
        assert took_ns < 20_000_000
        write_derived(store.slots, SLOT, number, 1, 0)
        healed = store.read(SLOT)
        assert healed is not None
        assert healed["update_id"] == number
        ours.send(None)
    killer.join(30)

    assert killer.exitcode == 0
    # The writers do nothing but write, so many must have died in the middle of it.
    assert half_written >= KILLS // 20
