"""One connection of a validation: subscribe a shard, listen until all its symbols have quoted.

What is sent and how often follows the same limits as a feed; what comes is read by the same
adapter and the same parser. A probe ends as soon as it waits for nobody, or when its window is
over; a connection that is lost before is opened again for what is still missing.
"""

import asyncio
import contextlib
import itertools
import math
from collections.abc import Sequence

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from spreadscan.discovery.door import CLOSE_TIMEOUT_S, Door
from spreadscan.discovery.evidence import Evidence, Leg
from spreadscan.exchanges._adapter import Ack, Refused
from spreadscan.manners.requests import Requests
from spreadscan.manners.shards import batches
from spreadscan.shm.governor import Turn

__all__ = ["Probe"]

LONGEST_WINDOWS = 3
"""However often a connection is lost or a request refused, a probe lasts no more windows."""
FRAMES_A_TURN = 100
"""A flood on one connection lets the others have their turn after so many frames."""


class Probe:
    """One shard of a source.

    Args:
        door: shared by the probes of the source.
        legs: of the shard, as `Universe.legs` gives them.
    """

    def __init__(self, door: Door, legs: Sequence[Leg]) -> None:
        self.evidence = Evidence(door.source, legs)
        self.trouble: str | None = None
        """What went wrong with its last connection; None when nothing did."""
        self.unplaced: str | None = None
        """Words of a refusal that fitted no request."""
        self._door = door
        self._settings = door.settings
        market = door.market
        self._pace = door.new_pace()
        symbols = [symbol for symbol, *_ in legs]
        self._groups = [
            tuple(row) for row in batches(symbols, market.topics_per_message, self._fits)
        ]
        """Symbols that are asked for together; one that is refused leaves its parts."""
        self._asked: set[str] = set()
        self._requests = Requests()
        self._to_ask: asyncio.Queue[tuple[Sequence[str], bool]] = asyncio.Queue()
        """(symbols, whether the window begins anew with them)."""
        self._window = asyncio.timeout(None)
        self._last_s = math.inf
        self._new_count = 0
        """Requests that move the window and wait to be sent."""
        self._failures = 0

    async def run(self) -> None:
        """Connect, subscribe, listen, and again, until nobody is missing or the window is over."""
        with contextlib.suppress(TimeoutError):
            async with self._window:
                while self.evidence.waiting:
                    turn = await self._door.turn()
                    if turn is None:
                        self.trouble = self._door.banned_words
                        return
                    if self._last_s == math.inf:
                        self._begin()
                    await self._try(turn)

    async def _try(self, turn: Turn) -> None:
        """Live through one connection, and pause where another is needed."""
        known = len(self.evidence.waiting)
        try:
            socket = await self._door.enter(turn)
        except InvalidStatus as refusal:
            is_ban = self._door.turned_away(refusal)
            self.trouble = self._door.refusal
            if is_ban:
                return
        except (OSError, EOFError, ValueError, WebSocketException) as error:
            self.trouble = f"cannot connect: {str(error) or type(error).__name__}"
        else:
            self.trouble = None
            await self._converse(socket)
            if len(self.evidence.waiting) < known:
                self._failures = 0
        if self.evidence.waiting:
            await asyncio.sleep(self._pause_s())

    def _pause_s(self) -> float:
        """Count a failure and return how long to wait, doubling to the cap."""
        self._failures += 1
        exponent = min(self._failures - 1, 64)  # beyond any cap, and no float overflows
        return min(self._settings.retry_cap_s, self._settings.retry_base_s * 2.0**exponent)

    # The window

    def _begin(self) -> None:
        """Set the longest that it may take: windows, and the time that the messages take."""
        window_s, pace_s = self._settings.window_s, self._pace.duration_s(len(self._groups))
        self._last_s = _loop_s() + LONGEST_WINDOWS * window_s + pace_s
        self._end_at(_loop_s() + window_s)

    def _ask(self, symbols: Sequence[str], *, is_new: bool) -> None:
        """Queue a request; a new one stops the window until it has been sent."""
        self._to_ask.put_nowait((symbols, is_new))
        if is_new:
            self._new_count += 1
            self._end_at(self._last_s)

    def _sent(self, symbols: Sequence[str], *, is_new: bool) -> None:
        self._asked.update(symbols)
        if is_new:
            self._new_count -= 1
            if self._new_count == 0:
                self._end_at(min(_loop_s() + self._settings.window_s, self._last_s))

    def _end_at(self, loop_s: float) -> None:
        # A window that is over may still see its last message go out.
        if not self._window.expired():
            self._window.reschedule(loop_s)

    # One connection

    async def _converse(self, socket: ClientConnection) -> None:
        """Ask and listen until nobody is missing or the connection has ended."""
        try:
            self.evidence.begin_connection()
            self._pace = self._door.new_pace()
            self._requests = Requests()
            self._to_ask = asyncio.Queue()
            self._new_count = 0
            # Nobody is first twice in a row: connections that are cut short, perhaps because of
            # one request, still lead through all of them.
            self._groups = [*self._groups[1:], *self._groups[:1]]
            for group in self._groups:
                if missing := [symbol for symbol in group if symbol in self.evidence.waiting]:
                    self._ask(missing, is_new=not self._asked.issuperset(missing))
            async with asyncio.TaskGroup() as senders:
                tasks = [
                    senders.create_task(self._subscribe(socket)),
                    senders.create_task(self._beat(socket)),
                ]
                await self._listen(socket)
                for task in tasks:
                    task.cancel()
        finally:
            await _part(socket)

    async def _listen(self, socket: ClientConnection) -> None:
        try:
            for number in itertools.count(1):
                self._take(await socket.recv(decode=False))
                if not self.evidence.waiting:
                    return
                if number % FRAMES_A_TURN == 0:
                    await asyncio.sleep(0)
        except ConnectionClosed as end:
            self.trouble = f"connection ended: {end}"

    def _take(self, frame: bytes) -> None:
        match self.evidence.take(frame):
            case Refused() as refusal:
                self._on_refused(refusal)
            case Ack() as ack:
                self._requests.acknowledged(ack)
            case _:
                pass

    def _on_refused(self, refusal: Refused) -> None:
        """Drop what is refused, ask again for what was refused along with it."""
        verdict = self._requests.refused(refusal)
        for symbol in verdict.dropped:
            self.evidence.refuse(symbol, refusal.reason)
        if not verdict.dropped and not verdict.again:
            self.unplaced = refusal.reason
        for symbols in verdict.again:
            self._split(symbols)
            self._ask(symbols, is_new=True)

    def _split(self, symbols: tuple[str, ...]) -> None:
        """Remember for a later connection that these are asked for by themselves."""
        whole = next(row for row in self._groups if symbols[0] in row)
        rest = tuple(symbol for symbol in whole if symbol not in symbols)
        self._groups.remove(whole)
        self._groups += [symbols, rest] if rest else [symbols]

    async def _subscribe(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):  # the listener sees it too
            while True:
                symbols, is_new = await self._to_ask.get()
                await self._pace.request_turn()
                number = self._door.next_request()
                self._requests.sent(number, symbols)
                await socket.send(self._request(symbols, number))
                self._sent(symbols, is_new=is_new)

    async def _beat(self, socket: ClientConnection) -> None:
        heartbeat = self._door.source.spec.heartbeat
        with contextlib.suppress(ConnectionClosed):
            while heartbeat is not None:
                await asyncio.sleep(heartbeat.interval_s)
                await self._pace.turn()
                await socket.send(heartbeat.payload)

    def _request(self, symbols: Sequence[str], number: int) -> str:
        source = self._door.source
        return source.adapter.subscribe([source.spec.topic(symbol) for symbol in symbols], number)

    def _fits(self, symbols: Sequence[str]) -> bool:
        limit_bytes = self._door.source.spec.limits.message_bytes
        # Any request number has at most the digits of this one.
        return not limit_bytes or len(self._request(symbols, 10**9).encode()) <= limit_bytes


def _loop_s() -> float:
    """Return the clock of asyncio's time-outs."""
    return asyncio.get_running_loop().time()


async def _part(socket: ClientConnection) -> None:
    """Close a connection, reading on: a full queue would hold back the other's close frame."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S), asyncio.TaskGroup() as group:
            group.create_task(socket.close())
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await socket.recv(decode=False)
    except TimeoutError:
        pass
    finally:
        socket.transport.abort()
