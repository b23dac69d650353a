"""``spread-ctl``: operations on a running pipeline."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import orjson
import typer
from rich.console import Console

from spreadscan.cli.duration import parse_duration_s
from spreadscan.cli.feeds_view import feed_details, feeds_table
from spreadscan.cli.group import command_group, run_group
from spreadscan.config import load_config
from spreadscan.errors import EXIT_TEMPORARY
from spreadscan.ops.command import EXIT_NOTHING_RUNS
from spreadscan.ops.feeds_now import NOT_RUNNING, feeds_now
from spreadscan.ops.reload import Reloaded, reload_universe
from spreadscan.runtime.clock import SystemClock
from spreadscan.universe_diff import Changes

__all__ = ["app", "main"]

# More names than these are counted only; --json has them all.
SHOWN_NAMES = 10

app = command_group("spread-ctl", "Operate a running pipeline.")


@app.command("reload")
def reload(
    *,
    sim: Annotated[bool, typer.Option("--sim", help="The pipeline of `up --sim`.")] = False,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="How long to wait for everybody.")
    ] = "10s",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: Annotated[
        Path, typer.Option(help="Configuration; its neighbours are read too.")
    ] = Path("config/config.toml"),
) -> None:
    """Let every running process go over to the universe that pair-discovery wrote last.

    Only symbols and directions are read again; a changed configuration needs a restart. Exits 0
    when all have obeyed, 3 when nothing runs, 75 when somebody has not obeyed in time, 78 when the
    universe is damaged; then nothing was asked.
    """
    timeout_s = parse_duration_s(timeout)
    outcome = reload_universe(load_config(config, is_sim=sim), timeout_s)
    if as_json:
        typer.echo(orjson.dumps(_object(outcome)).decode())
    else:
        typer.echo(_what_changed(outcome))
        typer.echo(f"obeyed by {len(outcome.obeyed)}: {', '.join(outcome.obeyed) or 'nobody'}")
    if outcome.missing:
        late = "; ".join(f"{name} ({words})" for name, words in outcome.missing.items())
        typer.echo(f"spread-ctl: not obeyed within {timeout_s:g} s: {late}", err=True)
        raise typer.Exit(EXIT_TEMPORARY)


@app.command("status")
def status(
    *,
    source: Annotated[str | None, typer.Option(metavar="NAME", help="One source alone.")] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --source: who is on which connection.")
    ] = False,
    sim: Annotated[bool, typer.Option("--sim", help="The pipeline of `up --sim`.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: Annotated[
        Path, typer.Option(help="Configuration; its neighbours are read too.")
    ] = Path("config/config.toml"),
) -> None:
    """Show how the feeds are: symbols with usable prices, connections, refusals, lag.

    What a process said before it ended is never shown as live. Exits 0 when every feed that is
    shown runs, 3 when none does, 75 when some do not.
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
    elif verbose:
        Console().print(feed_details(feeds[0], SystemClock().monotonic_ns()))
    else:
        Console().print(feeds_table(feeds))
    if len(running) < len(feeds):
        raise typer.Exit(EXIT_TEMPORARY if running else EXIT_NOTHING_RUNS)


def main() -> int:
    """Entry of the console script; return the exit status."""
    return run_group(app)


def _object(outcome: Reloaded) -> dict[str, object]:
    return {
        "command": outcome.command,
        "before": list(outcome.before),
        "generation": outcome.universe.generation,
        "changes": None if outcome.changes is None else msgspec.to_builtins(outcome.changes),
        "obeyed": list(outcome.obeyed),
        "missing": outcome.missing,
    }


def _what_changed(outcome: Reloaded) -> str:
    before = ", ".join(map(str, outcome.before)) or "none"
    line = f"universe {before} -> {outcome.universe.generation}: "
    if outcome.changes is None:
        return line + "what changed is not known, the earlier set is no longer kept"
    return line + _words(outcome.changes)


def _words(changes: Changes) -> str:
    parts = [
        _counted("symbols added", changes.symbols_added, shows_names=True),
        _counted("symbols removed", changes.symbols_removed, shows_names=True),
        _counted("pairs added", changes.pairs_added, shows_names=False),
        _counted("pairs removed", changes.pairs_removed, shows_names=False),
    ]
    return ", ".join(part for part in parts if part) or "the same symbols and pairs"


def _counted(what: str, names: Sequence[str], *, shows_names: bool) -> str:
    if not names:
        return ""
    if not shows_names or len(names) > SHOWN_NAMES:
        return f"{what} {len(names)}"
    return f"{what} {len(names)} ({', '.join(names)})"


if __name__ == "__main__":
    sys.exit(main())
