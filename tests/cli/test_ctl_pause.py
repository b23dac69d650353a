"""``spread-ctl pause``, ``resume`` and ``kill`` against real programs, and over their restarts."""

import json
import signal
import threading
import time

import pytest
from ctl_cases import block, ctl, until

from spreadscan.holds import Holds, holds_file, read_holds
from spreadscan.ops.operation_log import operations_file
from spreadscan.runtime.lock import CONTROL_ROLE, RoleLock
from spreadscan.shm.init import main as shm_init
from spreadscan.shm.regions import remove_regions

ENGINE, TRACKER = "spread-engine", "spread-tracker"
DIRECTION = "binance_spot_bybit_futures"


@pytest.fixture
def running(site):
    site.engine, site.tracker = site.start(ENGINE, TRACKER)
    return site


def held(site):
    holds, trouble = read_holds(site.config)
    assert trouble == ""
    return holds


def test_pause_of_everything_is_obeyed_by_all_and_stored(running):
    status, out, err = ctl(running, "pause", "--reason", "upgrade")

    assert (status, err) == (0, "")
    assert out == f"held back: everything (upgrade)\nobeyed by 2: {TRACKER}, {ENGINE}\n"
    assert block(running).is_paused
    assert block(running).reason == "upgrade"
    assert running.slot(ENGINE).obeyed_generation == block(running).generation
    assert held(running).everything


def test_single_names_become_their_bits_and_are_let_go_one_by_one(running):
    ctl(running, "pause", "okx_spot", DIRECTION)
    status, out, _ = ctl(running, "pause", "B-USDT", "--json")
    paused = block(running)
    _, said, _ = ctl(running, "resume", "okx_spot")
    rest = block(running)
    unnamed, _, why = ctl(running, "resume")
    _, freed, _ = ctl(running, "resume", "all")

    told = json.loads(out)
    assert status == 0
    assert told["holds"]["symbols"] == ["B-USDT"]
    assert told["obeyed"] == [TRACKER, ENGINE]
    assert (paused.paused_sources, paused.paused_directions) == (1 << 4, 1 << 0)
    assert paused.paused_symbols == 1 << 1
    assert not paused.is_paused
    assert (rest.paused_sources, rest.paused_directions, rest.paused_symbols) == (0, 1, 2)
    assert "held by name until `resume NAME` or `resume all`" in said
    assert (unnamed, why.count("\n")) == (64, 1)
    assert f"expected 'all' or what is held: {DIRECTION}, B-USDT" in why
    assert freed.startswith("held back: nothing\n")
    assert (block(running).paused_directions, block(running).paused_symbols) == (0, 0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pause", "kraken_spot"), "found 'kraken_spot', expected 'all', a source"),
        (("pause", "Z-USDT"), "found 'Z-USDT', expected 'all', a source"),
        (("resume", "okx_spot"), "expected what is held by name: nothing is"),
    ],
)
def test_name_that_cannot_be_meant_is_a_usage_error_and_changes_nothing(site, words, expected):
    status, out, err = ctl(site, *words)

    assert (status, out) == (64, "")
    assert expected in err
    assert err.count("\n") == 1
    assert block(site).generation == 0
    assert not holds_file(site.config).exists()


def test_kill_holds_until_somebody_resumes_with_a_reason(running):
    ctl(running, "pause", "A-USDT")
    status, out, _ = ctl(running, "kill", "--reason", "wrong prices")
    refused, _, err = ctl(running, "resume")
    still = block(running)
    _, named, _ = ctl(running, "resume", "A-USDT")
    assert named.startswith("held back: everything, killed (wrong prices)\n")
    assert block(running).is_killed
    ctl(running, "pause", "A-USDT")
    lifted, *_ = ctl(running, "resume", "--reason", "prices are right")
    assert not block(running).is_killed
    assert held(running).words == "A-USDT"
    ctl(running, "resume", "all", "--reason", "A as well")

    assert status == 0
    assert out.startswith("held back: everything, killed, A-USDT (wrong prices)\n")
    assert (refused, err.count("\n")) == (64, 1)
    assert "killed (wrong prices): found no --reason" in err
    assert still.is_killed
    assert lifted == 0
    assert not block(running).is_killed
    assert not held(running).is_any
    told = [json.loads(line) for line in operations_file(running.config).read_text().splitlines()]
    assert [(line["command"], line["reason"]) for line in told] == [
        ("pause", ""), ("kill", "wrong prices"), ("resume", ""), ("pause", ""),
        ("resume", "prices are right"), ("resume", "A as well"),
    ]  # fmt: skip
    assert all(line["by"] and line["at"] for line in told)


