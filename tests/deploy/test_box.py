"""Leg N: a bare Debian becomes the appliance, is broken in every way, and is bare again.

A story in order: each test begins where the one before ended. The simulated exchanges run beside
the box, in its network; everything else is what a real host would have.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from appliance import Appliance
from plays import ANSIBLE, play, write_inventory
from wheelhouses import as_version

pytestmark = [pytest.mark.deploy, pytest.mark.scenario("box"), pytest.mark.timeout(1500)]

MAX_EXPOSURE = 2.0
# Kernel settings that belong to this host and not to a container on it.
NOT_OF_A_CONTAINER = [
    "kernel.nmi_watchdog", "kernel.numa_balancing", "kernel.sched_rt_runtime_us",
    "kernel.timer_migration", "kernel.watchdog", "net.core.busy_poll", "net.core.busy_read",
    "net.core.netdev_max_backlog", "net.core.rmem_max", "net.core.wmem_max", "vm.stat_interval",
    "vm.swappiness",
]  # fmt: skip
BROKEN_ENGINE = '\nraise RuntimeError("this version does not work")\n'
# What an appliance may leave in a file system, listed before and after.
LEFT = (
    "find /etc /opt /usr/local /root /home /dev/shm /run/spreadscan /run/systemd/system "
    "/var/lib/spreadscan "
    "-not -type d -not -path '/root/.ansible*' -not -name '*-' 2>/dev/null | sort"
)

measured = {}


@pytest.fixture(scope="module")
def box(workshop):
    from box import Box  # noqa: PLC0415 - only where these tests run
    from machine_images import root_file_system  # noqa: PLC0415

    box = Box(f"spreadbox-{os.getpid()}", root_file_system(), workshop / "box")
    try:
        box.add_user("alice")
        box.add_user("mallory")
        yield box
    finally:
        box.stop()


@pytest.fixture(scope="module")
def appliance(box):
    return Appliance(box.ssh)


@pytest.fixture(scope="module")
def host(box):
    import testinfra  # noqa: PLC0415 - of the deployment tests alone

    return testinfra.get_host(f"ssh://{box.name}", ssh_config=str(box.ssh.config))


@pytest.fixture(scope="module", autouse=True)
def _exchanges(box, workshop, simulator):
    options = ("--rate", "400", "--universe-size", "32")
    with simulator(workshop, *options, before=box.in_network()):
        yield


@pytest.fixture(scope="module")
def variables(simulated_settings, wheelhouse):
    return {
        "os_tuning_update_package_lists": False,
        "os_tuning_ignored_sysctls": NOT_OF_A_CONTAINER,
        "spreadscan_operators": ["alice"],
        "spreadscan_settings": simulated_settings(),
        "spreadscan_wheelhouse": str(wheelhouse),
    }


@pytest.fixture(scope="module")
def inventory(box, workshop, variables):
    return write_inventory(workshop / "inventory.json", box.ssh, variables)


@pytest.fixture(scope="module", autouse=True)
def before(box):
    """What the bare machine holds, listed before anything is done to it."""
    return set(box.ssh.run(LEFT, check=False).stdout.splitlines())


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        ({"spreadscan_operatros": ["alice"]}, "spreadscan_operatros"),
        ({"hugepages_enabled": "perhaps"}, "hugepages_enabled.*perhaps"),
        ({"cpu_isolation_housekeeping": "0", "cpu_isolation_engine": "99"}, "engine=99"),
        (
            {"cpu_isolation_housekeeping": "0-1", "cpu_isolation_engine": "1"},
            "without a common CPU",
        ),
        ({"hugepages_enabled": True, "hugepages_count": 9_999_999}, "hugepages_count=9999999"),
        (
            {"spreadscan_settings": {"config": {"engine": {"open_net_pbs": 4}}}},
            r"config.toml: \[engine\] open_net_pbs: found no such key",
        ),
        ({"spreadscan_wheelhouse": "/nowhere"}, "found no wheel"),
        ({"other_python": True}, "expected a wheel for cp311"),
    ],
    ids=["unknown variable", "wrong type", "absent CPU", "overlapping CPUs", "too little memory",
         "unknown setting", "no wheel", "wheel for another Python"],
)  # fmt: skip
def test_mistake_in_the_inventory_stops_before_anything_is_changed(
    box, workshop, variables, quick, before, wheelhouse, wrong, found
):
    if wrong.pop("other_python", False):
        other = as_version(wheelhouse, workshop, "0.1.9", {})
        [wheel] = other.glob("spreadscan-*.whl")
        wheel.rename(wheel.with_name(wheel.name.replace("cp311", "cp39")))
        wrong = {"spreadscan_wheelhouse": str(other)}
    inventory = write_inventory(workshop / "wrong.json", box.ssh, {**variables, **wrong})

    recap = play("site.yml", inventory, environment=quick)

    assert recap.status != 0
    assert recap.changed == 0
    assert re.search(found, " ".join(recap.output.split())), recap.output[-3000:]
    assert set(box.ssh.run(LEFT, check=False).stdout.splitlines()) == before


def test_unreachable_host_is_said_at_once(box, workshop, variables):
    away = {
        **variables,
        "ansible_port": 1,
        "ansible_ssh_common_args": "",
        "ansible_host": "127.0.0.1",
    }
    inventory = write_inventory(workshop / "away.json", box.ssh, away)

    recap = play("site.yml", inventory, timeout_s=60)

    assert (recap.unreachable, recap.changed) == (1, 0)
    assert "Connection refused" in recap.output


def test_check_mode_on_the_bare_host_changes_nothing(box, inventory, quick, before):
    recap = play("site.yml", inventory, "--check", "--diff", environment=quick).require_success()

    assert recap.changed > 0
    assert set(box.ssh.run(LEFT, check=False).stdout.splitlines()) == before


def test_interrupted_play_is_continued_by_the_next(box, inventory, quick, appliance):
    environment = {**os.environ, **quick, "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg")}
    scripts = Path(sys.executable).parent
    interrupted = subprocess.Popen(
        [scripts / "ansible-playbook", "--inventory", inventory, ANSIBLE / "site.yml"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ANSIBLE,
        env=environment, start_new_session=True,
    )  # fmt: skip
    for line in interrupted.stdout:
        if "Install exactly these wheels" in line:
            break
    os.killpg(interrupted.pid, signal.SIGKILL)
    interrupted.wait()
    interrupted.stdout.close()

    assert box.ssh.run("ls /opt/spreadscan/venvs/*/.complete", check=False).returncode != 0
    assert box.ssh.run("test -e /opt/spreadscan/current", check=False).returncode != 0


def test_bare_host_becomes_the_appliance(inventory, appliance):
    began_s = time.monotonic()

    play("site.yml", inventory).require_success()

    measured["converge_s"] = time.monotonic() - began_s
    assert appliance.inactive() == []


def test_second_run_changes_nothing(inventory, quick):
    began_s = time.monotonic()

    recap = play("site.yml", inventory, environment=quick).require_success()

    measured["second_run_s"] = time.monotonic() - began_s
    assert recap.changed == 0, recap.output[-6000:]


def test_check_mode_on_the_appliance_is_clean(inventory, quick):
    recap = play("site.yml", inventory, "--check", environment=quick).require_success()

    assert recap.changed == 0, recap.output[-6000:]


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


def test_units_on_the_host_are_valid_and_confined(box, appliance):
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


def test_member_of_the_group_steers_without_root(box, appliance):
    for command in ("pause --reason drill", "resume --reason over", "reload"):
        steered = box.ssh.run(f"spread-ctl {command}", user="alice", check=False)
        assert steered.returncode == 0, f"{command}: {steered.stderr}"
    box.ssh.run("systemctl restart feed@okx-spot.service", user="alice")
    forbidden = box.ssh.run("systemctl restart ssh.service", user="alice", check=False)

    assert forbidden.returncode != 0
    assert appliance.inactive() == []


@pytest.mark.parametrize("command", ["status", "pause --reason drill", "reload"])
def test_somebody_else_is_refused_in_one_clear_line(box, command):
    refused = box.ssh.run(f"spread-ctl {command}", user="mallory", check=False)

    assert refused.returncode in {75, 78}
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "ermi" in refused.stderr or "member" in refused.stderr


def test_somebody_else_cannot_steer_units(box):
    refused = box.ssh.run("systemctl restart spread-engine.service", user="mallory", check=False)

    assert refused.returncode != 0


def test_hung_feed_is_killed_by_its_watchdog_and_comes_back(box, appliance):
    unit = "feed@bybit-spot.service"
    pid = appliance.main_pids()[unit]

    box.ssh.run(f"kill -STOP {pid}")
    appliance.wait(
        "a new process",
        lambda: (
            appliance.main_pids()[unit] not in {0, pid}
            and appliance.show(unit, "ActiveState")["ActiveState"] == "active"
        ),
    )

    journal = box.ssh.run(f"journalctl --no-pager --unit={unit}").stdout
    assert "Watchdog timeout" in journal
    appliance.wait("all green", lambda: appliance.status() == 0)


def test_every_killed_process_is_back_by_itself(box, appliance):
    kept = eventfd_ids(box, appliance)
    restart_s = {}

    for unit, pid in appliance.main_pids().items():
        killed_us = time.monotonic_ns() // 1000
        box.ssh.run(f"kill -KILL {pid}")

        def is_back(unit=unit, killed_us=killed_us):
            shown = appliance.show(unit, "ActiveState", "ActiveEnterTimestampMonotonic")
            entered_us = int(shown["ActiveEnterTimestampMonotonic"])
            return shown["ActiveState"] == "active" and entered_us > killed_us and entered_us

        restart_s[unit] = (appliance.wait(f"{unit} is back", is_back) - killed_us) / 1e6

    measured["restart_s"] = restart_s
    assert kept
    assert eventfd_ids(box, appliance) == kept, "the engine lost the eventfd that systemd keeps"
    assert appliance.show("spread-engine.service", "NFileDescriptorStore") == {
        "NFileDescriptorStore": "1"
    }
    appliance.wait("all green", lambda: appliance.status() == 0)


def eventfd_ids(box, appliance):
    """Return the identities of the engine's eventfds, which only the kernel gives."""
    pid = appliance.main_pids()["spread-engine.service"]
    return set(box.ssh.run(f"grep -hs eventfd-id /proc/{pid}/fdinfo/*").stdout.splitlines())


