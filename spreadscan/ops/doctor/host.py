"""The machine below: cores, clocks, pages, interrupts, kernel settings. Pure over /proc and /sys.

What a kernel does not offer (no frequency scaling in a guest, no isolation built in) is told as it
is and blamed on nobody. Roots are given, so that any machine can be looked at from a folder.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from spreadscan.config import Config
from spreadscan.core_list import format_cores, parse_cores
from spreadscan.ops.doctor.finding import Finding, fail, ok, warn

__all__ = ["Roots", "host_checks"]

GOOD_CLOCKS = {"tsc", "arch_sys_counter", "kvm-clock"}
# A core that sleeps deeper takes this long to come back.
AWAKE_LATENCY_US = 10
# Name, what it must be, in words, and what it costs otherwise.
SYSCTLS: tuple[tuple[str, Callable[[int], bool], str, str], ...] = (
    (
        "net.core.rmem_max",
        lambda found: found >= 8_388_608,
        "at least 8388608",
        "a burst of all books is dropped instead of waiting",
    ),
    (
        "vm.swappiness",
        lambda found: found <= 10,
        "at most 10",
        "a page that was swapped out costs milliseconds",
    ),
    (
        "kernel.numa_balancing",
        lambda found: found == 0,
        "0",
        "pages of pinned processes are unmapped for statistics",
    ),
    (
        "kernel.timer_migration",
        lambda found: found == 0,
        "0",
        "timers of others wake isolated cores",
    ),
    (
        "kernel.nmi_watchdog",
        lambda found: found == 0,
        "0",
        "it interrupts a core that spins",
    ),
)


class Roots(msgspec.Struct, frozen=True, kw_only=True):
    """Where the kernel's files are."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")

    def text(self, path: Path) -> str | None:
        """Return a small file's content; None where there is none or it may not be read."""
        try:
            return path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None


def host_checks(config: Config, roots: Roots) -> list[Finding]:
    """Return everything that can be told from the kernel's files."""
    planned = planned_cores(config)
    return [
        _plan(config, roots, planned),
        _isolation(roots, planned),
        _governor(roots, planned),
        _idle_states(roots, planned),
        _turbo(roots),
        _huge_pages(config, roots),
        _transparent_pages(roots),
        _interrupts(roots, planned),
        _clock_source(roots),
        *_sysctls(roots),
        *_real_time(config, roots),
    ]


def planned_cores(config: Config) -> set[int]:
    """Return the cores that feeds and the engine have for themselves."""
    return {*parse_cores(config.cpu.feed.cores), *parse_cores(config.cpu.engine.cores)}


def _plan(config: Config, roots: Roots, planned: set[int]) -> Finding:
    check = "cpu plan"
    online = set(parse_cores(roots.text(roots.sys / "devices/system/cpu/online") or ""))
    if not planned:
        return warn(
            check,
            "[cpu] names no cores: the system moves feeds and engine as it likes",
            "name cores of feeds and engine in [cpu] of config.toml",
        )
    if missing := planned - online:
        return fail(
            check,
            f"core {format_cores(tuple(missing))} is not there, {format_cores(tuple(online))} are",
            "name cores that are online in [cpu]",
        )
    shared = planned & set(parse_cores(config.cpu.housekeeping.cores))
    if shared:
        return warn(
            check,
            f"core {format_cores(tuple(shared))} is also housekeeping's",
            "give feeds and engine cores of their own in [cpu]",
        )
    return ok(check, f"feeds {config.cpu.feed.cores}, engine {config.cpu.engine.cores or 'any'}")


def _isolation(roots: Roots, planned: set[int]) -> Finding:
    check = "cpu isolation"
    if not planned:
        return ok(check, "nothing to isolate")
    line = roots.text(roots.proc / "cmdline") or ""
    found = {
        "isolcpus": parse_or_none(roots.text(roots.sys / "devices/system/cpu/isolated")),
        "nohz_full": parse_or_none(roots.text(roots.sys / "devices/system/cpu/nohz_full")),
        "rcu_nocbs": parse_or_none(_boot_value(line, "rcu_nocbs")),
    }
    lacking = [name for name, cores in found.items() if not planned <= set(cores)]
    if lacking:
        cores = format_cores(tuple(planned))
        return warn(
            check,
            f"{', '.join(lacking)} {'does' if len(lacking) == 1 else 'do'} not cover {cores}",
            f"boot with {' '.join(f'{name}={cores}' for name in lacking)}",
        )
    return ok(check, f"{format_cores(tuple(planned))} isolated, without ticks and callbacks")


def _governor(roots: Roots, planned: set[int]) -> Finding:
    check = "cpu governor"
    found = {
        core: roots.text(roots.sys / f"devices/system/cpu/cpu{core}/cpufreq/scaling_governor")
        for core in planned or _online(roots)
    }
    slow = [core for core, governor in found.items() if governor not in {None, "performance"}]
    if slow:
        return warn(
            check,
            f"{found[slow[0]]} on core {format_cores(tuple(slow))}",
            "set scaling_governor to performance",
        )
    if not any(found.values()):
        return ok(check, "no frequency scaling here")
    return ok(check, "performance")


