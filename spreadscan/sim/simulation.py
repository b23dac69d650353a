"""The whole simulated world: market, venues, servers and recordings, on one asyncio loop."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from spreadscan.errors import ConfigError
from spreadscan.model import Market as MarketKind
from spreadscan.sim.hub import Hub
from spreadscan.sim.market import Market, MarketSettings
from spreadscan.sim.recording import Recording
from spreadscan.sim.replay import Player, ReplaySettings
from spreadscan.sim.server import Servers, SimClock
from spreadscan.sim.universe import coins
from spreadscan.sim.venues import venues

__all__ = ["Simulation", "SimulationSettings"]

# After a pause of the machine the market goes on from now instead of racing through what it missed.
MAX_STEPS_AT_ONCE = 10


class SimulationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is simulated and where it listens."""

    rest_base: str
    ws_base: str
    """Port 0 takes any free port."""
    exchanges: tuple[str, ...]
    """Names of the simulated exchanges."""
    symbols: int = 64
    market: MarketSettings = MarketSettings()
    recordings: tuple[tuple[str, Path], ...] = ()
    """(source, file)."""
    replay: ReplaySettings = ReplaySettings()


class Simulation:
    """Market, venues, servers and recordings.

    Args:
        settings: see there.
        clock: monotonic and wall time.

    Raises:
        ConfigError: a recording cannot be played.
        ValueError: the number of symbols is out of range.

    ``listen`` binds, ``run`` lets the world go on; a test may call ``step`` instead of ``run`` and
    ask ``market`` for the truth behind every frame.
    """

    def __init__(self, settings: SimulationSettings, clock: SimClock) -> None:
        self.settings = settings
        self._clock = clock
        world = coins(settings.symbols)
        self.venues = [
            venues()[name](kind, world) for name in settings.exchanges for kind in MarketKind
        ]
        self.listings = [listing for venue in self.venues for listing in venue.listings]
        self.market = Market(self.listings, settings.market, clock.wall_ms())
        self.hub = Hub(self.venues, self.market)
        self.servers = Servers(self.venues, self.hub, clock)
        self.players = [self._player(source, file) for source, file in settings.recordings]
        self.rest_url = settings.rest_base
        self.ws_url = settings.ws_base
        self._started_s = clock.monotonic_s()

    def row(self, source: str, exchange_symbol: str) -> int:
        """Return the row of one listing.

        Raises:
            KeyError: the source does not list it.
        """
        return self._rows(source)[exchange_symbol]

    async def listen(self) -> None:
        """Bind both servers; rest_url and ws_url hold the addresses from then on.

        Raises:
            PortInUse: another process listens there.
        """
        self.rest_url, self.ws_url = await self.servers.listen(
            self.settings.rest_base, self.settings.ws_base
        )

    async def run(self, stop: asyncio.Event, say: Callable[[str], None]) -> None:
        """Let the world go on until ``stop`` is set; ``say`` gets one line per ended replay."""
        tasks = [
            asyncio.create_task(self._pump()),
            asyncio.create_task(self.servers.keep_time()),
            *(asyncio.create_task(p.play(self.settings.replay, say)) for p in self.players),
        ]
        stopped = asyncio.create_task(stop.wait())
        waiting: set[asyncio.Task[Any]] = {*tasks, stopped}
        try:
            while not stopped.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # a failure ends the process
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def close(self) -> None:
        """Close both servers and every connection."""
        await self.servers.close()

    def step(self) -> Sequence[int]:
        """Let the market go one step and publish what changed; return those rows."""
        rows: list[int] = self.market.step(self._clock.wall_ms()).tolist()
        self.hub.publish(rows, self._clock.monotonic_s())
        return rows

    def report(self) -> dict[str, Any]:
        """Return what clients did, as plain values for JSON."""
        sources = {source: ledger.report() for source, ledger in self.servers.ledgers.items()}
        overruns = sum(
            entry["count"] for row in sources.values() for entry in row["overruns"].values()
        )
        return {
            "uptime_s": round(self._clock.monotonic_s() - self._started_s, 3),
            "seed": self.settings.market.seed,
            "symbols": self.settings.symbols,
            "frames_sent": sum(row["frames_sent"] for row in sources.values()),
            "overruns": overruns,
            "sources": sources,
            "replays": [
                {
                    "source": player.recording.source,
                    "file": str(player.recording.file),
                    "frames": player.recording.count,
                    "played": player.played,
                }
                for player in self.players
            ],
        }

    async def _pump(self) -> None:
        step_s = self.market.step_s
        next_s = self._clock.monotonic_s()
        while True:
            now_s = self._clock.monotonic_s()
            if now_s - next_s > MAX_STEPS_AT_ONCE * step_s:
                next_s = now_s
            while next_s <= now_s:
                self.step()
                next_s += step_s
            # Even a loop that cannot keep up must let sockets be served.
            await asyncio.sleep(max(0.0, next_s - self._clock.monotonic_s()))

    def _player(self, source: str, file: Path) -> Player:
        venue = next((venue for venue in self.venues if venue.source == source), None)
        if venue is None:
            known = ", ".join(venue.source for venue in self.venues)
            raise ConfigError(str(file), "", f"a recording for {source!r}", f"one of {known}")
        recording = Recording(venue, self._rows(source), file)
        return Player(recording, self.hub, self.servers, self._clock)

    def _rows(self, source: str) -> dict[str, int]:
        first = 0
        for venue in self.venues:
            if venue.source == source:
                return {row.exchange_symbol: first + n for n, row in enumerate(venue.listings)}
            first += len(venue.listings)
        raise KeyError(source)
