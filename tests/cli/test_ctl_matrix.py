"""Every command of spread-ctl in every trouble: a status of the table, one line, valid JSON."""

import contextlib
import ctypes
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import pytest
from ctl_cases import Site
from typer.testing import CliRunner

from spreadscan.cli.ctl import COMMANDS, app
from spreadscan.errors import EXIT_MEANINGS
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import Header, ProcessState, RegionKind
from spreadscan.shm.region import attach_region
from spreadscan.shm.regions import remove_regions
from spreadscan.topology import ENGINE_SLOT

NOBODY = 65_534
CLONE_NEWNS, MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = (
    0x20000, 1, 32, 4096, 0x4000, 1 << 18,
)  # fmt: skip
ENGINE, TRACKER = "spread-engine", "spread-tracker"
SOON = ("--timeout", "300ms")
ROUTE = ("A-USDT", "binance_spot_bybit_futures")
# In an order in which none takes away what the next one needs; `top` goes on while something runs.
WORDS = [
    ("status",), ("status", "--source", "okx_spot"), ("status", "--source", "nowhere"),
    ("explain", *ROUTE), ("explain", "Z-USDT", ROUTE[1]), ("latency",), ("doctor", "--offline"),
    ("history",), ("history", "--since", "never"), ("episode", "1"), ("statistics",),
    ("export", "--format", "csv"), ("config", "check"), ("config", "show", "engine."),
    ("config", "show", "--running", ENGINE), ("version",), ("completion", "bash"),
    ("logs", "-n", "1"), ("reload", "--dry-run"), ("reload", *SOON), ("reload", "--nonsense"),
    ("pause", "okx_spot", *SOON), ("pause", "nowhere", *SOON), ("kill", *SOON),
    ("resume", *SOON), ("resume", "all", "--reason", "over", *SOON),
    ("discover", "--offline", "absent"), ("start", *SOON), ("restart", ENGINE, *SOON),
    ("stop", TRACKER, *SOON), ("shutdown", *SOON),
]  # fmt: skip
WITHOUT_JSON = {"export", "completion"}
# In this order: what ends the programs comes last.
CASES = [
    (*words, *option) for words in WORDS for option in ((), ("--json",))
    if not option or words[0] not in WITHOUT_JSON
]  # fmt: skip


class Trouble:
    """A site in a state, and how a command is run in it."""

    def __init__(self, site, prepare=None):
        self.site = site
        self._prepare = prepare

    def run(self, words):
        """Run a command in a process of its own that is set up as the trouble wants it."""
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                if self._prepare is not None:
                    self._prepare()
                done = CliRunner().invoke(app, [*words, "--config", str(self.site.config_file)])
                fault = done.exception
                told = "" if fault is None or isinstance(fault, SystemExit) else repr(fault)
                found = json.dumps([done.exit_code, done.stdout, done.stderr, told])
                with os.fdopen(write_end, "w") as pipe:
                    pipe.write(found)
            os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            told = pipe.read()
        os.waitpid(child, 0)
        return json.loads(told)


def no_regions(site):
    remove_regions(site.config.shm)
    return Trouble(site)


def nothing_running(site):
    return Trouble(site)


def half_running(site):
    site.start(ENGINE)
    return Trouble(site)


def engine_stopped(site):
    engine, _ = site.start(ENGINE, TRACKER)
    engine.send_signal(signal.SIGSTOP)
    return Trouble(site)


def dead_with_a_fresh_slot(site):
    """The engine's slot says that it runs and beat just now; nobody holds its lock."""
    region = attach_region(site.config.shm, RegionKind.HEALTH, writable=True)
    slot = HealthWriter(region, ENGINE_SLOT, ENGINE)
    slot.set_state(ProcessState.RUNNING)
    slot.beat(time.monotonic_ns() + 60_000_000_000)
    return Trouble(site)


def foreign_layout(site):
    site.hold(ENGINE)
    for kind in RegionKind:
        region = attach_region(site.config.shm, kind, writable=True)
        region.mapping.store_word(Header.LAYOUT_VERSION, 99 | int(kind) << 32)
    return Trouble(site)


def no_permission(site):
    site.hold(ENGINE)

    def become_nobody():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)

    return Trouble(site, become_nobody)


def read_only_files(site):
    site.start(ENGINE, TRACKER)
    folder = str(site.run_dir.parent).encode()

    def freeze():
        _own_mounts()
        _mount(folder, folder, None, MS_BIND)
        _mount(None, folder, None, MS_REMOUNT | MS_BIND | MS_RDONLY)

    return Trouble(site, freeze)


