"""``spreadscan up`` and its neighbours as an operator meets them: real console scripts."""

import subprocess
import sysconfig
from pathlib import Path

import orjson
import pytest

from spreadscan.errors import EXIT_USAGE
from spreadscan.runtime.lock import RoleLock
from spreadscan.shm.layout import LAYOUT_VERSION
from spreadscan.shm.region import BUILD_ID

SPREADSCAN = Path(sysconfig.get_path("scripts")) / "spreadscan"


@pytest.fixture
def spreadscan():
    def run(*arguments):
        return subprocess.run(
            [SPREADSCAN, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_wrong_configuration_is_one_line_and_exit_78(spreadscan, make_config):
    config = make_config({"engine.open_net_bps": "much"})

    result = spreadscan("up", "--sim", "--config", config)

    assert result.returncode == 78
    assert result.stdout == ""
    assert result.stderr == (
        f"spreadscan: {config}: engine.open_net_bps: found 'much', expected `float`\n"
    )


@pytest.mark.parametrize(
    "program", ["shm-init", "pair-discovery", "spread-engine", "spread-tracker", "feed-okx-spot"]
)
def test_every_program_tells_a_wrong_configuration_in_one_line(make_config, program):
    config = make_config({"engine.wait_bound_ms": -1})

    result = subprocess.run(
        [SPREADSCAN.with_name(program), "--config", config],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 78
    assert "engine.wait_bound_ms: found -1, expected `int` >= 1" in result.stderr
    assert result.stderr.count("\n") == 1


def test_second_supervisor_on_one_configuration_is_refused(spreadscan, make_config):
    config = make_config({})
    held = RoleLock(config.parent.parent / "run" / "sim", "spreadscan-up")

    result = spreadscan("up", "--sim", "--config", config)
    held.release()

    assert result.returncode == 75
    assert "spreadscan-up: already running (pid " in result.stderr
    assert result.stderr.count("\n") == 1


def test_duration_that_is_none_is_a_usage_error(spreadscan, make_config):
    result = spreadscan("up", "--sim", "--for", "soon", "--config", make_config({}))

    assert result.returncode == EXIT_USAGE
    assert "expected a duration such as 30s" in " ".join(result.stderr.split())


def test_help_names_every_command(spreadscan):
    result = spreadscan("--help")

    assert result.returncode == 0
    for command in ("up", "sim", "decode", "shm-size"):
        assert f" {command} " in result.stdout


def test_size_of_shared_memory_is_told_for_provisioning(spreadscan):
    told = orjson.loads(spreadscan("shm-size", "--json").stdout)

    assert told["layout"] == f"{LAYOUT_VERSION}-{BUILD_ID:08x}"
    assert told["total_bytes"] == sum(told["regions"].values())
    assert told["regions"]["ring"] == 65_536 * 128 + 384
    assert told["huge_pages"] == sum(-(-size // 2**21) for size in told["regions"].values())
    assert f"{told['total_bytes']:,} bytes" in spreadscan("shm-size").stdout
