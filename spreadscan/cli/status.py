"""``spread-ctl status``."""

import sys
import time
from typing import Annotated

import msgspec
import orjson
import typer

from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.cli.standard_output import is_reader_gone
from spreadscan.config import Config, load_config
from spreadscan.errors import EXIT_DEGRADED, EXIT_NOT_RUNNING
from spreadscan.ops.processes_now import RUNNING
from spreadscan.ops.status import VERDICT_STATUS, StatusNow, status_now
from spreadscan.runtime.clock import SystemClock

__all__ = ["status"]

WATCH_S = 1.0


def status(  # noqa: PLR0913 - one parameter is one option of the command line
    *,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="One source alone.")] = None,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", help="With --source: funding, and who is on which connection."),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again every second, until Ctrl-C.")
    ] = False,
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Show how everything is: processes, sources, engine, ring, tracker, universe, commands.

    The exit status is the verdict. A process that ended is labelled so by its lock, and what it
    said before is never shown as live. With --json --watch there is one object a line.
    """
    tree = load_config(config, is_sim=sim)
    if source is not None and source not in {each.name for each in tree.active_sources()}:
        names = ", ".join(each.name for each in tree.active_sources())
        raise typer.BadParameter(f"found {source!r}, expected one of {names}")
    if verbose and source is None:
        raise typer.BadParameter("--verbose needs --source: it shows every symbol")
    if watch:
        _watch(tree, source, is_verbose=verbose, as_json=as_json)
        return
    found = status_now(tree, SystemClock(), with_details=source is not None)
    if as_json:
        typer.echo(_json(found, source))
    else:
        # Imported here: rich is most of what --json would wait for.
        from rich.console import Console

        from spreadscan.cli.status_view import drawn

        Console(highlight=False).print(drawn(found, source, is_verbose=verbose))
    if exit_status := _exit_status(found, source):
        raise typer.Exit(exit_status)


def _watch(config: Config, source: str | None, *, is_verbose: bool, as_json: bool) -> None:
    def look() -> StatusNow:
        return status_now(config, SystemClock(), with_details=source is not None)

    try:
        if as_json:
            while not is_reader_gone():
                sys.stdout.write(_json(look(), source) + "\n")
                sys.stdout.flush()
                time.sleep(WATCH_S)
            return
        from rich.console import Console
        from rich.live import Live

        from spreadscan.cli.status_view import drawn

        console = Console(highlight=False)
        if not console.is_terminal:
            while not is_reader_gone():
                console.print(drawn(look(), source, is_verbose=is_verbose), "")
                sys.stdout.flush()
                time.sleep(WATCH_S)
            return
        with Live(console=console, screen=True, auto_refresh=False) as screen:
            while True:
                screen.update(drawn(look(), source, is_verbose=is_verbose), refresh=True)
                time.sleep(WATCH_S)
    except KeyboardInterrupt:
        return


def _json(found: StatusNow, source: str | None) -> str:
    tree = msgspec.to_builtins(found)
    if source is not None:
        (tree,) = (feed for feed in tree["feeds"] if feed["source"] == source)
    return orjson.dumps(tree).decode()


def _exit_status(found: StatusNow, source: str | None) -> int:
    if source is None:
        return VERDICT_STATUS[found.verdict]
    (feed,) = (feed for feed in found.feeds if feed.source == source)
    if feed.state == RUNNING:
        return 0 if feed.live else EXIT_DEGRADED
    return EXIT_DEGRADED if any(row.lives for row in found.processes) else EXIT_NOT_RUNNING
