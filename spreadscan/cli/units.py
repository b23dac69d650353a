"""``spreadscan units``: the systemd units of this installation, printed or written."""

from pathlib import Path
from typing import Annotated

import msgspec
import orjson
import typer

from spreadscan.config import load_config
from spreadscan.errors import EXIT_FAILED
from spreadscan.ops.unit_files import compare_units, write_units
from spreadscan.ops.units import UnitPlace, rendered_units

__all__ = ["units"]

PLACE = UnitPlace()


def units(  # noqa: PLR0913 - one parameter is one option of the command line
    *,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write them there, drop old ones."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="With --output: only say what differs; then exit 1.")
    ] = False,
    scripts: Annotated[str, typer.Option(help="Folder of the programs.")] = PLACE.scripts,
    config_file: Annotated[
        str, typer.Option(help="The configuration that the units name.")
    ] = PLACE.config_file,
    user: Annotated[str, typer.Option(help="Who runs the programs.")] = PLACE.user,
    group: Annotated[str, typer.Option(help="Whose members may steer them.")] = PLACE.group,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: Annotated[
        Path, typer.Option(help="Configuration that decides about sources and folders.")
    ] = Path("config/config.toml"),
) -> None:
    """Render the systemd units from the topology and the configuration.

    Without --output they are printed. With it, the folder is brought in line: files that differ are
    replaced one by one, those that an earlier version wrote and this one has no more are removed,
    and every change is one line. Nothing else in the folder is touched, and systemd is not told.
    """
    place = UnitPlace(scripts=scripts, config_file=config_file, user=user, group=group)
    rendered = rendered_units(load_config(config), place)
    if output is None:
        if check:
            raise typer.BadParameter("--check needs --output: it compares with that folder")
        _print(rendered, as_json=as_json)
        return
    found = compare_units(output, rendered) if check else write_units(output, rendered)
    if as_json:
        typer.echo(orjson.dumps(msgspec.to_builtins(found)).decode())
    else:
        for word, names in msgspec.to_builtins(found).items():
            for name in names:
                typer.echo(f"{word} {output / name}")
    if check and found:
        raise typer.Exit(EXIT_FAILED)


def _print(rendered: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(rendered).decode())
        return
    for name, text in rendered.items():
        typer.echo(f"# --- {name}\n{text}")
