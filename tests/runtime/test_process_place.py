"""Where a program runs, what it leaves when it hangs, that it stays in memory. Real processes."""

import json
import logging
import os
import signal
from pathlib import Path

import pytest
from program_cases import NotifySocket, Programs, until, write_small_universe

from spreadscan.config import load_config
from spreadscan.runtime import process
from spreadscan.runtime.cpu import cores_of
from spreadscan.runtime.process import Context
from spreadscan.shm.control import ControlWriter
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import Prices, ProcessState, RegionKind
from spreadscan.shm.regions import attach_regions, create_regions
from spreadscan.topology import program_named

ENGINE, TRACKER = "spread-engine", "spread-tracker"
HERE = sorted(os.sched_getaffinity(0))


@pytest.fixture
def start(make_config):
    running = []

    def start(name, overrides, **environment):
        programs = Programs(make_config(overrides))
        running.append(programs)
        create_regions(programs.config.shm)
        write_small_universe(programs.config)
        process = programs.start(name, **environment)
        return programs, process

    yield start
    for programs in running:
        programs.close()


def is_running(programs, name):
    return lambda: programs.slot(name).state is ProcessState.RUNNING


def test_program_takes_the_cores_and_the_class_of_its_role(start):
    programs, process = start(
        ENGINE, {"cpu.engine.cores": str(HERE[-1]), "cpu.engine.policy": "batch"}
    )
    until(is_running(programs, ENGINE), "the engine")

    assert os.sched_getaffinity(process.pid) == {HERE[-1]}
    assert os.sched_getscheduler(process.pid) == os.SCHED_BATCH


def test_core_that_is_not_there_is_one_line_and_exit_78(start):
    _, process = start(TRACKER, {"cpu.housekeeping.cores": "0,900"})

    _, errors = process.communicate(timeout=30)

    assert process.returncode == 78
    assert "cpu.housekeeping.cores: found 0,900: no core 900 here, expected some of" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        ({"cpu.feed.cores": "2-"}, "cpu.feed.cores"),
        ({"cpu.feed.cores": "3-1"}, "cpu.feed.cores"),
        ({"cpu.engine.policy": "fifo"}, "cpu.engine.priority"),
        ({"cpu.engine.priority": 5}, "cpu.engine.priority"),
    ],
)
def test_plan_that_cannot_be_meant_is_refused_by_its_key(start, overrides, key):
    with pytest.raises(Exception, match=key):
        start(ENGINE, overrides)


def test_each_program_of_a_role_gets_a_core_of_its_own_in_order(make_config):
    config = load_config(make_config({"cpu.feed.cores": "2-4", "cpu.feed.one_core_each": True}))

    feeds = ["feed-binance-spot", "feed-binance-futures", "feed-bybit-spot", "feed-bybit-futures"]
    assert [cores_of(config, program_named(name)) for name in feeds] == [(2,), (3,), (4,), (2,)]


def test_watchdog_abort_leaves_the_stacks_of_a_loop_that_stands(start, tmp_path):
    notify = NotifySocket(tmp_path / "notify.sock")
    _, process = start(ENGINE, {}, NOTIFY_SOCKET=notify.path, WATCHDOG_USEC="400000")
    notify.next_with("WATCHDOG=1")
    process.send_signal(signal.SIGSTOP)
    until(lambda: stat_of(process.pid) == "T", "the stop")

    process.send_signal(signal.SIGABRT)  # as systemd does when the time is over
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=30)
    notify.close()

    assert process.returncode == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in errors
    assert "in main" in errors


def test_loop_that_turns_without_doing_its_work_does_not_feed_the_watchdog(
    make_config, tmp_path, manual_clock, monkeypatch
):
    config = load_config(make_config({}))
    create_regions(config.shm)
    write_small_universe(config)
    notify = NotifySocket(tmp_path / "notify.sock")
    monkeypatch.setenv("NOTIFY_SOCKET", notify.path)
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    context = Context(config, program_named(ENGINE), manual_clock, logging.getLogger("test"))

    def turn():
        manual_clock.advance(2.0)
        assert context.tick()
        return notify.heard()

    idle = [turn(), turn()]
    context.worked()
    busy = [turn(), turn()]
    notify.close()

    assert idle == [[], []]
    assert busy == [["WATCHDOG=1"], []]


def test_feed_that_starts_takes_what_a_dead_one_left_out_of_use_before_it_seems_alive(
    make_config, manual_clock, monkeypatch
):
    config = load_config(make_config({}))
    create_regions(config.shm)
    write_small_universe(config)
    program = program_named("feed-okx-spot")
    prices = attach_regions(config.shm, reads=(), writes=(RegionKind.PRICES,), timeout_s=0).prices
    dead = Prices.SOURCE_STATES + program.health_slot * Prices.SOURCE_STATE_BYTES
    prices.slots.mapping.store_word(dead + Prices.SOURCE_EPOCH, 3)
    seen = []

    def taking(region, slot, name):
        seen.append((name, prices.source_epoch(slot)))
        return HealthWriter(region, slot, name)

    monkeypatch.setattr(process, "HealthWriter", taking)

    Context(config, program, manual_clock, logging.getLogger("test"))

    assert seen == [("feed-okx-spot", 4)]


def test_lines_are_objects_on_request(start):
    programs, process = start(ENGINE, {"runtime.log_format": "json"})
    until(is_running(programs, ENGINE), "the engine")

    _, errors, _ = programs.finish(process)

    lines = [json.loads(line) for line in errors.splitlines()]
    assert any(line["message"].startswith("scanning 3 routes") for line in lines)
    assert {(line["program"], line["pid"]) for line in lines} == {(ENGINE, process.pid)}


def test_process_that_may_is_locked_into_memory(start):
    programs, process = start(ENGINE, {"shm.lock_memory": True})
    until(is_running(programs, ENGINE), "the engine")

    locked_kib = int(
        next(
            line.split()[1]
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
            if line.startswith("VmLck:")
        )
    )
    _, errors, _ = programs.finish(process)

    # Regions and process, or a line about each that is not.
    assert locked_kib > 5_000 or "not locked into memory" in errors


@pytest.mark.parametrize("name", [ENGINE, TRACKER])
def test_program_in_the_middle_of_its_work_ends_within_two_seconds(start, name):
    programs, process = start(name, {})
    until(is_running(programs, name), name)
    regions = attach_regions(
        programs.config.shm, reads=(), writes=[RegionKind.CONTROL], timeout_s=0
    )
    ControlWriter(regions.control).command(PAUSE_ALL=1)

    status, _, took_s = programs.finish(process)

    assert status == 0
    assert took_s < 10


def stat_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
