"""Leg N: a bare Debian becomes the appliance, is broken in every way, and is bare again.

A story in order: each test begins where the one before ended. The simulated exchanges run beside
the box, in its network; everything else is what a real host would have.
"""

import copy
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from appliance import Appliance
from plays import ANSIBLE, REPOSITORY, play, write_inventory
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
MEXC_REST_PORT, MEXC_WS_PORT = 18490, 18491
OTHER_LAYOUT = "\nLAYOUT_VERSION += 1\n"
BROKEN_ENGINE = '\nraise RuntimeError("this version does not work")\n'
# What an appliance may leave in a file system, listed before and after.
LEFT = (
    "find /etc /opt /usr/local /root /home /dev/shm /run/spreadscan /run/systemd/system "
    "/var/lib/spreadscan "
    "-not -type d -not -path '/root/.ansible*' -not -name '*-' 2>/dev/null | sort"
)

# Says what a command took, and ends as it did.
CHILD_MEMORY = """\
import resource, subprocess, sys
ended = subprocess.call(sys.argv[1:])
print(f"peak {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss} KiB")
sys.exit(ended)
"""
NOT_RUNNING = 3
# The host itself stays as it is.
RELEASE_ALONE = ("--tags", "spreadscan,units")

measured = {}


@pytest.fixture(scope="module")
def box(workshop):
    from box import Box  # noqa: PLC0415 - only where these tests run
    from machine_images import root_file_system  # noqa: PLC0415
    from suites import chosen  # noqa: PLC0415

    box = Box(f"spreadbox-{os.getpid()}", root_file_system(chosen()), workshop / "box")
    try:
        box.ssh.add_user("alice")
        box.ssh.add_user("mallory")
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


@pytest.fixture(scope="module", autouse=True)
def way_to_mexc(box):
    """The only way from the box to one of the exchanges; may be cut."""
    from relay import Relay  # noqa: PLC0415

    way = Relay(box, {MEXC_REST_PORT: 18480, MEXC_WS_PORT: 18481})
    way.open()
    yield way
    way.cut()


@pytest.fixture(scope="module")
def variables(simulated_settings, wheelhouse):
    settings = simulated_settings()
    elsewhere = simulated_settings(rest_port=MEXC_REST_PORT, ws_port=MEXC_WS_PORT)
    settings["exchanges"]["exchanges"]["mexc"] = elsewhere["exchanges"]["exchanges"]["mexc"]
    return {
        "os_tuning_update_package_lists": False,
        "os_tuning_ignored_sysctls": NOT_OF_A_CONTAINER,
        "spreadscan_operators": ["alice"],
        "spreadscan_settings": settings,
        "spreadscan_wheelhouses": str(wheelhouse.parent),
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
        ({"spreadscan_wheelhouses": "/nowhere"}, "found no wheelhouse in /nowhere"),
        (
            {"other_python": True},
            r"found wheelhouse-cp39-(\S+).tar in .*: run `make wheelhouse PYTHON=python3\S+` on \1",
        ),
    ],
    ids=["unknown variable", "wrong type", "absent CPU", "overlapping CPUs", "too little memory",
         "unknown setting", "no wheel", "wheel for another Python"],
)  # fmt: skip
def test_mistake_in_the_inventory_stops_before_anything_is_changed(
    box, workshop, variables, quick, before, wheelhouse, wrong, found
):
    if wrong.pop("other_python", False):
        other = workshop / "other"
        for built in (wheelhouse, wheelhouse.with_suffix(".tar")):
            name = re.sub(r"-cp\d+-", "-cp39-", built.name)
            (shutil.copytree if built.is_dir() else shutil.copy)(built, other / name)
        wrong = {"spreadscan_wheelhouses": str(other)}
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


def test_play_that_is_interrupted_while_it_installs_leaves_nothing_half(box, inventory, quick):
    interrupt(inventory, environment=quick, at="Install exactly these wheels")

    assert box.ssh.run("ls /opt/spreadscan/venvs/*/.complete", check=False).returncode != 0
    assert box.ssh.run("test -e /opt/spreadscan/current", check=False).returncode != 0


