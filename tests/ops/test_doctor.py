"""The doctor's checks: the host from a folder of kernel files, exchanges from a loopback socket."""

import contextlib
import os
import socket
import subprocess
import threading
import time
from email.utils import formatdate

import pytest

from spreadscan.config import load_config
from spreadscan.exchanges import source_named
from spreadscan.manners.allowances import allowances_of
from spreadscan.ops.doctor.clock_sync import ClockState, clock_check, kernel_clock
from spreadscan.ops.doctor.examine import examine
from spreadscan.ops.doctor.exchanges import rest_check, socket_check
from spreadscan.ops.doctor.finding import Verdict
from spreadscan.ops.doctor.host import Roots, host_checks
from spreadscan.ops.doctor.pipeline import pipeline_checks
from spreadscan.ops.doctor.storage import storage_checks
from spreadscan.ops.doctor.units import units_check
from spreadscan.ops.unit_files import write_units
from spreadscan.ops.units import UnitPlace, rendered_units
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.lock import RoleLock
from spreadscan.runtime.trust import trust_of
from spreadscan.shm.governor import private_words
from spreadscan.shm.layout import Header, RegionKind
from spreadscan.shm.region import attach_region
from spreadscan.shm.regions import create_regions

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL
PLAN = {"cpu.feed.cores": "2", "cpu.engine.cores": "3", "cpu.housekeeping.cores": "0-1"}
CPU = "sys/devices/system/cpu"
GOOD = {
    f"{CPU}/online": "0-3",
    f"{CPU}/isolated": "2-3",
    f"{CPU}/nohz_full": "2-3",
    f"{CPU}/cpu2/cpufreq/scaling_governor": "performance",
    f"{CPU}/cpu3/cpufreq/scaling_governor": "performance",
    f"{CPU}/cpu3/cpuidle/state1/latency": "2",
    f"{CPU}/cpu3/cpuidle/state1/disable": "0",
    f"{CPU}/intel_pstate/no_turbo": "0",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
    "proc/cmdline": "root=/dev/sda isolcpus=2-3 rcu_nocbs=2-3",
    "proc/mounts": "none /dev/hugepages hugetlbfs rw 0 0",
    "proc/irq/24/effective_affinity_list": "0",
    "proc/sys/net/core/rmem_max": "33554432",
    "proc/sys/vm/swappiness": "1",
    "proc/sys/kernel/numa_balancing": "0",
    "proc/sys/kernel/timer_migration": "0",
    "proc/sys/kernel/nmi_watchdog": "0",
    "proc/sys/kernel/sched_rt_runtime_us": "-1",
}


