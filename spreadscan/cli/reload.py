"""``spread-ctl reload``: what differs, who has taken it over, what needs more than a reload."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import orjson
import typer

from spreadscan.cli.duration import parse_duration_s
from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim, Timeout
from spreadscan.config import load_config
from spreadscan.config_diff import Effect, KeyChange
from spreadscan.errors import EXIT_TEMPORARY
from spreadscan.ops.owner import act_as_owner
from spreadscan.ops.reload import Difference, difference, reload_everything
from spreadscan.universe_diff import Changes

__all__ = ["reload"]

# More names than these are counted only; --json has them all.
SHOWN_NAMES = 10


def reload(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would change; ask nobody.")
    ] = False,
    timeout: Timeout = "10s",
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Let every running process go over to the universe and the configuration on disk.

    Both are judged first: what cannot be used is refused (78) and nobody is asked. Thresholds, wait
    mode, fees, limits of episodes and the log level are taken over at once; for the other keys it
    names who has to be restarted. Waits until everybody has obeyed, and exits 75 with the names of
    those who have not in time.
    """
    timeout_s = parse_duration_s(timeout)
    tree = load_config(config, is_sim=sim)
    if dry_run:
        _tell(difference(tree), {}, as_json=as_json)
        return
    act_as_owner(tree.path(tree.runtime.run_dir))
    outcome = reload_everything(tree, timeout_s)
    followed = {
        "command": outcome.command,
        "obeyed": list(outcome.obeyed),
        "missing": outcome.missing,
    }
    _tell(outcome.difference, followed, as_json=as_json)
    if not as_json:
        typer.echo(f"obeyed by {len(outcome.obeyed)}: {', '.join(outcome.obeyed) or 'nobody'}")
    if outcome.missing:
        late = "; ".join(f"{name} ({words})" for name, words in outcome.missing.items())
        typer.echo(f"spread-ctl: not obeyed within {timeout_s:g} s: {late}", err=True)
        raise typer.Exit(EXIT_TEMPORARY)


def _tell(found: Difference, followed: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(followed | _object(found)).decode())
        return
    typer.echo(_what_changed(found))
    for change in found.keys:
        typer.echo(_key_line(change))
    for name, keys in found.restarts.items():
        typer.echo(f"restart {name} for {', '.join(keys)}")
    if found.unknown:
        typer.echo(f"configuration not known of: {', '.join(found.unknown)}")


def _object(found: Difference) -> dict[str, object]:
    return {
        "before": list(found.before),
        "generation": found.universe.generation,
        "changes": None if found.changes is None else msgspec.to_builtins(found.changes),
        "config": msgspec.to_builtins(found.keys),
        "restart": found.restarts,
        "unknown": list(found.unknown),
    }


def _key_line(change: KeyChange) -> str:
    before = "nothing" if change.before is None else change.before
    after = "nothing" if change.after is None else change.after
    when = {
        Effect.LIVE: "taken over by",
        Effect.RESTART: "needs a restart of",
        Effect.NEXT_RUN: "at the next run of",
    }[change.effect]
    return f"{change.key}: {before} -> {after}, {when} {', '.join(change.programs)}"


def _what_changed(found: Difference) -> str:
    before = ", ".join(map(str, found.before)) or "none"
    line = f"universe {before} -> {found.universe.generation}: "
    if found.changes is None:
        return line + "what changed is not known, the earlier set is no longer kept"
    return line + _words(found.changes)


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
