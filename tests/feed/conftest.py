"""Regions of a test's own, and one exchange on a loopback socket that speaks as a test says."""

import asyncio
import json
import logging

import pytest
import websockets

from spreadscan.config import load_config
from spreadscan.exchanges import source_named
from spreadscan.feed.connection import Connection, Shared
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.listener import FeedSink
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.trust import trust_of
from spreadscan.shm.health import HealthReader, HealthWriter
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions, create_regions

PATIENCE_S = 20.0


class Loopback:
    """A server whose answers to each frame are what ``answer(tree)`` returns."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.connections = []

    async def serve(self, connection):
        self.connections.append(connection)
        async for message in connection:
            tree = json.loads(message)
            self.requests.append(tree)
            for reply in self.answer(tree):
                await connection.send(reply)


class Feed:
    """One source's sink and connection, in this process."""

    def __init__(self, config, regions, name, symbols):
        self.source = source_named(name)
        self.symbols = symbols
        self.config = config
        self._regions = regions
        health = HealthWriter(regions.health, self.source.source_id, name)
        legs = [(symbol, number, 1.0, 1.0) for number, symbol in enumerate(symbols)]
        spec = self.source.spec
        self.sink = FeedSink(
            self.source.source_id,
            Extractor(spec.plan, legs),
            regions.prices.slots,
            regions.dirty.bits,
            health.slot,
        )
        self._shared = Shared(
            source=self.source,
            market=config.market(self.source),
            feed=config.feed,
            sink=self.sink,
            health=health,
            trust=trust_of(config),
            clock=SystemClock(),
            log=logging.getLogger(name),
        )

    def counter(self, counter):
        return HealthReader(self._regions.health).slot(self.source.source_id).counters[counter]

    def stored(self, symbol):
        slot = slot_of(self.source.source_id, self.symbols.index(symbol))
        return self._regions.prices.read(slot)

    def live(self):
        return {
            symbol for number, symbol in enumerate(self.symbols) if self.sink.is_live(number)
        }  # fmt: skip

    def run(self, exchange, *steps, tls=None):
        """Keep a connection to the exchange; await each step's condition or coroutine in turn."""

        async def body():
            port = int(self.config.sim.ws_base.rpartition(":")[2])
            async with websockets.serve(exchange.serve, "127.0.0.1", port, ssl=tls):
                legs = [(symbol, number) for number, symbol in enumerate(self.symbols)]
                task = asyncio.create_task(Connection(self._shared, legs).keep())
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        for step in steps:
                            while not (found := step()):
                                if task.done():
                                    task.result()
                                await asyncio.sleep(0.002)
                            if asyncio.iscoroutine(found):
                                await found
                finally:
                    task.cancel()
                    await asyncio.wait([task])

        asyncio.run(body())


@pytest.fixture
def make_feed(make_config):
    def make(name, symbols, ca_file=None, **overrides):
        exchange, market = name.split("_")
        keys = {
            "feed.retry_base_ms": 20,
            "feed.retry_cap_s": 0.05,
            f"exchanges.{exchange}.{market}.messages_per_s": 100.0,
        }
        for key, value in overrides.items():
            keys[f"exchanges.{exchange}.{market}.{key}"] = value
        main = make_config(keys)
        if ca_file:
            exchanges = main.with_name("exchanges.toml")
            text = exchanges.read_text(encoding="utf-8").replace("ws://", "wss://")
            exchanges.write_text(f'{text}ca_file = "{ca_file}"\n', encoding="utf-8")
        config = load_config(main, is_sim=True)
        assert config.sim.ca_file == (str(ca_file) if ca_file else None)
        create_regions(config.shm)
        regions = attach_regions(config.shm, reads=(), writes=RegionKind, timeout_s=0)
        return Feed(config, regions, name, list(symbols))

    return make


@pytest.fixture
def loopback():
    return Loopback
