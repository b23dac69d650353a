"""One market-data connection, kept until it has no symbols any more.

Connect, subscribe at the allowed pace, listen until it ends, wait, again. The moment it ends its
symbols are unusable. Whole quotes never come through here: the kernel's listener takes them.
"""

import asyncio
import random
import ssl
from collections.abc import Iterable, Sequence

from picows import WSError, WSMsgType, WSTransport, ws_connect

from spreadscan.exchanges._adapter import Ack, Ignored, Notice, PartialQuote, Pong, Refused
from spreadscan.feed.backoff import Backoff
from spreadscan.feed.shared import Shared
from spreadscan.feed.subscriptions import Subscriptions
from spreadscan.kernel.listener import QuoteListener
from spreadscan.manners.pace import Pace
from spreadscan.manners.shards import batches
from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.shm.layout import FeedCounter

__all__ = ["Connection"]

HOUR_S = 3600.0
HOURLY_SHARE = 0.9
"""How much of an exchange's hourly budget is used: its hour and ours do not begin together."""


class Connection:
    """One shard of a source; it carries the symbols that it was last told to.

    Concurrency: one event loop. Symbols may change at any moment, also while there is no
    connection.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._subscriptions = Subscriptions(self._messages_of)
        self._backoff = Backoff(
            shared.feed.retry_base_ms / 1000, shared.feed.retry_cap_s, random.random
        )
        self._messages = Pace(
            max(1, int(shared.market.messages_per_s)),
            max(1, int(shared.market.messages_per_s)) / shared.market.messages_per_s,
        )
        self._closed = asyncio.Event()
        self._listener: QuoteListener | None = None
        self._has_request = asyncio.Event()

    def change(self, removed: Sequence[str], added: Sequence[str]) -> None:
        """Carry these exchange symbols no more, and these from now on."""
        self._subscriptions.unsubscribe(removed)
        self._subscriptions.subscribe(added)
        self._has_request.set()

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
                    senders.create_task(self._ask(transport)),
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

    async def _ask(self, transport: WSTransport) -> None:
        """Subscribe to every symbol, and then whatever changes or is to be asked for again."""
        shared = self._shared
        limits = shared.source.spec.limits
        hourly = limits.requests_per_hour and Pace(
            max(1, int(limits.requests_per_hour * HOURLY_SHARE)), HOUR_S
        )
        self._subscriptions.begin()
        while not self._closed.is_set():
            self._has_request.clear()
            if not self._subscriptions.has_request:
                await self._has_request.wait()
                continue
            if hourly:
                await asyncio.sleep(hourly.take(shared.now_s()))
            await self._turn()
            # Only now: what was added or removed during the wait is in it, or not.
            number = shared.next_request_number()
            request = self._subscriptions.take(number)
            if request is not None and not self._closed.is_set():
                text = self._text(request.symbols, number, is_leaving=request.is_leaving)
                transport.send(WSMsgType.TEXT, text.encode())

    def _text(self, symbols: Sequence[str], number: int, *, is_leaving: bool) -> str:
        source = self._shared.source
        write = source.adapter.unsubscribe if is_leaving else source.adapter.subscribe
        return write([source.spec.topic(symbol) for symbol in symbols], number)

    def _messages_of(self, symbols: Sequence[str]) -> Iterable[Sequence[str]]:
        return batches(symbols, self._shared.market.topics_per_message, self._fits)

    def _fits(self, symbols: Sequence[str]) -> bool:
        limit_bytes = self._shared.source.spec.limits.message_bytes
        # Any request number has at most the digits of this one; some ask with a longer word than
        # they leave, or the other way round.
        return not limit_bytes or all(
            len(self._text(symbols, 10**9, is_leaving=is_leaving).encode()) <= limit_bytes
            for is_leaving in (False, True)
        )

    async def _beat(self, transport: WSTransport) -> None:
        heartbeat = self._shared.source.spec.heartbeat
        while heartbeat is not None:
            await asyncio.sleep(heartbeat.interval_s)
            await self._turn()
            if not self._closed.is_set():
                transport.send(WSMsgType.TEXT, heartbeat.payload.encode())

    async def _turn(self) -> None:
        """Wait until one more message may be sent."""
        await asyncio.sleep(self._messages.take(self._shared.now_s()))

    def _on_closed(self, listener: QuoteListener) -> None:
        self._shared.ended(listener)
        if listener is not self._listener:
            # One that was given up at a connect time-out; its successor's symbols are not its own.
            return
        self._closed.set()
        for symbol in self._subscriptions.carried:
            self._shared.mark(symbol, SlotFlag.DISCONNECTED)

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
                self._subscriptions.acknowledged(request_id)
            case Pong() | Ignored():
                pass
        return False

    def _on_refused(self, refusal: Refused) -> None:
        """Drop what is refused, ask again for what was refused along with it."""
        shared = self._shared
        verdict = self._subscriptions.refused(refusal)
        self._has_request.set()
        if verdict.is_leaving:
            # Nothing that is wanted is lost by it.
            shared.log.info("unsubscribing refused: %s", refusal.reason)
            return
        named = ", ".join(verdict.dropped) or "a subscription"
        shared.log.warning("%s refused: %s", named, refusal.reason)
        # A refusal of nobody we know still shows in the counter.
        shared.health.add(
            FeedCounter.SUBSCRIBE_REFUSED, len(verdict.dropped) or int(not verdict.again)
        )
        for symbol in verdict.dropped:
            shared.mark(symbol, SlotFlag.UNSUBSCRIBED)

    def _has_been_healthy(self, listener: QuoteListener) -> bool:
        if listener.quotes == 0:
            return False
        flowed_s = (listener.last_frame_ns - listener.first_quote_ns) / 1e9
        return flowed_s >= self._shared.feed.healthy_after_s

    async def _pause(self, why: str) -> None:
        delay_s = self._backoff.next_delay_s()
        self._shared.log.warning("%s; next try in %.1f s", why, delay_s)
        await asyncio.sleep(delay_s)
