"""Leg V: what a container cannot show. A kernel of its own boots into the CPU plan, sets huge pages
aside, and enforces limits; Ansible reboots it on the way. Emulated: nothing here is about speed.
"""

import re
import shutil
import socket
import time
import tomllib

import pytest
import tomli_w
from appliance import Appliance
from plays import REPOSITORY, play, write_inventory

pytestmark = [pytest.mark.deploy, pytest.mark.scenario("vm"), pytest.mark.timeout(2400)]

HOUSEKEEPING, FEEDS, ENGINE = "0-1", "2", "3"

measured = {}


@pytest.fixture(scope="module")
def ports():
    """Two of this host's ports for the simulated exchanges, free a moment ago."""
    with socket.socket() as rest, socket.socket() as websocket:
        for free in (rest, websocket):
            free.bind(("127.0.0.1", 0))
        return [rest.getsockname()[1], websocket.getsockname()[1]]


@pytest.fixture(scope="module")
def vm(workshop, ports, simulator):
    from machine_images import disk_image  # noqa: PLC0415 - only where these tests run
    from vm import Vm  # noqa: PLC0415

    config = workshop / "sim-config"
    shutil.copytree(REPOSITORY / "config", config)
    exchanges = tomllib.loads((config / "exchanges.toml").read_text())
    exchanges["sim"] |= {
        "rest_base": f"http://127.0.0.1:{ports[0]}",
        "ws_base": f"ws://127.0.0.1:{ports[1]}",
    }
    (config / "exchanges.toml").write_text(tomli_w.dumps(exchanges))
    image = disk_image()
    began_s = time.monotonic()
    with simulator(
        workshop, "--rate", "100", "--universe-size", "8", config=config / "config.toml"
    ):
        vm = Vm(image, workshop / "vm", ports)
        measured["boot_s"] = time.monotonic() - began_s
        try:
            yield vm
        finally:
            vm.stop()


@pytest.fixture(scope="module")
def appliance(vm):
    return Appliance(vm.ssh)


@pytest.fixture(scope="module")
def inventory(vm, workshop, ports, simulated_settings, wheelhouse):
    from vm import EXCHANGES_ADDRESS  # noqa: PLC0415

    settings = simulated_settings(EXCHANGES_ADDRESS, *ports)
    settings["config"]["discovery"]["validate_window_s"] = 60.0
    return write_inventory(
        workshop / "inventory.json",
        vm.ssh,
        {
            "os_tuning_update_package_lists": False,
            "cpu_isolation_housekeeping": HOUSEKEEPING,
            "cpu_isolation_feeds": FEEDS,
            "cpu_isolation_engine": ENGINE,
            "cpu_isolation_engine_priority": 10,
            "cpu_isolation_reboot_ok": True,
            "hugepages_enabled": True,
            "spreadscan_settings": settings,
            "spreadscan_wheelhouse": str(wheelhouse),
            "units_start_timeout_s": 300,
        },
    )


def value(vm, path):
    return vm.ssh.run(f"cat {path}").stdout.strip()


def test_bare_machine_reboots_into_the_appliance(vm, inventory, quick, appliance):
    boot, began_s = vm.boot_id(), time.monotonic()

    play("site.yml", inventory, timeout_s=2000, environment=quick).require_success()

    measured["converge_with_reboot_s"] = time.monotonic() - began_s
    assert vm.boot_id() != boot, "Ansible did not reboot it into the CPU plan"
    assert appliance.inactive() == []


def test_second_run_changes_nothing(inventory, quick):
    began_s = time.monotonic()

    recap = play("site.yml", inventory, environment=quick).require_success()

    measured["second_run_s"] = time.monotonic() - began_s
    assert recap.changed == 0, recap.output[-6000:]


def test_kernel_keeps_the_planned_cores_free(vm):
    line = value(vm, "/proc/cmdline").split()

    assert f"isolcpus=managed_irq,domain,{FEEDS},{ENGINE}" in line
    assert f"rcu_nocbs={FEEDS},{ENGINE}" in line
    assert value(vm, "/sys/devices/system/cpu/isolated") == "2-3"
    assert value(vm, "/sys/devices/system/cpu/nohz_full") == "2-3"
    assert int(value(vm, "/proc/irq/default_smp_affinity"), 16) == 0b11
    assert "[madvise]" in value(vm, "/sys/kernel/mm/transparent_hugepage/enabled")