def test_discovery_runs_by_its_timer_and_everybody_takes_the_new_universe(box, appliance):
    folder = "/run/systemd/system/pair-discovery.timer.d"
    generation = universe_of(box)

    box.ssh.run(f"mkdir -p {folder}")
    box.ssh.run(f"printf '[Timer]\\nOnActiveSec=1s\\nRandomizedDelaySec=0\\n' > {folder}/now.conf")
    box.ssh.run("systemctl daemon-reload; systemctl restart pair-discovery.timer")
    appliance.wait("a new universe", lambda: universe_of(box) > generation)
    appliance.wait("the reload after it", lambda: "obeyed by 10" in reload_journal(box))

    box.ssh.run(f"rm -r {folder}; systemctl daemon-reload; systemctl restart pair-discovery.timer")
    next_run = box.ssh.run("systemctl list-timers --no-pager pair-discovery.timer").stdout
    assert re.search(r" (00|06|12|18):0[0-2]:", next_run), next_run
    assert appliance.status() == 0


def universe_of(box):
    link = "/var/lib/spreadscan/generated/metadata.json"
    return int(re.search(r'"generation": *(\d+)', box.ssh.run(f"cat {link}").stdout)[1])


def reload_journal(box):
    return box.ssh.run("journalctl --no-pager --unit=spreadscan-reload.service --lines=5").stdout


