"""What a benchmark is, and how the ones of a checkout are found and run. Prints nothing.

The definitions stand in ``tests/bench`` beside the slow versions they are compared with; every
``bench_*.py`` there has a ``BENCHMARKS`` tuple. Absolute figures move from machine to machine and
from hour to hour, so each is paired with a baseline measured in turns with it in the same run.
"""

import importlib
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import msgspec

from spreadscan.errors import EXIT_USAGE, SpreadscanError

__all__ = [
    "Benchmark",
    "BenchmarkError",
    "CannotMeasure",
    "Machine",
    "Result",
    "Skipped",
    "describe_machine",
    "in_turns",
    "load_benchmarks",
    "percentiles",
    "run_benchmarks",
    "select",
]


class BenchmarkError(SpreadscanError):
    """The benchmarks that were asked for are not there."""

    exit_code = EXIT_USAGE


class CannotMeasure(SpreadscanError):  # noqa: N818 - named for what happened, as in errors.py
    """This machine lacks what a benchmark needs; the others go on."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number."""

    name: str
    value: float
    unit: str
    baseline: str | None = None
    """What was measured in turns with it; None where there is nothing to compare with."""
    ratio: float | None = None
    """How many times better than the baseline; above 1 is better, whatever the unit."""
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    p999: float | None = None


class Skipped(msgspec.Struct, frozen=True):
    """A number that this machine cannot give."""

    name: str
    reason: str


class Benchmark(msgspec.Struct, frozen=True):
    """A measurement that yields one or several numbers."""

    names: tuple[str, ...]
    run: Callable[[], Sequence[Result]]
    """Returns one result for each of *names*, or raises CannotMeasure."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where the numbers were measured."""

    cpu: str
    cores: int
    """Those this process may use."""
    kernel: str
    python: str
    isolated_cpus: str
    """As the kernel lists them, ``""`` for none."""
    governor: str | None
    load_1m: float
    """Other work at the start; above 0.5 the figures are pessimistic."""


def load_benchmarks(folder: Path) -> list[Benchmark]:
    """Import every ``bench_*.py`` of *folder* and return what they define, in order of file name.

    Raises:
        BenchmarkError: there is no such folder, or no benchmark in it, or a name is defined twice.
    """
    files = sorted(folder.glob("bench_*.py"))
    if not files:
        raise BenchmarkError(f"{folder}: found no bench_*.py; benchmarks need a source checkout")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    found = [
        benchmark for file in files for benchmark in _defined(importlib.import_module(file.stem))
    ]
    names = [name for benchmark in found for name in benchmark.names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BenchmarkError(f"{folder}: defined twice: {', '.join(twice)}")
    return found


def _defined(module: ModuleType) -> tuple[Benchmark, ...]:
    found: tuple[Benchmark, ...] = module.BENCHMARKS
    return found


def select(benchmarks: Sequence[Benchmark], only: Sequence[str]) -> list[str]:
    """Return the names asked for: equal to one of *only* or below it (``decode`` and all of it).

    Raises:
        BenchmarkError: one of *only* names nothing.
    """
    names = [name for benchmark in benchmarks for name in benchmark.names]
    for asked in only:
        if not any(_is_below(name, asked) for name in names):
            raise BenchmarkError(f"--only {asked}: found none; expected of: {', '.join(names)}")
    return [name for name in names if not only or any(_is_below(name, asked) for asked in only)]


def _is_below(name: str, asked: str) -> bool:
    return name == asked or name.startswith(f"{asked}.")


def run_benchmarks(
    benchmarks: Sequence[Benchmark], names: Sequence[str]
) -> Iterator[Result | Skipped]:
    """Run those that measure one of *names*; yield each number as soon as it is there.

    Raises:
        AssertionError: a benchmark did not return what it declares.
    """
    wanted = set(names)
    for benchmark in benchmarks:
        asked = [name for name in benchmark.names if name in wanted]
        if not asked:
            continue
        try:
            results = {result.name: result for result in benchmark.run()}
        except CannotMeasure as reason:
            yield from (Skipped(name, str(reason)) for name in asked)
            continue
        assert tuple(results) == benchmark.names, (tuple(results), benchmark.names)
        yield from (results[name] for name in asked)


def in_turns(rounds: int, *sides: Callable[[], float]) -> list[float]:
    """Call the sides A B A B … and return each one's median; a first round only warms up.

    In turns, because whatever disturbs a shared machine then disturbs all sides alike.
    """
    taken: list[list[float]] = [[] for _ in sides]
    for number in range(rounds + 1):
        for side, values in zip(sides, taken, strict=True):
            value = side()
            if number:
                values.append(value)
    return [statistics.median(values) for values in taken]


def percentiles(samples: Sequence[float]) -> tuple[float, float, float, float]:
    """Return p50, p90, p99 and p99.9 by nearest rank.

    Raises:
        AssertionError: no samples.
    """
    assert len(samples) > 0, "no samples"
    ordered = sorted(samples)
    last = len(ordered) - 1
    p50, p90, p99, p999 = (ordered[round(last * share)] for share in (0.5, 0.9, 0.99, 0.999))
    return p50, p90, p99, p999


def describe_machine() -> Machine:
    """Read what can be known of this machine without privileges."""
    cpu = Path("/sys/devices/system/cpu")
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        kernel=platform.release(),
        python=platform.python_version(),
        isolated_cpus=_read(cpu / "isolated") or "",
        governor=_read(cpu / "cpu0/cpufreq/scaling_governor"),
        load_1m=round(os.getloadavg()[0], 2),
    )


def _cpu_model() -> str:
    for line in (_read(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
