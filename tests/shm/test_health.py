"""Health slots: what a process says of itself, and that a dead one is never shown as live."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest

from spreadscan.kernel.health import bucket_of
from spreadscan.shm.health import HealthReader, HealthWriter, bucket_floor_ns, quantile_ns
from spreadscan.shm.layout import (
    HEALTH_SLOTS,
    HISTOGRAM_BUCKETS,
    NUM_COUNTERS,
    NUM_HISTOGRAMS,
    ProcessState,
    RegionKind,
)
from spreadscan.shm.pid import is_same_process, start_ticks
from spreadscan.shm.regions import attach_regions

SPAWN = multiprocessing.get_context("spawn")
INDEX = 9


@pytest.fixture
def writer(regions):
    return HealthWriter(regions.health, INDEX, "spread-tracker")


@pytest.fixture
def reader(regions):
    return HealthReader(regions.health)


def test_slot_that_nobody_took_is_empty_and_not_alive(reader):
    slot = reader.slot(INDEX)

    assert (slot.name, slot.pid, slot.state, slot.is_alive) == ("", 0, ProcessState.EMPTY, False)


def test_taken_slot_shows_its_living_owner(writer, reader):
    writer.set_state(ProcessState.RUNNING)
    writer.set_status("following 3 episodes")
    writer.set_generations(obeyed=7, universe=3)
    writer.beat(123_456)

    slot = reader.slot(INDEX)

    assert (slot.name, slot.pid, slot.is_alive) == ("spread-tracker", os.getpid(), True)
    assert (slot.state, slot.status) == (ProcessState.RUNNING, "following 3 episodes")
    assert (slot.obeyed_generation, slot.universe_generation) == (7, 3)
    assert slot.heartbeat_ns == 123_456
    assert slot.started_ns > 0


def test_new_owner_begins_at_zero_and_counts_the_restart(regions, writer, reader):
    writer.add(0, 5)
    writer.record(1, 1_000)
    writer.set_status("old")

    HealthWriter(regions.health, INDEX, "spread-tracker")

    slot = reader.slot(INDEX)
    assert slot.restarts == 2
    assert slot.counters == [0] * NUM_COUNTERS
    assert slot.status == ""
    assert slot.state is ProcessState.STARTING
    assert reader.histogram(INDEX, 1).sum() == 0


def test_slots_do_not_touch_their_neighbours(regions, reader):
    for index in range(HEALTH_SLOTS):
        writer = HealthWriter(regions.health, index, f"program-{index}")
        writer.add(NUM_COUNTERS - 1, index)
        writer.record(NUM_HISTOGRAMS - 1, 2**62)

    assert [reader.slot(index).name for index in range(HEALTH_SLOTS)] == [
        f"program-{index}" for index in range(HEALTH_SLOTS)
    ]
    assert [reader.slot(index).counters[-1] for index in range(HEALTH_SLOTS)] == list(
        range(HEALTH_SLOTS)
    )
    assert all(
        reader.histogram(index, NUM_HISTOGRAMS - 1)[-1] == 1 for index in range(HEALTH_SLOTS)
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", ""), ("a" * 127, "a" * 127), ("a" * 500, "a" * 127), ("é" * 64, "é" * 63)],
)
def test_status_line_is_cut_at_a_whole_character(writer, reader, text, shown):
    writer.set_status(text)

    assert reader.slot(INDEX).status == shown


def test_shorter_status_leaves_nothing_of_the_longer_one(writer, reader):
    writer.set_status("a long status line")
    writer.set_status("short")

    assert reader.slot(INDEX).status == "short"


@pytest.mark.parametrize("counter", [-1, NUM_COUNTERS])
def test_counter_that_does_not_exist_is_refused(writer, counter):
    with pytest.raises(IndexError):
        writer.add(counter)
    with pytest.raises(IndexError):
        writer.set(counter, 1)
    with pytest.raises(IndexError):
        writer.slot.get(counter)


def test_many_samples_are_counted_as_each_by_itself(regions, writer):
    samples = np.array([3, 1_000, -7, 2**40], np.int64)
    for sample in samples.tolist():
        writer.record(0, sample)

    writer.record_all(1, samples)

    reader = HealthReader(regions.health)
    assert reader.buckets(INDEX, 1) == reader.buckets(INDEX, 0)


@pytest.mark.parametrize("histogram", [-1, NUM_HISTOGRAMS])
def test_histogram_that_does_not_exist_is_refused(writer, histogram):
    with pytest.raises(IndexError):
        writer.record(histogram, 1)


@pytest.mark.parametrize("index", [-1, HEALTH_SLOTS])
def test_slot_that_does_not_exist_is_refused(regions, index):
    with pytest.raises(IndexError):
        HealthWriter(regions.health, index, "nobody")


def test_health_attached_for_reading_cannot_be_taken(shm, regions):
    read_only = attach_regions(shm, reads=[RegionKind.HEALTH], writes=(), timeout_s=0)

    with pytest.raises(PermissionError):
        HealthWriter(read_only.health, INDEX, "intruder")


def test_a_million_random_samples_and_counts_add_up(writer, reader):
    draw = random.Random(11)
    expected = [0] * HISTOGRAM_BUCKETS
    counted = [0] * NUM_COUNTERS
    for _ in range(500_000):
        sample = draw.getrandbits(draw.getrandbits(5) + 1)
        writer.record(2, sample)
        expected[bucket_of(sample)] += 1
        counter = draw.getrandbits(6)
        writer.add(counter, 3)
        counted[counter] += 3

    assert reader.histogram(INDEX, 2).tolist() == expected
    assert reader.slot(INDEX).counters == counted


@pytest.mark.parametrize("sample_ns", [0, 1, 15, 16, 17, 31, 32, 1_000, 999_999, 2**39, 2**42])
def test_bucket_holds_its_sample_within_a_sixteenth(sample_ns):
    bucket = bucket_of(sample_ns)

    assert bucket_floor_ns(bucket) <= sample_ns < bucket_floor_ns(bucket + 1)
    assert bucket_floor_ns(bucket + 1) - bucket_floor_ns(bucket) <= max(1, sample_ns / 16)


def test_buckets_and_their_floors_agree_at_every_border():
    for bucket in range(1, HISTOGRAM_BUCKETS):
        floor_ns = bucket_floor_ns(bucket)
        assert bucket_of(floor_ns) == bucket
        assert bucket_of(floor_ns - 1) == bucket - 1


def test_sample_beyond_the_last_bucket_is_counted_in_it(writer, reader):
    writer.record(0, 2**62)

    assert reader.histogram(INDEX, 0)[HISTOGRAM_BUCKETS - 1] == 1


def test_negative_sample_counts_as_zero(writer, reader):
    writer.record(0, -5)

    assert reader.histogram(INDEX, 0)[0] == 1


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.99, 1.0])
def test_quantile_is_within_a_sixteenth_of_the_exact_one(writer, reader, quantile):
    draw = random.Random(3)
    samples = sorted(int(draw.lognormvariate(9, 2)) + 1 for _ in range(20_000))
    for sample in samples:
        writer.record(0, sample)

    found = quantile_ns(reader.histogram(INDEX, 0), quantile)

    exact = samples[max(0, round(quantile * len(samples)) - 1)]
    assert found == pytest.approx(exact, rel=1 / 16, abs=1)


def test_quantile_of_no_samples_is_zero():
    assert quantile_ns(np.zeros(HISTOGRAM_BUCKETS, np.uint64), 0.5) == 0


def live_until_told(shm, channel):
    """Body of a process with a slot of its own."""
    regions = attach_regions(shm, reads=(), writes=[RegionKind.HEALTH], timeout_s=0)
    writer = HealthWriter(regions.health, INDEX, "spread-tracker")
    writer.set_state(ProcessState.RUNNING)
    for _ in range(500_000):
        writer.add(4)
        writer.record(0, 100)
    channel.send(os.getpid())
    channel.recv()


def test_slot_of_a_killed_process_is_shown_as_dead(shm, reader):
    ours, theirs = SPAWN.Pipe()
    owner = SPAWN.Process(target=live_until_told, args=(shm, theirs))
    owner.start()
    assert ours.poll(60)
    pid = ours.recv()
    before = reader.slot(INDEX)

    os.kill(pid, signal.SIGKILL)
    owner.join(30)

    after = reader.slot(INDEX)
    assert (before.pid, before.is_alive, before.state) == (pid, True, ProcessState.RUNNING)
    assert (after.pid, after.is_alive, after.state) == (pid, False, ProcessState.RUNNING)
    assert after.counters[4] == 500_000
    assert reader.histogram(INDEX, 0).sum() == 500_000


def test_counters_of_a_running_process_never_go_back(shm, reader):
    ours, theirs = SPAWN.Pipe()
    owner = SPAWN.Process(target=live_until_told, args=(shm, theirs))
    owner.start()
    last = 0

    while last < 500_000:
        now = reader.slot(INDEX).counters[4]
        assert now >= last
        assert owner.is_alive()
        last = now
    assert ours.poll(60)
    ours.send(None)
    owner.join(30)

    assert owner.exitcode == 0


def test_zombie_counts_as_gone():
    child = os.fork()
    if child == 0:
        signal.pause()
    ticks = start_ticks(child)
    assert is_same_process(child, ticks)
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)

    is_alive = is_same_process(child, ticks)
    os.waitpid(child, 0)

    assert not is_alive


def test_reused_process_id_is_not_the_same_process():
    assert is_same_process(os.getpid(), start_ticks(os.getpid()))
    assert not is_same_process(os.getpid(), start_ticks(os.getpid()) - 1)
    assert not is_same_process(0, 0)
    assert not is_same_process(2**22 + 1, 5)


ASKS_OFTEN = """
import os
from pathlib import Path
from spreadscan.shm.pid import start_ticks

def anonymous_kib():
    rows = Path("/proc/self/status").read_text().splitlines()
    return int(next(row for row in rows if row.startswith("RssAnon")).split()[1])

start_ticks(os.getpid())
before_kib = anonymous_kib()
for _ in range(30_000):
    assert start_ticks(os.getpid())
print(anonymous_kib() - before_kib)
"""


def test_asking_for_hours_who_lives_takes_no_memory():
    done = subprocess.run(
        [sys.executable, "-c", ASKS_OFTEN], capture_output=True, text=True, check=True
    )

    assert int(done.stdout) < 128
