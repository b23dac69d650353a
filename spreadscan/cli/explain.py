"""``spread-ctl explain``."""

import inspect
from typing import Annotated

import msgspec
import orjson
import typer
from rich.console import Console

from spreadscan.cli.explain_view import drawn
from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.config import load_config
from spreadscan.engine import spread
from spreadscan.errors import EXIT_DOWN, EXIT_NOT_RUNNING
from spreadscan.ops.command import is_anything_running
from spreadscan.ops.explain import explain_route
from spreadscan.ops.processes_now import RUNNING
from spreadscan.runtime.clock import SystemClock

__all__ = ["explain"]


def explain(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="As in BTC-USDT.")],
    direction: Annotated[
        str, typer.Argument(metavar="DIRECTION", help="A direction of directions.toml.")
    ],
    *,
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Show one route right now, from its two quotes to whether it may signal.

    Read from shared memory alone: both quotes with ages, gross to fees to
    funding to net, size, each gate with pass or what holds it, and the last
    signal. Exits 2 while no signal can come because the engine does not
    run or hangs, and 3 while nothing runs.
    """
    tree = load_config(config, is_sim=sim)
    found = explain_route(tree, SystemClock(), symbol, direction)
    if as_json:
        typer.echo(orjson.dumps(msgspec.to_builtins(found)).decode())
    else:
        Console(highlight=False).print(drawn(found))
    if found.engine != RUNNING:
        raise typer.Exit(EXIT_DOWN if is_anything_running(tree) else EXIT_NOT_RUNNING)


# The definitions stand in one place; --help shows them from there.
explain.__doc__ = f"{inspect.getdoc(explain)}\n\n\b\n{spread.FORMULAS}\n\n{spread.CONVENTIONS}"
