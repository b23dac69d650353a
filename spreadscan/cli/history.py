"""``spread-ctl history``: which dislocations there were, and how they ended."""

import msgspec
import orjson
import typer
from rich.console import Console

from spreadscan.cli.history_options import (
    PIPED_WIDTH,
    Direction,
    Limit,
    MinNetBps,
    Reason,
    Since,
    Symbol,
    open_history,
    query_of,
    tell_troubles,
)
from spreadscan.cli.history_view import episodes_table
from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim

__all__ = ["history"]


def history(  # noqa: PLR0913 - one parameter is one option of the command line
    *,
    symbol: Symbol = None,
    direction: Direction = None,
    since: Since = None,
    min_net_bps: MinNetBps = None,
    reason: Reason = None,
    limit: Limit = 50,
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """List episodes of all days: those open first, then the latest ended first.

    Days that are compacted and the ones that are not are read alike, and nobody is held up by it.
    """
    query = query_of(symbol, direction, since, min_net_bps, reason)
    found = open_history(config, is_sim=sim)
    rows = found.summaries(query, limit)
    if as_json:
        typer.echo(orjson.dumps({"episodes": msgspec.to_builtins(rows)}).decode())
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=PIPED_WIDTH)
        console.print(episodes_table(rows, console.width))
        if len(rows) == limit:
            typer.echo(f"the {limit} latest; --limit shows more")
    tell_troubles(found)
