"""The life of ``spreadscan sim``: bind, say so, run until a signal or the given time, report."""

import asyncio
import signal
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from spreadscan.sim.gate import SimClock
from spreadscan.sim.simulation import Simulation, SimulationSettings

__all__ = ["SYSTEM_CLOCK", "Tls", "simulate"]

SYSTEM_CLOCK = SimClock(monotonic_s=time.monotonic, wall_ms=lambda: time.time_ns() // 1_000_000)


class Tls(NamedTuple):
    """How the simulated exchanges are served over TLS."""

    context: ssl.SSLContext
    ca_file: Path
    """What clients have to trust."""


def simulate(
    settings: SimulationSettings,
    *,
    for_s: float | None,
    say: Callable[[str], None],
    tls: Tls | None = None,
) -> dict[str, Any]:
    """Run until SIGTERM, SIGINT or the end of ``for_s`` seconds and return the report.

    Args:
        settings: what to simulate and where.
        for_s: None runs until a signal.
        say: gets one line when both servers listen, one per fault and one per ended replay.
        tls: None serves in the clear.

    Raises:
        PortInUse: an address is taken.
        ConfigError: a recording cannot be played.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_simulate(settings, for_s, say, tls))


async def _simulate(
    settings: SimulationSettings, for_s: float | None, say: Callable[[str], None], tls: Tls | None
) -> dict[str, Any]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    simulation = Simulation(settings, SYSTEM_CLOCK, None if tls is None else tls.context, say)
    try:
        await simulation.listen()
        trust = "" if tls is None else f"; CA {tls.ca_file}"
        say(
            f"simulated exchanges: REST {simulation.rest_url} WebSocket {simulation.ws_url}; "
            f"{settings.symbols} symbols, seed {settings.market.seed}{trust}"
        )
        if for_s is not None:
            loop.call_later(for_s, stop.set)
        await simulation.run(stop)
        # Before the sockets close, so that it shows who was still connected.
        return simulation.report()
    finally:
        await simulation.close()
