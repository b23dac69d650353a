"""``spread-ctl pause``, ``resume`` and ``kill`` against real programs, and over their restarts."""

import json
import signal

import pytest
from ctl_cases import Site, until
from typer.testing import CliRunner

from spreadscan.cli.ctl import app
from spreadscan.holds import Holds, holds_file, read_holds
from spreadscan.ops.holding import operations_file
from spreadscan.shm.control import ControlReader
from spreadscan.shm.init import main as shm_init
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.region import attach_region
from spreadscan.shm.regions import remove_regions

ENGINE, TRACKER = "spread-engine", "spread-tracker"
DIRECTION = "binance_spot_bybit_futures"


@pytest.fixture
def site(make_config):
    site = Site(make_config({}))
    site.publish(1, "A", "B")
    yield site
    site.close()


@pytest.fixture
def running(site):
    site.engine, site.tracker = site.start(ENGINE, TRACKER)
    return site


def ctl(site, *words):
    done = CliRunner().invoke(app, [*words, "--config", str(site.config_file)])
    return done.exit_code, done.stdout, done.stderr


def block(site):
    return ControlReader(attach_region(site.config.shm, RegionKind.CONTROL, writable=False)).state()


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
    ctl(running, "resume", "okx_spot")
    rest = block(running)
    _, freed, _ = ctl(running, "resume")

    told = json.loads(out)
    assert status == 0
    assert told["holds"]["symbols"] == ["B-USDT"]
    assert told["obeyed"] == [TRACKER, ENGINE]
    assert (paused.paused_sources, paused.paused_directions) == (1 << 4, 1 << 0)
    assert paused.paused_symbols == 1 << 1
    assert not paused.is_paused
    assert (rest.paused_sources, rest.paused_directions, rest.paused_symbols) == (0, 1, 2)
    assert freed.startswith("held back: nothing\n")
    assert (block(running).paused_directions, block(running).paused_symbols) == (0, 0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pause", "kraken_spot"), "found 'kraken_spot', expected a source"),
        (("pause", "Z-USDT"), "found 'Z-USDT', expected a source"),
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
    lifted, *_ = ctl(running, "resume", "--reason", "prices are right")

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
        ("pause", ""), ("kill", "wrong prices"), ("resume", "prices are right"),
    ]  # fmt: skip
    assert all(line["by"] and line["at"] for line in told)


def test_kill_with_the_engine_stopped_is_confirmed_by_the_tracker(running):
    running.engine.send_signal(signal.SIGSTOP)

    status, out, err = ctl(running, "kill", "--timeout", "1500ms")
    word = block(running).is_killed
    running.engine.send_signal(signal.SIGCONT)

    assert (status, word) == (0, True)
    assert f"obeyed by 1: {TRACKER}\n" in out
    assert f"not obeyed within 1.5 s: {ENGINE} (hangs" in err
    until(lambda: running.slot(ENGINE).obeyed_generation == block(running).generation, "obedience")


def test_pause_that_somebody_has_not_obeyed_names_it(running):
    running.engine.send_signal(signal.SIGSTOP)

    status, out, err = ctl(running, "pause", "--timeout", "1200ms", "--json")

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