def full_disk(site):
    site.start(ENGINE, TRACKER)
    folder = site.config.path(site.config.tracker.data_dir)

    def fill():
        _own_mounts()
        _mount(b"none", str(folder).encode(), b"tmpfs", 0, b"size=16k")
        with contextlib.suppress(OSError), (folder / "full").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)

    return Trouble(site, fill)


TROUBLES = [
    no_regions, nothing_running, half_running, engine_stopped, dead_with_a_fresh_slot,
    foreign_layout, no_permission, read_only_files, full_disk,
]  # fmt: skip
# What matters most of each, by the first word; everything else has to be in the table.
EXPECTED = {
    "no_regions": {"status": {3, 64}, "kill": {0}, "shutdown": {3}, "explain": {64, 75}},
    "nothing_running": {"status": {3, 64}, "kill": {0}, "reload": {3, 64}, "shutdown": {3}},
    "half_running": {"status": {1, 2, 64}, "kill": {0}, "shutdown": {0, 3}},
    "engine_stopped": {"status": {1, 2, 64}, "kill": {0}, "reload": {0, 64, 75}, "shutdown": {75}},
    "dead_with_a_fresh_slot": {"status": {3, 64}, "explain": {3, 64}, "shutdown": {3}},
    "foreign_layout": {"status": {1, 2, 64}, "kill": {78}, "pause": {64, 78}, "explain": {78}},
    "no_permission": {"status": {64, 78}, "kill": {78}, "doctor": {2}, "config": {0, 78}},
    "read_only_files": {"status": {1, 2, 64}, "kill": {1}, "pause": {64, 75}, "doctor": {2}},
    "full_disk": {"status": {1, 2, 64}, "kill": {1}, "pause": {1, 64}, "shutdown": {0, 3, 75}},
}


@pytest.fixture(scope="module", params=TROUBLES, ids=lambda trouble: trouble.__name__)
def trouble(request, config_writer):
    needs_root = {no_permission, read_only_files, full_disk}
    if request.param in needs_root and os.geteuid() != 0:
        pytest.skip("only root can become somebody else, and change what it sees of the disks")
    if request.param in needs_root - {no_permission} and not _may_mount():
        pytest.skip("this machine lets nobody make file systems")
    # pytest's own folders are closed to others.
    root = Path(tempfile.mkdtemp(prefix="ctl-", dir="/tmp"))
    root.chmod(0o755)
    prefix = f"t{uuid.uuid4().hex[:12]}"
    site = Site(config_writer(root, prefix, {}))
    site.publish(1, "A", "B")
    # Before anybody becomes a user who may not read the interpreter's files.
    for place in COMMANDS.values():
        importlib.import_module(place.partition(":")[0])
    for words in (("config", "check"), ("latency",), ("status",), ("history",)):
        CliRunner().invoke(app, [*words, "--config", str(site.config_file)])
    yield request.param(site)
    site.close()
    shutil.rmtree(root)
    for region in Path("/dev/shm").glob(f"{prefix}*"):
        region.unlink()


@pytest.mark.parametrize("words", CASES, ids=" ".join)
def test_every_command_keeps_to_the_table_and_says_one_line(trouble, request, words):
    name = request.node.callspec.params["trouble"].__name__

    status, out, err, fault = trouble.run(words)

    assert fault == ""
    assert "Traceback" not in out + err
    assert status in EXPECTED[name].get(words[0], EXIT_MEANINGS.keys())
    # A word that is no command line is never anything else.
    assert status == 64 or not {"nowhere", "never", "--nonsense"} & set(words[:3])
    if words[0] != "discover":
        # It tells on standard error how it gets on.
        assert err.count("\n") <= (2 if words[0] == "kill" else 1)
    if status in {64, 75, 78}:
        assert err.endswith("\n")
    if "--json" in words and "--nonsense" not in words:
        rows = [json.loads(line) for line in out.splitlines()]
        assert rows or words[0] == "discover"
        if status in {64, 78} and words[0] != "discover":
            assert rows == [{"error": rows[0]["error"], "exit_status": status}]
            assert rows[0]["error"] in err


