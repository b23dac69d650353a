"""``spreadscan bench``: measure this machine against the numbers of the design."""

from pathlib import Path
from typing import Annotated

import msgspec
import orjson
import typer
from rich.console import Console
from rich.table import Table

import spreadscan
from spreadscan.ops.benchmark import (
    Machine,
    Result,
    Skipped,
    describe_machine,
    load_benchmarks,
    run_benchmarks,
    select,
)

__all__ = ["bench"]

DEFINITIONS = Path(spreadscan.__file__).parents[1] / "tests" / "bench"
PIPED_WIDTH = 130
"""Columns of the table where there is no terminal to ask."""


def bench(
    more: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", hidden=True)] = None,
    *,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME...", help="A name or the group before its dot; several may follow."
        ),
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure speed, each number with its baseline in the same run; about three minutes for all.

    Raises:
        BenchmarkError: there are no definitions, or none of that name.
    """
    progress = Console(stderr=True)
    benchmarks = load_benchmarks(DEFINITIONS)
    names = select(benchmarks, [*(only or ()), *(more or ())])
    machine = describe_machine()
    outcomes: list[Result | Skipped] = []
    with progress.status("measuring") as status:
        for outcome in run_benchmarks(benchmarks, names):
            outcomes.append(outcome)
            status.update(f"measured {outcome.name} ({len(outcomes)} of {len(names)})")
    results = [outcome for outcome in outcomes if isinstance(outcome, Result)]
    skipped = [outcome for outcome in outcomes if isinstance(outcome, Skipped)]
    if is_json:
        typer.echo(orjson.dumps(_report(machine, results, skipped)).decode())
    else:
        terminal = Console()
        if not terminal.is_terminal:
            terminal = Console(width=PIPED_WIDTH)
        terminal.print(_table(machine, results))
        for absent in skipped:
            typer.echo(f"{absent.name}: not measured: {absent.reason}")


def _report(machine: Machine, results: list[Result], skipped: list[Skipped]) -> dict[str, object]:
    return {
        "machine": msgspec.to_builtins(machine),
        "results": [msgspec.to_builtins(result) for result in results],
        "skipped": [msgspec.to_builtins(absent) for absent in skipped],
    }


def _table(machine: Machine, results: list[Result]) -> Table:
    isolated = machine.isolated_cpus or "none"
    table = Table(
        title=f"{machine.cpu}, {machine.cores} cores (isolated: {isolated}), "
        f"governor {machine.governor or 'unknown'}, Linux {machine.kernel}, "
        f"Python {machine.python}, load {machine.load_1m}",
        title_justify="left",
    )
    table.add_column("name", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("baseline")
    table.add_column("p50 / p90 / p99 / p99.9", justify="right")
    for result in results:
        table.add_row(
            result.name,
            f"{_number(result.value)} {result.unit}",
            "" if result.ratio is None else f"{result.ratio:.2f} x",
            result.baseline or "",
            " / ".join(
                _number(value)
                for value in (result.p50, result.p90, result.p99, result.p999)
                if value is not None
            ),
        )
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.2f}"
