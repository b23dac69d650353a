"""``spread-ctl config``, ``version``, ``completion`` and ``discover``: thin commands."""

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spreadscan.cli.ctl import app
from spreadscan.config import load_config
from spreadscan.shm.layout import LAYOUT_VERSION, Header, RegionKind
from spreadscan.shm.region import attach_region
from spreadscan.shm.regions import remove_regions

CTL = Path(sysconfig.get_path("scripts")) / "spread-ctl"
ENGINE = "spread-engine"


def ctl(site, *words):
    done = CliRunner().invoke(app, [*words, "--config", str(site.config_file)])
    return done.exit_code, done.stdout, done.stderr


def test_sound_configuration_is_told_with_what_it_means(site):
    status, out, _ = ctl(site, "config", "check")
    _, told, _ = ctl(site, "config", "check", "--json")

    assert status == 0
    assert out == (
        f"{site.config_file}: sound; binance, okx, bybit, mexc, 8 sources, 12 directions\n"
    )
    assert json.loads(told)["sources"][0] == "binance_spot"


def test_mistake_in_the_configuration_is_one_line_and_78(site):
    site.configure({"engine.wait": "nap"})

    status, out, err = ctl(site, "config", "check")

    assert (status, out, err.count("\n")) == (78, "", 1)
    assert err.startswith("spread-ctl: ")
    assert "engine.wait: found 'nap'" in err


def test_values_are_shown_as_on_disk_and_as_a_running_program_goes_by_them(site):
    site.start(ENGINE)
    site.configure({"engine.open_net_bps": 9.0})

    _, on_disk, _ = ctl(site, "config", "show", "engine.open")
    _, running, _ = ctl(site, "config", "show", "engine.open", "--running", ENGINE, "--json")

    assert on_disk == "engine.open_net_bps = 9.0\n"
    assert json.loads(running) == {"engine.open_net_bps": "5.0"}


def test_program_that_does_not_run_has_no_word(site):
    status, out, err = ctl(site, "config", "show", "--running", ENGINE)

    assert (status, out, err.count("\n")) == (3, "", 1)


def test_beginning_of_no_key_is_a_usage_error(site):
    assert ctl(site, "config", "show", "motor.")[0] != 0


def test_version_tells_the_build_and_that_of_the_regions(site):
    _, same, _ = ctl(site, "version", "--json")
    region = attach_region(site.config.shm, RegionKind.HEALTH, writable=True)
    region.mapping.store_word(Header.BUILD_ID, 1)
    _, other, _ = ctl(site, "version", "--json")
    remove_regions(site.config.shm)
    status, none, _ = ctl(site, "version")

    assert json.loads(same)["layout"] == LAYOUT_VERSION
    assert json.loads(same)["regions"] == "this build"
    assert "build id is 1" in json.loads(other)["regions"]
    assert status == 0
    assert none.endswith("regions on this host: none\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_of_that_shell(shell):
    done = CliRunner().invoke(app, ["completion", shell])

    assert done.exit_code == 0
    assert "_SPREAD_CTL_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("spread-ctl re", ["reload", "restart", "resume"]),
        ("spread-ctl restart feed-okx", ["feed-okx-futures", "feed-okx-spot"]),
        ("spread-ctl pause B-", ["B-USDT"]),
        ("spread-ctl pause okx_spot_b", ["okx_spot_binance_futures", "okx_spot_bybit_futures"]),
    ],
)
def test_shell_is_given_commands_units_and_names(site, words, found):
    done = subprocess.run(
        [CTL], capture_output=True, text=True, check=False,
        env=os.environ
        | {"_SPREAD_CTL_COMPLETE": "complete_bash", "COMP_WORDS": words,
           "COMP_CWORD": str(words.count(" ")), "SPREADSCAN_CONFIG": str(site.config_file)},
    )  # fmt: skip

    assert sorted(done.stdout.split()) == found


def test_configuration_may_be_named_by_the_environment(site):
    done = CliRunner().invoke(
        app, ["config", "check"], env={"SPREADSCAN_CONFIG": str(site.config_file)}
    )

    assert done.stdout.startswith(f"{site.config_file}: sound")


def test_discovery_that_cannot_be_done_keeps_its_own_exit_status(site, tmp_path):
    status, _, err = ctl(site, "discover", "--offline", str(tmp_path / "none"))

    assert status in {75, 78}
    assert "Traceback" not in err
    assert load_config(site.config_file) == site.config