def test_kill_with_the_engine_stopped_is_confirmed_by_the_tracker(running):
    running.engine.send_signal(signal.SIGSTOP)

    status, out, err = ctl(running, "kill", "--timeout", "4s")
    word = block(running).is_killed
    running.engine.send_signal(signal.SIGCONT)

    assert (status, word) == (0, True)
    assert f"obeyed by 1: {TRACKER}\n" in out
    assert f"not obeyed within 4 s: {ENGINE} (hangs" in err
    until(lambda: running.slot(ENGINE).obeyed_generation == block(running).generation, "obedience")


def test_kill_waits_for_no_operator_who_hangs(running, monkeypatch):
    monkeypatch.setattr("spreadscan.runtime.lock.CONTROL_PATIENCE_S", 6.0)
    # Somebody's command stands still with the lock, before a disk that does not answer.
    lock = RoleLock(running.run_dir, CONTROL_ROLE)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(ctl(running, "kill", "--reason", "r")))
    before_ns = time.monotonic_ns()
    thread.start()
    until(lambda: block(running).is_killed, "the kill")
    took_s = (time.monotonic_ns() - before_ns) / 1e9
    until(lambda: running.slot(TRACKER).obeyed_generation >= 1, "the tracker's word")
    thread.join(20)
    lock.release()

    ((status, out, err),) = seen
    # The lock is waited for afterwards.
    assert took_s < 5.0
    assert status == 1
    assert out == f"held back: everything, killed (r)\nobeyed by 2: {TRACKER}, {ENGINE}\n"
    assert err.startswith("spread-ctl: in force, but lost with a restart: control: already running")
    assert block(running).is_killed


def test_name_that_left_the_universe_is_shown_as_held_when_it_comes_back(running):
    ctl(running, "pause", "B-USDT", "--reason", "wrong coin")
    running.publish(2, "A")
    running.reload()
    _, out, _ = ctl(running, "status", "--json")
    _, screen, _ = ctl(running, "status")
    freed, said, _ = ctl(running, "resume", "B-USDT")
    _, after, _ = ctl(running, "status", "--json")

    control = json.loads(out)["control"]
    assert (control["held_back"], control["absent"]) == ("", ["B-USDT"])
    assert "held      when it comes back: B-USDT\n" in screen
    assert (freed, said.splitlines()[0]) == (0, "held back: nothing")
    assert json.loads(after)["control"]["absent"] == []


def test_pause_that_somebody_has_not_obeyed_names_it(running):
    running.engine.send_signal(signal.SIGSTOP)

    status, out, err = ctl(running, "pause", "--timeout", "4s", "--json")

    assert status == 75
    assert list(json.loads(out)["missing"]) == [ENGINE]
    assert f"{ENGINE} (hangs, no heartbeat for " in err


def test_holds_come_back_with_new_regions_before_anybody_can_signal(site, capsys):
    ctl(site, "pause", "okx_spot", "B-USDT", "--reason", "maintenance")
    ctl(site, "kill", "--reason", "r")
    remove_regions(site.config.shm)  # as a reboot does

    status = shm_init(["--config", str(site.config_file)])

    found = block(site)
    assert status == 0
    assert "held back: everything, killed, okx_spot, B-USDT (r)\n" in capsys.readouterr().out
    assert (found.is_killed, found.paused_sources, found.paused_symbols) == (True, 16, 2)
    assert (found.is_paused, found.reason) == (False, "r")


def test_nothing_running_and_no_regions_is_for_the_next_start(site):
    remove_regions(site.config.shm)

    status, out, err = ctl(site, "pause")

    assert (status, err) == (0, "")
    assert out == "held back: everything\nnothing is running: it counts from the next start\n"
    assert held(site).everything


def test_file_that_cannot_be_read_holds_everything_and_resume_mends_it(site, capsys):
    holds_file(site.config).parent.mkdir()
    holds_file(site.config).write_text('{"killed": 5}')

    shm_init(["--config", str(site.config_file)])
    said, found = capsys.readouterr().out, block(site)
    status, *_ = ctl(site, "resume")

    assert f"everything is held back: {holds_file(site.config)}: found " in said
    assert (found.is_paused, found.is_killed) == (True, False)
    assert status == 0
    assert held(site) == Holds(since=held(site).since)
    assert not block(site).is_paused


def test_hold_that_cannot_be_stored_is_in_force_and_said(running):
    # A folder in the way of the file: what a full or read-only disk does, for root too.
    holds_file(running.config).with_suffix(".new").mkdir(parents=True)

    status, out, err = ctl(running, "pause")

    assert status == 1
    assert "obeyed by 2" in out
    assert err.startswith("spread-ctl: in force, but lost with a restart: ")
    assert block(running).is_paused


def test_reload_gives_held_names_the_numbers_of_the_new_universe(running):
    ctl(running, "pause", "B-USDT")
    running.publish(2, "A", "B", numbers={"A": 1, "B": 5})

    status, *_ = running.reload()

    assert status == 0
    assert block(running).paused_symbols == 1 << 5
