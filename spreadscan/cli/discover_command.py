"""``spread-ctl discover``."""

from pathlib import Path
from typing import Annotated

import typer

from spreadscan.cli.discover import main as pair_discovery
from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.config import load_config
from spreadscan.errors import EXIT_TEMPORARY
from spreadscan.ops.command import NothingRuns
from spreadscan.ops.owner import act_as_owner
from spreadscan.ops.reload import reload_everything

__all__ = ["discover"]

RELOAD_S = 10.0


def discover(  # noqa: PLR0913 - one parameter is one option of the command line
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Replace also by what lost a fifth of the pairs.")
    ] = False,
    validate: Annotated[
        bool, typer.Option("--validate/--no-validate", help="Wait for a quote of every symbol.")
    ] = True,
    offline: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Read recorded listings instead.")
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload/--no-reload", help="Let running processes take the result.")
    ] = True,
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Find and prove the pairs now, as `pair-discovery` does, and let whoever runs take them.

    Root acts as the owner of the folder that the universe is written to, so that what is written
    stays the programs'. Exits 75 naming who has not taken it over in time.
    """
    tree = load_config(config, is_sim=sim)
    act_as_owner(tree.path(tree.runtime.generated_dir))
    argv = ["--config", str(config), "--output", str(tree.path(tree.runtime.generated_dir))]
    argv += [
        flag
        for flag, is_given in (
            ("--sim", sim), ("--json", as_json), ("--force", force), ("--no-validate", not validate)
        )
        if is_given
    ]  # fmt: skip
    argv += ["--offline", str(offline)] if offline is not None else []
    if status := pair_discovery(argv):
        raise typer.Exit(status)
    if not reload:
        return
    try:
        outcome = reload_everything(tree, RELOAD_S)
    except NothingRuns:
        return
    if not as_json:
        typer.echo(f"taken by {len(outcome.obeyed)}: {', '.join(outcome.obeyed)}")
    if outcome.missing:
        typer.echo(f"spread-ctl: not taken yet by {', '.join(outcome.missing)}", err=True)
        raise typer.Exit(EXIT_TEMPORARY)
