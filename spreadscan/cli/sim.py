"""``spreadscan sim``: the simulated exchanges on loopback."""

import contextlib
import tempfile
from pathlib import Path
from typing import Annotated

import orjson
import typer

from spreadscan.cli.duration import parse_duration_s
from spreadscan.config import Config, load_config
from spreadscan.errors import EXIT_USAGE, SpreadscanError
from spreadscan.sim.market import MarketSettings
from spreadscan.sim.process import Tls, simulate
from spreadscan.sim.replay import ReplaySettings
from spreadscan.sim.scenario import Scenario, load_scenario
from spreadscan.sim.simulation import SimulationSettings
from spreadscan.sim.tls import TlsFault, server_context
from spreadscan.sim.universe import MAX_COINS
from spreadscan.sim.venues import venues

__all__ = ["sim"]

CA_FILE_NAME = "ca.pem"


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
    scenario: Annotated[
        Path | None, typer.Option(help="A TOML file of [[fault]] and [[coin]] tables to play.")
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(help="Write what every row quoted and when (spreadscan/sim/truth.py)."),
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve https and wss; implied by https in [sim].")
    ] = False,
    tls_dir: Annotated[
        Path | None, typer.Option(help="Where ca.pem goes; a temporary folder without it.")
    ] = None,
    tls_fault: Annotated[
        TlsFault | None, typer.Option(help="Show a certificate that clients must refuse.")
    ] = None,
    for_: Annotated[str | None, typer.Option("--for", help="Stop by itself: 30s, 5m, 1h.")] = None,
    is_json: Annotated[
        bool, typer.Option("--json", help="Print a report of the clients' manners at the end.")
    ] = False,
) -> None:
    """Serve the simulated exchanges until a signal comes or the time is up."""

    def say(line: str) -> None:
        # With --json nothing but the report goes to standard output.
        typer.echo(line, err=is_json)

    for_s = None if for_ is None else _seconds(for_)
    with contextlib.ExitStack() as stack:
        try:
            tree = load_config(config, is_sim=True)
            exchanges = tuple(name for name in venues() if name in tree.exchanges)
            settings = SimulationSettings(
                rest_base=tree.sim.rest_base,
                ws_base=tree.sim.ws_base,
                exchanges=exchanges,
                symbols=universe_size,
                market=MarketSettings(seed=seed, rate_hz=rate),
                recordings=tuple(_recording(text) for text in replay or ()),
                replay=ReplaySettings(speed=_speed(speed), is_looping=loop),
                scenario=_scenario(scenario, exchanges, universe_size),
                truth=truth,
            )
            is_tls = tls or tls_fault is not None or tree.sim.rest_base.startswith("https:")
            served = _tls(_ca_file(tree, tls_dir, stack), tls_fault) if is_tls else None
            report = simulate(settings, for_s=for_s, say=say, tls=served)
        except SpreadscanError as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(error.exit_code) from None
    if is_json:
        typer.echo(orjson.dumps(report).decode())
    else:
        for event in report["overrun_events"]:
            typer.echo(
                f"overrun at {event['at_s']} s: {event['source']} {event['limit']} "
                f"{event['found']}, allowed {event['allowed']}"
            )
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
    try:
        return parse_duration_s(text)
    except typer.BadParameter as error:
        raise _refused(f"--for {text}: {error}") from None


def _scenario(file: Path | None, exchanges: tuple[str, ...], symbols: int) -> Scenario:
    if file is None:
        return Scenario()
    return load_scenario(file, exchanges, symbols)


def _ca_file(tree: Config, folder: Path | None, stack: contextlib.ExitStack) -> Path:
    """Return where the authority's certificate goes; a temporary folder ends with the process."""
    if folder is not None:
        return folder / CA_FILE_NAME
    if tree.sim.ca_file is not None:
        return tree.path(tree.sim.ca_file)
    temporary = tempfile.TemporaryDirectory(prefix="spreadscan-sim-")
    return Path(stack.enter_context(temporary)) / CA_FILE_NAME


def _tls(ca_file: Path, fault: TlsFault | None) -> Tls:
    return Tls(server_context(ca_file, fault), ca_file)


def _refused(text: str) -> typer.Exit:
    typer.echo(text, err=True)
    return typer.Exit(EXIT_USAGE)
