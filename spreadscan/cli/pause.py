"""``spread-ctl pause``, ``resume`` and ``kill``."""

import contextlib
from pathlib import Path
from typing import Annotated

import msgspec
import orjson
import typer

from spreadscan.cli.duration import parse_duration_s
from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim, Timeout
from spreadscan.config import load_config
from spreadscan.errors import EXIT_DEGRADED, EXIT_TEMPORARY, SpreadscanError
from spreadscan.ops import holding
from spreadscan.ops.holding import Held
from spreadscan.ops.owner import act_as_owner

__all__ = ["kill", "pause", "resume"]

TRACKER = "spread-tracker"


def _complete(ctx: typer.Context, incomplete: str) -> list[str]:
    try:
        file = Path(ctx.params.get("config") or DEFAULT_CONFIG)
        tree = load_config(file, is_sim=bool(ctx.params.get("sim")))
    except SpreadscanError:
        return []
    return [name for name in holding.target_names(tree) if name.startswith(incomplete)]


Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...",
        help="`all`, sources, directions or symbols; everything when there is none.",
        autocompletion=_complete,
    ),
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; stored with who and when.")
]


def pause(  # noqa: PLR0913 - one parameter is one option of the command line
    targets: Targets = None,
    *,
    reason: Reason = "",
    timeout: Timeout = "5s",
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Hold signals back: all, or those of a source, a direction or a symbol.

    Prices are taken in as before and open episodes are followed; no new signal is sent. It stays
    in force over restarts of everything, the machine's too, until `resume`. Exits 75 naming who has
    not obeyed in time, and 1 when it is in force and could not be stored for the next start.
    """
    tree = load_config(config, is_sim=sim)
    act_as_owner(tree.path(tree.runtime.run_dir))
    held = holding.pause(tree, targets or [], reason, parse_duration_s(timeout))
    _tell(held, parse_duration_s(timeout), as_json=as_json)


def resume(  # noqa: PLR0913 - the same
    targets: Targets = None,
    *,
    reason: Reason = "",
    timeout: Timeout = "5s",
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Let go of what is held back: what `pause` or `kill` held, or what is named.

    Without a name it undoes a `kill`, which takes --reason, and a pause of everything; what is held
    by name stays so until it is named. `all` lets go of everything at once. What is wide at that
    moment signals at once.
    """
    tree = load_config(config, is_sim=sim)
    act_as_owner(tree.path(tree.runtime.run_dir))
    held = holding.resume(tree, targets or [], reason, parse_duration_s(timeout))
    _tell(held, parse_duration_s(timeout), as_json=as_json)


def kill(
    *,
    reason: Reason = "",
    timeout: Timeout = "2s",
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Let no signal leave any more, whatever state the engine is in.

    Engine and tracker both look at it, each by itself, and open episodes end as halted. It stays so
    over restarts until `resume --reason`. Processes go on running; `shutdown` ends them.
    """
    tree = load_config(config, is_sim=sim)
    # As whoever asks, before anything that could go wrong; what does is told by the second time.
    with contextlib.suppress(SpreadscanError):
        holding.pull_brake(tree)
    act_as_owner(tree.path(tree.runtime.run_dir))
    held = holding.kill(tree, reason, parse_duration_s(timeout))
    _tell(held, parse_duration_s(timeout), as_json=as_json)


def _tell(held: Held, timeout_s: float, *, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(msgspec.to_builtins(held)).decode())
    else:
        typer.echo(f"held back: {held.holds.words}")
        if held.holds.names and not (held.holds.killed or held.holds.everything):
            typer.echo("held by name until `resume NAME` or `resume all`")
        if held.command is None:
            typer.echo("nothing is running: it counts from the next start")
        else:
            typer.echo(f"obeyed by {len(held.obeyed)}: {', '.join(held.obeyed) or 'nobody runs'}")
    if held.trouble:
        typer.echo(f"spread-ctl: in force, but {held.trouble}", err=True)
    if held.missing:
        late = "; ".join(f"{name} ({words})" for name, words in held.missing.items())
        typer.echo(f"spread-ctl: not obeyed within {timeout_s:g} s: {late}", err=True)
    # Signals leave by the tracker alone: with its word nothing leaves, whoever else hangs.
    if held.missing and not (held.holds.killed and TRACKER in held.obeyed):
        raise typer.Exit(EXIT_TEMPORARY)
    if held.trouble:
        raise typer.Exit(EXIT_DEGRADED)