@pytest.mark.parametrize("words", [("pause",), ("kill",), ("resume", "all", "--reason", "r")])
def test_two_at_once_are_both_done(make_config, words):
    site = Site(make_config({}))
    site.publish(1, "A", "B")
    try:
        site.start(ENGINE, TRACKER)
        both = [site.ctl(*words, "--json") for _ in range(2)]
        told = [json.loads(each.communicate(timeout=60)[0]) for each in both]
    finally:
        site.close()

    assert [each.returncode for each in both] == [0, 0]
    assert len({each["command"] for each in told}) == 2
    assert all(each["obeyed"] == [TRACKER, ENGINE] for each in told)


@pytest.fixture
def running(make_config):
    site = Site(make_config({}))
    site.publish(1, "A", "B")
    site.start(ENGINE, TRACKER)
    log = site.run_dir / "log"
    log.mkdir()
    (log / f"{ENGINE}.log").write_text("a line\n" * 30)
    yield site
    site.close()


FOREVER = [("status", "--watch"), ("status", "--watch", "--json"), ("top",), ("top", "--json"),
           ("logs", "-f")]  # fmt: skip


@pytest.mark.parametrize("words", FOREVER, ids=" ".join)
def test_what_goes_on_for_ever_ends_when_nobody_reads_it(running, words):
    process = running.ctl(*words)
    assert process.stdout.readline()
    process.stdout.close()

    assert process.wait(30) == 0
    assert process.stderr.read() == ""


@pytest.mark.parametrize("words", FOREVER, ids=" ".join)
def test_ctrl_c_ends_what_goes_on_for_ever_in_order(running, words):
    process = running.ctl(*words)
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [(("status",), 2), (("pause", "A-USDT"), 0), (("version",), 0), (("history",), 0),
     (("export", "--format", "csv"), 0), (("doctor", "--offline", "--all"), {1, 2}),
     (("--help",), 0)],
)  # fmt: skip
def test_command_whose_reader_is_gone_does_and_exits_as_ever(running, words, expected):
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = _into(running, write_end, words)

    assert done.returncode in (expected if isinstance(expected, set) else {expected})
    assert done.stderr == ""
    if words[0] == "pause":
        _, out, _, _ = Trouble(running).run(("status", "--json"))
        assert json.loads(out)["control"]["held_back"] == "A-USDT"


@pytest.mark.parametrize("words", [("status",), ("status", "--json"), ("history",), ("logs",),
                                   ("config", "show"), ("--help",)], ids=" ".join)  # fmt: skip
def test_output_on_a_full_disk_is_one_line(running, words):
    with Path("/dev/full").open("wb") as full:
        done = _into(running, os.dup(full.fileno()), words)

    assert done.returncode == 1
    assert done.stderr == (
        "spread-ctl: standard output: found No space left on device, expected to be able to write\n"
    )


def test_interrupted_command_says_so_and_may_be_asked_again(running):
    running.started[0].send_signal(signal.SIGSTOP)
    process = running.ctl("pause", "--timeout", "60s")
    deadline_s = time.monotonic() + 30
    while "everything" not in (running.slot(TRACKER).status, _held(running)):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (75, "", "spread-ctl: interrupted\n")


def test_status_for_no_terminal_has_no_colours_and_all_its_words(running):
    for environment in ({}, {"NO_COLOR": "1"}, {"TERM": "dumb"}):
        done = subprocess.run(
            _command(running, "status"), capture_output=True, text=True, check=False,
            env=os.environ | {"COLUMNS": "80"} | environment,
        )  # fmt: skip
        assert "\x1b" not in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80


def _held(site):
    _, out, _, _ = Trouble(site).run(("status", "--json"))
    return json.loads(out)["control"]["held_back"]


def _command(site, *words):
    return [sys.executable, "-m", "spreadscan.cli.ctl", *words,
            *([] if "--help" in words else ["--config", str(site.config_file)])]  # fmt: skip


def _into(site, descriptor, words):
    """Run a command with a descriptor as its standard output."""
    try:
        return subprocess.run(
            _command(site, *words), stdout=descriptor, stderr=subprocess.PIPE, text=True,
            check=False, timeout=60,
        )  # fmt: skip
    finally:
        os.close(descriptor)


def _own_mounts():
    _called(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS))
    _mount(None, b"/", None, MS_REC | MS_PRIVATE)


def _mount(source, target, kind, flags, data=None):
    _called(ctypes.CDLL(None, use_errno=True).mount(source, target, kind, flags, data))


def _called(result):
    assert result == 0, os.strerror(ctypes.get_errno())


def _may_mount():
    trial = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(trial, check=False, capture_output=True).returncode == 0
