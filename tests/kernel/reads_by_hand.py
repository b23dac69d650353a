"""One connection after another whose reads are made by hand, with any cut between them."""

import asyncio
import contextlib
import struct

import websockets
from frame_cases import FLAT, LEGS
from picows import ws_connect

from spreadscan.errors import FeedError
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.listener import QuoteListener
from spreadscan.kernel.sink import FeedSink
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthReader, HealthWriter
from spreadscan.shm.price_store import slot_of

SOURCE, BTC = 0, 7
LIMIT = 4_096
CONTINUATION, TEXT, BINARY, PING, PONG = 0, 1, 2, 9, 10


def frame(payload, opcode=TEXT, *, fin=True):
    first = opcode | (0x80 if fin else 0)
    if len(payload) < 126:
        return struct.pack(">BB", first, len(payload)) + payload
    if len(payload) < 65_536:
        return struct.pack(">BBH", first, 126, len(payload)) + payload
    return struct.pack(">BBQ", first, 127, len(payload)) + payload


class CountingListener(QuoteListener):
    """Counts what comes by way of picows."""

    by_picows = 0

    def on_ws_frame(self, transport, frame):
        self.by_picows += 1
        super().on_ws_frame(transport, frame)


class Feed:
    """A sink, and a connection whose reads are made by hand."""

    def __init__(self, regions):
        self.regions = regions
        self.health = HealthWriter(regions.health, SOURCE, "feed").slot
        self.sink = FeedSink(
            SOURCE, Extractor(FLAT, LEGS), regions.prices.slots, regions.dirty.bits, self.health
        )
        self.controls = []
        self.closed = asyncio.Event()
        self.counted_before = self._counters()

    def on_control(self, listener, message):
        self.controls.append(message)
        if message == b"refuse":
            raise FeedError("no frame of theirs")
        if message == b"break":
            raise RuntimeError("a mistake of ours")
        return message == b"partial"

    def _counters(self):
        return list(HealthReader(self.regions.health).slot(SOURCE).counters)

    def counted(self):
        """What was added to each counter, and how many symbols are live."""
        both = zip(self._counters(), self.counted_before, strict=True)
        added = [now - before for now, before in both]
        added[FeedCounter.SYMBOLS_LIVE] = self.sink.live_count
        return added

    def bid(self):
        return float(self.regions.prices.read(slot_of(SOURCE, BTC))["bid"])

    def read(self, data):
        """Let the connection read *data*, in one go where its buffer has room for it."""
        protocol = self.transport.underlying_transport.get_protocol()
        while data:
            room = memoryview(protocol.get_buffer(-1))
            room[: len(data)] = data[: len(room)]
            protocol.buffer_updated(min(len(room), len(data)))
            data = data[len(room) :]

    def seen(self):
        listener = self.listener
        return {
            "controls": self.controls, "quotes": listener.quotes, "pongs": listener.pongs,
            "bid": self.bid(), "counted": self.counted(),
        }  # fmt: skip


def run_by_hand(regions, scenario):
    """Run a scenario with connections on the same store, made as it asks for them."""

    @contextlib.asynccontextmanager
    async def connected(*, needs_frames=False, limit=LIMIT):
        feed = Feed(regions)

        def new_listener():
            feed.listener = CountingListener(
                feed.sink, feed.on_control, lambda _: feed.closed.set(), limit
            )
            feed.listener.needs_frames = needs_frames
            return feed.listener

        async def serve(connection):
            await connection.wait_closed()

        async with websockets.serve(serve, "127.0.0.1", 0, compression=None) as server:
            port = server.sockets[0].getsockname()[1]
            feed.transport, _ = await ws_connect(
                new_listener, f"ws://127.0.0.1:{port}/", enable_auto_pong=False,
                max_frame_size=limit,
            )  # fmt: skip
            feed.transport.underlying_transport.pause_reading()
            try:
                yield feed
            finally:
                feed.transport.disconnect(graceful=False)
                # It ends with what was wrong with the connection.
                with contextlib.suppress(Exception):
                    await feed.transport.wait_disconnected()

    asyncio.run(asyncio.wait_for(scenario(connected), 30))


def cuts(data, randomness):
    """*data* in pieces, of one byte to all of it."""
    longest = randomness.choice((1, 3, 40, 300, 10_000))
    while data:
        size = randomness.randint(1, longest)
        yield data[:size]
        data = data[size:]
