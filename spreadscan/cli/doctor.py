"""``spread-ctl doctor``."""

from typing import Annotated

import msgspec
import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.config import load_config
from spreadscan.ops.doctor.examine import examine
from spreadscan.ops.doctor.finding import Verdict
from spreadscan.runtime.clock import SystemClock

__all__ = ["doctor"]

STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def doctor(
    *,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask the exchanges anything.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Show also what is as it should be.")
    ] = False,
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Check whether this host is fit: each finding with its reason and its remedy.

    Cores, clocks, memory, interrupts, kernel settings, limits, shared memory, files, disks, unit
    files, and whether every exchange answers. Takes less than three seconds. Exits 0 when all is
    well, 1 when something could be better, 2 when something must be mended.
    """
    found = examine(load_config(config, is_sim=sim), SystemClock(), with_exchanges=not offline)
    if as_json:
        typer.echo(orjson.dumps(msgspec.to_builtins(found)).decode())
    else:
        table = Table.grid(padding=(0, 2))
        for finding in found.findings:
            if finding.verdict is Verdict.OK and not every:
                continue
            words = Text(finding.reason)
            if finding.remedy:
                words.append(f"\n-> {finding.remedy}", "dim")
            table.add_row(
                Text(finding.verdict.upper(), STYLES[finding.verdict]), finding.check, words
            )
        console = Console(highlight=False)
        console.print(table)
        counts = [
            f"{sum(each.verdict is verdict for each in found.findings)} {verdict}"
            for verdict in Verdict
        ]
        console.print(Text(", ".join(counts), STYLES[found.verdict]))
    if found.exit_code:
        raise typer.Exit(found.exit_code)
