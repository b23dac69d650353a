"""``spread-ctl config check`` and ``config show``."""

from typing import Annotated

import orjson
import typer

from spreadscan.cli.group import Command, command_group
from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.config import load_config
from spreadscan.config_diff import flat
from spreadscan.errors import EXIT_NOT_RUNNING, SpreadscanError
from spreadscan.ops.services import program_names
from spreadscan.runtime.in_force import config_in_force
from spreadscan.runtime.lock import is_lock_held

__all__ = ["app"]

app = command_group("config", "Judge the configuration, or show it as it is understood.")


class NotSaid(SpreadscanError):  # noqa: N818 - named for what happened, as in errors.py
    """A program does not say what it goes by."""

    exit_code = EXIT_NOT_RUNNING


@app.command("check", cls=Command)
def check(
    *, sim: OnSim = False, as_json: AsJson = False, config: ConfigFile = DEFAULT_CONFIG
) -> None:
    """Judge all five files as every program does at its start; 78 and one line for a mistake."""
    tree = load_config(config, is_sim=sim)
    told = {
        "file": tree.file,
        "exchanges": list(tree.exchanges),
        "sources": [source.name for source in tree.active_sources()],
        "directions": [row.name for row in tree.directions],
    }
    if as_json:
        typer.echo(orjson.dumps(told).decode())
        return
    typer.echo(
        f"{tree.file}: sound; {', '.join(tree.exchanges)}, {len(tree.active_sources())} sources, "
        f"{len(tree.directions)} directions"
    )


@app.command("show", cls=Command)
def show(
    section: Annotated[
        str, typer.Argument(metavar="[KEY]", help="Only keys that begin so, such as engine.")
    ] = "",
    *,
    running: Annotated[
        str | None,
        typer.Option(metavar="UNIT", help="As that running program goes by it, not as on disk."),
    ] = None,
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Show every key with its value: as on disk, or as a running program goes by it.

    What differs between the two, and what makes it count, `reload --dry-run` says.
    """
    tree = load_config(config, is_sim=sim)
    if running is not None:
        (name,) = program_names(tree, [running])
        run_dir = tree.path(tree.runtime.run_dir)
        found = config_in_force(run_dir, name) if is_lock_held(run_dir, name) else None
        if found is None:
            raise NotSaid(f"{name}: found no word of it, expected a running program of this build")
        tree = found
    values = {key: value for key, value in flat(tree).items() if key.startswith(section)}
    if not values:
        raise typer.BadParameter(f"found {section!r}, expected the beginning of a key")
    if as_json:
        typer.echo(orjson.dumps(values).decode())
        return
    for key, value in values.items():
        typer.echo(f"{key} = {value}")
