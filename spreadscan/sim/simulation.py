"""The whole simulated world: market, venues, servers and recordings, on one asyncio loop."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from spreadscan.errors import ConfigError
from spreadscan.sim.director import Director, Stage
from spreadscan.sim.directory import Directory
from spreadscan.sim.faults import Disturbance
from spreadscan.sim.gate import SimClock
from spreadscan.sim.hub import Hub
from spreadscan.sim.market import Market, MarketSettings
from spreadscan.sim.recording import Recording
from spreadscan.sim.replay import Player, ReplaySettings
from spreadscan.sim.rest import boards_of
from spreadscan.sim.scenario import Scenario
from spreadscan.sim.server import Servers
from spreadscan.sim.truth import Witness
from spreadscan.sim.world import build_venues, listed_symbols

__all__ = ["Simulation", "SimulationSettings"]

# After a pause of the machine the market goes on from now instead of racing through what it missed.
MAX_STEPS_AT_ONCE = 10
# How often time alone makes something happen: heartbeats, repeats, faults.
TICK_S = 0.1


class SimulationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is simulated and where it listens."""

    rest_base: str
    ws_base: str
    """Port 0 takes any free port."""
    exchanges: tuple[str, ...]
    """Names of the simulated exchanges."""
    symbols: int = 64
    """How many of the usual coins; the scenario's own come on top."""
    market: MarketSettings = MarketSettings()
    recordings: tuple[tuple[str, Path], ...] = ()
    """(source, file)."""
    replay: ReplaySettings = ReplaySettings()
    scenario: Scenario = Scenario()
    truth: Path | None = None
    """Where to write down what every row quoted; see sim/truth.py."""


class Simulation:
    """Market, venues, servers and recordings.

    Args:
        settings: see there.
        clock: monotonic and wall time.
        tls: serve https and wss with this; None serves in the clear.
        say: gets one line for every fault that begins or ends and every replay that ends.

    Raises:
        ConfigError: a recording cannot be played.
        SpreadscanError: the file of the truth cannot be written.
        ValueError: the number of symbols is out of range.

    ``listen`` binds, ``run`` lets the world go on; a test may call ``step`` instead of ``run`` and
    ask ``market`` for the truth behind every frame.
    """

    def __init__(
        self,
        settings: SimulationSettings,
        clock: SimClock,
        tls: ssl.SSLContext | None = None,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._tls = tls
        self._say = say
        self.venues = build_venues(settings.exchanges, settings.symbols, settings.scenario.coin)
        self.listings = [listing for venue in self.venues for listing in venue.listings]
        self.market = Market(self.listings, settings.market, clock.wall_ms())
        listed = listed_symbols(self.venues)
        self.disturbance = Disturbance(listed, settings.market.seed)
        self._started_s = clock.monotonic_s()
        self._witness: Witness | None = None
        if settings.truth is not None:
            self._witness = Witness(settings.truth, listed, self.listings, self._started_s)
        self.hub = Hub(
            self.venues,
            self.market,
            self.disturbance,
            clock,
            self._witness,
        )
        self.directory = Directory(self.venues)
        boards = boards_of(self.venues, self.market)
        self.servers = Servers(self.venues, self.hub, self.directory, boards, clock)
        self.servers.rest.skew(self._skew_ms)
        stage = Stage(self.venues, self.market, self.hub, self.servers)
        self.director = Director(settings.scenario, self.disturbance, stage, say)
        self.players = [self._player(source, file) for source, file in settings.recordings]
        self.rest_url = settings.rest_base
        self.ws_url = settings.ws_base

    def row(self, source: str, exchange_symbol: str) -> int:
        """Return the row of one listing.

        Raises:
            KeyError: the source does not list it.
        """
        return self.directory.row(source, exchange_symbol)

    async def listen(self) -> None:
        """Bind both servers; rest_url and ws_url hold the addresses from then on.

        Raises:
            PortInUse: another process listens there.
        """
        self.rest_url, self.ws_url = await self.servers.listen(
            self.settings.rest_base, self.settings.ws_base, self._tls
        )
        self._started_s = self._clock.monotonic_s()

    async def run(self, stop: asyncio.Event) -> None:
        """Let the world go on until ``stop`` is set."""
        tasks = [
            asyncio.create_task(self._pump()),
            asyncio.create_task(self._keep_time()),
            *(asyncio.create_task(p.play(self.settings.replay, self._say)) for p in self.players),
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
        """Close both servers, every connection and the file of the truth."""
        await self.servers.close()
        if self._witness is not None:
            self._witness.close()

    def step(self) -> Sequence[int]:
        """Let the market go one step and publish what changed; return those rows."""
        rows: list[int] = self.market.step(self._clock.wall_ms()).tolist()
        self.hub.publish(rows, self._clock.monotonic_s())
        return rows

    def tick(self) -> None:
        """Let time pass for every conversation, and play the scenario."""
        now_s = self._clock.monotonic_s()
        self.director.tick(now_s - self._started_s, now_s, self._clock.wall_ms())
        self.servers.tick(self.director.lifetime_s)

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
            "overrun_events": [
                {
                    "source": source,
                    "limit": event.limit,
                    "found": event.found,
                    "allowed": event.allowed,
                    "at_s": event.at_s,
                }
                for source, ledger in self.servers.ledgers.items()
                for event in ledger.events
            ],
            "faults_begun": self.director.begun,
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
            self.hub.release(now_s)
            # Even a loop that cannot keep up must let sockets be served.
            await asyncio.sleep(max(0.0, next_s - self._clock.monotonic_s()))

    async def _keep_time(self) -> None:
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)

    def _skew_ms(self, source: str) -> int:
        return sum(
            fault.skew_ms
            for fault in self.disturbance.present()
            if fault.kind == "skew" and fault.hits(source)
        )

    def _player(self, source: str, file: Path) -> Player:
        venue = next((venue for venue in self.venues if venue.source == source), None)
        if venue is None:
            known = ", ".join(venue.source for venue in self.venues)
            raise ConfigError(str(file), "", f"a recording for {source!r}", f"one of {known}")
        directory = {
            listing.exchange_symbol: self.row(source, listing.exchange_symbol)
            for listing in venue.listings
        }
        recording = Recording(venue, directory, file)
        return Player(recording, self.hub, self.servers, self._clock)
