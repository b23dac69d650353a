"""Options that commands share: one spelling, one help text, one default each."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DEFAULT_CONFIG", "AsJson", "ConfigFile", "OnSim", "Timeout"]

DEFAULT_CONFIG = Path("config/config.toml")

ConfigFile = Annotated[
    Path,
    typer.Option(
        "--config",
        envvar="SPREADSCAN_CONFIG",
        help="Configuration file; its neighbours are read too.",
    ),
]
OnSim = Annotated[bool, typer.Option("--sim", help="The pipeline of `up --sim`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Timeout = Annotated[
    str, typer.Option("--timeout", metavar="TIME", help="How long to wait for everybody.")
]
