"""Leg V: what a container cannot show. A kernel of its own boots into the CPU plan, sets huge pages
aside, and enforces limits; Ansible reboots it on the way. Emulated: nothing here is about speed.
"""

import contextlib
import os
import re
import sys
import time

import pytest
from appliance import Appliance
from plays import play, write_inventory

pytestmark = [pytest.mark.deploy, pytest.mark.scenario("vm"), pytest.mark.timeout(3600)]

HOUSEKEEPING, FEEDS, ENGINE = "0", "1-2", "3"
ISOLATED = "1-3"
DROP_INS = ("60-spreadscan-cpu.cfg", "61-spreadscan-hugepages.cfg")
TIMER = "pair-discovery.timer"
# Two exchanges are enough for signals: every feed is seconds of emulation at each start.
AWAY = ("mexc", "okx")
PROGRAMS = 6
# What an operator of a slow host would say: here everything takes twenty times as long.
SLOW = {
    "runtime": {"heartbeat_interval_ms": 500},
    "engine": {"wait": "eventfd", "wait_bound_ms": 50, "feed_silence_ms": 10_000},
    "tracker": {"snapshot_interval_ms": 1000},
    "feed": {"connect_timeout_s": 60.0, "max_lag_ms": 10_000},
    "discovery": {"request_timeout_s": 60.0},
}
OPEN_FILES = 65536
# And in `systemctl edit`: systemd itself takes longer for a message than a watchdog has patience.
PATIENCE = """
for unit in feed@ spread-engine spread-tracker; do
    mkdir -p /etc/systemd/system/$unit.service.d
    printf '[Service]\\nWatchdogSec=120\\nTimeoutStartSec=900\\n' \\
        > /etc/systemd/system/$unit.service.d/patience.conf
done
"""
# Steps the clock to shortly before the next hour of the timer, and back when it has struck.
STRIKE = """
import time
PERIOD_S, BEFORE_S, AFTER_S = 6 * 3600, 5, 20
def step(seconds):
    time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)
ahead_s = -time.time() % PERIOD_S - BEFORE_S
step(ahead_s)
time.sleep(BEFORE_S + AFTER_S)
step(-ahead_s)
"""

measured = {}


@pytest.fixture(scope="module")
def vm(workshop):
    from machine_images import disk_image  # noqa: PLC0415 - only where these tests run
    from vm import Vm  # noqa: PLC0415

    image = disk_image()
    with timed("boot_s"):
        vm = Vm(f"spreadvm-{os.getpid()}", image, workshop / "vm")
    try:
        vm.ssh.add_user("alice")
        vm.ssh.run(PATIENCE)
        yield vm
    finally:
        vm.stop()


@pytest.fixture(scope="module")
def appliance(vm):
    return Appliance(vm.ssh)


@pytest.fixture(scope="module", autouse=True)
def _exchanges(vm, workshop, simulator):
    options = ("--rate", "60", "--universe-size", "8")
    with simulator(workshop, *options, before=vm.in_network()):
        yield


@pytest.fixture(scope="module")
def inventory(vm, workshop, simulated_settings, wheelhouse):
    from vm import HOST_ADDRESS  # noqa: PLC0415

    settings = simulated_settings(HOST_ADDRESS)
    for section, values in SLOW.items():
        settings["config"][section] = settings["config"].get(section, {}) | values
    for exchange in AWAY:
        settings["exchanges"]["exchanges"][exchange]["enabled"] = False
    return write_inventory(
        workshop / "inventory.json",
        vm.ssh,
        {
            "ansible_timeout": 120,
            "os_tuning_update_package_lists": False,
            "cpu_isolation_housekeeping": HOUSEKEEPING,
            "cpu_isolation_feeds": FEEDS,
            "cpu_isolation_engine": ENGINE,
            "cpu_isolation_engine_priority": 10,
            "cpu_isolation_reboot_ok": True,
            "hugepages_enabled": True,
            "spreadscan_operators": ["alice"],
            "spreadscan_settings": settings,
            "spreadscan_wheelhouses": str(wheelhouse.parent),
            "units_start_timeout_s": 900,
        },
    )


@contextlib.contextmanager
def timed(name):
    """Note how long something took."""
    began_s = time.monotonic()
    yield
    measured[name] = round(time.monotonic() - began_s, 1)


def value(vm, path):
    return vm.ssh.run(f"cat {path}").stdout.strip()


