"""Servers that end a connection while it begins: a failed try, never the end of the feed."""

import asyncio
import base64
import hashlib
import logging

import msgspec
import pytest

from spreadscan.config import load_config
from spreadscan.exchanges import source_named
from spreadscan.feed.fleet import Fleet
from spreadscan.feed.shared import Shared
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.sink import FeedSink
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.trust import trust_of
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthReader, HealthWriter
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions, create_regions

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
CLOSE_1008 = b"\x88\x02\x03\xf0"


async def accepted(reader):
    request = await reader.readuntil(b"\r\n\r\n")
    lines = request.split(b"\r\n")
    key = next(
        line.split(b": ")[1] for line in lines if line.lower().startswith(b"sec-websocket-key")
    )
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


async def hang_up_at_once(_reader, writer):
    writer.close()


async def close_with_the_answer(reader, writer):
    writer.write(await accepted(reader) + CLOSE_1008)
    writer.close()


async def end_after_the_answer(reader, writer):
    writer.write(await accepted(reader))
    writer.close()


async def answer_nonsense(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\xff\xfe\x00nonsense\r\n\r\n")
    writer.close()


async def refuse(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    writer.close()


@pytest.fixture
def config(make_config):
    return load_config(make_config({"feed.retry_base_ms": 1, "feed.retry_cap_s": 0.01}))


@pytest.fixture
def regions(config):
    create_regions(config.shm)
    return attach_regions(config.shm, reads=(), writes=RegionKind, timeout_s=0)


@pytest.mark.parametrize(
    "behave",
    [hang_up_at_once, close_with_the_answer, end_after_the_answer, answer_nonsense, refuse],
)
def test_server_that_ends_a_connection_as_it_begins_is_tried_again(config, regions, behave):
    tries = []
    source = source_named("binance_spot")
    health = HealthWriter(regions.health, source.source_id, "feed-under-test")

    async def run():
        often = asyncio.Event()

        async def serve(reader, writer):
            tries.append(1)
            if len(tries) == 4:
                often.set()
            await behave(reader, writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        extractor = Extractor(source.spec.plan, [])
        sink = FeedSink(
            source.source_id,
            extractor,
            regions.prices.slots,
            regions.dirty.bits,
            health.slot,
        )
        market = msgspec.structs.replace(
            config.market(source),
            ws_url=f"ws://127.0.0.1:{port}/ws",
            connects_per_window=1000,
            connects_window_s=1.0,
        )
        shared = Shared(
            source=source,
            market=market,
            feed=config.feed,
            sink=sink,
            health=health,
            trust=trust_of(config),
            clock=SystemClock(),
            log=logging.getLogger("test"),
        )
        fleet = Fleet(shared, extractor)
        fleet.adopt([("BTCUSDT", 0, 1.0, 1.0)])
        async with asyncio.timeout(20):
            await often.wait()
        # Raises if the connection's task has ended.
        fleet.check()
        await fleet.close()
        server.close()

    asyncio.run(run())
    counters = HealthReader(regions.health).slot(source.source_id).counters
    assert counters[FeedCounter.CONNECTIONS_OPEN] <= 1
    assert counters[FeedCounter.CONNECT_FAILURES] + counters[FeedCounter.DISCONNECTS] >= 3
