"""One WebSocket connection, from the handshake to its end, and what is subscribed on it.

Whole quotes never come through here: the kernel's listener takes them.
"""

import asyncio
import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from picows import WSCloseCode, WSHandshakeError, WSMsgType, WSTransport, ws_connect

from spreadscan.exchanges._adapter import Ack, Ignored, Notice, PartialQuote, Pong, Refused
from spreadscan.feed.seen import SUSPECT_SHARE
from spreadscan.feed.shared import Shared
from spreadscan.feed.sign_of_life import LOOK_S, SignOfLife, Step
from spreadscan.feed.subscriptions import Subscriptions
from spreadscan.feed.witness import SettledListener, WitnessListener
from spreadscan.kernel.listener import QuoteListener
from spreadscan.manners.messages import MessagePace
from spreadscan.manners.shards import batches
from spreadscan.model import QuoteStatus
from spreadscan.shm.counters import FeedCounter

__all__ = ["Link", "Owner"]

# Each socket has its own; of the usual half a megabyte twenty sockets are ten. Reads of four
# records are as fast as those of sixteen (measured), and subscriptions fit one.
TLS_RECORD_BYTES = 16 * 1024 + 64
TLS_BUFFERS: dict[str, Any] = {
    "ssl_incoming_bio_size": 4 * TLS_RECORD_BYTES,
    "ssl_outgoing_bio_size": TLS_RECORD_BYTES,
}


class Owner(Protocol):
    """Who keeps links."""

    def on_ended(self, link: "Link") -> None:
        """Act on the end of a link that was open; nothing comes from it any more."""

    def on_notice(self, link: "Link", reason: str) -> None:
        """Act on the exchange's word that it will end the link."""

    def on_dropped(self, link: "Link", symbol: str) -> None:
        """Act on a refusal: a symbol will not come on this link."""


