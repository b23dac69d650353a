"""``spread-ctl reload`` against real programs: who obeys, who is named, what is refused."""

import signal

import orjson
import pytest
from ctl_cases import until

from spreadscan.errors import EXIT_CONFIG, EXIT_NOT_RUNNING, EXIT_TEMPORARY, EXIT_USAGE
from spreadscan.runtime.in_force import config_in_force
from spreadscan.runtime.lock import RoleLock
from spreadscan.shm.control import ControlReader
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.region import remove_region
from spreadscan.shm.regions import attach_regions

ENGINE, TRACKER = "spread-engine", "spread-tracker"


@pytest.fixture
def running(site):
    site.engine, site.tracker = site.start(ENGINE, TRACKER)
    return site


def commands(site):
    """How many commands the control block has seen."""
    regions = attach_regions(site.config.shm, reads=[RegionKind.CONTROL], writes=(), timeout_s=0)
    return ControlReader(regions.control).generation()


def test_reload_tells_what_changed_and_who_obeyed(running):
    running.publish(2, "B", "C", "D")

    status, out, err = running.reload()

    assert (status, err) == (0, "")
    assert out == (
        "universe 1 -> 2: symbols added 2 (C-USDT, D-USDT), symbols removed 1 (A-USDT), "
        "pairs added 2, pairs removed 1\n"
        f"obeyed by 2: {TRACKER}, {ENGINE}\n"
    )
    for name in (ENGINE, TRACKER):
        assert running.slot(name).universe_generation == 2
        assert running.slot(name).obeyed_generation == commands(running) == 1


def test_json_has_every_name_also_of_a_reload_that_changes_nothing(running):
    running.publish(2, "B", "C")

    status, out, _ = running.reload("--json")
    again, out_again, _ = running.reload("--json")

    direction = running.config.directions[0].name
    assert (status, again) == (0, 0)
    assert orjson.loads(out) == {
        "command": 1,
        "before": [1],
        "generation": 2,
        "changes": {
            "symbols_added": ["C-USDT"],
            "symbols_removed": ["A-USDT"],
            "pairs_added": [f"{direction} C-USDT"],
            "pairs_removed": [f"{direction} A-USDT"],
        },
        "config": [],
        "restart": {},
        "unknown": [],
        "obeyed": [TRACKER, ENGINE],
        "missing": {},
    }
    told = orjson.loads(out_again)
    assert (told["command"], told["before"], told["generation"]) == (2, [2], 2)
    assert not any(told["changes"].values())


def test_dry_run_shows_what_would_change_and_asks_nobody(running):
    running.publish(2, "A", "B", "C")
    running.configure(
        {"engine.open_net_bps": 7.5, "feed.retry_cap_s": 30.0, "tracker.data_dir": "x"}
    )

    status, out, err = running.reload("--dry-run")

    assert (status, err) == (0, "")
    # No feed runs, so nobody has another feed.retry_cap_s.
    assert out == (
        "universe 1 -> 2: symbols added 1 (C-USDT), pairs added 1\n"
        f"engine.open_net_bps: 5.0 -> 7.5, taken over by {ENGINE}\n"
        f"tracker.data_dir: data -> x, needs a restart of {TRACKER}\n"
        f"restart {TRACKER} for tracker.data_dir\n"
    )
    assert commands(running) == 0


def test_live_keys_are_taken_over_and_others_are_named_until_a_restart(running):
    running.configure({
        "engine.wait": "eventfd", "fees.okx.spot.taker_bps": 1.0, "tracker.max_life_s": 60.0,
        "runtime.heartbeat_interval_ms": 50,
    })  # fmt: skip

    status, out, _ = running.reload("--json")
    again = orjson.loads(running.reload("--json")[1])

    told = orjson.loads(out)
    keys = {row["key"]: (row["effect"], row["programs"]) for row in told["config"]}
    assert status == 0
    assert keys == {
        "engine.wait": ("live", [ENGINE]),
        "fees.okx_spot.taker_bps": ("live", [TRACKER, ENGINE]),
        "tracker.max_life_s": ("live", [TRACKER]),
        "runtime.heartbeat_interval_ms": ("restart", [TRACKER, ENGINE]),
    }
    assert running.slot(ENGINE).status.endswith("wait=eventfd")
    in_force = config_in_force(running.run_dir, TRACKER)
    assert (in_force.tracker.max_life_s, in_force.runtime.heartbeat_interval_ms) == (60.0, 100)
    # What is taken over differs no more; what needs a restart does until then.
    assert [row["key"] for row in again["config"]] == ["runtime.heartbeat_interval_ms"]
    assert again["restart"].keys() == {TRACKER, ENGINE}


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_configuration_that_cannot_be_used_is_refused_before_anybody_is_asked(running, options):
    running.configure({"engine.wait": "nap"})

    status, out, err = running.reload(*options)

    assert (status, out) == (EXIT_CONFIG, "")
    assert "engine.wait: found 'nap'" in err
    assert err.count("\n") == 1
    assert commands(running) == 0


def test_set_that_is_not_kept_any_more_is_admitted(site):
    site.start(ENGINE)
    for generation in range(2, 7):
        site.publish(generation, "A", "B", "C")

    status, out, _ = site.reload()

    assert status == 0
    assert out.startswith("universe 1 -> 6: what changed is not known")


