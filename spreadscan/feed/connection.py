"""One market-data connection, kept for as long as the feed lives.

Connect, subscribe at the allowed pace, listen until it ends, wait, again. The moment it ends its
symbols are unusable. Quotes never come through here: the kernel's listener takes them.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Sequence

from picows import WSError, WSMsgType, WSTransport, ws_connect

from spreadscan.config import FeedConfig, MarketConfig
from spreadscan.exchanges import Source
from spreadscan.exchanges._adapter import Ack, Ignored, Notice, Pong, Refused
from spreadscan.feed.backoff import Backoff
from spreadscan.feed.pace import Pace
from spreadscan.feed.shards import Leg, batches
from spreadscan.kernel.listener import FeedSink, QuoteListener
from spreadscan.model import SlotFlag
from spreadscan.runtime.clock import Clock
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import FeedCounter

__all__ = ["Connection", "Shared"]


class Shared:
    """What the connections of one source share.

    Args:
        source: the source with its adapter.
        market: its address and operating limits.
        feed: retry and silence settings.
        sink: where quotes go.
        health: the feed's slot.
        clock: monotonic time.
        log: the feed's logger.
    """

    def __init__(  # noqa: PLR0913 - a plain record of the feed's parts
        self,
        *,
        source: Source,
        market: MarketConfig,
        feed: FeedConfig,
        sink: FeedSink,
        health: HealthWriter,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self.source = source
        self.market = market
        self.feed = feed
        self.sink = sink
        self.health = health
        self.clock = clock
        self.log = log
        self.connects = Pace(market.connects_per_window, market.connects_window_s)
        self.open_listeners: set[QuoteListener] = set()
        self.request_number = 0

    def now_s(self) -> float:
        """Return monotonic seconds."""
        return self.clock.monotonic_ns() / 1e9

    def opened(self, listener: QuoteListener) -> None:
        """Count a connection."""
        self.open_listeners.add(listener)
        self.health.add(FeedCounter.CONNECTS)
        self.health.set(FeedCounter.CONNECTIONS_OPEN, len(self.open_listeners))

    def ended(self, listener: QuoteListener) -> None:
        """Uncount it; one that ended before it was counted is not known here."""
        self.open_listeners.discard(listener)
        self.health.add(FeedCounter.DISCONNECTS)
        self.health.set(FeedCounter.CONNECTIONS_OPEN, len(self.open_listeners))


class Connection:
    """One shard of a source."""

    def __init__(self, shared: Shared, legs: Sequence[Leg]) -> None:
        self._shared = shared
        self._ids = dict(legs)
        self._backoff = Backoff(
            shared.feed.retry_base_ms / 1000, shared.feed.retry_cap_s, random.random
        )
        self._messages = Pace(
            max(1, int(shared.market.messages_per_s)),
            max(1, int(shared.market.messages_per_s)) / shared.market.messages_per_s,
        )
        self._closed = asyncio.Event()
        self._listener: QuoteListener | None = None

    async def keep(self) -> None:
        """Connect again and again until cancelled."""
        while True:
            await asyncio.sleep(self._shared.connects.take(self._shared.now_s()))
            try:
                listener = await self._open()
            except (OSError, WSError, TimeoutError, ssl.SSLError) as error:
                self._shared.health.add(FeedCounter.CONNECT_FAILURES)
                await self._pause(f"cannot connect: {str(error) or type(error).__name__}")
                continue
            await self._live(listener)
            if self._has_been_healthy(listener):
                self._backoff.reset()
            await self._pause("connection ended")

    async def _open(self) -> QuoteListener:
        self._closed.clear()
        shared = self._shared
        async with asyncio.timeout(shared.feed.connect_timeout_s):
            _, listener = await ws_connect(
                self._new_listener,
                shared.market.ws_url,
                # The listener answers pings, see QuoteListener.on_ws_frame.
                enable_auto_pong=False,
                max_frame_size=shared.feed.max_frame_bytes,
                websocket_handshake_timeout=shared.feed.connect_timeout_s,
                extra_headers={"User-Agent": "spreadscan"},
            )
        # picows answers None where the server hung up during the handshake; and a close that came
        # with the handshake's answer has been seen already.
        if not isinstance(listener, QuoteListener) or listener.transport is None:
            raise ConnectionResetError("the server hung up during the handshake")
        shared.opened(listener)
        return listener

    def _new_listener(self) -> QuoteListener:
        shared = self._shared
        self._listener = QuoteListener(
            shared.sink, self._on_control, self._on_closed, shared.feed.max_frame_bytes
        )
        return self._listener

    async def _live(self, listener: QuoteListener) -> None:
        """Subscribe, then keep the connection until it ends or falls silent."""
        transport = listener.transport
        if transport is None:
            return
        heartbeat = asyncio.create_task(self._beat(transport))
        try:
            await self._subscribe(transport)
            while not self._closed.is_set():
                silent_s = self._shared.now_s() - listener.last_frame_ns / 1e9
                left_s = self._shared.feed.silence_limit_s - silent_s
                if left_s <= 0:
                    self._shared.log.warning("nothing came for %.0f s; dropping it", silent_s)
                    transport.disconnect(graceful=False)
                    left_s = self._shared.feed.connect_timeout_s
                await self._closed_within(left_s)
        finally:
            heartbeat.cancel()
            if not self._closed.is_set():
                transport.disconnect(graceful=False)

    async def _closed_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return

    async def _subscribe(self, transport: WSTransport) -> None:
        spec = self._shared.source.spec
        topics = [spec.topic(symbol) for symbol in self._ids]
        for batch in batches(topics, self._shared.market.topics_per_message):
            self._shared.request_number += 1
            frame = self._shared.source.adapter.subscribe(batch, self._shared.request_number)
            await self._send(transport, frame)

    async def _beat(self, transport: WSTransport) -> None:
        heartbeat = self._shared.source.spec.heartbeat
        while heartbeat is not None:
            await asyncio.sleep(heartbeat.interval_s)
            await self._send(transport, heartbeat.payload)

    async def _send(self, transport: WSTransport, frame: str) -> None:
        await asyncio.sleep(self._messages.take(self._shared.now_s()))
        if not self._closed.is_set():
            transport.send(WSMsgType.TEXT, frame.encode())

    def _on_closed(self, listener: QuoteListener) -> None:
        self._shared.ended(listener)
        if listener is not self._listener:
            # One that was given up at a connect time-out; its successor's symbols are not its own.
            return
        self._closed.set()
        for symbol_id in self._ids.values():
            self._shared.sink.mark(symbol_id, SlotFlag.DISCONNECTED)

    def _on_control(self, _listener: QuoteListener, frame: bytes) -> None:
        meaning = self._shared.source.adapter.classify(frame)
        match meaning:
            case Refused(symbols=symbols, reason=reason):
                self._shared.health.add(FeedCounter.SUBSCRIBE_REFUSED)
                named = ", ".join(symbols) or "a subscription"
                self._shared.log.warning("%s refused: %s", named, reason)
                for symbol in symbols:
                    if symbol in self._ids:
                        self._shared.sink.mark(self._ids[symbol], SlotFlag.UNSUBSCRIBED)
            case Notice(reason=reason):
                self._shared.log.warning("announced: %s", reason)
            case Ack() | Pong() | Ignored():
                pass

    def _has_been_healthy(self, listener: QuoteListener) -> bool:
        if listener.quotes == 0:
            return False
        flowed_s = (listener.last_frame_ns - listener.first_quote_ns) / 1e9
        return flowed_s >= self._shared.feed.healthy_after_s

    async def _pause(self, why: str) -> None:
        delay_s = self._backoff.next_delay_s()
        self._shared.log.warning("%s; next try in %.1f s", why, delay_s)
        await asyncio.sleep(delay_s)
