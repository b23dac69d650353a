"""The list of random faults: repeatable, complete, and nothing that no exchange could do."""

import itertools
import subprocess

import pytest
from fault_run import SPREADSCAN
from random_faults import (
    EXCHANGES,
    KINDS,
    contradict,
    end_s,
    last_end_s,
    random_faults,
    write_scenario,
)

from spreadscan.errors import EXIT_USAGE
from spreadscan.sim.scenario import load_scenario

TIMES = {"first_s": 20.0, "last_s": 68.0, "symbols": 12}


def test_the_same_seed_is_the_same_list():
    assert random_faults(5, **TIMES) == random_faults(5, **TIMES) != random_faults(6, **TIMES)


@pytest.mark.parametrize("seed", range(20, 30))
def test_faults_come_every_few_seconds_of_every_kind_without_contradictions(seed, tmp_path):
    faults = random_faults(seed, **TIMES)

    scenario = load_scenario(write_scenario(tmp_path / "faults.toml", faults), EXCHANGES, 12)
    assert len(scenario.fault) == len(faults)
    times = [fault["at_s"] for fault in faults]
    assert times == sorted(times)
    assert times[0] >= TIMES["first_s"]
    # One that contradicts another is put off once or twice.
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 12.0
    assert len({fault["kind"] for fault in faults}) >= len(KINDS) - 1
    assert not any(contradict(*pair) for pair in itertools.combinations(faults, 2))


def test_last_fault_of_a_listing_is_the_last_one_that_hits_it():
    faults = [
        {"at_s": 5.0, "kind": "stall", "source": "okx_spot", "for_s": 3.0},
        {"at_s": 9.0, "kind": "mute", "source": "okx_spot", "symbol": "BTC-USDT", "for_s": 2.0},
        {"at_s": 20.0, "kind": "drop", "source": "mexc_spot"},
    ]

    assert [end_s(fault) for fault in faults] == [8.0, 11.0, 20.0]
    assert last_end_s(faults, "okx_spot", "BTC-USDT") == 11.0
    assert last_end_s(faults, "okx_spot", "ETH-USDT") == 8.0
    assert last_end_s(faults, "okx_futures", "BTC-USDT-SWAP") == 0.0


@pytest.mark.parametrize("option", ["--scenario", "--truth"])
def test_option_of_the_simulator_without_it_is_a_usage_error(config_dir, option):
    outcome = subprocess.run(
        [SPREADSCAN, "up", "--config", config_dir / "config.toml", option, "file"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert outcome.returncode == EXIT_USAGE
    assert f"{option} needs --sim" in outcome.stderr
