"""``spreadscan``: everything a developer or a newcomer runs.

A SpreadscanError becomes one line on standard error and its own exit status, a wrong command line
exits 64 (see ``errors``).
"""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from spreadscan.cli.bench import bench
from spreadscan.cli.decode import decode
from spreadscan.cli.shm_size import shm_size
from spreadscan.cli.sim import sim
from spreadscan.cli.up import up
from spreadscan.errors import EXIT_FAILED, EXIT_USAGE, SpreadscanError

__all__ = ["app", "main"]

# Typer brings its own click or uses the installed one, by version; this is its usage error.
UsageError: Any = typer.BadParameter.__base__


class OneLineErrors(TyperGroup):
    """Says what an operator can mend in one line; a mistake of ours keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:  # type: ignore[explicit-override] # typing has it from 3.12
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SpreadscanError as error:
            typer.echo(f"spreadscan: {error}", err=True)
            raise typer.Exit(error.exit_code) from None


app = typer.Typer(
    cls=OneLineErrors,
    help="Spreads between spot and perpetual markets, live.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up)
app.command("sim")(sim)
app.command("decode")(decode)
app.command("shm-size")(shm_size)
app.command("bench")(bench)


def main() -> int:
    """Entry of the console script; return the exit status."""
    try:
        return app(standalone_mode=False) or 0
    except UsageError as error:
        error.show()
        return EXIT_USAGE
    except typer.Abort:
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
