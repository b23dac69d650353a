"""Planned ends at the simulated exchanges: nobody who reads the prices notices anything."""

import asyncio
import contextlib
import threading

import pytest
from simulated_cases import Simulated

from spreadscan.shm.counters import FeedCounter


class Reader:
    """Reads some slots all the time, from another thread, as another process would."""

    def __init__(self, feed):
        self._feed = feed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.unusable = set()
        self.backward = set()
        self.rounds = 0

    def _read(self):
        last = {}
        while not self._stop.is_set():
            self.rounds += 1
            for symbol, symbol_id, *_ in self._feed.legs:
                record = self._feed.slot(symbol_id)
                if record is None:
                    continue
                if record["flags"]:
                    self.unusable.add((symbol, int(record["flags"])))
                if record["update_id"] < last.get(symbol, 0):
                    self.backward.add(symbol)
                last[symbol] = record["update_id"]

    @contextlib.asynccontextmanager
    async def reading(self):
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            await asyncio.to_thread(self._thread.join)


def all_live(feed):
    return len(feed.live()) == len(feed.legs) > 0


def watched(feed, exchange, count, *steps):
    """Run the steps with a reader, once everybody is live."""
    reader = Reader(feed)

    async def read():
        async with reader.reading():
            for step in steps:
                while not step():
                    feed.fleet.check()
                    await asyncio.sleep(0.005)

    feed.run(exchange, lambda: feed.adopt(exchange.legs(0, count)), lambda: all_live(feed), read)
    return reader


@pytest.mark.parametrize("name", ["binance_spot", "bybit_spot", "mexc_spot"])
def test_life_that_ends_at_a_known_age_is_renewed_before(make_feed, name):
    life_s = 2.4
    # Two connections, which are renewed a little apart; seconds early, for a machine that is busy.
    feed = make_feed(
        name, [], limits={"lifetime_s": life_s / 2}, topics_per_connection=6, messages_per_s=5.0
    )
    fault = {"at_s": 0.0, "kind": "lifetime", "life_s": life_s}
    exchange = Simulated(feed.source, 9, fault)

    reader = watched(
        feed,
        exchange,
        8,
        lambda: feed.counter(FeedCounter.CONNECTS) >= 6 and len(feed.fleet.connections()) == 2,
        lambda: feed.counter(FeedCounter.CONNECTIONS_OPEN) == 2,
    )

    assert (reader.unusable, reader.backward) == (set(), set())
    assert reader.rounds > 10
    report = exchange.simulation.report()
    assert report["overruns"] == 0, report["overrun_events"]
    assert report["sources"][name]["most_topics_on_a_connection"] <= 6


@pytest.mark.parametrize("name", ["binance_spot", "okx_futures"])
def test_announced_end_is_anticipated(make_feed, name):
    feed = make_feed(name, [], keeps_the_pace=True)
    exchange = Simulated(feed.source, 9, {"at_s": 0.7, "kind": "shutdown", "for_s": 1.0})

    reader = watched(
        feed,
        exchange,
        8,
        lambda: feed.counter(FeedCounter.CONNECTS) == 2,
        lambda: feed.counter(FeedCounter.CONNECTIONS_OPEN) == 1,
        # The end of what was announced.
        lambda: exchange.simulation.director.begun and not _faults(exchange),
    )

    assert (reader.unusable, reader.backward) == (set(), set())
    assert exchange.simulation.report()["overruns"] == 0
    assert feed.counter(FeedCounter.CONNECTS) == 2


def _faults(exchange):
    return exchange.simulation.disturbance.present()
