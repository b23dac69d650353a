"""``spreadscan``: everything a developer or a newcomer runs.

A SpreadscanError becomes one line on standard error and its own exit status (see ``errors``).
"""

from typing import Any

import typer
from typer.core import TyperGroup

from spreadscan.cli.bench import bench
from spreadscan.cli.decode import decode
from spreadscan.cli.shm_size import shm_size
from spreadscan.cli.sim import sim
from spreadscan.cli.up import up
from spreadscan.errors import SpreadscanError

__all__ = ["app"]


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
