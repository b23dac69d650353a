"""``spread-ctl completion``."""

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined] # re-exported

__all__ = ["completion"]


class Shell(StrEnum):
    """Whose completion."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.")]) -> None:
    """Print what makes a shell complete commands, options, units and symbols.

    For bash: spread-ctl completion bash > /usr/share/bash-completion/completions/spread-ctl
    """
    typer.echo(
        get_completion_script(
            prog_name="spread-ctl", complete_var="_SPREAD_CTL_COMPLETE", shell=shell.value
        )
    )
