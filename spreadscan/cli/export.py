"""``spread-ctl export``: episodes or their paths for other tools."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from spreadscan.cli.history_options import (
    Direction,
    MinNetBps,
    Reason,
    Since,
    Symbol,
    open_history,
    query_of,
    tell_troubles,
)
from spreadscan.cli.options import DEFAULT_CONFIG, ConfigFile, OnSim
from spreadscan.errors import EXIT_FAILED
from spreadscan.ops.export import FORMATS
from spreadscan.ops.export import export as export_history

__all__ = ["export"]


def export(  # noqa: PLR0913 - one parameter is one option of the command line
    *,
    kind: Annotated[
        str, typer.Option("--format", metavar="KIND", help=f"{', '.join(FORMATS)}.")
    ] = "parquet",
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Default is standard output.")
    ] = None,
    paths: Annotated[
        bool, typer.Option("--paths", help="The snapshots of the episodes, not themselves.")
    ] = False,
    symbol: Symbol = None,
    direction: Direction = None,
    since: Since = None,
    min_net_bps: MinNetBps = None,
    reason: Reason = None,
    sim: OnSim = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Write episodes with every field the ledger has, or with --paths their snapshots."""
    if kind not in FORMATS:
        raise typer.BadParameter(f"found {kind!r}, expected one of {', '.join(FORMATS)}")
    if output is None and kind == "parquet" and sys.stdout.isatty():
        raise typer.BadParameter("parquet is not for a terminal: name a file with --output")
    query = query_of(symbol, direction, since, min_net_bps, reason)
    found = open_history(config, is_sim=sim)
    try:
        if output is None:
            rows = export_history(found, query, kind, sys.stdout.buffer, is_paths=paths)
            sys.stdout.buffer.flush()
        else:
            with output.open("wb") as target:
                rows = export_history(found, query, kind, target, is_paths=paths)
    except OSError as error:
        typer.echo(f"spread-ctl: {output or 'standard output'}: {error.strerror}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    if output is not None:
        typer.echo(f"{output}: {rows:,} {'snapshots' if paths else 'episodes'}")
    tell_troubles(found)