def set_text(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def host(tmp_path, make_config):
    """Findings by check about a host whose kernel files are those of a good one, but for some."""

    def look(files=(), overrides=()):
        root = tmp_path / "host"
        for name, text in (GOOD | dict(files)).items():
            set_text(root / name, text)
        config = load_config(make_config(PLAN | dict(overrides)))
        roots = Roots(proc=root / "proc", sys=root / "sys")
        return {finding.check: finding for finding in host_checks(config, roots)}

    return look


def test_host_that_is_as_it_should_be_has_nothing_to_mend(host):
    found = host()

    assert {finding.verdict for finding in found.values()} == {OK}
    assert all(finding.reason and not finding.remedy for finding in found.values())


@pytest.mark.parametrize(
    ("files", "overrides", "check", "verdict", "words"),
    [
        ({}, {"cpu.feed.cores": "", "cpu.engine.cores": ""}, "cpu plan", WARN, "names no cores"),
        ({}, {"cpu.engine.cores": "7"}, "cpu plan", FAIL, "core 7 is not there, 0-3 are"),
        ({}, {"cpu.housekeeping.cores": "0-2"}, "cpu plan", WARN, "core 2 is also housekeeping's"),
        ({f"{CPU}/nohz_full": "(null)"}, {}, "cpu isolation", WARN, "nohz_full does not cover 2-3"),
        ({f"{CPU}/isolated": "", "proc/cmdline": ""}, {}, "cpu isolation", WARN,
         "isolcpus, rcu_nocbs do not cover 2-3"),
        ({f"{CPU}/cpu3/cpufreq/scaling_governor": "powersave"}, {}, "cpu governor", WARN,
         "powersave on core 3"),
        ({f"{CPU}/cpu3/cpuidle/state1/latency": "120"}, {}, "cpu idle states", WARN, "core 3"),
        ({f"{CPU}/intel_pstate/no_turbo": "1"}, {}, "cpu turbo", WARN, "off"),
        ({"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never"}, {},
         "transparent huge pages", WARN, "always"),
        ({"proc/mounts": ""}, {"shm.backing": "hugetlbfs"}, "huge pages", FAIL, "is no hugetlbfs"),
        ({"sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "0"},
         {"shm.backing": "hugetlbfs"}, "huge pages", FAIL, "is empty"),
        ({"proc/irq/24/effective_affinity_list": "3"}, {}, "interrupts", WARN, "first: irq 24"),
        ({"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet"}, {},
         "clock source", WARN, "hpet"),
        ({"proc/sys/vm/swappiness": "60"}, {}, "sysctl vm.swappiness", WARN, "expected at most 10"),
        ({"proc/sys/kernel/sched_rt_runtime_us": "950000"},
         {"cpu.engine.policy": "fifo", "cpu.engine.priority": 5},
         "sysctl kernel.sched_rt_runtime_us", WARN, "950000"),
    ],
)  # fmt: skip
def test_each_fault_of_a_host_is_told_with_its_remedy(
    host, files, overrides, check, verdict, words
):
    found = host(files, overrides)

    assert found[check].verdict is verdict
    assert words in found[check].reason
    assert found[check].remedy
    others = {name for name, finding in found.items() if finding.verdict is not OK}
    # A core that is not there is not isolated either.
    assert others - {"cpu isolation"} <= {check}


def test_kernel_that_offers_nothing_is_blamed_for_nothing_it_lacks(tmp_path, make_config):
    config = load_config(make_config({}))

    found = host_checks(config, Roots(proc=tmp_path / "none", sys=tmp_path / "none"))

    assert {finding.check for finding in found if finding.verdict is not OK} == {"cpu plan"}


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (ClockState(is_synchronised=True, max_error_us=900, offset_us=12.0), OK),
        (ClockState(is_synchronised=True, max_error_us=500_000, offset_us=0.0), WARN),
        (ClockState(is_synchronised=False, max_error_us=0, offset_us=0.0), WARN),
    ],
)
def test_wall_clock_is_judged_by_whom_it_follows(state, verdict):
    assert clock_check(state).verdict is verdict


def test_kernel_tells_its_clock():
    assert kernel_clock().max_error_us >= 0


def test_container_that_may_not_ask_for_the_clock_is_no_failure():
    found = clock_check(None)

    assert (found.verdict, found.check) == (WARN, "time synchronisation")
    assert "host" in found.remedy


def by_check(findings):
    return {finding.check: finding for finding in findings}


def test_pipeline_before_its_first_start_is_told_what_to_run(make_config):
    found = by_check(pipeline_checks(load_config(make_config({})), Roots()))

    assert (found["shared memory"].verdict, found["shared memory"].remedy) == (WARN, "run shm-init")
    assert found["universe"].verdict is FAIL
    assert found["processes"].verdict is OK


def test_regions_of_another_build_fail(make_config):
    config = load_config(make_config({}))
    create_regions(config.shm)
    region = attach_region(config.shm, RegionKind.RING, writable=True)
    region.mapping.store_word(Header.BUILD_ID, 1)

    found = by_check(pipeline_checks(config, Roots()))["shared memory"]

    assert found.verdict is FAIL
    assert "ring: build id is 1" in found.reason
    assert "shm-init" in found.remedy


def test_process_on_other_cores_than_planned_fails_and_small_limits_are_told(make_config, tmp_path):
    config = load_config(make_config(PLAN | {"shm.lock_memory": True}))
    lock = RoleLock(config.path(config.runtime.run_dir), "spread-engine")
    process = tmp_path / "proc" / str(os.getpid())
    set_text(process / "status", "Cpus_allowed_list:\t0-1\nCapEff:\t0000\nVmLck:\t0 kB\n")
    set_text(
        process / "limits",
        "Limit                     Soft Limit           Hard Limit           Units\n"
        "Max open files            1024                 4096                 files\n"
        "Max locked memory         8388608              8388608              bytes\n",
    )

    found = by_check(pipeline_checks(config, Roots(proc=tmp_path / "proc")))
    lock.release()

    assert found["process cores"].verdict is FAIL
    assert "spread-engine may run on 0-1, planned 3" in found["process cores"].reason
    assert "may hold 1024 files" in found["process limits"].reason
    assert "spread-engine could be swapped out" in found["locked memory"].reason