def test_play_that_ends_before_the_boot_menu_is_written_changes_no_boot(vm, inventory, quick):
    vm.ssh.run("chmod -x /usr/sbin/update-grub")

    recap = play("site.yml", inventory, "--tags=hugepages,cpu_isolation", environment=quick)

    vm.ssh.run("chmod +x /usr/sbin/update-grub")
    assert recap.failed == 1
    assert "update-grub" in recap.output
    assert set(DROP_INS) <= set(vm.ssh.run("ls /etc/default/grub.d").stdout.split())
    assert "isolcpus" not in value(vm, "/boot/grub/grub.cfg")


def test_bare_machine_reboots_into_the_appliance(vm, inventory, quick, appliance):
    boot = vm.boot_id()

    with timed("converge_with_reboot_s"):
        play("site.yml", inventory, timeout_s=3000, environment=quick).require_success()

    assert vm.boot_id() != boot, "Ansible did not reboot it into the CPU plan"
    assert appliance.inactive() == []


def test_second_run_changes_nothing(inventory, quick):
    with timed("second_run_s"):
        recap = play("site.yml", inventory, environment=quick).require_success()

    assert recap.changed == 0, recap.output[-6000:]


def test_kernel_keeps_the_planned_cores_free(vm):
    line = value(vm, "/proc/cmdline").split()

    assert f"isolcpus=managed_irq,domain,{FEEDS},{ENGINE}" in line
    assert f"nohz_full={FEEDS},{ENGINE}" in line
    assert f"rcu_nocbs={FEEDS},{ENGINE}" in line
    assert value(vm, "/sys/devices/system/cpu/isolated") == ISOLATED
    assert value(vm, "/sys/devices/system/cpu/nohz_full") == ISOLATED
    said = vm.ssh.run("journalctl --no-pager --dmesg --boot --grep 'Offload RCU'").stdout
    assert f"Offload RCU callbacks from CPUs: {ISOLATED}." in said
    # No thread but ours and the kernel's own is there.
    told = vm.ssh.run("ps --no-headers -eLo psr,user:32,ppid").stdout
    threads = [line.split() for line in told.splitlines()]
    users = {user for core, user, parent in threads if core != HOUSEKEEPING and parent != "2"}
    assert users == {"spreadscan"}
    assert "[madvise]" in value(vm, "/sys/kernel/mm/transparent_hugepage/enabled")


def test_interrupts_stay_on_the_housekeeping_cores(vm):
    line = value(vm, "/proc/cmdline").split()
    masks = "/proc/irq/default_smp_affinity /sys/devices/virtual/workqueue/cpumask"
    told = vm.ssh.run("grep . /proc/irq/*/*affinity_list; ls -d /proc/irq/*/*-req.*").stdout
    served = dict(re.findall(r"/(\d+)/effective_affinity_list:(\S+)", told))
    allowed = dict(re.findall(r"/(\d+)/smp_affinity_list:(\S+)", told))
    # The kernel alone places a disk's.
    managed = set(re.findall(r"/(\d+)/\S+-req", told))

    assert f"irqaffinity={HOUSEKEEPING}" in line
    assert {int(mask, 16) for mask in value(vm, masks).split()} == {0b1}
    assert set(served.values()) == {HOUSEKEEPING}, served
    assert {irq for irq, cores in allowed.items() if cores != HOUSEKEEPING} == managed, allowed


def test_kernel_has_the_values_that_were_asked_for(vm):
    wanted = {
        "vm.swappiness": "1",
        "net.core.rmem_max": "33554432",
        "net.core.busy_poll": "50",
        "kernel.sched_rt_runtime_us": "-1",
        "vm.stat_interval": "10",
    }

    found = vm.ssh.run("sysctl -n", *wanted).stdout.split()

    assert dict(zip(wanted, found, strict=True)) == wanted


def test_processes_run_on_their_cores_with_real_limits(vm, appliance):
    cores = {}
    for unit, pid in appliance.main_pids().items():
        told = value(vm, f"/proc/{pid}/status /proc/{pid}/limits")
        cores[unit] = re.search(r"Cpus_allowed_list:\s+(\S+)", told)[1]

        assert re.search(r"Max locked memory\s+unlimited\s+unlimited", told), unit
        assert re.search(rf"Max open files\s+{OPEN_FILES}\s+{OPEN_FILES}", told), unit
        assert int(re.search(r"VmLck:\s+(\d+)", told)[1]) > 0, f"{unit}: nothing is locked"
    engine, tracker = "spread-engine.service", "spread-tracker.service"
    policy = vm.ssh.run(f"chrt -p {appliance.main_pids()[engine]}").stdout

    measured["cores"] = cores
    assert (cores.pop(engine), cores.pop(tracker)) == (ENGINE, HOUSEKEEPING)
    # One core each, and round again.
    assert sorted(cores.values()) == ["1", "1", "2", "2"]
    assert "SCHED_FIFO" in policy
    assert policy.rstrip().endswith("10")


