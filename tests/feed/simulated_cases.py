"""The simulated exchange of one source, on the loop of the feed under test."""

import asyncio
import contextlib

from spreadscan.sim.faults import Fault
from spreadscan.sim.market import MarketSettings
from spreadscan.sim.process import SYSTEM_CLOCK
from spreadscan.sim.scenario import Scenario
from spreadscan.sim.simulation import Simulation, SimulationSettings


class Simulated:
    """The simulator of one exchange on the feed's own loop."""

    def __init__(self, source, symbols, *faults):
        self.source = source
        self.settings = {
            "exchanges": (source.adapter.name,),
            "symbols": symbols,
            "market": MarketSettings(seed=3, rate_hz=2_000.0),
            "scenario": Scenario(fault=tuple(Fault(**fault) for fault in faults)),
        }
        self.simulation = None
        self.is_still = asyncio.Event()
        """Set: the market stands still."""

    @contextlib.asynccontextmanager
    async def serving(self, port, _tls):
        base = f"http://127.0.0.1:0 ws://127.0.0.1:{port}".split()
        settings = SimulationSettings(rest_base=base[0], ws_base=base[1], **self.settings)
        self.simulation = Simulation(settings, SYSTEM_CLOCK)
        await self.simulation.listen()
        running = asyncio.create_task(self.simulation.run(self.is_still))
        try:
            yield
        finally:
            self.is_still.set()
            await running
            await self.simulation.close()

    def listings(self):
        """Exchange symbols with their rows."""
        return {
            listing.exchange_symbol: self.simulation.row(self.source.name, listing.exchange_symbol)
            for venue in self.simulation.venues
            if venue.source == self.source.name
            for listing in venue.listings
        }

    def legs(self, first, last):
        """Some of the listings, under ids that follow from which they are."""
        symbols = sorted(self.listings())[first:last]
        return [(symbol, 100 + place, 1.0, 1.0) for place, symbol in enumerate(symbols)]

    def is_heard(self, symbol):
        return bool(self.simulation.hub.listeners([self.listings()[symbol]]))

    def ledger(self):
        return self.simulation.servers.ledgers[self.source.name]