def test_disks_are_written_to_and_left_as_they_were(make_config):
    config = load_config(make_config({}))

    found = storage_checks(config)

    assert {finding.verdict for finding in found} <= {OK, WARN}
    assert not list(config.path(".").rglob(".doctor-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system of a given size")
def test_run_folder_in_a_tenth_of_a_small_memory_is_enough_and_a_ledger_there_is_not(
    make_config, tmp_path
):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", small], check=True)
    try:
        settings = {"runtime.run_dir": str(small), "tracker.data_dir": str(small)}
        found = by_check(storage_checks(load_config(make_config(settings))))
    finally:
        subprocess.run(["umount", small], check=True)

    assert found["disk: run folder"].verdict in {OK, WARN}
    assert found["disk: ledger folder"].verdict is FAIL


def test_folder_that_cannot_be_written_fails(make_config, tmp_path):
    config = load_config(make_config({"tracker.data_dir": "/proc/nothing"}))

    found = by_check(storage_checks(config))["disk: ledger folder"]

    assert found.verdict is FAIL
    assert found.remedy


def test_units_of_another_version_are_told(make_config, tmp_path):
    config = load_config(make_config({}))
    assert units_check(config, tmp_path).reason == "not installed here"
    write_units(tmp_path, rendered_units(config, UnitPlace(config_file=config.file)))
    same = units_check(config, tmp_path)
    unit = tmp_path / "spread-engine.service"
    unit.write_text(unit.read_text() + "Nice=5\n")

    other = units_check(config, tmp_path)

    assert same.verdict is OK
    assert other.verdict is WARN
    assert "spread-engine.service" in other.reason


@contextlib.contextmanager
def answering(head):
    """A loopback server that says the same to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    visitor, _ = server.accept()
                    with visitor:
                        visitor.recv(4096)
                        visitor.sendall(head.replace("\n", "\r\n").encode())

        serving = threading.Thread(target=serve)
        serving.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    serving.join()


def asked(make_config, kind, head):
    with answering(head) as port:
        config = load_config(
            make_config(
                {
                    "sim.rest_base": f"http://127.0.0.1:{port}",
                    "sim.ws_base": f"ws://127.0.0.1:{port}",
                }
            ),
            is_sim=True,
        )
        source = source_named("okx_spot")
        return kind(config, source, private_words(), trust_of(config), SystemClock())


def dated(seconds):
    """Return an answer of a clock that is that far from ours; made when it is asked for."""
    return lambda: (
        f"HTTP/1.1 404 Not Found\nDate: {formatdate(time.time() + seconds, usegmt=True)}\n\n"
    )


@pytest.mark.parametrize(
    ("kind", "head", "verdict", "words"),
    [
        (rest_check, dated(0), OK, "clock within 2 s"),
        (rest_check, dated(-60), FAIL, "its clock and ours differ by -"),
        (rest_check, "HTTP/1.1 200 OK\n\n", OK, "tells no time"),
        (rest_check, "HTTP/1.1 429 Too Many\n\n", FAIL, "refused with status 429"),
        (rest_check, "SSH-2.0\n\n", FAIL, "no HTTP: 'SSH-2.0'"),
        (socket_check, "HTTP/1.1 101 Switching Protocols\n\n", OK, "open in "),
        (socket_check, "HTTP/1.1 503 Busy\n\n", FAIL, "found status 503, expected 101"),
    ],
)
def test_exchange_is_judged_by_its_answer(make_config, kind, head, verdict, words):
    found = asked(make_config, kind, head() if callable(head) else head)

    assert found.verdict is verdict
    assert words in found.reason


def test_exchange_that_wants_no_requests_is_not_asked(make_config):
    config = load_config(make_config({}), is_sim=True)
    source, clock = source_named("okx_spot"), SystemClock()
    words = private_words()
    now_ns = clock.monotonic_ns()
    allowances_of(config, source, words).rest.ban(now_ns, now_ns + 60_000_000_000)

    found = rest_check(config, source, words, trust_of(config), clock)

    assert found.verdict is FAIL
    assert "not asked: the exchange wants no request for" in found.reason


def test_everything_together_is_as_bad_as_the_worst_and_names_unreachable_exchanges(make_config):
    config = load_config(make_config({}), is_sim=True)

    found = examine(config, SystemClock())
    offline = examine(config, SystemClock(), with_exchanges=False)

    names = {finding.check: finding for finding in found.findings}
    assert (found.verdict, found.exit_code) == (FAIL, 2)
    assert names["okx_spot websocket"].verdict is FAIL
    assert "Connection refused" in names["okx_spot rest"].reason
    assert len(found.findings) == len(offline.findings) + 16
    assert names["okx_spot websocket"].source == "okx_spot"
    assert {finding.source for finding in offline.findings} == {""}
