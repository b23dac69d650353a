"""Connections that fall behind, over real sockets: told by their frames, or by an absent loop."""

import asyncio
import contextlib
import time

import pytest
import websockets
from frame_cases import FLAT, LEGS, flat
from picows import ws_connect

from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.listener import QuoteListener
from spreadscan.kernel.sink import FeedSink
from spreadscan.kernel.tap import Tap
from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthReader, HealthWriter
from spreadscan.shm.price_store import slot_of

SOURCE, BTC, A = 0, 7, 11
MS = 1_000_000
LATE = FeedCounter.REFUSED + QuoteStatus.LATE
MAX_LAG_MS = 100
LIMIT = 1 << 20


class Line:
    """One connection: the exchange's end and the listener."""

    def __init__(self, server, transport, listener):
        self.server = server
        self.transport = transport
        self.listener = listener

    async def send(self, *frames):
        for frame in frames:
            await self.server.send(frame)
        await self.settled()

    async def settled(self):
        pong = await self.server.ping()
        await asyncio.wait_for(pong, 10)


class Exchange:
    """A sink and as many connections as a scenario opens."""

    def __init__(self, regions):
        self.regions = regions
        health = HealthWriter(regions.health, SOURCE, "feed").slot
        self.sink = FeedSink(
            SOURCE, Extractor(FLAT, LEGS), regions.prices.slots, regions.dirty.bits, health,
            max_lag_ms=MAX_LAG_MS,
        )  # fmt: skip
        self.lines = []

    async def open(self):
        connected = asyncio.get_running_loop().create_future()

        async def serve(connection):
            connected.set_result(connection)
            await connection.wait_closed()

        server = await websockets.serve(serve, "127.0.0.1", 0, compression=None)
        port = server.sockets[0].getsockname()[1]
        transport, listener = await ws_connect(
            lambda: QuoteListener(self.sink, lambda *_: None, lambda *_: None, LIMIT),
            f"ws://127.0.0.1:{port}/",
            enable_auto_pong=False,
            max_frame_size=LIMIT,
        )
        server.close(close_connections=False)
        self.lines.append(Line(await connected, transport, listener))
        return self.lines[-1]

    async def close(self):
        for line in self.lines:
            line.transport.disconnect(graceful=False)
            with contextlib.suppress(websockets.ConnectionClosed):
                await line.server.close()

    def counter(self, which):
        return HealthReader(self.regions.health).slot(SOURCE).counters[which]

    def stored(self, symbol_id=BTC):
        return self.regions.prices.read(slot_of(SOURCE, symbol_id))


@pytest.fixture
def over_sockets(regions):
    def run(scenario):
        async def body():
            exchange = Exchange(regions)
            try:
                await asyncio.wait_for(scenario(exchange), 30)
            finally:
                await exchange.close()

        asyncio.run(body())

    return run


