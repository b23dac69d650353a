"""What the console scripts with commands share: errors of one line, and the exit status.

A SpreadscanError becomes one line on standard error and its own exit status, a wrong command line
exits 64 (see ``errors``).
"""

from typing import Any

import typer
from typer.core import TyperGroup

from spreadscan.errors import EXIT_FAILED, EXIT_USAGE, SpreadscanError

__all__ = ["OneLineErrors", "command_group", "run_group"]

# Typer brings its own click or uses the installed one, by version; this is its usage error.
UsageError: Any = typer.BadParameter.__base__


class OneLineErrors(TyperGroup):
    """Says what an operator can mend in one line; a mistake of ours keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:  # type: ignore[explicit-override] # typing has it from 3.12
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SpreadscanError as error:
            typer.echo(f"{self.name or 'spreadscan'}: {error}", err=True)
            raise typer.Exit(error.exit_code) from None


def command_group(name: str, summary: str) -> typer.Typer:
    """Return a console script without commands yet; *name* begins the lines of its errors."""
    app = typer.Typer(
        name=name,
        cls=OneLineErrors,
        help=summary,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    # With a callback it is a group also while it has one command only.
    app.callback()(_nothing)
    return app


def run_group(app: typer.Typer) -> int:
    """Run a console script; return the exit status."""
    try:
        return app(standalone_mode=False) or 0
    except UsageError as error:
        error.show()
        return EXIT_USAGE
    except typer.Abort:
        return EXIT_FAILED


def _nothing() -> None:
    pass
