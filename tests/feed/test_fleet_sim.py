"""Every source goes over to other symbols at its simulated exchange, within all limits."""

import asyncio
import contextlib

import pytest

from spreadscan.exchanges import sources
from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.shm.layout import FeedCounter
from spreadscan.sim.market import MarketSettings
from spreadscan.sim.process import SYSTEM_CLOCK
from spreadscan.sim.simulation import Simulation, SimulationSettings

UNKNOWN = FeedCounter.REFUSED + QuoteStatus.UNKNOWN_SYMBOL
REFUSALS = [
    FeedCounter.REFUSED + status
    for status in QuoteStatus
    if status not in {QuoteStatus.QUOTE, QuoteStatus.UNKNOWN_SYMBOL}
]


class Simulated:
    """The simulator of one exchange on the feed's own loop."""

    def __init__(self, source, symbols):
        self.source = source
        self.settings = {
            "exchanges": (source.adapter.name,),
            "symbols": symbols,
            "market": MarketSettings(seed=3, rate_hz=2_000.0),
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


@pytest.mark.parametrize("name", sorted(sources()))
def test_source_goes_over_to_other_symbols_within_the_limits(make_feed, name):
    feed = make_feed(name, [], keeps_the_pace=True)
    exchange = Simulated(feed.source, symbols=9)
    seen = []

    def adopt(first, last):
        return feed.adopt(exchange.legs(first, last))

    def is_quiet():
        """Whether a few more quotes came since the last look and no unknown one."""
        seen.append((feed.counter(FeedCounter.QUOTES), feed.counter(UNKNOWN)))
        quotes, unknown = seen[0]
        if seen[-1][1] != unknown:
            seen.clear()
            return False
        return seen[-1][0] > quotes + 20

    def is_changed():
        heard = {symbol for symbol in exchange.listings() if exchange.is_heard(symbol)}
        return heard == feed.live() == {leg[0] for leg in feed.legs}

    feed.run(
        exchange,
        # All of them, without the first three, all but the last three: under other ids each time.
        lambda: adopt(0, 6),
        is_changed,
        lambda: adopt(3, 9),
        is_changed,
        is_quiet,
        lambda: adopt(0, 6),
        is_changed,
        is_quiet,
        lambda: adopt(0, 0),
        lambda: exchange.ledger().open_connections == 0,
    )

    assert exchange.simulation.report()["overruns"] == 0
    assert exchange.ledger().connections == feed.counter(FeedCounter.CONNECTS)
    assert [feed.counter(counter) for counter in REFUSALS] == [0] * len(REFUSALS)
    assert feed.counter(FeedCounter.SUBSCRIBE_REFUSED) == 0
    assert feed.slot(100)["flags"] & SlotFlag.UNSUBSCRIBED


def test_full_connection_changes_half_its_symbols_without_a_topic_too_many_or_a_frame_lost(
    make_feed,
):
    feed = make_feed("mexc_spot", [], keeps_the_pace=True)
    exchange = Simulated(feed.source, symbols=45)

    def is_changed():
        heard = {symbol for symbol in exchange.listings() if exchange.is_heard(symbol)}
        return heard == feed.live() == {leg[0] for leg in feed.legs}

    def has_everything():
        # Each request has one answer.
        found = exchange.ledger()
        return feed.counter(FeedCounter.FRAMES) == found.frames_sent + found.subscribes

    feed.run(
        exchange,
        lambda: feed.adopt(exchange.legs(0, 30)),
        is_changed,
        lambda: feed.adopt(exchange.legs(15, 45)),
        is_changed,
        lambda: feed.adopt(exchange.legs(5, 35)),
        is_changed,
        lambda: exchange.is_still.set() or True,
        has_everything,
    )

    found = exchange.ledger()
    assert found.most_topics == 30
    assert found.connections == 1
    assert exchange.simulation.report()["overruns"] == 0
    assert found.subscribes == 2 + 4
