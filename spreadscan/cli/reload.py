"""``spread-ctl reload``."""

from collections.abc import Sequence

import msgspec
import orjson
import typer

from spreadscan.cli.duration import parse_duration_s
from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim, Timeout
from spreadscan.config import load_config
from spreadscan.errors import EXIT_TEMPORARY
from spreadscan.ops.reload import Reloaded, reload_universe
from spreadscan.universe_diff import Changes

__all__ = ["reload"]

# More names than these are counted only; --json has them all.
SHOWN_NAMES = 10


def reload(
    *,
    timeout: Timeout = "10s",
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Let every running process go over to the universe that pair-discovery wrote last.

    Only symbols and directions are read again; a changed configuration needs a restart. Exits 75
    when somebody has not obeyed in time, and 78 when the universe is damaged; then nothing was
    asked.
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
