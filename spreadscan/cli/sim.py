"""``spreadscan sim``: the simulated exchanges on loopback."""

import re
from pathlib import Path
from typing import Annotated

import orjson
import typer

from spreadscan.config import load_config
from spreadscan.errors import EXIT_USAGE, SpreadscanError
from spreadscan.sim.market import MarketSettings
from spreadscan.sim.process import simulate
from spreadscan.sim.replay import ReplaySettings
from spreadscan.sim.simulation import SimulationSettings
from spreadscan.sim.universe import MAX_COINS
from spreadscan.sim.venues import venues

__all__ = ["sim"]

_UNITS_S = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def sim(  # noqa: PLR0913 - one parameter is one option of the command line
    *,
    config: Annotated[Path, typer.Option(help="Names the addresses to listen on.")] = Path(
        "config/config.toml"
    ),
    seed: Annotated[int, typer.Option(min=0, help="The same seed is the same run.")] = 7,
    universe_size: Annotated[
        int, typer.Option(min=1, max=MAX_COINS, help="Symbols; beyond 70 they are invented.")
    ] = 64,
    rate: Annotated[
        float, typer.Option(min=0.0, help="Quotes per second over all sources.")
    ] = 2000.0,
    replay: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE=FILE", help="Play a .rawlog on that source; repeatable."),
    ] = None,
    speed: Annotated[
        str, typer.Option(help="Times the recorded pace of a replay; `max` is back to back.")
    ] = "1",
    loop: Annotated[
        bool, typer.Option("--loop", help="Begin a replay again at its end, on new connections.")
    ] = False,
    for_: Annotated[str | None, typer.Option("--for", help="Stop by itself: 30s, 5m, 1h.")] = None,
    is_json: Annotated[
        bool, typer.Option("--json", help="Print a report of the clients' manners at the end.")
    ] = False,
) -> None:
    """Serve the simulated exchanges until a signal comes or the time is up."""

    def say(line: str) -> None:
        # With --json nothing but the report goes to standard output.
        typer.echo(line, err=is_json)

    try:
        tree = load_config(config, is_sim=True)
        settings = SimulationSettings(
            rest_base=tree.sim.rest_base,
            ws_base=tree.sim.ws_base,
            exchanges=tuple(name for name in venues() if name in tree.exchanges),
            symbols=universe_size,
            market=MarketSettings(seed=seed, rate_hz=rate),
            recordings=tuple(_recording(text) for text in replay or ()),
            replay=ReplaySettings(speed=_speed(speed), is_looping=loop),
        )
        report = simulate(settings, for_s=None if for_ is None else _seconds(for_), say=say)
    except SpreadscanError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    if is_json:
        typer.echo(orjson.dumps(report).decode())
    else:
        typer.echo(
            f"stopped after {report['uptime_s']:.1f} s: {report['frames_sent']} frames sent, "
            f"{report['overruns']} limit overruns"
        )


def _recording(text: str) -> tuple[str, Path]:
    source, equals, file = text.partition("=")
    if not (source and equals and file):
        raise _refused(f"--replay {text}: expected SOURCE=FILE")
    return source, Path(file)


def _speed(text: str) -> float:
    if text == "max":
        return 0.0
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0.0 <= speed < float("inf"):
        raise _refused(f"--speed {text}: expected a number from 0 up, or `max`")
    return speed


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text)
    if found is None:
        raise _refused(f"--for {text}: expected a duration such as 30s, 5m or 1h")
    return float(found[1]) * _UNITS_S[found[2] or ""]


def _refused(text: str) -> typer.Exit:
    typer.echo(text, err=True)
    return typer.Exit(EXIT_USAGE)
