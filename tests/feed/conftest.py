"""Regions of a test's own, and one exchange on a loopback socket that speaks as a test says."""

import asyncio
import json
import logging

import msgspec
import pytest
import websockets

from spreadscan.config import load_config
from spreadscan.exchanges import Source, source_named
from spreadscan.feed.fleet import Fleet
from spreadscan.feed.shared import Shared
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.sink import FeedSink
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

    def serving(self, port, tls):
        return websockets.serve(self.serve, "127.0.0.1", port, ssl=tls)

    async def serve(self, connection):
        self.connections.append(connection)
        async for message in connection:
            tree = json.loads(message)
            self.requests.append(tree)
            for reply in self.answer(tree):
                await connection.send(reply)


class Feed:
    """One source's sink and connections, in this process."""

    def __init__(self, config, regions, name, legs, limits):
        known = source_named(name)
        self.source = Source(known.adapter, known.market)
        self.source.spec = msgspec.structs.replace(
            known.spec, limits=msgspec.structs.replace(known.spec.limits, **limits)
        )
        self.legs = legs
        self.config = config
        self.port = int(config.sim.ws_base.rpartition(":")[2])
        self.regions = regions
        health = HealthWriter(regions.health, self.source.source_id, name)
        spec = self.source.spec
        extractor = Extractor(spec.plan, [])
        self.sink = FeedSink(
            self.source.source_id,
            extractor,
            regions.prices.slots,
            regions.dirty.bits,
            health.slot,
            sends_unchanged=spec.sends_unchanged,
        )
        self.shared = Shared(
            source=self.source,
            market=config.market(self.source),
            feed=config.feed,
            sink=self.sink,
            health=health,
            trust=trust_of(config),
            clock=SystemClock(),
            log=logging.getLogger(name),
        )
        self.fleet = Fleet(self.shared, extractor)

    def adopt(self, legs):
        """Go over to these legs, and be true, as a step is."""
        self.fleet.adopt(legs)
        self.legs = legs
        return True

    def counter(self, counter):
        return HealthReader(self.regions.health).slot(self.source.source_id).counters[counter]

    def slot(self, symbol_id):
        return self.regions.prices.read(slot_of(self.source.source_id, symbol_id))

    def stored(self, symbol):
        return self.slot(self._ids()[symbol])

    def live(self):
        return {symbol for symbol, number in self._ids().items() if self.sink.is_live(number)}

    def _ids(self):
        return {symbol: symbol_id for symbol, symbol_id, _, _ in self.legs}

    def run(self, exchange, *steps, tls=None):
        """Keep connections to the exchange; await each step's condition or coroutine in turn."""

        async def body():
            async with exchange.serving(self.port, tls):
                self.fleet.adopt(self.legs)
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        for step in steps:
                            while not (found := step()):
                                self.fleet.check()
                                await asyncio.sleep(0.002)
                            if asyncio.iscoroutine(found):
                                await found
                finally:
                    await self.fleet.close()

        asyncio.run(body())


@pytest.fixture
def make_feed(make_config):
    def make(
        name,
        symbols,
        ca_file=None,
        *,
        keeps_the_pace=False,
        limits=None,
        settings=None,
        **overrides,
    ):
        exchange, market = name.split("_")
        keys = {"feed.retry_base_ms": 20, "feed.retry_cap_s": 0.05} | (settings or {})
        if not keeps_the_pace:
            keys[f"exchanges.{exchange}.{market}.messages_per_s"] = 100.0
            keys[f"exchanges.{exchange}.{market}.address_messages_per_s"] = 10_000
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
        legs = [(symbol, number, 1.0, 1.0) for number, symbol in enumerate(symbols)]
        return Feed(config, regions, name, legs, limits or {})

    return make


@pytest.fixture
def loopback():
    return Loopback
