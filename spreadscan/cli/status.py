"""``spread-ctl status``."""

from typing import Annotated

import msgspec
import orjson
import typer

from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.config import load_config
from spreadscan.errors import EXIT_DEGRADED, EXIT_NOT_RUNNING
from spreadscan.ops.feeds_now import NOT_RUNNING, feeds_now
from spreadscan.runtime.clock import SystemClock

__all__ = ["status"]


def status(
    *,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="One source alone.")] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --source: who is on which connection.")
    ] = False,
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Show how the feeds are: symbols with usable prices, connections, refusals, lag.

    What a process said before it ended is never shown as live.
    """
    feeds = feeds_now(load_config(config, is_sim=sim), SystemClock())
    if source is not None:
        names = [feed.source for feed in feeds]
        if source not in names:
            raise typer.BadParameter(f"found {source!r}, expected one of {', '.join(names)}")
        feeds = [feed for feed in feeds if feed.source == source]
    elif verbose:
        raise typer.BadParameter("--verbose needs --source: it shows every symbol")
    running = [feed for feed in feeds if feed.state != NOT_RUNNING]
    if as_json:
        typer.echo(orjson.dumps({"feeds": msgspec.to_builtins(feeds)}).decode())
    else:
        # Imported here: rich is most of what --json would wait for.
        from rich.console import Console

        from spreadscan.cli.feeds_view import feed_details, feeds_table

        drawn = feed_details(feeds[0], SystemClock().monotonic_ns()) if verbose else None
        Console().print(drawn or feeds_table(feeds))
    if len(running) < len(feeds):
        raise typer.Exit(EXIT_DEGRADED if running else EXIT_NOT_RUNNING)