def timed(number, lag_ms=0, symbol="BTCUSDT"):
    """A frame that left the exchange so long ago, by a clock ten hours ahead of ours."""
    return flat(s=symbol, u=number, T=time.monotonic_ns() // MS - lag_ms + 36_000_000)


def timeless(number, symbol="BTCUSDT"):
    return flat(s=symbol, u=number, T=None)


def framed(payload):
    """The bytes of an unmasked text frame of 126 bytes or less."""
    assert len(payload) < 126
    return bytes([0x81, len(payload)]) + payload


def test_connection_that_is_born_behind_is_noticed_by_what_the_others_know(over_sockets):
    async def scenario(exchange):
        first = await exchange.open()
        await first.send(*[timed(number) for number in range(20)])
        second = await exchange.open()
        # The first of a subscription has its age, what follows is late.
        await second.send(timed(1, 30_000, "A"))
        age_ns = time.monotonic_ns() - exchange.stored(A)["received_ns"]
        await second.send(timed(2, 30_000, "A"))

        assert age_ns > 29_000 * MS
        assert exchange.stored(A)["flags"] == SlotFlag.LATE
        assert exchange.stored(BTC)["flags"] == 0
        assert exchange.counter(LATE) == 1

    over_sockets(scenario)


def test_connection_that_is_born_after_a_clock_was_set_back_is_measured_by_the_new_clock(
    over_sockets,
):
    async def scenario(exchange):
        first = await exchange.open()
        await first.send(*[timed(number) for number in range(20)])
        await asyncio.sleep(0.3)
        await first.send(*[timed(number, 30_000) for number in range(20, 30)])
        late = exchange.counter(LATE)
        second = await exchange.open()
        await second.send(timed(1, 30_000, "A"))
        age_ns = time.monotonic_ns() - exchange.stored(A)["received_ns"]
        await asyncio.sleep(0.3)
        await second.send(timed(2, 30_000, "A"))

        assert (late, exchange.counter(LATE)) == (2, 2)
        assert age_ns < 29_000 * MS
        assert (exchange.stored(A)["flags"], exchange.stored(BTC)["flags"]) == (0, 0)

    over_sockets(scenario)


def test_one_connection_behind_leaves_the_others_alone(over_sockets):
    async def scenario(exchange):
        first, second = await exchange.open(), await exchange.open()
        await first.send(timed(1), timed(2))
        await second.send(timed(1, symbol="A"))
        await asyncio.sleep(0.3)
        await second.send(timed(2, 5_000, "A"))
        await first.send(timed(3))

        assert exchange.stored(A)["flags"] == SlotFlag.LATE
        assert second.listener.behind_ns > 4_000 * MS
        assert (exchange.stored(BTC)["flags"], first.listener.behind_ns) == (0, 0)

    over_sockets(scenario)


def test_pongs_and_acknowledgements_are_frames_and_no_quotes(over_sockets):
    async def scenario(exchange):
        line = await exchange.open()
        await line.send("pong", '{"result":null}')
        assert line.listener.last_quote_ns == 0 < line.listener.last_frame_ns
        await line.send(timed(1))
        quote_ns = line.listener.last_quote_ns
        await line.send("pong")
        assert 0 < line.listener.last_quote_ns == quote_ns < line.listener.last_frame_ns
        # Refused for its content, but prices flow.
        await line.send(flat(u=2, b="200"))
        assert line.listener.last_quote_ns > quote_ns

    over_sockets(scenario)


def test_frames_without_a_time_are_late_when_the_loop_was_away_and_they_waited(over_sockets):
    async def scenario(exchange):
        lines = [await exchange.open(), await exchange.open()]
        await lines[0].send(timeless(1))
        await lines[1].send(timeless(1, "A"))
        exchange.sink.set_wake_fd(-1)
        for line, frame in zip(lines, (timeless(2), timeless(2, "A")), strict=True):
            # In the socket before the loop goes away.
            await line.server.send(frame)
        time.sleep(2.5 * MAX_LAG_MS / 1000)  # noqa: ASYNC251 - this is the stall
        for line in lines:
            await line.settled()

        assert [exchange.stored(symbol_id)["flags"] for symbol_id in (BTC, A)] == [
            SlotFlag.LATE
        ] * 2
        assert exchange.counter(FeedCounter.STALLS) == 1
        exchange.sink.set_wake_fd(-1)
        await lines[0].send(timeless(3))
        assert exchange.stored()["flags"] == 0

    over_sockets(scenario)


def test_repeat_that_waited_while_the_loop_was_away_has_the_age_of_the_wait(over_sockets):
    async def scenario(exchange):
        line = await exchange.open()
        await line.send(timeless(5))
        first_ns = exchange.stored()["received_ns"]
        exchange.sink.set_wake_fd(-1)
        away_ns = time.monotonic_ns()
        await line.server.send(timeless(5))
        time.sleep(2.5 * MAX_LAG_MS / 1000)  # noqa: ASYNC251 - this is the stall
        await line.settled()

        row = exchange.stored()
        assert row["flags"] == 0
        assert first_ns <= row["received_ns"] <= away_ns

    over_sockets(scenario)


def test_quiet_source_without_times_is_not_taken_for_a_loop_that_was_away(over_sockets):
    async def scenario(exchange):
        line = await exchange.open()
        await line.send(timeless(1))
        for _ in range(8):
            exchange.sink.set_wake_fd(-1)
            await asyncio.sleep(MAX_LAG_MS / 4000)
        exchange.sink.set_wake_fd(-1)
        await line.send(timeless(2))

        assert exchange.stored()["update_id"] == 2
        assert exchange.counter(LATE) == 0

    over_sockets(scenario)


def test_reads_that_never_empty_the_socket_are_late_after_the_bound(over_sockets):
    async def scenario(exchange):
        line = await exchange.open()
        await line.send(timeless(0))
        exchange.sink.set_wake_fd(-1)
        number = 0
        while exchange.counter(LATE) == 0:
            # The loop turns, but each turn finds more than it reads at once.
            for _ in range(300):
                number += 1
                line.server.transport.write(framed(timeless(number)))
            exchange.sink.set_wake_fd(-1)
            await asyncio.sleep(0)
        await line.settled()
        # The first read that empties the socket may still hold what waited; the next does not.
        for _ in range(2):
            number += 1
            exchange.sink.set_wake_fd(-1)
            await line.send(timeless(number))
        assert (exchange.stored()["flags"], exchange.stored()["update_id"]) == (0, number)

    over_sockets(scenario)


def test_tap_sees_every_message_and_every_mark(over_sockets):
    async def scenario(exchange):
        tap = Tap()
        exchange.sink.tap = tap
        line = await exchange.open()
        await line.send(timed(1), "pong", flat(b="NaN"))
        exchange.sink.mark(BTC, SlotFlag.DISCONNECTED)
        exchange.sink.tap = None
        await line.send(timed(2))

        assert exchange.sink.tap is None
        lines = tap.drain(0).decode().splitlines()
        assert [text.partition(" ")[2][:5] for text in lines] == ['{"u":', "pong", '{"u":', '{"spr']
        times = [int(text.partition(" ")[0]) for text in lines]
        assert times == sorted(times)

    over_sockets(scenario)
