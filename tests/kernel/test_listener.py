"""One connection, over a real socket: every shape of frame, and what becomes of it."""

import asyncio
import contextlib
import json

import pytest
import websockets
from frame_cases import FLAT, LEGS, flat
from picows import ws_connect

from spreadscan.errors import FeedError
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.listener import QuoteListener
from spreadscan.kernel.sink import FeedSink
from spreadscan.model import QuoteStatus
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthReader, HealthWriter
from spreadscan.shm.price_store import slot_of

SOURCE, BTC = 0, 7
LIMIT = 4_096
MALFORMED = FeedCounter.REFUSED + QuoteStatus.MALFORMED


class Ends:
    """Both ends of one connection, and what the listener reported."""

    def __init__(self, regions, sink):
        self.regions = regions
        self.sink = sink
        self.controls = []
        self.closed = []
        self.is_closed = asyncio.Event()
        self.refuse_controls = False

    def on_control(self, listener, frame):
        self.controls.append(frame)
        if self.refuse_controls:
            raise FeedError("no frame of theirs")

    def counter(self, which):
        return HealthReader(self.regions.health).slot(SOURCE).counters[which]

    def bid(self):
        return self.regions.prices.read(slot_of(SOURCE, BTC))["bid"]

    def on_closed(self, listener):
        self.closed.append(listener)
        self.is_closed.set()

    async def settled(self):
        """Return when the listener has seen everything that was sent: it answers in order."""
        pong = await self.server.ping()
        await asyncio.wait_for(pong, 5)


@pytest.fixture
def over_a_socket(regions):
    """Run a scenario with a connected listener."""

    def run(scenario):
        async def body():
            health = HealthWriter(regions.health, SOURCE, "feed")
            sink = FeedSink(
                SOURCE, Extractor(FLAT, LEGS), regions.prices.slots, regions.dirty.bits, health.slot
            )
            ends = Ends(regions, sink)
            connected = asyncio.get_running_loop().create_future()

            async def serve(connection):
                connected.set_result(connection)
                await connection.wait_closed()

            async with websockets.serve(serve, "127.0.0.1", 0, compression=None) as server:
                port = server.sockets[0].getsockname()[1]
                transport, ends.listener = await ws_connect(
                    lambda: QuoteListener(sink, ends.on_control, ends.on_closed, LIMIT),
                    f"ws://127.0.0.1:{port}/",
                    enable_auto_pong=False,
                    max_frame_size=LIMIT * 4,
                )
                ends.server = await connected
                try:
                    await asyncio.wait_for(scenario(ends), 20)
                finally:
                    transport.disconnect(graceful=False)
                    with contextlib.suppress(websockets.ConnectionClosed):
                        await ends.server.close()

        asyncio.run(body())

    return run


def test_text_and_binary_frames_reach_the_store(over_a_socket):
    async def scenario(ends):
        await ends.server.send(flat(b="1.5").decode())
        await ends.settled()
        assert ends.bid() == 1.5
        await ends.server.send(flat(b="2.5"))
        await ends.settled()
        assert ends.bid() == 2.5
        assert ends.listener.quotes == 2
        assert 0 < ends.listener.first_quote_ns <= ends.listener.last_frame_ns
        assert ends.controls == []

    over_a_socket(scenario)


def test_ping_is_answered_with_its_own_payload(over_a_socket):
    async def scenario(ends):
        for payload in (b"", b"1234567890", b"x" * 125):
            pong = await ends.server.ping(payload)
            await asyncio.wait_for(pong, 5)

    over_a_socket(scenario)


def test_fragmented_message_is_put_together_also_around_a_ping(over_a_socket):
    async def scenario(ends):
        whole = flat(b="3.5").decode()

        async def parts():
            for begin in range(0, len(whole), 7):
                await ends.server.ping()
                yield whole[begin : begin + 7]

        await ends.server.send(parts())
        await ends.settled()

        assert ends.bid() == 3.5
        assert ends.counter(MALFORMED) == 0

    over_a_socket(scenario)


def test_overlong_fragmented_message_is_refused_and_the_connection_lives(over_a_socket):
    async def scenario(ends):
        await ends.server.send(["x" * 1_000] * 6)
        await ends.settled()
        assert ends.counter(MALFORMED) == 1
        await ends.server.send(flat(b="4.5").decode())
        await ends.settled()
        assert ends.bid() == 4.5
        assert ends.closed == []

    over_a_socket(scenario)


def test_fragmented_message_of_just_the_limit_is_accepted(over_a_socket):
    async def scenario(ends):
        padded = flat(b="5.5").decode().ljust(LIMIT)
        await ends.server.send([padded[:2_000], padded[2_000:]])
        await ends.settled()
        assert ends.bid() == 5.5

    over_a_socket(scenario)


def test_what_is_no_quote_goes_to_the_control_callback(over_a_socket):
    async def scenario(ends):
        for frame in ('{"result":null,"id":1}', "pong"):
            await ends.server.send(frame)
        await ends.settled()
        assert ends.controls == [b'{"result":null,"id":1}', b"pong"]
        assert ends.counter(FeedCounter.CONTROL_FRAMES) == 2
        assert ends.counter(MALFORMED) == 0

    over_a_socket(scenario)


def test_control_frame_the_adapter_refuses_is_counted_and_the_connection_lives(over_a_socket):
    async def scenario(ends):
        ends.refuse_controls = True
        await ends.server.send("gibberish")
        await ends.settled()
        assert ends.counter(MALFORMED) == 1
        await ends.server.send(flat(b="6.5"))
        await ends.settled()
        assert (ends.bid(), ends.closed) == (6.5, [])

    over_a_socket(scenario)


def test_every_bad_frame_between_good_ones_is_counted_and_nothing_of_it_is_stored(over_a_socket):
    async def scenario(ends):
        bad = [
            flat(b="NaN"), flat(b="-1"), flat(b="0"), flat(b="200"), flat(b="1e300"),
            flat()[:-1], flat(a=None), flat(s="NOPE"), b"\xff\x00\x80" + flat(),
        ]  # fmt: skip
        for number, frame in enumerate(bad):
            await ends.server.send(flat(u=1_000 + number, b=f"{50 + number}"))
            await ends.server.send(frame)
        await ends.server.send(flat(u=2_000, b="59"))
        await ends.settled()

        refused = sum(ends.counter(FeedCounter.REFUSED + n) for n in range(16))
        assert refused + ends.counter(FeedCounter.CONTROL_FRAMES) == len(bad)
        assert ends.listener.quotes == len(bad) + 1
        assert (ends.bid(), ends.closed) == (59.0, [])

    over_a_socket(scenario)


def test_many_frames_in_one_read_are_all_seen(over_a_socket):
    async def scenario(ends):
        frames = [flat(u=number, b=json.dumps(1 + number / 1000)) for number in range(5_000)]
        for frame in frames:
            await ends.server.send(frame)
        await ends.settled()
        assert ends.listener.quotes == 5_000
        assert ends.bid() == 1 + 4_999 / 1000

    over_a_socket(scenario)


@pytest.mark.parametrize("how", ["close frame", "cut"])
def test_end_of_the_connection_is_reported_once_with_its_listener(over_a_socket, how):
    async def scenario(ends):
        await ends.server.send(flat())
        await ends.settled()
        if how == "cut":
            ends.server.transport.abort()
        else:
            await ends.server.close(1001, "maintenance")
        await asyncio.wait_for(ends.is_closed.wait(), 10)
        assert ends.closed == [ends.listener]
        assert ends.listener.transport is None

    over_a_socket(scenario)
