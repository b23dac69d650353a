"""Frames read in place against the same bytes by way of picows, whatever the cuts between reads."""

import asyncio
import contextlib
import logging
import random
import struct

import pytest
import websockets
from frame_cases import FLAT, LEGS, flat
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
SEEDS = range(12)
CONTINUATION, TEXT, BINARY, PING, PONG = 0, 1, 2, 9, 10


def frame(payload, opcode=TEXT, *, fin=True):
    first = opcode | (0x80 if fin else 0)
    if len(payload) < 126:
        return struct.pack(">BB", first, len(payload)) + payload
    return struct.pack(">BBH", first, 126, len(payload)) + payload


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


@pytest.fixture
def by_hand(regions):
    """Run a scenario with one connection after another on the same store."""

    def run(scenario):
        @contextlib.asynccontextmanager
        async def connected(*, needs_frames=False):
            feed = Feed(regions)

            def new_listener():
                feed.listener = CountingListener(
                    feed.sink, feed.on_control, lambda _: feed.closed.set(), LIMIT
                )
                feed.listener.needs_frames = needs_frames
                return feed.listener

            async def serve(connection):
                feed.server = connection
                await connection.wait_closed()

            async with websockets.serve(serve, "127.0.0.1", 0, compression=None) as server:
                port = server.sockets[0].getsockname()[1]
                feed.transport, _ = await ws_connect(
                    new_listener, f"ws://127.0.0.1:{port}/", enable_auto_pong=False,
                    max_frame_size=LIMIT,
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

    return run


def stream(randomness):
    """Frames of every kind in a random order."""
    parts = []
    for number in range(1, randomness.randrange(6, 80)):
        price = f"{100 + number / 8}"
        # Without a time none of them is late, however slow this host is.
        quote = flat(u=number, b=price, a=str(200 + number), T=None)
        kind = randomness.randrange(12)
        if kind == 0:
            parts.append(frame(b"ping %d" % number, PING))
        elif kind == 1:
            parts.append(frame(b"", PONG))
        elif kind == 2:
            cut = randomness.randrange(len(quote))
            parts += [
                frame(quote[:cut], fin=False), frame(b"", PING),
                frame(quote[cut:], CONTINUATION),
            ]  # fmt: skip
        elif kind == 3:
            parts.append(frame(randomness.choice((b"pong", b"refuse", b"partial", b""))))
        elif kind == 4:
            parts.append(frame(quote[: randomness.randrange(len(quote))]))
        elif kind == 5:
            parts.append(frame(quote.ljust(randomness.randrange(126, LIMIT))))
        else:
            parts.append(frame(quote, randomness.choice((TEXT, BINARY))))
    return b"".join(parts)


def cuts(data, randomness):
    """*data* in pieces, of one byte to all of it."""
    longest = randomness.choice((1, 3, 40, 300, 10_000))
    while data:
        size = randomness.randint(1, longest)
        yield data[:size]
        data = data[size:]


@pytest.mark.parametrize("seed", SEEDS)
def test_any_stream_cut_anywhere_is_seen_as_picows_sees_it(by_hand, seed):
    async def scenario(connected):
        seen = []
        for needs_frames in (True, False):
            randomness = random.Random(seed)
            async with connected(needs_frames=needs_frames) as feed:
                for piece in cuts(stream(randomness), randomness):
                    feed.read(piece)
                seen.append(feed.seen())
        assert seen[0]["quotes"] > 0
        assert seen[1] == seen[0]

    by_hand(scenario)


def test_plain_frames_do_not_come_by_way_of_picows(by_hand):
    async def scenario(connected):
        async with connected() as feed:
            feed.read(frame(flat(u=1)))
            assert feed.listener.by_picows == 1
            for number in range(2, 50):
                feed.read(frame(flat(u=number)))
            assert (feed.listener.by_picows, feed.listener.quotes) == (1, 49)
            feed.read(frame(flat(u=50)) + frame(b"", PING) + frame(flat(u=51)))
            assert (feed.listener.by_picows, feed.listener.quotes) == (3, 51)
            feed.read(frame(flat(u=52)))
            assert (feed.listener.by_picows, feed.listener.quotes) == (3, 52)

    by_hand(scenario)


def test_a_listener_that_needs_frames_has_them_until_it_does_not(by_hand):
    async def scenario(connected):
        async with connected(needs_frames=True) as feed:
            for number in range(10):
                feed.read(frame(flat(u=number)))
            assert feed.listener.by_picows == 10
            feed.listener.needs_frames = False
            for number in range(10, 20):
                feed.read(frame(flat(u=number)))
            assert feed.listener.by_picows == 11
            assert feed.listener.quotes == 20

    by_hand(scenario)


def test_message_cut_off_is_no_quote_though_its_end_stands_behind_it_in_memory(by_hand):
    async def scenario(connected):
        quote = flat(u=5)
        async with connected() as feed:
            feed.read(frame(flat(u=1)))
            feed.read(frame(quote))
            assert feed.listener.quotes == 2
            for size in range(len(quote)):
                # The same place in memory: the rest of the whole message is still there.
                feed.read(frame(quote))
                feed.read(frame(quote[:size]))
            assert feed.listener.quotes == 2 + len(quote)
            assert feed.listener.by_picows == 1

    by_hand(scenario)


def test_read_that_fills_the_buffer_ends_within_a_frame_and_the_next_goes_on(by_hand):
    async def scenario(connected):
        async with connected() as feed:
            feed.read(frame(flat(u=0, T=None)))
            feed.read(b"".join(frame(flat(u=number, T=None)) for number in range(1, 12_000)))
            assert (feed.listener.quotes, feed.listener.by_picows) == (12_000, 1)

    by_hand(scenario)


def test_one_read_has_one_time_also_where_picows_has_a_part_of_it(by_hand):
    async def scenario(connected):
        async with connected() as feed:
            whole = frame(flat(u=1))
            feed.read(whole + frame(flat(u=2))[:-3])
            feed.read(frame(flat(u=2))[-3:] + whole + frame(b"", PING) + whole + whole[:9])
            first = feed.listener.last_frame_ns
            assert feed.listener.last_quote_ns == first
            feed.read(whole[9:])
            assert feed.listener.last_quote_ns > first

    by_hand(scenario)


@pytest.mark.parametrize(
    "mistake",
    [b"\x83\x00", b"\xc1\x02{}", b"\x81\x80....", b"\x81\x7e\x00\x05hello", b"\x89\x7e\x00\x80"],
    ids=["opcode", "extension", "masked", "length", "long ping"],
)
def test_mistake_of_the_server_is_dealt_with_as_picows_does(by_hand, mistake, caplog):
    async def scenario(connected):
        seen = []
        for needs_frames in (True, False):
            caplog.clear()
            async with connected(needs_frames=needs_frames) as feed:
                feed.read(frame(flat(u=1)))
                feed.read(frame(flat(u=2)) + mistake)
                feed.read(frame(flat(u=3)))
                seen.append(
                    (feed.listener.quotes, feed.transport.is_close_frame_sent,
                     [record.getMessage() for record in caplog.records if "picows" in record.name])
                )  # fmt: skip
        assert seen[1] == seen[0]

    caplog.set_level(logging.WARNING)
    by_hand(scenario)


def test_mistake_of_ours_ends_the_connection_and_loses_no_quote_of_the_read(by_hand):
    async def scenario(connected):
        seen = []
        for needs_frames in (True, False):
            async with connected(needs_frames=needs_frames) as feed:
                feed.read(frame(flat(u=1)))
                feed.read(frame(flat(u=2)) + frame(b"break") + frame(flat(u=3, b="99.5")))
                assert feed.transport.is_close_frame_sent
                await asyncio.wait_for(feed.closed.wait(), 20)
                seen.append((feed.listener.quotes, feed.controls, feed.bid()))
        assert seen[1] == seen[0] == (3, [b"break"], 99.5)

    by_hand(scenario)
