"""Another universe under a running program: asked for by command or SIGHUP, refused, obeyed."""

import contextlib
import logging
import os
import signal
import threading
import time

import pytest
from program_cases import Programs, until, write_small_universe

from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.lock import is_lock_held
from spreadscan.runtime.process import Context
from spreadscan.shm.control import ControlWriter
from spreadscan.shm.layout import ProcessState, RegionKind
from spreadscan.shm.regions import attach_regions, create_regions
from spreadscan.topology import program_named

ENGINE = "spread-engine"


@pytest.fixture
def programs(make_config):
    programs = Programs(make_config({"shm.attach_timeout_s": 10.0}))
    write_small_universe(programs.config)
    yield programs
    programs.close()


@pytest.fixture
def regions(programs):
    create_regions(programs.config.shm)
    return attach_regions(
        programs.config.shm, reads=(), writes=[RegionKind.CONTROL, RegionKind.HEALTH], timeout_s=0
    )


@pytest.fixture
def operator(regions):
    return ControlWriter(regions.control)


def start(programs):
    process = programs.start(ENGINE)
    until(lambda: programs.slot(ENGINE).universe_generation == 1, "the first universe")
    return process


def damage(programs):
    (programs.config.path("generated") / "symbols.bin").write_bytes(b"damaged")


def test_sighup_makes_a_program_read_the_universe_again(programs, regions):
    process = start(programs)
    write_small_universe(programs.config, ["BTC", "ETH", "SOL", "XRP"], generation=2)

    process.send_signal(signal.SIGHUP)

    until(lambda: programs.slot(ENGINE).universe_generation == 2, "the second universe")
    assert programs.slot(ENGINE).status.startswith("scanning 4 routes")
    assert programs.finish(process)[0] == 0


def test_command_to_reload_is_obeyed_with_the_new_universe(programs, operator):
    start(programs)
    write_small_universe(programs.config, ["BTC"], generation=2)

    generation = operator.ask_for_reload()

    until(lambda: programs.slot(ENGINE).obeyed_generation == generation, "obedience")
    assert programs.slot(ENGINE).universe_generation == 2
    assert programs.slot(ENGINE).status.startswith("scanning 1 routes")


def test_other_commands_reload_nothing(programs, operator):
    start(programs)
    write_small_universe(programs.config, ["BTC"], generation=2)

    generation = operator.command(PAUSE_ALL=1)

    until(lambda: programs.slot(ENGINE).obeyed_generation == generation, "obedience")
    assert programs.slot(ENGINE).universe_generation == 1


def test_damaged_universe_changes_nothing_and_shows_as_not_obeyed(programs, operator):
    process = start(programs)
    first = operator.command(PAUSE_ALL=0)
    until(lambda: programs.slot(ENGINE).obeyed_generation == first, "obedience")
    damage(programs)

    operator.ask_for_reload()
    until(lambda: programs.slot(ENGINE).status.startswith("universe 1 kept: "), "the refusal")
    refused = programs.slot(ENGINE)
    pause = operator.command(PAUSE_ALL=1)
    until(lambda: programs.slot(ENGINE).obeyed_generation == pause, "the next command")
    paused = programs.slot(ENGINE)
    status, errors, _ = programs.finish(process)

    assert (refused.obeyed_generation, refused.universe_generation) == (first, 1)
    assert refused.state is ProcessState.RUNNING
    assert paused.status.startswith("universe 1 kept: ")
    assert status == 0
    assert errors.count("universe 1 kept: ") == 1
    assert "symbols.bin: found SHA-256" in errors


def test_refused_command_counts_as_obeyed_once_a_later_reload_succeeds(programs, operator):
    process = start(programs)
    damage(programs)
    generation = operator.ask_for_reload()
    until(lambda: programs.slot(ENGINE).status.startswith("universe 1 kept: "), "the refusal")
    write_small_universe(programs.config, generation=2)

    process.send_signal(signal.SIGHUP)

    until(lambda: programs.slot(ENGINE).obeyed_generation == generation, "obedience")
    assert programs.slot(ENGINE).universe_generation == 2
    assert programs.slot(ENGINE).status.startswith("scanning 3 routes")


def test_sighup_does_not_end_a_program_that_is_starting(programs):
    # It waits for regions that are not there yet.
    process = programs.start(ENGINE)
    run_dir = programs.config.path(programs.config.runtime.run_dir)
    until(lambda: is_lock_held(run_dir, ENGINE), "its lock")

    process.send_signal(signal.SIGHUP)
    create_regions(programs.config.shm)

    def has_reloaded():
        # Running is not enough: the reload follows, and only after it a generation is shown.
        with contextlib.suppress(Exception):
            return programs.slot(ENGINE).universe_generation == 1
        return False

    until(has_reloaded, "the reload asked for at the start")
    status, errors, _ = programs.finish(process)
    assert status == 0
    assert "universe 1 loaded" in errors


@pytest.fixture
def context(programs, regions):
    """A program's context in the test's own process, with the handler of a real one."""
    log = logging.getLogger("test")
    context = Context(programs.config, program_named(ENGINE), SystemClock(), log)
    before = signal.signal(signal.SIGHUP, context.request_reload)
    yield context
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGHUP, before)


def test_sighup_ends_a_wait_and_the_next_one_waits_again(context):
    began_s = time.monotonic()
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGHUP)).start()
    context.wait(60)
    ended_s = time.monotonic()
    asked = context.must_reload
    context.reload()
    context.wait(0.02)

    assert ended_s - began_s < 30
    assert asked
    assert not context.must_reload
    assert time.monotonic() - ended_s >= 0.02


def test_sighup_before_the_first_wait_is_not_slept_over(context):
    os.kill(os.getpid(), signal.SIGHUP)

    began_s = time.monotonic()
    context.wait(60)

    assert time.monotonic() - began_s < 30


def test_reload_asked_for_while_one_is_under_way_is_not_lost(context, operator, programs):
    operator.ask_for_reload()
    context.tick()
    operator.ask_for_reload()

    assert context.reload()
    before_the_tick = context.must_reload
    context.tick()

    assert not before_the_tick
    assert context.must_reload


def test_command_is_not_written_back_before_its_reload(context, operator, programs):
    generation = operator.ask_for_reload()
    context.tick()

    context.obeyed()
    early = programs.slot(ENGINE).obeyed_generation
    context.reload()
    context.obeyed()

    assert early == 0
    assert programs.slot(ENGINE).obeyed_generation == generation
    assert not context.has_new_command


def test_failed_sighup_does_not_take_back_a_command_that_was_obeyed(context, operator, programs):
    generation = operator.command(PAUSE_ALL=1)
    context.tick()
    context.obeyed()
    damage(programs)

    context.request_reload()
    is_loaded = context.reload()
    context.obeyed()

    assert not is_loaded
    assert programs.slot(ENGINE).obeyed_generation == generation
    assert programs.slot(ENGINE).universe_generation == 1