def _idle_states(roots: Roots, planned: set[int]) -> Finding:
    check = "cpu idle states"
    deep = sorted(
        core
        for core in planned
        for state in sorted((roots.sys / f"devices/system/cpu/cpu{core}/cpuidle").glob("state*"))
        if int(roots.text(state / "latency") or 0) > AWAKE_LATENCY_US
        and roots.text(state / "disable") == "0"
    )
    if deep:
        return warn(
            check,
            f"core {format_cores(tuple(deep))} may sleep longer than {AWAKE_LATENCY_US} us",
            "disable deeper states (cpuidle/state*/disable), or boot with idle=poll",
        )
    return ok(check, "no core of the plan sleeps deep" if planned else "nothing is planned")


def _turbo(roots: Roots) -> Finding:
    check = "cpu turbo"
    no_turbo = roots.text(roots.sys / "devices/system/cpu/intel_pstate/no_turbo")
    boost = roots.text(roots.sys / "devices/system/cpu/cpufreq/boost")
    if no_turbo == "1" or boost == "0":
        return warn(check, "off: cores run below what they can", "turn turbo on in the firmware")
    return ok(check, "not told by this kernel" if no_turbo is None and boost is None else "on")


def _huge_pages(config: Config, roots: Roots) -> Finding:
    check = "huge pages"
    if config.shm.backing != "hugetlbfs":
        return ok(check, "not used: [shm] backing is posix")
    folder = config.shm.hugetlbfs_dir
    mounts = roots.text(roots.proc / "mounts") or ""
    if not any(f" {folder} hugetlbfs " in line for line in mounts.splitlines()):
        return fail(
            check,
            f"{folder} is no hugetlbfs",
            f"mount -t hugetlbfs -o pagesize=2M none {folder}",
        )
    pool = roots.sys / "kernel/mm/hugepages/hugepages-2048kB"
    total = int(roots.text(pool / "nr_hugepages") or 0)
    if total == 0:
        return fail(check, "the pool of 2 MiB pages is empty", "sysctl vm.nr_hugepages=64")
    return ok(check, f"{roots.text(pool / 'free_hugepages')} of {total} free")


def _transparent_pages(roots: Roots) -> Finding:
    check = "transparent huge pages"
    found = roots.text(roots.sys / "kernel/mm/transparent_hugepage/enabled")
    if found is not None and "[always]" in found:
        return warn(
            check,
            "always: processes stall while pages are merged",
            "write madvise to /sys/kernel/mm/transparent_hugepage/enabled",
        )
    return ok(check, "not in this kernel" if found is None else _chosen(found))


def _interrupts(roots: Roots, planned: set[int]) -> Finding:
    check = "interrupts"
    if not planned:
        return ok(check, "no cores to keep them from")
    strays = []
    for folder in sorted((roots.proc / "irq").glob("[0-9]*")):
        # Where it is delivered, not where it may be.
        cores = roots.text(folder / "effective_affinity_list") or roots.text(
            folder / "smp_affinity_list"
        )
        if cores and set(parse_or_none(cores)) & planned:
            strays.append(folder.name)
    if strays:
        return warn(
            check,
            f"{len(strays)} are served on cores of the plan (first: irq {strays[0]})",
            "boot with irqaffinity=<housekeeping cores>, or write /proc/irq/*/smp_affinity_list",
        )
    return ok(check, "none on cores of the plan")


def _clock_source(roots: Roots) -> Finding:
    check = "clock source"
    found = roots.text(roots.sys / "devices/system/clocksource/clocksource0/current_clocksource")
    if found is None or found in GOOD_CLOCKS:
        return ok(check, found or "not told by this kernel")
    return warn(
        check, f"{found}: reading it is a system call", "boot with clocksource=tsc tsc=reliable"
    )


def _sysctls(roots: Roots) -> Iterator[Finding]:
    for name, is_good, expected, why in SYSCTLS:
        found = roots.text(roots.proc / "sys" / name.replace(".", "/"))
        if found is None:
            yield ok(f"sysctl {name}", "not in this kernel")
        elif is_good(int(found.split()[0])):
            yield ok(f"sysctl {name}", found)
        else:
            yield warn(
                f"sysctl {name}", f"{found}, expected {expected}: {why}",
                f"set {name} in /etc/sysctl.d",
            )  # fmt: skip


def _real_time(config: Config, roots: Roots) -> Iterator[Finding]:
    policies = {config.cpu.feed.policy, config.cpu.engine.policy}
    if not policies & {"fifo", "rr"}:
        return
    check = "sysctl kernel.sched_rt_runtime_us"
    found = roots.text(roots.proc / "sys/kernel/sched_rt_runtime_us")
    if found in {None, "-1"}:
        yield ok(check, found or "not in this kernel")
    else:
        yield warn(
            check,
            f"{found}: real-time programs are stopped for a part of each second",
            "set kernel.sched_rt_runtime_us=-1 in /etc/sysctl.d",
        )


def parse_or_none(text: str | None) -> tuple[int, ...]:
    """Return the cores of a kernel's list; none for "(null)" and other ways to say nothing."""
    try:
        return parse_cores(text or "")
    except ValueError:
        return ()


def _online(roots: Roots) -> tuple[int, ...]:
    return parse_or_none(roots.text(roots.sys / "devices/system/cpu/online"))


def _boot_value(line: str, name: str) -> str | None:
    values = [word.partition("=")[2] for word in line.split() if word.startswith(f"{name}=")]
    return values[-1] if values else None


def _chosen(text: str) -> str:
    return text.partition("[")[2].partition("]")[0] or text
