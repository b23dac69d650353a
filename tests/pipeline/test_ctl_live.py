"""spread-ctl on one running ``up --sim``: what it says, and what it does to it."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sysconfig
import termios
import threading
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner
from up_cases import SPREADSCAN, is_everything_running, read_terminal, wait_until

from spreadscan.cli.ctl import app
from spreadscan.config import load_config
from spreadscan.runtime.lock import lock_owner
from spreadscan.shm.counters import TrackerCounter
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions
from spreadscan.topology import TRACKER_SLOT

README = Path(__file__).parents[2] / "README.md"
CTL = Path(sysconfig.get_path("scripts")) / "spread-ctl"
ENGINE, TRACKER, FEED = "spread-engine", "spread-tracker", "feed-okx-spot"


class Live:
    """A running pipeline and the operator's tool on it."""

    def __init__(self, file, process):
        self.file, self.process = file, process
        self.config = load_config(file, is_sim=True)
        self.run_dir = self.config.path(self.config.runtime.run_dir)

    def ctl(self, *words):
        done = CliRunner().invoke(
            app, [*map(str, words), "--sim", "--config", str(self.file)], env={"COLUMNS": "200"}
        )
        return done.exit_code, done.stdout, done.stderr

    def json(self, *words):
        status, out, err = self.ctl(*words, "--json")
        assert out, err
        return status, json.loads(out)

    def pid(self, name):
        return lock_owner(self.run_dir, name)

    def signals(self):
        regions = attach_regions(self.config.shm, reads=[RegionKind.HEALTH], writes=(), timeout_s=0)
        return HealthReader(regions.health).slot(TRACKER_SLOT).counters[TrackerCounter.SIGNALS]

    def is_healthy(self):
        return self.json("status")[1]["verdict"] == "healthy"


