"""``spread-ctl version``."""

import msgspec
import orjson
import typer

from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.config import load_config
from spreadscan.ops.version import version_of

__all__ = ["version"]


def version(
    *, sim: OnSim = False, as_json: AsJson = False, config: ConfigFile = DEFAULT_CONFIG
) -> None:
    """Say which version this is, and whether this host's shared memory is of the same build."""
    found = version_of(load_config(config, is_sim=sim).shm)
    if as_json:
        typer.echo(orjson.dumps(msgspec.to_builtins(found)).decode())
        return
    typer.echo(f"spreadscan {found.spreadscan}, layout {found.layout} (build {found.build})")
    typer.echo(f"Python {found.python} on {found.machine}")
    typer.echo(f"regions on this host: {found.regions}")