def test_kernel_has_the_values_that_were_asked_for(vm):
    for name, wanted in {
        "vm.swappiness": "1",
        "net.core.rmem_max": "33554432",
        "net.core.busy_poll": "50",
        "kernel.sched_rt_runtime_us": "-1",
        "vm.stat_interval": "10",
    }.items():
        assert vm.ssh.run(f"sysctl -n {name}").stdout.strip() == wanted, name


def test_processes_run_on_their_cores_with_real_limits(vm, appliance):
    pids = appliance.main_pids()
    for unit, pid in pids.items():
        status = value(vm, f"/proc/{pid}/status")
        limits = value(vm, f"/proc/{pid}/limits")
        allowed = re.search(r"Cpus_allowed_list:\s+(\S+)", status)[1]

        expected = FEEDS if unit.startswith("feed@") else ENGINE
        assert unit == "spread-tracker.service" or allowed == expected, unit
        assert re.search(r"Max locked memory\s+unlimited\s+unlimited", limits), unit
        assert re.search(r"Max open files\s+65536\s+65536", limits), unit
        assert int(re.search(r"VmLck:\s+(\d+)", status)[1]) > 0, unit
    assert re.search(
        r"Cpus_allowed_list:\s+0-1$",
        value(vm, f"/proc/{pids['spread-tracker.service']}/status"),
        re.MULTILINE,
    )
    policy = vm.ssh.run(f"chrt -p {pids['spread-engine.service']}").stdout
    assert "SCHED_FIFO" in policy
    assert policy.rstrip().endswith("10")


def test_regions_are_on_huge_pages(vm, appliance):
    memory = dict(re.findall(r"(HugePages_\w+):\s+(\d+)", value(vm, "/proc/meminfo")))
    pid = appliance.main_pids()["spread-engine.service"]
    smaps = value(vm, f"/proc/{pid}/smaps")

    regions = re.findall(
        r"/run/hugetlbfs/spreadscan\.(\w+).*?KernelPageSize:\s+(\d+) kB", smaps, re.DOTALL
    )
    assert {"prices", "dirty", "ring", "health", "control"} <= {name for name, _ in regions}
    assert {size for _, size in regions} == {"2048"}
    assert int(memory["HugePages_Total"]) - int(memory["HugePages_Free"]) >= len(regions)
    assert not vm.ssh.run("ls /dev/shm/spreadscan* 2>/dev/null", check=False).stdout


def test_memory_limits_are_enforced(vm, appliance):
    for unit in (*appliance.services(), "spreadscan.slice"):
        group = appliance.show(unit, "ControlGroup")["ControlGroup"]
        configured = appliance.show(unit, "MemoryMax")["MemoryMax"]
        assert value(vm, f"/sys/fs/cgroup{group}/memory.max") == configured, unit
    leak = "bytearray(200 * 2**20)"

    ended = vm.ssh.run(
        "systemd-run --quiet --wait --collect --property=MemoryMax=50M --property=MemorySwapMax=0 "
        f"--slice=spreadscan.slice python3 -c '{leak}'",
        check=False,
    )

    assert ended.returncode != 0
    assert "oom" in vm.ssh.run("journalctl --no-pager --dmesg --lines=60").stdout.lower()


def test_signals_flow(appliance):
    appliance.wait("an episode", appliance.episodes, timeout_s=240)


def test_discovery_fires_at_its_hour(vm, appliance):
    folder = "/run/systemd/system/pair-discovery.timer.d"
    vm.ssh.run(f"mkdir -p {folder}")
    vm.ssh.run(f"printf '[Timer]\\nRandomizedDelaySec=0\\n' > {folder}/exact.conf")
    vm.ssh.run("systemctl stop chrony; date --set '17:59:50'; systemctl daemon-reload")

    vm.ssh.run("systemctl restart pair-discovery.timer")
    appliance.wait(
        "discovery at 18:00",
        lambda: " 18:00:0" in vm.ssh.run(
            "journalctl --no-pager --unit=pair-discovery.service --since '17:59:50' "
            "--grep Starting", check=False
        ).stdout,
        timeout_s=120,
    )  # fmt: skip

    upcoming = vm.ssh.run("systemctl list-timers --no-pager pair-discovery.timer").stdout
    assert " 00:00:00 " in upcoming, upcoming


def test_measured(record_property):
    """What the closing note of a run names: times of boot and plays."""
    for name, value in measured.items():
        record_property(name, str(value))
    assert set(measured) == {"boot_s", "converge_with_reboot_s", "second_run_s"}