@pytest.fixture(scope="module")
def live(tmp_path_factory, config_writer):
    prefix = f"t{uuid.uuid4().hex[:12]}"
    # Spreads at once, so that there is something to hold back.
    file = config_writer(
        tmp_path_factory.mktemp("live"),
        prefix,
        {"engine.open_net_bps": 1.0, "engine.update_step_bps": 0.01},
    )
    process = subprocess.Popen(
        [SPREADSCAN, "up", "--sim", "--config", file],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    found = Live(file, process)
    try:
        wait_until(lambda: is_everything_running(file.parent))
        wait_until(found.is_healthy)
        yield found
    finally:
        process.kill()
        process.wait()
        for region in Path("/dev/shm").glob(f"{prefix}*"):
            region.unlink(missing_ok=True)


def test_status_of_a_healthy_pipeline_is_zero_and_complete(live):
    status, found = live.json("status")
    _, screen, _ = live.ctl("status")

    assert status == 0
    assert found["reasons"] == []
    assert {row["state"] for row in found["processes"]} == {"running"}
    assert all(feed["live"] and feed["newest_quote_ms"] is not None for feed in found["feeds"])
    assert found["engine"]["latency_p50_ns"] > 0
    assert found["ring"]["full"] == 0
    assert screen.startswith("healthy\n")


def test_rates_are_published_by_the_processes_themselves(live):
    def rates():
        _, found = live.json("status")
        return found["engine"]["passes_per_s"] and all(
            feed["frames_per_s"] for feed in found["feeds"]
        )

    wait_until(rates)


def test_pause_stops_the_flow_of_signals_and_resume_lets_it_go_on(live):
    before = live.signals()
    wait_until(lambda: live.signals() > before)

    status, told = live.json("pause")
    _, found = live.json("status")
    # What was in the ring when the engine obeyed may still be taken.
    wait_until(lambda: live.json("status")[1]["ring"]["depth"] == 0)
    paused = live.signals()
    _, later = live.json("status")
    still = live.signals()
    resumed, *_ = live.ctl("resume")

    assert status == 0
    assert len(told["obeyed"]) == 10
    assert found["verdict"] == "degraded"
    assert "held back: everything" in found["reasons"]
    assert all(feed["live"] for feed in later["feeds"])
    assert still == paused
    assert resumed == 0
    wait_until(lambda: live.signals() > still)


def test_kill_holds_with_the_engine_stopped_and_after_it_goes_on(live):
    os.kill(live.pid(ENGINE), signal.SIGSTOP)
    try:
        status, told = live.json("kill", "--reason", "drill", "--timeout", "1s")
        killed = live.signals()
    finally:
        os.kill(live.pid(ENGINE), signal.SIGCONT)
    wait_until(lambda: not live.json("status")[1]["control"]["behind"])
    wait_until(lambda: live.json("status")[1]["ring"]["depth"] == 0)
    still = live.signals()
    refused, *_ = live.ctl("resume")
    lifted, *_ = live.ctl("resume", "--reason", "drill over")

    assert status == 0
    assert TRACKER in told["obeyed"]
    assert list(told["missing"]) == [ENGINE]
    assert still == killed
    assert (refused, lifted) == (64, 0)
    wait_until(lambda: live.signals() > still)


WALK = re.search(
    r"```sh\n(spread-ctl status --sim .*?)```", README.read_text(encoding="utf-8"), re.DOTALL
)[1]


def test_newcomer_can_walk_through_the_readme(live, tmp_path):
    wait_until(lambda: live.json("history", "--limit", "1")[1] != [])
    statuses = {}
    for line in WALK.splitlines():
        command = line.partition("#")[0].split()
        if "ID" in command:
            _, told = live.json("history", "--limit", "1")
            command[command.index("ID")] = str(first_id(told))
        assert command[0] == "spread-ctl"
        words = [word for word in command[1:] if word != "--sim"]
        if words[0] == "top":
            continue  # has a test of its own, with a terminal
        done = subprocess.run(
            [CTL, *words, "--sim", "--config", live.file], capture_output=True, text=True,
            cwd=tmp_path, check=False,
        )  # fmt: skip
        statuses[line] = (done.returncode, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.stdout or words[0] == "export", line

    # What is held back degrades the status; nothing else goes wrong.
    assert {status for status, _ in statuses.values()} <= {0, 1}, statuses
    assert (tmp_path / "episodes.parquet").stat().st_size > 0


def first_id(told):
    rows = told["episodes"] if isinstance(told, dict) else told
    return rows[0]["episode_id"]


def test_restart_of_one_feed_gives_it_another_process_and_leaves_the_others(live):
    feed, engine = live.pid(FEED), live.pid(ENGINE)

    status, told = live.json("restart", "okx_spot")

    assert status == 0
    assert (told["keeper"], told["programs"], told["late"]) == ("spreadscan up", [FEED], [])
    assert live.pid(FEED) not in {None, feed}
    assert live.pid(ENGINE) == engine


def test_stopped_program_stays_down_until_it_is_started(live):
    stopped, out, _ = live.ctl("stop", "feed-okx-spot.service".replace("feed-", "feed@"))
    down, found = live.json("status")
    started, _, _ = live.ctl("start", FEED)

    states = {row["name"]: row["state"] for row in found["processes"]}
    assert stopped == 0
    assert out == f"stopped by spreadscan up: {FEED}\n"
    assert (down, states[FEED]) == (1, "stopped")
    assert started == 0
    wait_until(live.is_healthy)


def test_killed_process_is_started_again_and_counted(live):
    before = live.pid(TRACKER)
    os.kill(before, signal.SIGKILL)

    wait_until(lambda: live.pid(TRACKER) not in {None, before} and live.is_healthy())

    rows = {row["name"]: row for row in live.json("status")[1]["processes"]}
    assert rows[TRACKER]["restarts"] >= 1


def test_logs_are_those_of_the_programs(live):
    status, out, _ = live.ctl("logs", ENGINE, "-n", "5")
    _, lines, _ = live.ctl("logs", "--json", "-n", "1")

    assert status == 0
    assert f"{ENGINE}: scanning " in out
    names = {json.loads(line)["program"] for line in lines.splitlines()}
    assert {ENGINE, TRACKER, FEED} <= names


def test_logs_can_be_followed(live):
    following = subprocess.Popen(
        [CTL, "logs", "-f", "-n", "0", ENGINE, "--sim", "--config", live.file],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = []
    reading = threading.Thread(target=lambda: lines.extend(following.stdout))
    reading.start()

    def said():
        os.kill(live.pid(ENGINE), signal.SIGHUP)
        return any("universe" in line for line in lines)

    wait_until(said)
    following.send_signal(signal.SIGINT)
    reading.join()
    assert following.wait(30) == 0


def test_unknown_unit_is_a_usage_error(live):
    status, out, err = live.ctl("restart", "feed-kraken-spot")

    assert (status, out) == (64, "")
    assert "found 'feed-kraken-spot', expected one of spread-tracker" in err


def test_status_fits_a_real_terminal_of_eighty_columns(live):
    leader, follower = pty.openpty()
    shown = subprocess.Popen(
        [CTL, "status", "--sim", "--config", live.file], stdout=follower,
        env=os.environ | {"COLUMNS": "80", "TERM": "xterm-256color", "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(follower)
    screen = bytearray()
    read_terminal(leader, screen)
    os.close(leader)

    assert shown.wait(30) == 0
    lines = re.sub(r"\x1b\[[0-9;]*m|\r", "", screen.decode()).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("feed-binance-futures  running") for line in lines)


def test_top_is_a_board_that_answers_keys_and_quits(live):
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    shown = subprocess.Popen(
        [CTL, "top", "--sim", "--config", live.file],
        stdin=follower, stdout=follower, stderr=follower, start_new_session=True,
        env={k: v for k, v in os.environ.items() if k not in {"COLUMNS", "LINES"}}
        | {"TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(follower)
    screen = bytearray()
    reading = threading.Thread(target=read_terminal, args=(leader, screen))
    reading.start()

    wait_until(lambda: b"routes by net" in screen)
    os.write(leader, b"s")
    wait_until(lambda: b"routes by z-score" in screen)
    os.write(leader, b"/okx\r")
    wait_until(lambda: b"only 'okx'" in screen)
    os.write(leader, b"P")
    wait_until(lambda: b"held back: everything" in screen)
    os.write(leader, b"P")
    wait_until(lambda: b"held back: nothing" in screen)
    os.write(leader, b"q")

    assert shown.wait(30) == 0
    reading.join()
    os.close(leader)
    # Each frame begins at the top without a line break; so it is cut there.
    frames = screen.decode(errors="replace").replace("\r", "").split("\x1b[?2026h")
    lines = [line for frame in frames for line in frame.split("\n")]
    assert max(len(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line)) for line in lines) <= 80


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_top_without_a_terminal_prints_lines(live, options):
    shown = subprocess.Popen(
        [CTL, "top", "--sim", "--config", live.file, *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = shown.stdout.readline()
    shown.send_signal(signal.SIGINT)
    shown.stdout.read()

    assert shown.wait(30) == 0
    if options:
        assert len(json.loads(line)["sources"]) == 8
    else:
        assert "messages/s=" in line


def test_doctor_finds_every_simulated_exchange_answering(live):
    status, found = live.json("doctor")
    _, screen, _ = live.ctl("doctor", "--all")

    verdicts = {row["check"]: row["verdict"] for row in found["findings"]}
    asked = [name for name in verdicts if name.endswith((" rest", " websocket"))]
    assert len(asked) == 16
    assert {verdicts[name] for name in asked} == {"ok"}
    assert verdicts["shared memory"] == verdicts["universe"] == "ok"
    assert status in {0, 1}
    assert "okx_futures websocket" in screen


def test_shutdown_ends_everything_in_order_and_is_an_orderly_end_of_up(live):
    status, told = live.json("shutdown")

    _, errors = live.process.communicate(timeout=60)
    assert status == 0
    assert told["verb"] == "shutdown"
    # The tracker was killed by a test before this one, which `up` does not forget.
    assert live.process.returncode in {0, 1}
    assert b"Traceback" not in errors
    assert live.json("status")[0] == 3