def test_regions_are_on_huge_pages(vm, appliance):
    memory = dict(re.findall(r"(HugePages_\w+):\s+(\d+)", value(vm, "/proc/meminfo")))
    at_boot = vm.ssh.run("journalctl --no-pager --dmesg --boot --grep 'HugeTLB.*2.00 MiB'").stdout
    pid = appliance.main_pids()["spread-engine.service"]
    smaps = value(vm, f"/proc/{pid}/smaps")

    regions = dict(
        re.findall(
            r"/run/hugetlbfs/spreadscan\.(\w+).*?KernelPageSize:\s+(\d+) kB", smaps, re.DOTALL
        )
    )
    measured["huge_pages"] = memory
    assert f"hugepages={memory['HugePages_Total']}" in value(vm, "/proc/cmdline").split()
    assert f"pre-allocated {memory['HugePages_Total']} pages" in at_boot
    assert {"prices", "dirty", "ring", "health", "control"} <= regions.keys()
    assert set(regions.values()) == {"2048"}
    assert int(memory["HugePages_Total"]) - int(memory["HugePages_Free"]) >= len(regions)
    assert not vm.ssh.run("ls /dev/shm/spreadscan* 2>/dev/null", check=False).stdout


def test_signals_flow_and_everything_is_green(vm, appliance):
    with timed("green_s"):
        appliance.wait("an episode", appliance.episodes, timeout_s=600)
        appliance.wait("all green", lambda: appliance.status() == 0, timeout_s=600)

    doctor = vm.ssh.run("spread-ctl doctor", check=False, timeout_s=300)
    measured["doctor"] = doctor.stdout
    # 1 is advice: nothing here is for the operator to mend.
    assert doctor.returncode <= 1, doctor.stdout + doctor.stderr


def test_process_that_takes_too_much_memory_is_ended_and_its_unit_is_back(vm, appliance):
    unit = "feed@bybit-spot.service"
    groups = {}
    for name in (*appliance.services(), "spreadscan.slice"):
        shown = appliance.show(name, "ControlGroup", "MemoryMax")
        groups[name] = f"/sys/fs/cgroup{shown['ControlGroup']}"
        assert value(vm, f"{groups[name]}/memory.max") == shown["MemoryMax"], name
    pid = appliance.main_pids()[unit]
    limit_bytes = int(value(vm, f"{groups[unit]}/memory.max"))
    greedy = f"python3 -c 'b\"x\" * ({limit_bytes} + 2**26)'"

    ended = vm.ssh.run(f"echo $$ > {groups[unit]}/cgroup.procs; exec {greedy}", check=False)
    appliance.wait(
        "a new process",
        lambda: (
            appliance.main_pids()[unit] not in {0, pid}
            and appliance.show(unit, "ActiveState")["ActiveState"] == "active"
        ),
        timeout_s=300,
    )

    assert ended.returncode != 0
    journal = vm.ssh.run(f"journalctl --no-pager --unit={unit}").stdout
    assert "result 'oom-kill'" in journal
    assert appliance.inactive() == []


def test_discovery_fires_at_its_hour_and_everybody_takes_the_new_universe(vm, appliance):
    folder, generation = f"/run/systemd/system/{TIMER}.d", appliance.universe_generation()
    vm.ssh.run(f"mkdir -p {folder}")
    vm.ssh.run(f"printf '[Timer]\nRandomizedDelaySec=0\nAccuracySec=1s\n' > {folder}/exact.conf")
    vm.ssh.run(f"systemctl stop chrony; systemctl daemon-reload; systemctl restart {TIMER}")

    vm.ssh.run(f"python3 -c '{STRIKE}'")
    appliance.wait(
        "a new universe", lambda: appliance.universe_generation() > generation, timeout_s=300
    )
    appliance.wait(
        "the reload after it",
        lambda: (
            f"obeyed by {PROGRAMS}"
            in vm.ssh.run("journalctl --no-pager --unit=spreadscan-reload.service --lines=5").stdout
        ),
    )

    starts = vm.ssh.run(
        "journalctl --no-pager --unit=pair-discovery.service --grep '^Starting '"
    ).stdout
    assert re.search(r" (00|06|12|18):00:\d\d ", starts), starts
    appliance.wait("all green after two steps of the clock", lambda: appliance.status() == 0)


def test_measured(record_property, capsys):
    """What the closing note of a run names: times of boot and plays, cores, pages, the doctor."""
    with capsys.disabled():
        for name, value in measured.items():
            record_property(name, str(value))
            sys.stdout.write(f"\n{name}: {value}")
    assert {"boot_s", "converge_with_reboot_s", "second_run_s", "green_s"} <= measured.keys()
