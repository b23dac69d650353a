"""``spread-ctl start``, ``stop``, ``restart``, ``shutdown`` and ``logs``."""

import os
from pathlib import Path
from typing import Annotated

import msgspec
import orjson
import typer

from spreadscan.cli.duration import parse_duration_s
from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.cli.standard_output import is_reader_gone
from spreadscan.config import load_config
from spreadscan.errors import EXIT_NOT_RUNNING, EXIT_TEMPORARY, SpreadscanError
from spreadscan.ops import services
from spreadscan.ops.command import watched_programs
from spreadscan.ops.logs import journal_command, log_files, log_lines
from spreadscan.ops.services import Keeper, Steered

__all__ = ["logs", "restart", "shutdown", "start", "stop"]


def _complete(ctx: typer.Context, incomplete: str) -> list[str]:
    try:
        file = Path(ctx.params.get("config") or DEFAULT_CONFIG)
        rows = watched_programs(load_config(file, is_sim=bool(ctx.params.get("sim"))))
    except SpreadscanError:
        return []
    return [row.name for row in rows if row.name.startswith(incomplete)]


Units = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[UNIT]...",
        help="Programs, by their name or their source's; all when there is none.",
        autocompletion=_complete,
    ),
]
Patience = Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long to wait.")]


def start(
    units: Units = None,
    *,
    timeout: Patience = "60s",
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Start programs and wait until they do useful work.

    By systemd where it keeps them, else by the running `spreadscan up`.
    """
    tree, timeout_s = load_config(config, is_sim=sim), parse_duration_s(timeout)
    _tell(services.steer(tree, "start", units or [], timeout_s), timeout_s, as_json=as_json)


def stop(
    units: Units = None,
    *,
    timeout: Patience = "30s",
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Stop programs and wait until they have ended; they stay down until `start`.

    To end everything in order, `shutdown`.
    """
    tree, timeout_s = load_config(config, is_sim=sim), parse_duration_s(timeout)
    _tell(services.steer(tree, "stop", units or [], timeout_s), timeout_s, as_json=as_json)


def restart(
    units: Units = None,
    *,
    timeout: Patience = "60s",
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Stop programs, start them again, and wait until they do useful work.

    `reload` says which configuration needs it, and of whom.
    """
    tree, timeout_s = load_config(config, is_sim=sim), parse_duration_s(timeout)
    _tell(services.steer(tree, "restart", units or [], timeout_s), timeout_s, as_json=as_json)


def shutdown(
    *,
    timeout: Patience = "60s",
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """End everything in order: feeds, then the engine, then the tracker.

    Nothing that was signalled is left unread, and open episodes go on with the next start.
    """
    tree, timeout_s = load_config(config, is_sim=sim), parse_duration_s(timeout)
    _tell(services.shutdown(tree, timeout_s), timeout_s, as_json=as_json)


def logs(  # noqa: PLR0913 - one parameter is one option of the command line
    units: Units = None,
    *,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    lines: Annotated[
        int, typer.Option("-n", "--lines", min=0, help="How many of each to begin with.")
    ] = 20,
    sim: OnSim = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Show what programs said: from journald where systemd keeps them, else from `up`'s files."""
    tree = load_config(config, is_sim=sim)
    names = services.program_names(tree, units or [])
    if services.keeper_of(tree) is Keeper.SYSTEMD:
        names = names or tuple(row.name for row in watched_programs(tree))
        command = journal_command(names, lines, follows=follow)
        command += ["--output=json"] if as_json else []
        try:
            os.execvp(command[0], command)  # noqa: S606 - the words are the topology's
        except OSError as error:
            raise services.SteeringRefused(
                f"{command[0]}: found {error.strerror}, expected systemd's journal", EXIT_TEMPORARY
            ) from None
    files = log_files(tree, names)
    if not files:
        raise services.SteeringRefused(
            f"{tree.path(tree.runtime.run_dir)}: found no logs, expected those of `spreadscan up`",
            EXIT_NOT_RUNNING,
        )
    width = max(map(len, files))
    try:
        for name, line in log_lines(files, lines, lambda: follow and not is_reader_gone()):
            if as_json:
                typer.echo(orjson.dumps({"program": name, "line": line}).decode())
            else:
                typer.echo(f"{name:{width}} | {line}" if len(files) > 1 else line)
    except KeyboardInterrupt:
        return
    except OSError as error:
        raise services.SteeringRefused(
            f"{error.filename}: found {error.strerror}, expected a log of `spreadscan up`",
            EXIT_TEMPORARY,
        ) from None


def _tell(outcome: Steered, timeout_s: float, *, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(msgspec.to_builtins(outcome)).decode())
    else:
        done = {"start": "started", "stop": "stopped", "restart": "restarted"}
        word = done.get(outcome.verb, "ended in order")
        names = [name for name in outcome.programs if name not in outcome.late]
        typer.echo(f"{word} by {outcome.keeper}: {', '.join(names) or 'none'}")
    if outcome.late:
        typer.echo(f"spread-ctl: not within {timeout_s:g} s: {', '.join(outcome.late)}", err=True)
        raise typer.Exit(EXIT_TEMPORARY)
