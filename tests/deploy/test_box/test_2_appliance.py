"""The host becomes the appliance, and is what it should be."""

import re
import time

import pytest
from plays import play

from test_box import STORY

pytestmark = STORY

MAX_EXPOSURE = 2.0


def test_bare_host_becomes_the_appliance(inventory, appliance, measured):
    began_s = time.monotonic()

    play("site.yml", inventory).require_success()

    measured["converge_s"] = time.monotonic() - began_s
    assert appliance.inactive() == []


def test_second_run_changes_nothing(inventory, quick, measured):
    began_s = time.monotonic()

    recap = play("site.yml", inventory, environment=quick).require_success()

    measured["second_run_s"] = time.monotonic() - began_s
    assert recap.changed == 0, recap.output[-6000:]


def test_check_mode_on_the_appliance_is_clean(inventory, quick):
    recap = play("site.yml", inventory, "--check", environment=quick).require_success()

    assert recap.changed == 0, recap.output[-6000:]


@pytest.fixture(scope="module")
def host(box):
    import testinfra  # noqa: PLC0415 - of the deployment tests alone

    return testinfra.get_host(f"ssh://{box.name}", ssh_config=str(box.ssh.config))


def test_everything_belongs_to_whom_it_should(host):
    assert host.service("spreadscan.target").is_enabled
    user = host.user("spreadscan")
    assert (user.shell, user.group) == ("/usr/sbin/nologin", "spreadscan")
    for path, owner, mode in [
        ("/opt/spreadscan/current/bin/spreadscan", "root", 0o755),
        ("/etc/spreadscan/config.toml", "root", 0o644),
        ("/run/spreadscan", "spreadscan", 0o2770),
        ("/var/lib/spreadscan/data", "spreadscan", 0o2770),
        ("/dev/shm/spreadscan.control", "spreadscan", 0o660),
        ("/etc", "root", 0o755),
        ("/usr/local/bin", "root", 0o755),
    ]:
        file = host.file(path)
        assert (file.user, file.mode) == (owner, mode), path


def test_units_on_the_host_are_valid_and_confined(box, appliance, measured):
    names = " ".join(appliance.units())
    fault = box.ssh.run(f"systemd-analyze verify --man=no {names}", check=False)
    ours = [*appliance.services(), "shm-init.service", "pair-discovery.service",
            "spreadscan-reload.service", "ledger-compaction.service",
            "spreadscan-disk.service"]  # fmt: skip
    rating = box.ssh.run("systemd-analyze security --no-pager", *ours, check=False).stdout

    scores = {
        name: float(score)
        for name, score in re.findall(r"exposure level for (\S+): ([0-9.]+)", rating)
    }

    measured["exposure"] = scores
    assert (fault.returncode, fault.stderr) == (0, "")
    assert set(scores) == set(ours)
    assert max(scores.values()) <= MAX_EXPOSURE, scores


def test_processes_have_the_rights_they_need_and_no_others(box, appliance):
    own = box.ssh.run("readlink /proc/1/ns/net").stdout.strip()
    for unit, pid in appliance.main_pids().items():
        told = box.ssh.run(f"readlink /proc/{pid}/ns/net; cat /proc/{pid}/status").stdout
        network, *status = told.splitlines()
        rights = dict(line.split(":\t", 1) for line in status if ":\t" in line)

        assert rights["Uid"].split()[0] != "0", unit
        assert int(rights["CapEff"], 16) == 1 << 14, f"{unit}: more or less than CAP_IPC_LOCK"
        assert rights["NoNewPrivs"] == "1", unit
        assert int(rights["VmLck"].split()[0]) > 0, f"{unit}: nothing is locked into memory"
        assert (network == own) is unit.startswith("feed@"), f"{unit}: in {network}, host {own}"


def test_signals_flow_and_everything_is_green(appliance):
    appliance.wait("all green", lambda: appliance.status() == 0)
    appliance.wait("an episode is open", appliance.open_episodes)
    assert appliance.status("alice") == 0
