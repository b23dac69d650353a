"""Before anything is changed: mistakes, a look ahead, and a play that is cut off."""

import re
import shutil

import pytest
from plays import interrupt, play, write_inventory

from test_box import STORY

pytestmark = STORY

OTHER_PYTHON = (
    r"found wheelhouse-cp39-(\S+)\.tar in .* expected wheelhouse-cp(\d)(\d+)-\1 and its \.tar: "
    r"run `make wheelhouse PYTHON=python\2\.\3` on \1"
)
# What an inventory says wrong of a host, and what is said of that host.
MISTAKES = {
    "unknown-variable": ({"spreadscan_operatros": ["alice"]}, "found spreadscan_operatros in"),
    "wrong-type": ({"hugepages_enabled": "perhaps"}, "hugepages_enabled.*perhaps"),
    "absent-cpu": (
        {"cpu_isolation_housekeeping": "0", "cpu_isolation_engine": "99"},
        "engine=99",
    ),
    "overlapping-cpus": (
        {"cpu_isolation_housekeeping": "0-1", "cpu_isolation_engine": "1"},
        "without a common CPU",
    ),
    "too-little-memory": (
        {"hugepages_enabled": True, "hugepages_count": 9_999_999},
        "hugepages_count=9999999",
    ),
    "unknown-setting": (
        {"spreadscan_settings": {"config": {"engine": {"open_net_pbs": 4}}}},
        r"config.toml: \[engine\] open_net_pbs: found no such key",
    ),
    "no-wheel": ({"spreadscan_wheelhouses": "/nowhere"}, "found no wheelhouse in /nowhere"),
    "wheel-for-another-python": ({}, OTHER_PYTHON),
    "away": (
        {"ansible_port": 1, "ansible_ssh_common_args": "", "ansible_host": "127.0.0.1"},
        "UNREACHABLE.*Connection refused",
    ),
    "without-mistake": (
        {},
        "found absent-cpu, away, no-wheel, .* expected none; nothing is changed",
    ),
}


@pytest.fixture(scope="module")
def mistaken(box, workshop, variables, wheelhouse, quick):
    """One play on hosts with a mistake each, and one that has none; all of them are the box."""
    other = workshop / "other-python"
    for built in (wheelhouse, wheelhouse.with_suffix(".tar")):
        name = re.sub(r"-cp\d+-", "-cp39-", built.name)
        (shutil.copytree if built.is_dir() else shutil.copy)(built, other / name)
    names = {name: own for name, (own, _) in MISTAKES.items()}
    names["wheel-for-another-python"] = {"spreadscan_wheelhouses": str(other)}
    inventory = write_inventory(workshop / "mistaken.json", box.ssh, variables, names)
    return play("site.yml", inventory, environment=quick)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_said_of_its_host(mistaken, name):
    _, found = MISTAKES[name]

    assert re.search(found, mistaken.said_of(name)), mistaken.output[-6000:]


def test_mistake_at_one_host_stops_before_any_is_changed(mistaken, appliance, before):
    assert mistaken.status != 0
    assert (mistaken.changed, mistaken.unreachable) == (0, 1)
    assert mistaken.failed == len(MISTAKES) - 1
    assert appliance.leavings() == before


def test_check_mode_on_the_bare_host_changes_nothing(appliance, inventory, quick, before):
    recap = play("site.yml", inventory, "--check", "--diff", environment=quick).require_success()

    assert recap.changed > 0
    assert appliance.leavings() == before


def test_play_that_is_interrupted_while_it_installs_leaves_nothing_half(box, inventory, quick):
    interrupt("site.yml", inventory, environment=quick, at="Install exactly these wheels")

    assert box.ssh.run("ls /opt/spreadscan/venvs/*/.complete", check=False).returncode != 0
    assert box.ssh.run("test -e /opt/spreadscan/current", check=False).returncode != 0
