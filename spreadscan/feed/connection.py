"""One market-data connection, kept for as long as the feed lives.

Connect, subscribe at the allowed pace, listen until it ends, wait, again. The moment it ends its
symbols are unusable. Whole quotes never come through here: the kernel's listener takes them.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Sequence

from picows import WSError, WSMsgType, WSTransport, ws_connect

from spreadscan.config import FeedConfig, MarketConfig
from spreadscan.exchanges import Source
from spreadscan.exchanges._adapter import Ack, Ignored, Notice, PartialQuote, Pong, Refused
from spreadscan.feed.backoff import Backoff
from spreadscan.kernel.listener import FeedSink, QuoteListener
from spreadscan.manners.pace import Pace
from spreadscan.manners.requests import Requests
from spreadscan.manners.shards import Leg, batches
from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.trust import Trust
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import FeedCounter

__all__ = ["Connection", "Shared"]

HOUR_S = 3600.0
HOURLY_SHARE = 0.9
"""How much of an exchange's hourly budget is used: its hour and ours do not begin together."""


class Shared:
    """What the connections of one source share.

    Args:
        source: the source with its adapter.
        market: its address and operating limits.
        feed: retry and silence settings.
        sink: where quotes go.
        health: the feed's slot.
        trust: whose certificates are believed.
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
        trust: Trust,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self.source = source
        self.market = market
        self.feed = feed
        self.sink = sink
        self.health = health
        self.trust = trust
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
        self._requests = Requests()
        self._to_ask: asyncio.Queue[Sequence[str]] = asyncio.Queue()

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
                ssl_context=shared.trust.context(),
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
        try:
            async with asyncio.TaskGroup() as senders:
                tasks = [
                    senders.create_task(self._beat(transport)),
                    senders.create_task(self._subscribe(transport)),
                ]
                await self._watch(listener, transport)
                for task in tasks:
                    task.cancel()
        finally:
            if not self._closed.is_set():
                transport.disconnect(graceful=False)

    async def _watch(self, listener: QuoteListener, transport: WSTransport) -> None:
        """Return when the connection has ended; end it when it is silent."""
        while not self._closed.is_set():
            silent_s = self._shared.now_s() - listener.last_frame_ns / 1e9
            left_s = self._shared.feed.silence_limit_s - silent_s
            if left_s <= 0:
                self._shared.log.warning("nothing came for %.0f s; dropping it", silent_s)
                transport.disconnect(graceful=False)
                left_s = self._shared.feed.connect_timeout_s
            await self._closed_within(left_s)

    async def _closed_within(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return

    async def _subscribe(self, transport: WSTransport) -> None:
        """Ask for every symbol, and then for what is to be asked for again."""
        shared = self._shared
        limits = shared.source.spec.limits
        hourly = limits.requests_per_hour and Pace(
            max(1, int(limits.requests_per_hour * HOURLY_SHARE)), HOUR_S
        )
        # An earlier connection's open questions went with it.
        self._requests = Requests()
        self._to_ask = asyncio.Queue()
        for batch in batches(list(self._ids), shared.market.topics_per_message, self._fits):
            self._to_ask.put_nowait(batch)
        while not self._closed.is_set():
            symbols = await self._to_ask.get()
            if hourly:
                await asyncio.sleep(hourly.take(shared.now_s()))
            shared.request_number += 1
            self._requests.sent(shared.request_number, symbols)
            await self._send(transport, self._request(symbols, shared.request_number))

    def _request(self, symbols: Sequence[str], request_number: int) -> str:
        source = self._shared.source
        topics = [source.spec.topic(symbol) for symbol in symbols]
        return source.adapter.subscribe(topics, request_number)

    def _fits(self, symbols: Sequence[str]) -> bool:
        limit_bytes = self._shared.source.spec.limits.message_bytes
        # Any request number has at most the digits of this one.
        return not limit_bytes or len(self._request(symbols, 10**9).encode()) <= limit_bytes

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

    def _on_control(self, _listener: QuoteListener, frame: bytes) -> bool:
        """Act on a frame that is no whole quote; return whether it was a part of one."""
        shared = self._shared
        match shared.source.adapter.classify(frame):
            case PartialQuote() as partial:
                return shared.sink.merge(partial) == QuoteStatus.QUOTE
            case Refused() as refusal:
                self._on_refused(refusal)
            case Notice(reason=reason):
                shared.log.warning("announced: %s", reason)
            case Ack(request_id=request_id):
                self._requests.acknowledged(request_id)
            case Pong() | Ignored():
                pass
        return False

    def _on_refused(self, refusal: Refused) -> None:
        """Drop what is refused, ask again for what was refused along with it."""
        shared = self._shared
        verdict = self._requests.refused(refusal)
        named = ", ".join(verdict.dropped) or "a subscription"
        shared.log.warning("%s refused: %s", named, refusal.reason)
        # A refusal of nobody we know still shows in the counter.
        shared.health.add(
            FeedCounter.SUBSCRIBE_REFUSED, len(verdict.dropped) or int(not verdict.again)
        )
        for symbol in verdict.dropped:
            if symbol in self._ids:
                shared.sink.mark(self._ids[symbol], SlotFlag.UNSUBSCRIBED)
        for symbols in verdict.again:
            self._to_ask.put_nowait(symbols)

    def _has_been_healthy(self, listener: QuoteListener) -> bool:
        if listener.quotes == 0:
            return False
        flowed_s = (listener.last_frame_ns - listener.first_quote_ns) / 1e9
        return flowed_s >= self._shared.feed.healthy_after_s

    async def _pause(self, why: str) -> None:
        delay_s = self._backoff.next_delay_s()
        self._shared.log.warning("%s; next try in %.1f s", why, delay_s)
        await asyncio.sleep(delay_s)
