"""The supervisor over real, small processes."""

import os
import signal

import pytest

from spreadscan.config import load_config
from spreadscan.ops.pipeline import Part
from spreadscan.ops.reconcile import Desired, Phase, Policy
from spreadscan.ops.supervisor import Supervisor
from spreadscan.runtime.clock import SystemClock
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import ProcessState, RegionKind
from spreadscan.shm.regions import attach_regions, create_regions

POLICY = Policy(first_delay_s=0.02, longest_delay_s=0.1, start_attempts=3, stop_timeout_s=0.3)
READY = "import time; print('ready'); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready'); time.sleep(60)"
)
# Appends its name when it is asked to end, so that the order can be read afterwards.
TELLS_ITS_END = """
import signal, sys, time
def end(*_):
    open({file!r}, "a").write({name!r} + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready")
time.sleep(60)
"""


@pytest.fixture
def supervise(tmp_path, make_config):
    shm = load_config(make_config({})).shm
    made = []

    def make(*parts, policy=POLICY):
        supervisor = Supervisor(list(parts), shm, tmp_path / "log", policy, SystemClock())
        made.append(supervisor)
        return supervisor

    yield make

    for supervisor in made:
        supervisor.kill_all()
        while not supervisor.is_finished:
            supervisor.step()


def test_pipeline_comes_up_in_order_of_its_dependencies(supervise, program, eventually, tmp_path):
    order = tmp_path / "order"
    write = f"open({str(order)!r}, 'a').write"
    supervisor = supervise(
        program("last", f"{write}('last '); {READY}", starts_after=("first", "middle")),
        program("middle", f"{write}('middle '); {READY}", starts_after=("first",)),
        program("first", f"{write}('first ')", is_oneshot=True),
    )

    eventually(lambda: supervisor.is_ready, supervisor.step)

    assert order.read_text(encoding="utf-8") == "first middle last "
    assert supervisor.died == []


def test_stop_goes_down_the_waves_and_ends_every_process(supervise, program, eventually, tmp_path):
    file = str(tmp_path / "ends")
    supervisor = supervise(
        *(
            program(name, TELLS_ITS_END.format(file=file, name=name), stop_wave=wave)
            for wave, name in enumerate(["simulator", "tracker", "engine", "feed"])
        )
    )
    eventually(lambda: supervisor.is_ready, supervisor.step)

    supervisor.begin_stop()
    eventually(lambda: supervisor.is_finished, supervisor.step)

    ended = (tmp_path / "ends").read_text(encoding="utf-8").split()
    assert ended == ["feed", "engine", "tracker", "simulator"]
    assert supervisor.died == []
    assert supervisor.failure is None


def test_process_that_ignores_sigterm_is_killed(supervise, program, eventually):
    supervisor = supervise(program("stubborn", STUBBORN))
    eventually(lambda: supervisor.is_ready, supervisor.step)

    supervisor.begin_stop()
    eventually(lambda: supervisor.is_finished, supervisor.step)

    assert supervisor.children["stubborn"].exit_code == -signal.SIGKILL


def test_killed_program_is_started_again_and_counted(supervise, program, eventually):
    supervisor = supervise(program("feed", READY))
    eventually(lambda: supervisor.is_ready, supervisor.step)
    first_pid = supervisor.pid("feed")

    os.kill(first_pid, signal.SIGKILL)
    eventually(lambda: supervisor.children["feed"].restarts == 1, supervisor.step)
    eventually(lambda: supervisor.is_ready, supervisor.step)

    assert supervisor.pid("feed") not in {0, first_pid}
    assert supervisor.died == ["feed"]
    assert not supervisor.is_stopping


def test_configuration_error_of_a_child_ends_the_run_with_its_line(supervise, program, eventually):
    text = "import sys; sys.exit(print('feed: config.toml: x: found 1, expected 2') or 78)"
    supervisor = supervise(program("feed", text), program("other", READY))

    eventually(lambda: supervisor.is_finished, supervisor.step)

    failure = supervisor.failure
    assert failure.exit_code == 78
    assert failure.line() == (
        f"feed: config.toml: x: found 1, expected 2 (exit 78; log: {failure.log_file})"
    )
    assert supervisor.children["feed"].restarts == 0


def test_program_that_never_comes_up_ends_the_run_after_its_attempts(
    supervise, program, eventually
):
    supervisor = supervise(program("feed", "raise SystemExit(75)"))

    eventually(lambda: supervisor.is_finished, supervisor.step)

    assert supervisor.children["feed"].phase is Phase.GIVEN_UP
    assert supervisor.children["feed"].failures == POLICY.start_attempts
    assert supervisor.failure.exit_code == 75
    assert "no output" in supervisor.failure.line()


def test_death_by_signal_is_told_as_one(supervise, program, eventually):
    text = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    supervisor = supervise(program("engine", text))

    eventually(lambda: supervisor.is_finished, supervisor.step)

    assert "signal 11" in supervisor.failure.line()
    assert supervisor.failure.exit_code == 1


def test_program_that_is_not_installed_is_told_by_name(supervise, program, eventually, tmp_path):
    absent = Part(desired=Desired(name="feed"), command=(str(tmp_path / "absent"),))
    supervisor = supervise(absent)

    eventually(lambda: supervisor.is_finished, supervisor.step)

    assert "cannot start" in supervisor.failure.line()
    assert "absent" in supervisor.failure.line()
    assert supervisor.failure.exit_code == 1


def test_kill_all_ends_everything_without_order(supervise, program, eventually):
    supervisor = supervise(program("one", STUBBORN), program("two", STUBBORN, stop_wave=1))
    eventually(lambda: supervisor.is_ready, supervisor.step)

    supervisor.kill_all()
    eventually(lambda: supervisor.is_finished, supervisor.step)

    assert {child.exit_code for child in supervisor.children.values()} == {-signal.SIGKILL}


def test_health_slot_of_another_process_is_not_taken_for_ready(
    make_config, program, eventually, tmp_path
):
    shm = load_config(make_config({})).shm
    create_regions(shm)
    regions = attach_regions(shm, reads=[], writes=[RegionKind.HEALTH], timeout_s=0.0)
    HealthWriter(regions.health, 8, "spread-engine").set_state(ProcessState.RUNNING)
    base = program("spread-engine", READY)
    part = Part(desired=base.desired, command=base.command, health_slot=8)
    supervisor = Supervisor([part], shm, tmp_path / "log", POLICY, SystemClock())

    try:
        said = tmp_path / "log" / "spread-engine.log"
        eventually(lambda: "ready" in said.read_text(encoding="utf-8"), supervisor.step)
        for _ in range(5):
            supervisor.step()

        assert supervisor.children["spread-engine"].phase is Phase.STARTING
    finally:
        supervisor.kill_all()
        eventually(lambda: supervisor.is_finished, supervisor.step)
