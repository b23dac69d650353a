"""spread-ctl where it may not look, and where nothing can be written: one line, no traceback."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest
from ctl_cases import Site
from typer.testing import CliRunner

from spreadscan.cli.ctl import COMMANDS, app
from spreadscan.holds import holds_file
from spreadscan.runtime.lock import RoleLock
from spreadscan.shm.control import ControlReader
from spreadscan.shm.layout import Header, RegionKind
from spreadscan.shm.region import attach_region

NOBODY = 65_534
ENGINE, TRACKER = "spread-engine", "spread-tracker"


@pytest.fixture
def site(config_writer):
    """A site that everybody may walk to; pytest's own folders are closed to others."""
    root = Path(tempfile.mkdtemp(prefix="ctl-", dir="/tmp"))
    root.chmod(0o755)
    prefix = f"t{uuid.uuid4().hex[:12]}"
    site = Site(config_writer(root, prefix, {}))
    site.publish(1, "A", "B")
    yield site
    site.close()
    shutil.rmtree(root)
    for region in Path("/dev/shm").glob(f"{prefix}*"):
        region.unlink()


def ctl(site, *words, before="", **options):
    command = [sys.executable, "-m", "spreadscan.cli.ctl", *words, "--config", site.config_file]
    if before:
        quoted = " ".join(f"'{word}'" for word in command)
        command = ["unshare", "--mount", "sh", "-c", f"{before} && exec {quoted}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def here(site, *words):
    """Run a command in this process."""
    done = CliRunner().invoke(app, [*words, "--config", str(site.config_file)])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def engine_lives(site):
    """A held lock is a living engine."""
    lock = RoleLock(site.run_dir, ENGINE)
    yield
    lock.release()


def as_nobody(site, *words):
    """Run a command here as a user without any rights; the interpreter may be out of its reach."""
    for place in COMMANDS.values():
        importlib.import_module(place.partition(":")[0])
    # What reading a configuration imports on the way.
    CliRunner().invoke(app, ["config", "check", "--config", str(site.config_file)])
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        done = CliRunner().invoke(app, [*words, "--config", str(site.config_file)])
        os.write(write_end, json.dumps([done.exit_code, done.stdout, done.stderr]).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as told:
        found = json.load(told)
    os.waitpid(child, 0)
    return found


def read_only(folder):
    """A shell's words that make a folder read-only, for that shell alone."""
    return f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}'"


@pytest.fixture
def without_writing(site):
    """Skip where not even root may make a file system read-only."""
    trial = subprocess.run(
        ["unshare", "--mount", "sh", "-c", read_only(site.run_dir.parent)], check=False,
        capture_output=True,
    )  # fmt: skip
    if trial.returncode:
        pytest.skip("this machine lets nobody make a read-only file system")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("words", [["status"], ["pause"], ["kill"], ["reload"], ["restart"]])
def test_somebody_without_permission_is_told_so_in_one_line(site, engine_lives, words):
    status, out, err = as_nobody(site, *words)

    assert (status, out) == (78, "")
    assert err.count("\n") == 1
    assert "run it as their user" in err or "no permission" in err


def test_status_needs_to_write_nothing(site, without_writing):
    site.start(ENGINE, TRACKER)

    status, out, err = ctl(site, "status", before=read_only(site.run_dir.parent))

    assert (status, err) == (2, "")
    assert out.startswith("down\n  no source has a usable price\n")


def test_pause_on_a_full_stop_disk_is_in_force_and_says_what_is_lost(site, without_writing):
    site.start(ENGINE)
    folder = holds_file(site.config).parent
    folder.mkdir(exist_ok=True)

    status, out, err = ctl(site, "pause", before=read_only(folder))

    assert status == 1
    assert out == f"held back: everything\nobeyed by 1: {ENGINE}\n"
    assert err.startswith("spread-ctl: in force, but lost with a restart: ")
    assert "Read-only file system" in err


def test_doctor_names_the_folder_that_takes_no_writes(site, without_writing):
    folder = holds_file(site.config).parent
    folder.mkdir(exist_ok=True)

    status, out, _ = ctl(site, "doctor", "--offline", "--json", before=read_only(folder))

    findings = {row["check"]: row for row in json.loads(out)["findings"]}
    assert status == 2
    assert findings["disk: ledger folder"]["verdict"] == "fail"
    assert "Read-only file system" in findings["disk: ledger folder"]["reason"]


@pytest.mark.parametrize("words", [["pause"], ["kill"], ["reload"], ["top"]])
def test_regions_of_another_layout_are_refused_by_name(site, engine_lives, words):
    for kind in (RegionKind.CONTROL, RegionKind.HEALTH):
        region = attach_region(site.config.shm, kind, writable=True)
        region.mapping.store_word(Header.LAYOUT_VERSION, 99 | int(kind) << 32)

    status, out, err = here(site, *words)

    assert (status, out) == (78, "")
    assert "layout version is 99, this build expects" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["reload"], 3), (["reload", "--dry-run"], 3), (["stop"], 3), (["shutdown"], 3),
        (["top"], 3), (["logs"], 3), (["restart"], 64), (["status"], 3), (["pause"], 0),
        (["resume"], 0), (["kill"], 0),
    ],
)  # fmt: skip
def test_with_nothing_running_every_command_says_so(site, words, expected):
    status, _, err = here(site, *words)

    assert status == expected
    assert err.count("\n") <= 1


def test_programs_that_nobody_keeps_are_ended_in_order_by_shutdown(site):
    engine, tracker = site.start(ENGINE, TRACKER)

    status, out, err = ctl(site, "shutdown")

    assert (status, err) == (0, "")
    assert out == f"ended in order by nobody: {TRACKER}, {ENGINE}\n"
    assert (engine.wait(20), tracker.wait(20)) == (0, 0)


def test_program_that_does_not_end_is_named_and_those_after_it_go_on(site):
    engine, tracker = site.start(ENGINE, TRACKER)
    engine.send_signal(signal.SIGSTOP)

    status, _, err = ctl(site, "shutdown", "--timeout", "700ms")

    assert status == 75
    assert err == f"spread-ctl: not within 0.7 s: {ENGINE}\n"
    assert tracker.poll() is None
    region = attach_region(site.config.shm, RegionKind.CONTROL, writable=False)
    # Asked of feeds and engine: the engine ends once it goes on, the tracker is not asked yet.
    assert ControlReader(region).state().shutdown_waves == 2
    engine.send_signal(signal.SIGCONT)
    assert engine.wait(20) == 0
    assert tracker.poll() is None