def test_upgrade_loses_no_open_episode(box, workshop, variables, quick, appliance, wheelhouse):
    release, opened = appliance.release(), appliance.open_episodes()
    newer = as_version(wheelhouse, workshop, "0.1.8", {})
    inventory = write_inventory(
        workshop / "newer.json", box.ssh, {**variables, "spreadscan_wheelhouse": str(newer)}
    )

    play("site.yml", inventory, environment=quick).require_success()

    assert release.startswith("0.1.0-")
    assert appliance.release().startswith("0.1.8-")
    assert appliance.inactive() == []
    require_kept(appliance, opened)
    appliance.wait("all green", lambda: appliance.status() == 0)


def require_kept(appliance, opened):
    """What was open is open under the same id, or ended as episodes do."""
    episodes = appliance.episodes()
    assert opened, "nothing was open, so nothing was shown"
    assert opened <= episodes.keys()
    assert {episodes[episode] for episode in opened} <= {None, "converged", "expired"}


def test_release_that_does_not_work_is_rolled_back(
    box, workshop, variables, quick, appliance, wheelhouse
):
    release = appliance.release()
    broken = as_version(
        wheelhouse, workshop, "0.1.7", {"spreadscan/engine/process.py": BROKEN_ENGINE}
    )
    inventory = write_inventory(
        workshop / "broken.json", box.ssh,
        {**variables, "spreadscan_wheelhouse": str(broken), "units_start_timeout_s": 8},
    )  # fmt: skip

    recap = play("site.yml", inventory, environment=quick)

    said = " ".join(recap.output.split())
    assert recap.status != 0
    assert re.search(rf"release 0\.1\.7-\S+ failed at .*rolled back to {release}, which runs", said)
    assert "this version does not work" in said
    assert appliance.release() == release
    assert appliance.inactive() == []


