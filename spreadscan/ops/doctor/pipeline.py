"""What the pipeline stands on and how its processes are placed. Looks; changes nothing."""

from collections.abc import Iterator

from spreadscan.config import Config
from spreadscan.core_list import format_cores
from spreadscan.errors import LayoutMismatch, RegionError, RegionMissing, UniverseError
from spreadscan.holds import read_holds
from spreadscan.ops.command import watched_programs
from spreadscan.ops.doctor.finding import Finding, fail, ok, warn
from spreadscan.ops.doctor.host import Roots, parse_or_none
from spreadscan.runtime.cpu import cores_of
from spreadscan.runtime.lock import lock_owner
from spreadscan.shm.layout import LAYOUT_VERSION, RegionKind
from spreadscan.shm.region import attach_region
from spreadscan.topology import Program
from spreadscan.universe import load_universe

__all__ = ["pipeline_checks"]

MIN_FILES = 4_096


def pipeline_checks(config: Config, roots: Roots) -> list[Finding]:
    """Return everything about regions, files and running processes."""
    running = {
        row: pid
        for row in watched_programs(config)
        if (pid := lock_owner(config.path(config.runtime.run_dir), row.name)) is not None
    }
    return [
        _regions(config),
        _universe(config),
        _holds(config),
        *_processes(config, roots, running),
    ]


def _regions(config: Config) -> Finding:
    check = "shared memory"
    missing = []
    for kind in RegionKind:
        try:
            attach_region(config.shm, kind, writable=False)
        except RegionMissing:
            missing.append(kind.name.lower())
        except LayoutMismatch as error:
            return fail(
                check, str(error), "end every process, run shm-init, start again: builds differ"
            )
        except RegionError as error:
            return fail(check, str(error), "run it as the owner of the regions, or shm-init anew")
    if missing:
        return warn(check, f"not there: {', '.join(missing)}", "run shm-init")
    return ok(check, f"layout version {LAYOUT_VERSION}")


def _universe(config: Config) -> Finding:
    check = "universe"
    try:
        universe = load_universe(config.path(config.runtime.generated_dir))
    except UniverseError as error:
        return fail(check, str(error), "run pair-discovery")
    pairs = sum(len(row.symbols) for row in universe.directions)
    if pairs == 0:
        return fail(check, "no pair in it", "run pair-discovery and read its report")
    return ok(
        check, f"generation {universe.generation}, {len(universe.symbols)} symbols, {pairs} pairs"
    )


def _holds(config: Config) -> Finding:
    holds, trouble = read_holds(config)
    if trouble:
        return fail("holds", trouble, "spread-ctl resume, after a look at what should be held")
    if holds.is_any:
        return warn("holds", f"held back: {holds.words}", "spread-ctl resume, when it may")
    return ok("holds", "nothing is held back")


def _processes(config: Config, roots: Roots, running: dict[Program, int]) -> Iterator[Finding]:
    if not running:
        yield ok("processes", "none runs; their cores, limits and memory are not looked at")
        return
    yield _affinity(config, roots, running)
    yield _limits(config, roots, running)
    if config.shm.lock_memory:
        yield _locked(roots, running)


def _affinity(config: Config, roots: Roots, running: dict[Program, int]) -> Finding:
    check = "process cores"
    for row, pid in running.items():
        planned = cores_of(config, row)
        found = parse_or_none(_status(roots, pid).get("Cpus_allowed_list"))
        if planned and found and set(found) != set(planned):
            return fail(
                check,
                f"{row.name} may run on {format_cores(found)}, planned {format_cores(planned)}",
                f"spread-ctl restart {row.name}; the unit must not say otherwise (CPUAffinity)",
            )
    return ok(check, "as planned" if any(cores_of(config, row) for row in running) else "no plan")


def _limits(config: Config, roots: Roots, running: dict[Program, int]) -> Finding:
    check = "process limits"
    for row, pid in running.items():
        limits = _limits_of(roots, pid)
        files = limits.get("Max open files", "unlimited")
        if files != "unlimited" and int(files) < MIN_FILES:
            return warn(
                check,
                f"{row.name} may hold {files} files, expected at least {MIN_FILES}",
                "LimitNOFILE=65536 in its unit, or ulimit -n",
            )
        memory = limits.get("Max locked memory", "unlimited")
        if config.shm.lock_memory and memory != "unlimited" and not _may_lock(roots, pid):
            return warn(
                check,
                f"{row.name} may lock {int(memory) // 1024} KiB, expected all it has",
                "LimitMEMLOCK=infinity and CAP_IPC_LOCK in its unit",
            )
    return ok(check, "files and locked memory suffice")


def _locked(roots: Roots, running: dict[Program, int]) -> Finding:
    check = "locked memory"
    loose = [row.name for row, pid in running.items() if _status(roots, pid).get("VmLck") == "0 kB"]
    if loose:
        return warn(
            check,
            f"{', '.join(loose)} could be swapped out",
            "LimitMEMLOCK=infinity and CAP_IPC_LOCK in the units; their logs say why",
        )
    return ok(check, "every process is locked into memory")


def _status(roots: Roots, pid: int) -> dict[str, str]:
    text = roots.text(roots.proc / str(pid) / "status") or ""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _may_lock(roots: Roots, pid: int) -> bool:
    return bool(int(_status(roots, pid).get("CapEff", "0"), 16) >> 14 & 1)


def _limits_of(roots: Roots, pid: int) -> dict[str, str]:
    """Soft limits by name: proc_pid_limits(5) aligns its columns by blanks."""
    text = roots.text(roots.proc / str(pid) / "limits") or ""
    return {line[:25].strip(): line[25:46].strip() for line in text.splitlines()[1:]}