class Link:
    """One connection to the exchange.

    Call ``open``, then ``live`` once; ``part`` or ``drop`` end it.

    Args:
        shared: what the connections of the source share.
        owner: told of its end.
        symbols: to subscribe; they may change at any moment.
        is_successor: watch who is quoted on it, until ``settle``.

    Concurrency: one event loop.
    """

    def __init__(
        self, shared: Shared, owner: Owner, symbols: Sequence[str], *, is_successor: bool
    ) -> None:
        self._shared = shared
        self._owner = owner
        self._is_successor = is_successor
        self._subscriptions = Subscriptions(self._messages_of)
        self._subscriptions.subscribe(symbols)
        self._pace = MessagePace(
            shared.market, shared.source.spec.limits, shared.allowances.messages, shared.clock
        )
        self._closed = asyncio.Event()
        self._has_request = asyncio.Event()
        self._subscribed_ns: dict[str, int] = {}
        self.listener: QuoteListener | None = None
        self.opened_ns = 0
        """0 until the handshake succeeds."""
        self.is_leaving = False
        """Its end is our own wish."""
        self.due_s = math.inf
        """Monotonic seconds at which it is to be replaced."""
        self.proven: frozenset[str] = frozenset()
        """Symbols that were usable before it had a successor: their quotes came from here."""

    @property
    def carried(self) -> frozenset[str]:
        """Symbols that are to come, or still come, on it."""
        return self._subscriptions.carried

    def forget_heard(self) -> None:
        """Begin anew to note who is quoted: an earlier overlap proves nothing now."""
        if isinstance(self.listener, SettledListener):
            self.listener.heard.clear()

    @property
    def heard(self) -> frozenset[str]:
        """Symbols that were quoted on it while it followed another one."""
        listener = self.listener
        return frozenset(listener.heard) if isinstance(listener, SettledListener) else frozenset()

    def covers(self, symbol: str) -> bool:
        """Whether it is known to quote a symbol, so that another link may end without harm."""
        is_quoted = symbol in self.proven or symbol in self.heard
        return is_quoted and symbol in self._subscribed_ns and not self.is_leaving

    def subscribed_ns(self, symbol: str) -> int | None:
        """Return since when a symbol is subscribed, monotonic; None while it is not."""
        return self._subscribed_ns.get(symbol)

    @property
    def has_been_healthy(self) -> bool:
        """Whether data has flowed for long enough to believe in it; pongs and such are none."""
        listener = self.listener
        if listener is None or listener.quotes == 0:
            return False
        flowed_s = (listener.last_quote_ns - listener.first_quote_ns) / 1e9
        return flowed_s >= self._shared.feed.healthy_after_s

    def change(self, removed: Sequence[str], added: Sequence[str]) -> None:
        """Carry these exchange symbols no more, and these from now on."""
        self._subscriptions.unsubscribe(removed)
        self._subscriptions.subscribe(added)
        self._has_request.set()

    def resubscribe(self, symbols: Sequence[str]) -> None:
        """Unsubscribe these and subscribe them anew."""
        self._subscriptions.renew(symbols)
        self._has_request.set()

    async def open(self) -> None:
        """Connect, when it is our turn.

        Raises:
            OSError, WSError, TimeoutError: it failed.
        """
        shared = self._shared
        turn = await shared.connects.turn()
        assert turn is not None  # patience has no end
        try:
            listener = await self._handshake()
        except WSHandshakeError as error:
            if error.response is None:
                raise
            status = int(error.response.status)
            header = error.response.headers.get("Retry-After", "")
            banned_s = shared.connects.refused(status, header)
            forbids = "" if banned_s is None else f", nobody asks for {banned_s:.0f} s"
            raise ConnectionRefusedError(f"refused with status {status}{forbids}") from None
        finally:
            shared.connects.give_back(turn)
        # A close that came with the handshake's answer has been seen already.
        if listener is None or listener.transport is None:
            raise ConnectionResetError("the server hung up during the handshake")
        shared.connects.admitted()
        self.opened_ns = shared.clock.monotonic_ns()
        shared.opened(listener)

    async def _handshake(self) -> QuoteListener | None:
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
                # Half the price of TLS frames; its absence must not pass unseen.
                use_aiofastnet=True,
                **(TLS_BUFFERS if shared.market.ws_url.startswith("wss:") else {}),
                # One turn is one connect, and to the configured address.
                max_redirects=0,
            )
        # picows answers None where the server hung up during the handshake.
        return listener if isinstance(listener, QuoteListener) else None

    def _new_listener(self) -> QuoteListener:
        shared = self._shared
        make = WitnessListener if self._is_successor else QuoteListener
        self.listener = make(
            shared.sink, self._on_control, self._on_closed, shared.feed.max_frame_bytes
        )
        if isinstance(self.listener, WitnessListener):
            self.listener.heard = set()
            self.listener.extractor = shared.extractor
        return self.listener

    def settle(self) -> None:
        """Stop watching who is quoted."""
        if isinstance(self.listener, WitnessListener):
            self.listener.settle()

    def part(self) -> None:
        """End it in order: it is not needed any more."""
        self.is_leaving = True
        if transport := self._transport:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def drop(self, reason: str) -> None:
        """End it at once: it is good for nothing."""
        self._shared.log.warning("%s; dropping the connection", reason)
        if transport := self._transport:
            transport.disconnect(graceful=False)

    @property
    def _transport(self) -> WSTransport | None:
        return self.listener.transport if self.listener else None

    async def live(self) -> None:
        """Subscribe, then keep the connection until it ends or falls silent."""
        transport = self._transport
        if transport is None:
            return
        try:
            async with asyncio.TaskGroup() as senders:
                tasks = [
                    senders.create_task(self._beat(transport)),
                    senders.create_task(self._ask(transport)),
                    senders.create_task(self._prove(transport)),
                ]
                await self._watch()
                for task in tasks:
                    task.cancel()
        finally:
            if not self._closed.is_set():
                transport.disconnect(graceful=False)

    async def _watch(self) -> None:
        """Return when the connection has ended; end it when it is silent."""
        feed = self._shared.feed
        while not self._closed.is_set() and self.listener is not None:
            silent_s = self._shared.now_s() - self.listener.last_frame_ns / 1e9
            left_s = feed.silence_limit_s - silent_s
            if left_s <= 0:
                self.drop(f"nothing came for {silent_s:.0f} s")
                left_s = feed.connect_timeout_s
            try:
                async with asyncio.timeout(left_s):
                    await self._closed.wait()
            except TimeoutError:
                continue

    async def _ask(self, transport: WSTransport) -> None:
        """Subscribe to every symbol, and then whatever changes or is to be asked for again."""
        shared = self._shared
        self._subscriptions.begin()
        while not self._closed.is_set():
            self._has_request.clear()
            if not self._subscriptions.has_request:
                await self._has_request.wait()
                continue
            await self._pace.request_turn()
            # Only now: what was added or removed during the wait is in it, or not.
            number = shared.next_request_number()
            request = self._subscriptions.take(number)
            if request is None or self._closed.is_set():
                continue
            text = self._text(request.symbols, number, is_leaving=request.is_leaving)
            transport.send(WSMsgType.TEXT, text.encode())
            now_ns = shared.clock.monotonic_ns()
            for symbol in request.symbols:
                if request.is_leaving:
                    self._subscribed_ns.pop(symbol, None)
                else:
                    self._subscribed_ns[symbol] = now_ns

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
            await self._knock(transport)

    async def _knock(self, transport: WSTransport) -> None:
        """Send what has to be answered, in its turn: the exchange's heartbeat, else a ping."""
        heartbeat = self._shared.source.spec.heartbeat
        await self._pace.turn()
        if self._closed.is_set():
            return
        if heartbeat is None:
            transport.send_ping()
        else:
            transport.send(WSMsgType.TEXT, heartbeat.payload.encode())

    async def _prove(self, transport: WSTransport) -> None:
        """Ask for a sign of life when nothing comes, and end a connection that gives none."""
        shared = self._shared
        dead_after_s = shared.feed.connection_silence_s
        life = SignOfLife(shared.now_s(), dead_after_s * SUSPECT_SHARE, dead_after_s)
        while not self._closed.is_set() and self.listener is not None:
            await asyncio.sleep(LOOK_S)
            shared.is_answering |= self.listener.pongs > 0
            last_frame_s = self.listener.last_frame_ns / 1e9
            step = life.look(shared.now_s(), last_frame_s, is_answering=shared.is_answering)
            if step is Step.GIVE_UP:
                self.drop(f"nothing came for {shared.now_s() - last_frame_s:.1f} s, no answer")
                return
            if step is Step.ASK:
                await self._knock(transport)
                life.asked(shared.now_s())

    def _on_closed(self, listener: QuoteListener) -> None:
        self._shared.ended(listener)
        self._closed.set()
        # One that never was open carries nothing.
        if self.opened_ns:
            self._owner.on_ended(self)

    def _on_control(self, listener: QuoteListener, frame: bytes) -> bool:
        """Act on a frame that is no whole quote; return whether it was a part of one."""
        shared = self._shared
        match shared.source.adapter.classify(frame):
            case PartialQuote() as partial:
                is_quote: bool = shared.sink.merge(partial) == QuoteStatus.QUOTE
                if is_quote and isinstance(listener, WitnessListener):
                    listener.heard.add(partial.symbol)
                return is_quote
            case Refused() as refusal:
                self._on_refused(refusal)
            case Notice(reason=reason):
                self._owner.on_notice(self, reason)
            case Ack() as ack:
                self._subscriptions.acknowledged(ack)
            case Pong():
                shared.is_answering = True
            case Ignored():
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
        for symbol in (*verdict.dropped, *(each for row in verdict.again for each in row)):
            self._subscribed_ns.pop(symbol, None)
        for symbol in verdict.dropped:
            self._owner.on_dropped(self, symbol)