def test_operator_goes_back_to_the_release_before(inventory, quick, appliance):
    play("rollback.yml", inventory, environment=quick).require_success()

    assert appliance.release().startswith("0.1.")
    assert appliance.inactive() == []
    appliance.wait("all green", lambda: appliance.status() == 0)


def test_reboot_brings_everything_back_with_the_same_episodes(box, appliance):
    opened = appliance.open_episodes()

    box.reboot()
    appliance.wait("every unit active", lambda: not appliance.inactive())

    require_kept(appliance, opened)
    appliance.wait("all green", lambda: appliance.status() == 0)


def test_undeploy_leaves_the_data_and_with_purge_nothing(box, inventory, quick, appliance, before):
    play("undeploy.yml", inventory, environment=quick).require_success()
    kept = set(box.ssh.run(LEFT, check=False).stdout.splitlines()) - before
    play(
        "undeploy.yml", inventory, "--extra-vars", "spreadscan_purge_data=true", environment=quick
    ).require_success()

    left = set(box.ssh.run(LEFT, check=False).stdout.splitlines())
    assert any(file.startswith("/var/lib/spreadscan/data/") for file in kept)
    assert {file for file in kept if not file.startswith("/var/lib/spreadscan/")} <= {
        "/etc/sysusers.d/spreadscan.conf"
    }
    assert left == before
    assert box.ssh.run("id spreadscan", check=False).returncode != 0
    assert "spread" not in box.ssh.run("ps -e -o comm").stdout


def test_measured(record_property):
    """What the closing note of a run names: exposure, restart times, times of the plays."""
    for name, value in measured.items():
        record_property(name, str(value))
        sys.stderr.write(f"{name}: {value}\n")
    assert set(measured) == {"converge_s", "second_run_s", "exposure", "restart_s"}
