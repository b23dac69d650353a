"""The life of every program: how it starts, how it is refused, how it ends. Real processes."""

import signal

import pytest
from program_cases import NotifySocket, Programs, until, write_small_universe

from spreadscan.shm.control import ControlWriter
from spreadscan.shm.layout import ProcessState, RegionKind
from spreadscan.shm.region import remove_region
from spreadscan.shm.regions import attach_regions, create_regions

ENGINE = "spread-engine"


@pytest.fixture
def programs(make_config):
    programs = Programs(make_config({"shm.attach_timeout_s": 0.1}))
    create_regions(programs.config.shm)
    write_small_universe(programs.config)
    yield programs
    programs.close()


@pytest.fixture
def running_engine(programs):
    process = programs.start(ENGINE)
    until(lambda: programs.slot(ENGINE).state is ProcessState.RUNNING, "the running engine")
    return process


def outcome(process):
    _, errors = process.communicate(timeout=20)
    return process.returncode, errors


def test_missing_region_is_one_line_and_exit_75(programs):
    remove_region(programs.config.shm, RegionKind.CONTROL)

    status, errors = outcome(programs.start(ENGINE))

    assert status == 75
    assert errors.count("\n") == 1
    assert f"{programs.config.shm.prefix}.control" in errors
    assert "shm-init" in errors


def test_second_instance_is_one_line_with_the_pid_and_exit_75(programs, running_engine):
    status, errors = outcome(programs.start(ENGINE))

    assert status == 75
    assert errors == f"{ENGINE}: {ENGINE}: already running (pid {running_engine.pid})\n"
    assert programs.slot(ENGINE).pid == running_engine.pid


def test_configuration_error_is_one_line_and_exit_78(programs, make_config):
    programs.config_file = make_config({"engine.wait": "nap"})

    status, errors = outcome(programs.start(ENGINE))

    assert status == 78
    assert errors.count("\n") == 1
    assert "engine.wait" in errors


def test_absent_universe_is_one_line_and_exit_78(programs):
    folder = programs.config.path(programs.config.runtime.generated_dir)
    (folder / "metadata.json").unlink()

    status, errors = outcome(programs.start(ENGINE))

    assert status == 78
    assert errors.count("\n") == 1
    assert "pair-discovery" in errors


def test_unknown_program_is_a_usage_error(programs):
    status, errors = outcome(programs.start("feed-nobody-spot"))

    assert (status, errors) == (64, "feed-nobody-spot: no such program\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_ends_a_program_in_order_within_two_seconds(programs, running_engine, number):
    status, _, took_s = programs.finish(running_engine, number)

    assert status == 0
    assert took_s < 10
    slot = programs.slot(ENGINE)
    assert (slot.state, slot.is_alive) == (ProcessState.STOPPED, False)


def test_shutdown_word_ends_a_program_when_its_wave_has_come(programs, running_engine):
    regions = attach_regions(
        programs.config.shm, reads=(), writes=[RegionKind.CONTROL], timeout_s=0
    )

    writer = ControlWriter(regions.control)

    earlier = writer.command(SHUTDOWN=1)
    until(lambda: programs.slot(ENGINE).obeyed_generation == earlier, "the end of the feeds alone")
    assert running_engine.poll() is None
    generation = writer.command(SHUTDOWN=2)

    assert running_engine.wait(20) == 0
    assert programs.slot(ENGINE).obeyed_generation == generation


@pytest.mark.parametrize("name", [ENGINE, "shm-init"])
def test_run_folder_that_cannot_be_used_is_one_line(make_config, tmp_path, name):
    (tmp_path / "file").write_text("")
    programs = Programs(make_config({"runtime.run_dir": str(tmp_path / "file" / "run")}))

    process = programs.start(name)
    _, errors = process.communicate(timeout=20)

    assert process.returncode == 78
    assert errors.startswith(f"{name}: {tmp_path}/file/run: found Not a directory, expected ")
    assert errors.count("\n") == 1


def test_program_that_is_started_under_a_shutdown_says_why_it_ends(programs):
    regions = attach_regions(
        programs.config.shm, reads=(), writes=[RegionKind.CONTROL], timeout_s=0
    )
    ControlWriter(regions.control).command(SHUTDOWN=2)

    process = programs.start(ENGINE)
    _, errors = process.communicate(timeout=20)

    assert process.returncode == 0
    assert "a shutdown is asked for, which shm-init takes back" in errors


def test_command_is_written_back_once_it_is_obeyed(programs, running_engine):
    regions = attach_regions(
        programs.config.shm, reads=(), writes=[RegionKind.CONTROL], timeout_s=0
    )

    generation = ControlWriter(regions.control).command(PAUSE_ALL=1)

    until(lambda: programs.slot(ENGINE).obeyed_generation == generation, "obedience")
    assert programs.slot(ENGINE).universe_generation == 1


def test_running_program_beats(programs, running_engine):
    first_ns = programs.slot(ENGINE).heartbeat_ns

    until(lambda: programs.slot(ENGINE).heartbeat_ns > first_ns, "a heartbeat")


def test_systemd_hears_ready_watchdog_and_stopping(programs, tmp_path):
    notify = NotifySocket(tmp_path / "notify.sock")
    process = programs.start(ENGINE, NOTIFY_SOCKET=notify.path, WATCHDOG_USEC="200000")

    ready = notify.next_with("READY=1")
    notify.next_with("WATCHDOG=1")
    notify.next_with("WATCHDOG=1")
    programs.finish(process)
    notify.next_with("STOPPING=1")
    notify.close()

    assert "STATUS=scanning 3 routes" in ready


def test_program_killed_and_started_again_comes_back_clean(programs, running_engine):
    running_engine.kill()
    running_engine.wait(20)
    dead = programs.slot(ENGINE)

    successor = programs.start(ENGINE)
    alive = until(
        lambda: (
            (slot := programs.slot(ENGINE)).is_alive and slot.state is ProcessState.RUNNING and slot
        ),
        "the successor",
    )

    assert (dead.state, dead.is_alive) == (ProcessState.RUNNING, False)
    assert (alive.pid, alive.restarts) == (successor.pid, 2)
    assert programs.finish(successor)[0] == 0


def test_mistake_of_its_own_ends_only_that_program_with_its_traceback(programs):
    # A folder where the engine's socket should be: an inside surprise, not a refusal.
    run_dir = programs.config.path(programs.config.runtime.run_dir)
    (run_dir / "wakeup.sock" / "x").mkdir(parents=True)

    status, errors = outcome(programs.start(ENGINE))

    assert status == 1
    assert "Traceback" in errors
    assert programs.slot(ENGINE).state is ProcessState.FAILED


def test_programs_do_not_leave_files_beside_their_lock_and_socket(programs, running_engine):
    programs.finish(running_engine)

    run_dir = programs.config.path(programs.config.runtime.run_dir)
    assert [file.name for file in run_dir.iterdir()] == [f"{ENGINE}.lock"]