def test_reload_with_nothing_running_is_one_line_and_exit_3(site):
    ctl = site.ctl("reload")
    out, err = ctl.communicate(timeout=30)

    assert (ctl.returncode, out) == (EXIT_NOT_RUNNING, "")
    assert err == f"spread-ctl: nothing is running: no program holds its lock in {site.run_dir}\n"
    assert commands(site) == 0


def test_damaged_universe_is_refused_before_anybody_is_asked(site):
    site.start(ENGINE)
    site.publish(2, "B")
    (site.folder / "directions.bin").write_bytes(b"damaged")

    status, out, err = site.reload()

    assert (status, out) == (EXIT_CONFIG, "")
    assert err.startswith(f"spread-ctl: {site.folder}/directions.bin: found SHA-256 ")
    assert err.count("\n") == 1
    assert commands(site) == 0
    assert site.slot(ENGINE).universe_generation == 1


def test_process_that_hangs_is_named_when_the_time_is_over_and_obeys_when_it_wakes(running):
    running.publish(2, "B")
    running.tracker.send_signal(signal.SIGSTOP)

    status, out, err = running.reload("--timeout", "4s", "--json")
    running.tracker.send_signal(signal.SIGCONT)
    until(lambda: running.slot(TRACKER).obeyed_generation == 1, "the tracker's obedience")

    told = orjson.loads(out)
    assert status == EXIT_TEMPORARY
    assert told["obeyed"] == [ENGINE]
    assert list(told["missing"]) == [TRACKER]
    assert err.startswith(f"spread-ctl: not obeyed within 4 s: {TRACKER} (hangs, no heartbeat")
    assert err.count("\n") == 1
    assert running.slot(TRACKER).universe_generation == 2


def test_process_that_ends_meanwhile_is_named(running):
    running.publish(2, "B")
    running.tracker.send_signal(signal.SIGSTOP)

    ctl = running.ctl("reload", "--timeout", "8s")
    until(lambda: running.slot(ENGINE).obeyed_generation == 1, "the engine's obedience")
    running.tracker.kill()
    out, err = ctl.communicate(timeout=30)

    assert ctl.returncode == EXIT_TEMPORARY
    assert f"obeyed by 1: {ENGINE}\n" in out
    assert f"{TRACKER} (has ended)" in err


def test_process_that_is_started_again_meanwhile_counts_as_having_obeyed(running):
    running.publish(2, "B")
    running.tracker.send_signal(signal.SIGSTOP)

    ctl = running.ctl("reload", "--timeout", "25s")
    until(lambda: running.slot(ENGINE).obeyed_generation == 1, "the engine's obedience")
    running.tracker.kill()
    running.tracker.wait()
    running.start(TRACKER)
    out, _ = ctl.communicate(timeout=30)

    assert ctl.returncode == 0
    assert f"obeyed by 2: {TRACKER}, {ENGINE}\n" in out


def test_process_that_reads_another_folder_is_told_with_its_universe_and_status(site, make_config):
    site.start(ENGINE)
    elsewhere = site.config_file.parent.parent / "elsewhere"
    site.publish(2, "B", folder=elsewhere)
    site.config_file = make_config({"runtime.generated_dir": str(elsewhere)})

    status, _, err = site.reload("--timeout", "1s")

    assert status == EXIT_TEMPORARY
    assert f"{ENGINE} (at command 1, universe 1: scanning 2 routes" in err


def test_two_at_once_both_succeed_with_commands_of_their_own(running):
    running.publish(2, "B")

    both = [running.ctl("reload", "--json") for _ in range(2)]
    told = [orjson.loads(each.communicate(timeout=30)[0]) for each in both]

    assert [each.returncode for each in both] == [0, 0]
    assert sorted(each["command"] for each in told) == [1, 2]
    assert all(each["obeyed"] == [TRACKER, ENGINE] for each in told)
    assert running.slot(ENGINE).universe_generation == 2


def test_writer_that_does_not_come_to_an_end_is_named(site):
    # A held lock is a running program; the test holds the engine's.
    locks = [RoleLock(site.run_dir, role) for role in (ENGINE, "control")]

    status, _, err = site.reload()
    for lock in locks:
        lock.release()

    assert status == EXIT_TEMPORARY
    assert err.startswith("spread-ctl: control: already running (pid ")
    assert err.count("\n") == 1
    assert commands(site) == 0


@pytest.mark.parametrize("kind", [RegionKind.CONTROL, RegionKind.HEALTH])
def test_absent_region_is_one_line(site, kind):
    lock = RoleLock(site.run_dir, ENGINE)
    remove_region(site.config.shm, kind)

    status, out, err = site.reload()
    lock.release()

    assert (status, out) == (EXIT_TEMPORARY, "")
    assert err.endswith("no such shared-memory region; run shm-init first\n")
    assert err.count("\n") == 1


def test_run_folder_that_cannot_be_used_is_one_line(site):
    site.run_dir.write_text("in the way")

    status, out, err = site.reload()

    assert (status, out) == (EXIT_CONFIG, "")
    assert "expected the locks of the programs" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [["refresh"], ["reload", "--timeout", "soon"]])
def test_wrong_command_line_is_a_usage_error(site, words):
    ctl = site.ctl(*words)
    ctl.communicate(timeout=30)

    assert ctl.returncode == EXIT_USAGE
