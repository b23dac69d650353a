"""``spread-ctl statistics``: how often, how long and how far, by route."""

from typing import Annotated

import msgspec
import orjson
import typer
from rich.console import Console

from spreadscan.cli.history_options import (
    PIPED_WIDTH,
    Direction,
    MinNetBps,
    Since,
    Symbol,
    open_history,
    query_of,
    tell_troubles,
)
from spreadscan.cli.history_view import statistics_table
from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.config import load_config
from spreadscan.ops.baselines_now import baselines_now
from spreadscan.ops.statistics import route_statistics

__all__ = ["statistics"]


def statistics(  # noqa: PLR0913 - one parameter is one option of the command line
    *,
    symbol: Symbol = None,
    direction: Direction = None,
    since: Since = None,
    min_net_bps: MinNetBps = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Routes shown; --json: all.")] = 25,
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Show count, median life, peak and time to peak, share converged, re-arm rate and survival.

    Survival is the chance that an episode is not converged after so long; those that ended
    otherwise count for as long as they were followed. `usual gross bps` is the route's median and
    its deviation over the last hours, while a tracker runs: an episode's z counts from there. The
    first line is all routes together.
    """
    found = open_history(config, is_sim=sim)
    query = query_of(symbol, direction, since, min_net_bps, None)
    usual = baselines_now(load_config(config, is_sim=sim))
    rows = route_statistics(found.summaries(query), usual)
    if as_json:
        typer.echo(orjson.dumps({"routes": msgspec.to_builtins(rows)}).decode())
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=PIPED_WIDTH)
        console.print(statistics_table(rows[: limit + 1], console.width))
    tell_troubles(found)
