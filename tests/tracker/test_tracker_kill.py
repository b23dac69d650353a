"""The real tracker process, killed at random instants of a busy run, against an exact oracle."""

import itertools
import random
import signal
import subprocess
import sys
import time

import pytest
from tracker_host import PROGRAM, Engine, Host, Stage, until

from spreadscan.ops.history import History
from spreadscan.ops.ledger import LedgerReader
from spreadscan.shm.counters import TrackerCounter
from spreadscan.shm.layout import ProcessState


@pytest.fixture
def host(make_config):
    overrides = {"tracker.snapshot_interval_ms": 5, "engine.max_leg_age_ms": 3_600_000}
    subject = Host(make_config(overrides))
    yield subject
    subject.close()


@pytest.mark.parametrize("kills", [20, pytest.param(1_000, marks=pytest.mark.nightly)])
def test_tracker_killed_again_and_again_loses_doubles_and_invents_no_episode(host, kills):
    chance = random.Random(20240808)
    engine = Engine(host.regions, host.direction, chance)

    stages = itertools.cycle(Stage)
    for _ in range(kills):
        engine.push()  # the backlog that the killed one left grows while nobody reads
        child = host.start(stage=next(stages))
        kill_after_s = time.monotonic() + chance.uniform(0.0, 0.08)
        while time.monotonic() < kill_after_s:
            engine.push()
            time.sleep(chance.uniform(0.0, 0.002))
        child.kill()
        child.wait()
    last = host.start()
    until(lambda: engine.ring.ring.depth == 0, "the backlog is drained")
    last.terminate()

    assert last.wait(timeout=10) == 0
    found = host.episodes()
    assert len({row[0] for row in found}) == len(found)
    ended = [row[1:4] for row in found if row[3] is not None]
    assert sorted(ended) == sorted(engine.ended)
    assert {row[1:3] for row in found if row[3] is None} == {
        (f"COIN{symbol_id}-USDT", opened_ns) for symbol_id, opened_ns in engine.open.items()
    }
    assert {row[1:3]: row[4] for row in found if row[4]} == engine.re_signals
    assert len(found) > kills


def has_a_path(host):
    with LedgerReader(host.data_dir) as reader:
        return any(History(host.data_dir).path(row.episode_id) for row in reader.open_episodes(5))


def test_open_episodes_keep_their_ids_and_paths_over_a_kill(host):
    engine = Engine(host.regions, host.direction, random.Random(1))
    first = host.start()
    engine.push()
    until(lambda: host.counter(TrackerCounter.SNAPSHOTS) > 5, "a path is taken")
    # A busy disk has it later than the counter.
    until(lambda: has_a_path(host), "it stands in the ledger")
    first.kill()
    first.wait()
    with LedgerReader(host.data_dir) as reader:
        (before,) = reader.open_episodes(5)
        path_before = History(host.data_dir).path(before.episode_id)

    second = host.start()
    until(lambda: host.counter(TrackerCounter.SNAPSHOTS) > 10, "the path goes on")
    second.terminate()

    assert second.wait(timeout=10) == 0
    with LedgerReader(host.data_dir) as reader:
        (after,) = reader.open_episodes(5)
        path_after = History(host.data_dir).path(before.episode_id)
    assert after.episode_id == before.episode_id
    assert path_after[: len(path_before)] == path_before
    assert len(path_after) > len(path_before)
    times_ms = [point.t_ms for point in path_after]
    assert times_ms == sorted(times_ms)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_tracker_told_to_stop_ends_in_order_with_everything_stored(host, stop):
    engine = Engine(host.regions, host.direction, random.Random(2))
    child = host.start()
    for _ in range(50):
        engine.push()

    child.send_signal(stop)

    assert child.wait(timeout=10) == 0
    assert engine.ring.ring.depth == 0
    assert host.health().state == ProcessState.STOPPED
    # Closed in order: everything stands in the file itself, nothing is left in its log.
    assert list(host.data_dir.glob("*-wal")) == []
    assert len(host.episodes()) == len(engine.open) + len(engine.ended)


def test_tracker_whose_data_folder_is_a_file_says_so_and_exits_78(host):
    host.data_dir.write_text("in the way")

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--config", str(host.config_file)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert done.returncode == 78
    assert "tracker.data_dir" in done.stderr.splitlines()[-1]