def interrupt(inventory, *options, environment, at):
    """Run a playbook and kill it when it comes to a task."""
    program = Path(sys.executable).with_name("ansible-playbook")
    running = subprocess.Popen(
        [program, "--inventory", inventory, *options, ANSIBLE / "site.yml"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ANSIBLE,
        env={**os.environ, **environment, "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg")},
        start_new_session=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    with running:
        said = []
        for line in running.stdout:
            said.append(line)
            if f"{at}]" in line:
                break
        os.killpg(running.pid, signal.SIGKILL)
    assert f"{at}]" in said[-1], "".join(said)[-3000:]


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


def test_member_stops_starts_and_restarts_single_programs(box, appliance):
    stopped, restarted = "feed@mexc-spot.service", "spread-engine.service"
    before = appliance.main_pids()

    box.ssh.run("spread-ctl stop mexc_spot", user="alice")
    # What systemd is about to start again is activating, not dead.
    assert appliance.show(stopped, "ActiveState", "SubState", "Result") == {
        "ActiveState": "inactive", "SubState": "dead", "Result": "success",
    }  # fmt: skip
    box.ssh.run("spread-ctl start mexc_spot", user="alice")
    box.ssh.run("spread-ctl restart spread-engine", user="alice")

    after = appliance.main_pids()
    assert {unit for unit in after if after[unit] != before[unit]} == {stopped, restarted}
    assert appliance.inactive() == []


def test_member_follows_what_programs_say(box):
    said = box.ssh.run("spread-ctl logs --lines 3 spread-engine", user="alice").stdout
    follow = "spread-ctl logs --follow --lines 1 spread-tracker"
    with box.ssh.following(follow, user="alice") as lines:
        first = next(lines)
        box.ssh.run("spread-ctl restart spread-tracker", user="alice")
        has_started = any("Started spread-tracker.service" in line for line in lines)

    assert "spread-engine" in said
    assert first
    assert has_started


@pytest.mark.parametrize(
    "command",
    ["status", "pause --reason drill", "reload", "start", "stop okx_spot", "restart", "shutdown",
     "logs"],
)  # fmt: skip
def test_somebody_else_is_refused_in_one_clear_line(box, command):
    refused = box.ssh.run(f"spread-ctl {command}", user="mallory", check=False)

    assert refused.returncode in {75, 78}
    assert refused.stdout == ""
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "ermi" in refused.stderr or "member" in refused.stderr


def test_somebody_else_cannot_steer_units(box, appliance):
    refused = box.ssh.run("systemctl restart spread-engine.service", user="mallory", check=False)

    assert refused.returncode != 0
    assert appliance.inactive() == []


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


def test_shutdown_holds_until_start_and_open_episodes_go_on(box, appliance):
    opened = appliance.open_episodes()

    box.ssh.run("spread-ctl shutdown", user="alice")

    states = {
        tuple(appliance.show(unit, "ActiveState", "SubState").values())
        for unit in ["spreadscan.target", *appliance.services()]
    }
    again = box.ssh.run("spread-ctl shutdown", user="alice", check=False)
    assert states == {("inactive", "dead")}
    assert again.returncode == NOT_RUNNING
    assert appliance.status() == NOT_RUNNING

    # A night passes: what was written so far is the day before's.
    box.ssh.run(
        "cd /var/lib/spreadscan/data; for file in ledger-*; do "
        'mv "$file" "${file/-20??-??-??/-$(date --utc --date=yesterday +%F)}"; done'
    )
    box.ssh.run("spread-ctl start", user="alice")

    assert appliance.inactive() == []
    require_kept(appliance, opened)


def test_compaction_archives_a_finished_day_within_its_memory(box, appliance):
    unit, folder = "ledger-compaction.service", "/run/systemd/system/ledger-compaction.service.d"
    appliance.wait("a second part", lambda: len(files(box, "data/ledger-*.sqlite3")) > 1)
    episodes = set(appliance.episodes())
    shown = appliance.show(unit, "ExecStart", "MemoryMax")
    command = re.search(r"argv\[\]=(.*?) ;", shown["ExecStart"])[1]

    # The same command under the same confinement, by one who says how much memory it took.
    box.ssh.run(f"mkdir -p {folder}; cat > {folder}/child_memory.py <<'END'\n{CHILD_MEMORY}END")
    own = f"[Service]\nExecStart=\nExecStart=python3 {folder}/child_memory.py {command}\n"
    box.ssh.run(f"cat > {folder}/measured.conf <<'END'\n{own}END\nsystemctl daemon-reload")
    box.ssh.run(f"systemctl start {unit}")
    box.ssh.run(f"rm -r {folder}; systemctl daemon-reload")

    said = box.ssh.run(f"journalctl --no-pager --output=cat --unit={unit} --lines=20").stdout
    peak_kib = int(re.search(r"peak (\d+) KiB", said)[1])
    measured["compaction_mib"] = peak_kib / 1024
    assert "snapshots" in said
    assert peak_kib * 1024 < int(shown["MemoryMax"])
    assert files(box, "data/history/*-episodes.parquet")
    assert episodes <= appliance.episodes().keys()


def files(box, pattern):
    """Return what there is of the appliance's data by that name."""
    return box.ssh.run(f"ls -d /var/lib/spreadscan/{pattern}", check=False).stdout.split()


def test_backup_and_restore_of_the_guide_bring_every_episode_back(box, appliance):
    backup, restore = guide_commands("# backup"), guide_commands("# restore")

    opened = appliance.open_episodes()
    box.ssh.run(backup)
    box.ssh.run(restore)

    assert appliance.inactive() == []
    assert files(box, "data-before/ledger-*.sqlite3")
    require_kept(appliance, opened)
    appliance.wait("all green", lambda: appliance.status("alice") == 0)


def guide_commands(beginning):
    """Return the block of commands that begins so in docs/deployment.md, to end where one fails."""
    text = (REPOSITORY / "docs/deployment.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    [commands] = [block for block in blocks if block.startswith(beginning)]
    return f"set -e\n{commands}"


def test_interrupted_upgrade_is_finished_by_the_next_play_and_loses_no_open_episode(
    box, workshop, variables, quick, appliance, wheelhouse
):
    release, opened = appliance.release(), appliance.open_episodes()
    newer = as_version(wheelhouse, workshop, "0.1.8", {})
    inventory = write_inventory(
        workshop / "newer.json", box.ssh, {**variables, "spreadscan_wheelhouses": str(newer.parent)}
    )
    before = appliance.main_pids()

    interrupt(inventory, *RELEASE_ALONE, environment=quick, at="Restart in order")
    play("site.yml", inventory, *RELEASE_ALONE, environment=quick).require_success()

    after = appliance.main_pids()
    assert release.startswith("0.1.0-")
    assert appliance.release().startswith("0.1.8-")
    assert not [unit for unit in after if after[unit] == before[unit]], "one runs the old release"
    assert appliance.inactive() == []
    require_kept(appliance, opened)
    appliance.wait("all green", lambda: appliance.status() == 0)


def require_kept(appliance, opened):
    """What was open is open under the same id, or ended as episodes do."""
    episodes = appliance.episodes()
    assert opened, "nothing was open, so nothing was shown"
    assert opened <= episodes.keys()
    assert {episodes[episode] for episode in opened} <= {None, "converged", "expired"}


def test_upgrade_to_another_layout_makes_new_regions_and_loses_no_open_episode(
    box, workshop, variables, quick, appliance, wheelhouse
):
    made_before, opened = regions(box), appliance.open_episodes()
    other = as_version(wheelhouse, workshop, "0.2.0", {"spreadscan/shm/layout.py": OTHER_LAYOUT})
    inventory = write_inventory(
        workshop / "layout.json", box.ssh,
        {**variables, "spreadscan_wheelhouses": str(other.parent), "spreadscan_releases_kept": 0},
    )  # fmt: skip

    play("site.yml", inventory, *RELEASE_ALONE, environment=quick).require_success()

    assert appliance.release().startswith("0.2.0-")
    assert appliance.inactive() == []
    assert not regions(box) & made_before
    require_kept(appliance, opened)
    appliance.wait("all green", lambda: appliance.status() == 0)
    # None is kept but the one that runs and the one to go back to.
    assert versions(box, "releases") == ["0.1.8", "0.2.0"]
    assert versions(box, "venvs") == ["0.1.8", "0.2.0"]


def regions(box):
    """Return what tells regions from others of the same names."""
    return set(box.ssh.run("stat --format=%i,%W /dev/shm/spreadscan.*").stdout.split())


def versions(box, kind):
    """Return the versions of the releases or environments on disk."""
    names = box.ssh.run(f"ls -F /opt/spreadscan/{kind} | grep /$").stdout.split()
    return sorted(name.split("-")[0] for name in names)


def test_exchange_that_is_away_takes_no_release_back(
    box, workshop, variables, quick, appliance, way_to_mexc
):
    release = appliance.release()
    changed = with_setting(variables, "config", "engine", "open_net_bps", 6.0)
    inventory = write_inventory(
        workshop / "away.json", box.ssh,
        {**changed, "spreadscan_wheelhouses": str(workshop / "0.2.0")},
    )  # fmt: skip
    way_to_mexc.cut()

    recap = play("site.yml", inventory, *RELEASE_ALONE, environment=quick).require_success()

    said = " ".join(recap.output.split())
    assert "exchanges that do not answer: mexc_spot rest: " in said, said[-3000:]
    assert appliance.release() != release
    assert {name.split(" ")[0] for name in appliance.inactive()} <= {
        "feed@mexc-spot.service", "feed@mexc-futures.service",
    }  # fmt: skip
    way_to_mexc.open()
    appliance.wait("every unit active", lambda: not appliance.inactive())
    appliance.wait("all green", lambda: appliance.status() == 0)


def with_setting(variables, *path_and_value):
    """Return variables of an inventory with one setting changed."""
    *path, name, value = path_and_value
    settings = copy.deepcopy(variables["spreadscan_settings"])
    functools.reduce(lambda tree, key: tree.setdefault(key, {}), path, settings)[name] = value
    return {**variables, "spreadscan_settings": settings}


def test_release_that_alone_cannot_reach_an_exchange_is_not_let_in(
    box, workshop, variables, quick, appliance
):
    release, pids = appliance.release(), appliance.main_pids()
    mistyped = "ws://127.0.0.1:9/okx_spot"
    wrong = with_setting(variables, "exchanges", "exchanges", "okx", "spot", "ws_url", mistyped)
    inventory = write_inventory(
        workshop / "unreached.json", box.ssh,
        {**wrong, "spreadscan_wheelhouses": str(workshop / "0.2.0")},
    )  # fmt: skip

    recap = play("site.yml", inventory, *RELEASE_ALONE, environment=quick)

    said = " ".join(recap.output.split())
    assert recap.failed == 1
    assert f"found okx_spot websocket: {mistyped}: Connection refused" in said, said[-3000:]
    assert f"as {release} has it, which goes on running" in said
    assert (appliance.release(), appliance.main_pids()) == (release, pids)


def test_release_that_does_not_work_is_rolled_back(
    box, workshop, variables, quick, appliance, wheelhouse
):
    release = appliance.release()
    broken = as_version(
        wheelhouse, workshop, "0.1.7", {"spreadscan/engine/process.py": BROKEN_ENGINE}
    )
    inventory = write_inventory(
        workshop / "broken.json", box.ssh,
        {**variables, "spreadscan_wheelhouses": str(broken.parent)},
    )  # fmt: skip

    recap = play("site.yml", inventory, *RELEASE_ALONE, environment=quick)

    said = " ".join(recap.output.split())
    assert recap.status != 0
    assert re.search(rf"release 0\.1\.7-\S+ failed at .*rolled back to {release}, which runs", said)
    assert "this version does not work" in said
    assert appliance.release() == release
    assert appliance.inactive() == []


def test_operator_goes_back_to_the_release_before(box, inventory, quick, appliance):
    release, before = appliance.release(), box.ssh.run("readlink /opt/spreadscan/previous").stdout

    play("rollback.yml", inventory, environment=quick).require_success()

    assert release != appliance.release() == Path(before.strip()).name
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


def test_measured(record_property, capsys):
    """Show what the closing note of a run names: exposure, restart times, times of the plays."""
    with capsys.disabled():
        for name, value in measured.items():
            record_property(name, str(value))
            sys.stdout.write(f"\n{name}: {as_words(value)}")
    assert set(measured) == {
        "compaction_mib", "converge_s", "exposure", "restart_s", "second_run_s",
    }  # fmt: skip


def as_words(value):
    """Return a number, or numbers by name, to be read by people."""
    if isinstance(value, dict):
        return "".join(f"\n    {name:<32}{as_words(each)}" for name, each in value.items())
    return f"{value:.1f}"
