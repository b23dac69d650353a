"""Two receivers of the same quotes, each from socket to store: the feed's own, and plain Python.

A rate is frames per second of CPU time, the kernel's included: what one core can take. On a core of
its own a receiver that never waits needs as much of the clock; where others compete for the core,
or the sender falls behind, the clock would measure them.
"""

import asyncio
import ssl
import struct
import time

import numpy as np
import orjson
import uvloop
from mapped_regions import MappedRegions
from picows import ws_connect
from quote_frames import SYMBOL_COUNT, legs
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from spreadscan.exchanges import sources
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.listener import QuoteListener
from spreadscan.kernel.sink import FeedSink
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.layout import PRICE_DTYPE, Prices

SOURCE = "binance_spot"
SOURCE_ID = 0
HEALTH_SLOT = 0
MAX_FRAME_BYTES = 1 << 20
SAMPLE_S = 0.02


class FeedReceiver:
    """What a feed does with its connection: picows, QuoteListener, FeedSink, uvloop.

    Args:
        regions: where it stores.
        context: for wss addresses.
    """

    def __init__(self, regions: MappedRegions, context: ssl.SSLContext | None = None) -> None:
        self._regions = regions
        self._context = context
        extractor = Extractor(sources()[SOURCE].spec.plan, legs(SOURCE))
        self._health = regions.health(HEALTH_SLOT)
        self._sink = FeedSink(SOURCE_ID, extractor, regions.prices, regions.dirty, self._health)

    def burst(self, url: str, count: int) -> float:
        """Frames a second of CPU time, from the answer to the upgrade until the connection ends."""
        before = self._health.get(FeedCounter.QUOTES)
        taken_ns = uvloop.run(self._receive(url))
        stored = self._health.get(FeedCounter.QUOTES) - before
        assert stored == count, stored
        return count / taken_ns * 1e9

    def paced(self, url: str) -> list[float]:
        """Microseconds from a frame's sending to its publication, of most frames.

        The store is read from time to time for what the frames since then have left there, so that
        nothing is added to the way of a frame.
        """
        latencies_us: dict[int, float] = {}
        uvloop.run(self._receive(url, latencies_us))
        return list(latencies_us.values())

    async def _receive(self, url: str, latencies_us: dict[int, float] | None = None) -> int:
        """Return the CPU time taken, ns."""
        closed = asyncio.Event()
        began_ns = ended_ns = 0

        def new_listener() -> QuoteListener:
            # Called when the server has answered; no frame has been looked at yet.
            nonlocal began_ns
            began_ns = time.thread_time_ns()
            return QuoteListener(self._sink, lambda *_: None, on_closed, MAX_FRAME_BYTES)

        def on_closed(_listener: QuoteListener) -> None:
            nonlocal ended_ns
            ended_ns = time.thread_time_ns()
            closed.set()

        await ws_connect(
            new_listener,
            url,
            ssl_context=self._context,
            enable_auto_pong=False,
            max_frame_size=MAX_FRAME_BYTES,
        )
        while latencies_us is not None and not closed.is_set():
            await asyncio.sleep(SAMPLE_S)
            self._sample(latencies_us)
        await closed.wait()
        return ended_ns - began_ns

    def _sample(self, latencies_us: dict[int, float]) -> None:
        slots = np.arange(SOURCE_ID * 1024, SOURCE_ID * 1024 + SYMBOL_COUNT, dtype=np.int32)
        records = np.zeros(len(slots), PRICE_DTYPE)
        stable = np.zeros(len(slots), np.uint8)
        self._regions.prices.read_many(slots, records.view(np.uint8), stable)
        live = records[records["flags"] == 0]
        taken_us = (live["received_ns"] + live["publish_delay_ns"] - live["update_id"]) / 1000
        latencies_us.update(zip(live["update_id"].tolist(), taken_us.tolist(), strict=True))


class PythonReceiver:
    """The usual way: websockets, orjson, float(), and the record packed into the store.

    Args:
        regions: where it stores.
        context: for wss addresses.
    """

    def __init__(self, regions: MappedRegions, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        view = memoryview(regions.price_words())
        self._sequences = view[Prices.SEQ : Prices.DATA].cast("Q")
        self._datas = view[Prices.DATA : Prices.BYTES]
        self._dirty = memoryview(regions.dirty_words()).cast("Q")
        self._record = struct.Struct("<4d3qHHI")
        self._ids = {symbol: symbol_id for symbol, symbol_id, *_ in legs(SOURCE)}

    def burst(self, url: str, count: int) -> float:
        """Frames a second of CPU time, from the first frame to the last."""
        return asyncio.run(self._receive(url, count))

    async def _receive(self, url: str, count: int) -> float:
        stored = 0
        started_ns = elapsed_ns = 0
        async with connect(
            url, compression=None, max_size=MAX_FRAME_BYTES, ssl=self._context
        ) as connection:
            try:
                while True:
                    frame = await connection.recv(decode=False)
                    started_ns = started_ns or time.thread_time_ns()
                    self._store(orjson.loads(frame)["data"])
                    stored += 1
                    if stored == count:
                        elapsed_ns = time.thread_time_ns() - started_ns
            except ConnectionClosed:
                pass
        assert stored == count, stored
        return count / elapsed_ns * 1e9

    def _store(self, quote: dict[str, object]) -> None:
        bid, ask = float(quote["b"]), float(quote["a"])
        bid_qty, ask_qty = float(quote["B"]), float(quote["A"])
        if not 0 < bid < ask or bid_qty <= 0 or ask_qty <= 0:
            raise ValueError(quote)
        symbol_id = self._ids[quote["s"]]
        sequence = symbol_id * 8
        self._sequences[sequence] |= 1
        self._record.pack_into(
            self._datas, symbol_id * 64, bid, ask, bid_qty, ask_qty, -1, time.monotonic_ns(),
            quote["u"], 0, 1, 0,
        )  # fmt: skip
        self._sequences[sequence] += 1
        self._dirty[32 + (symbol_id >> 6)] |= 1 << (symbol_id & 63)
