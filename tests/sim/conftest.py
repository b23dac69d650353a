import asyncio
import contextlib
import urllib.error
import urllib.request
from dataclasses import dataclass

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from spreadscan.model import Market as MarketKind
from spreadscan.sim.gate import SimClock
from spreadscan.sim.market import Market, MarketSettings
from spreadscan.sim.rest import MarketBoard
from spreadscan.sim.simulation import Simulation, SimulationSettings
from spreadscan.sim.universe import coins
from spreadscan.sim.venues import Target, venues

START_MS = 1_790_000_000_000
PATIENCE_S = 5.0


@dataclass
class ManualClock:
    now_s: float = 1000.0

    def sim_clock(self):
        return SimClock(
            monotonic_s=lambda: self.now_s,
            wall_ms=lambda: START_MS + round((self.now_s - 1000.0) * 1000),
        )


class Reader:
    """A client that waits for frames, never for time."""

    def __init__(self, socket):
        self.socket = socket

    @staticmethod
    def connect(simulation, path):
        return connect(f"{simulation.ws_url}/{path}", compression=None, ping_interval=None)

    async def send(self, request):
        await self.socket.send(
            request if isinstance(request, str) else orjson.dumps(request).decode()
        )

    async def text(self):
        return await asyncio.wait_for(self.socket.recv(), PATIENCE_S)

    async def json(self):
        return orjson.loads(await self.text())

    async def closed(self):
        # Reading on: a full queue would hold back the close frame too.
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.text()
        return self.socket.close_code, self.socket.close_reason


class World:
    """A simulation with real sockets whose time and steps the test decides."""

    def __init__(self, simulation, clock):
        self.simulation = simulation
        self.clock = clock

    def connect(self, path):
        return connect(f"{self.simulation.ws_url}/{path}", compression=None, ping_interval=None)

    async def get(self, path):
        """GET one path; returns (status, content type, body)."""

        def blocking():
            url = f"{self.simulation.rest_url}/{path}"
            try:
                with urllib.request.urlopen(url, timeout=PATIENCE_S) as reply:
                    return reply.status, reply.headers.get_content_type(), reply.read()
            except urllib.error.HTTPError as error:
                return error.code, error.headers.get_content_type(), error.read()

        return await asyncio.to_thread(blocking)

    async def json(self, path):
        """GET one path that must be there."""
        status, kind, body = await self.get(path)
        assert (status, kind) == (200, "application/json"), body
        return orjson.loads(body)

    def step_until_changed(self, row):
        """Let the market go on until this row has a new quote, and return the truth."""
        for _ in range(100_000):
            self.clock.now_s += self.simulation.market.step_s
            if row in self.simulation.step():
                return self.simulation.market.quote(row)
        raise AssertionError(f"row {row} never changed")

    def tick_after(self, seconds):
        self.clock.now_s += seconds
        self.simulation.tick()


async def until(condition, patience_s=PATIENCE_S):
    """Wait for a condition of the server, whose sockets live on the same loop."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition never came true"
        await asyncio.sleep(0.001)


@pytest.fixture(name="until")
def until_():
    return until


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def settings():
    def build(**changes):
        values = {
            "rest_base": "http://127.0.0.1:0",
            "ws_base": "ws://127.0.0.1:0",
            "exchanges": ("binance", "okx"),
            "symbols": 12,
            "market": MarketSettings(seed=5, rate_hz=400.0),
        }
        return SimulationSettings(**{**values, **changes})

    return build


@pytest.fixture
def in_world(settings, clock):
    """Run an async test body against a listening simulation that only the test moves."""

    def run(body, **changes):
        async def life():
            simulation = Simulation(settings(**changes), clock.sim_clock())
            await simulation.listen()
            try:
                await body(World(simulation, clock))
            finally:
                await simulation.close()

        asyncio.run(life())

    return run


@pytest.fixture
def board_of():
    """The board of a source whose market has just begun."""

    def build(venue):
        market = Market(venue.listings, MarketSettings(seed=5), START_MS)
        return MarketBoard(market, range(len(venue.listings)))

    return build


@pytest.fixture
def asked():
    """One source after some market, asked without a socket; returns (body, venue, market)."""

    def ask(source, path, *, count=64, added=(), delisted=(), status=200):
        name, _, kind = source.rpartition("_")
        kind = MarketKind.SPOT if kind == "spot" else MarketKind.FUTURES
        venue = venues()[name](kind, coins(count), added)
        venue.delisted.update(delisted)
        market = Market(venue.listings, MarketSettings(seed=3, rate_hz=5000.0), START_MS)
        for number in range(300):
            market.step(START_MS + 20 * number)
        board = MarketBoard(market, range(len(venue.listings)))
        route, _, query = path.partition("?")
        pairs = dict(pair.split("=") for pair in query.split("&") if pair)
        reply = venue.rest(Target(f"/{route}", pairs), START_MS, board)
        assert reply.status == status
        return orjson.loads(reply.body), venue, market

    return ask


@pytest.fixture
def reader():
    return Reader
