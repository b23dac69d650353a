"""One shard of a source: its symbols, and a connection that carries them at all times.

link ends             -> its symbols are unusable at once; connect again after a pause
link grows old, or its end is announced
                      -> a second link for the same symbols; once everybody who was usable has
                         been quoted there, the first one is closed, and nobody notices
"""

import asyncio
import math
import random
import ssl
from collections.abc import Sequence

from picows import WSError

from spreadscan.feed import rotation
from spreadscan.feed.backoff import Backoff
from spreadscan.feed.link import Link
from spreadscan.feed.shared import Shared
from spreadscan.kernel.listener import QuoteListener
from spreadscan.model import SlotFlag
from spreadscan.shm.counters import FeedCounter

__all__ = ["Connection"]

# A try that is due begins in the same turn of the loop; later than this nobody is at it any more.
OVERDUE_S = 10.0
# A silent link is dropped after silence_limit_s; one that is still there after so many of those is
# watched by nobody.
SILENCES = 2


class Connection:
    """One shard of a source; it carries the symbols that it was last told to.

    Args:
        shared: what the connections of the source share.
        number: its own within the source.

    Concurrency: one event loop. Symbols may change at any moment, also while there is no
    connection.
    """

    def __init__(self, shared: Shared, number: int) -> None:
        self._shared = shared
        self._number = number
        self._wanted: dict[str, None] = {}
        self._links: list[Link] = []
        """Those that are open, oldest first."""
        self._opening: Link | None = None
        self._stir = asyncio.Event()
        self._next_try_s = shared.now_s()
        """While there is neither a link nor a try: when the next one is due, monotonic."""
        self._backoff = self._new_backoff()
        # Links that are replaced soon after they came, by notice after notice, count as failures.
        self._replacing = self._new_backoff()
        self._replaced: Link | None = None
        """The one whose replacement was tried last."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Exchange symbols that it is to carry."""
        return tuple(self._wanted)

    @property
    def state(self) -> str:
        """``open``, ``rotating`` (two of them), ``connecting`` or ``waiting`` for the next try."""
        staying = sum(not link.is_leaving for link in self._links)
        if staying:
            return "rotating" if staying > 1 else "open"
        return "connecting" if self._opening else "waiting"

    @property
    def listener(self) -> QuoteListener | None:
        """What listens on the present connection; None while there is none."""
        return self._current.listener if self._current else None

    @property
    def opened_ns(self) -> int:
        """Since when the present connection is open, monotonic; 0 while there is none."""
        return self._current.opened_ns if self._current else 0

    @property
    def is_at_work(self) -> bool:
        """Whether it does what it is there for: a link with signs of life, or a try in due time.

        An exchange that is down, silent or forbids connecting is no reason to say no.
        """
        shared, link = self._shared, self._current
        if link is None:
            # Turns, bans and handshakes have limits of their own.
            return self._opening is not None or shared.now_s() < self._next_try_s + OVERDUE_S
        heard_ns = link.listener.last_frame_ns if link.listener else 0
        silent_s = shared.now_s() - max(heard_ns, link.opened_ns) / 1e9
        return silent_s < SILENCES * shared.feed.silence_limit_s

    def subscribed_ns(self, symbol: str) -> int | None:
        """Return since when a symbol is subscribed, monotonic; None while it is not."""
        return self._current.subscribed_ns(symbol) if self._current else None

    def change(self, removed: Sequence[str], added: Sequence[str]) -> None:
        """Carry these exchange symbols no more, and these from now on."""
        for symbol in removed:
            self._wanted.pop(symbol, None)
        self._wanted.update(dict.fromkeys(added))
        for link in (*self._links, *filter(None, [self._opening])):
            link.change(removed, added)

    def resubscribe(self, symbols: Sequence[str]) -> None:
        """Unsubscribe these on the present connection and subscribe them anew."""
        if self._current:
            self._current.resubscribe([symbol for symbol in symbols if symbol in self._wanted])

    def drop(self, reason: str) -> None:
        """Give the present connection up and make another one."""
        if self._current:
            self._current.drop(reason)

    async def keep(self) -> None:
        """Be connected until cancelled."""
        async with asyncio.TaskGroup() as lives:
            while True:
                if failure := await self._open(is_successor=False):
                    await self._pause(failure, self._backoff)
                    continue
                lives.create_task(self._links[-1].live())
                while (link := self._current) is not None:
                    if link.due_s <= self._shared.now_s():
                        await self._replace(link, lives)
                    else:
                        await self._stirred(link.due_s - self._shared.now_s())
                await self._pause("connection ended", self._backoff)

    # Called by links

    def on_ended(self, link: Link) -> None:
        """Make unusable what no other link is known to quote."""
        self._links.remove(link)
        if link.has_been_healthy:
            self._backoff.reset()
        for symbol in link.carried:
            if not any(other.covers(symbol) for other in self._links):
                self._shared.mark(symbol, SlotFlag.DISCONNECTED)
        self._stir.set()

    def on_notice(self, link: Link, reason: str) -> None:
        """Replace a link whose end is announced."""
        self._shared.log.warning("announced: %s", reason)
        link.due_s = min(link.due_s, self._shared.now_s())
        self._stir.set()

    def on_dropped(self, link: Link, symbol: str) -> None:
        """Make a refused symbol unusable, unless another link quotes it."""
        if not any(other.covers(symbol) for other in self._links if other is not link):
            self._shared.mark(symbol, SlotFlag.UNSUBSCRIBED)

    # Private

    @property
    def _current(self) -> Link | None:
        """The oldest link that is to stay."""
        return next((link for link in self._links if not link.is_leaving), None)

    def _new_backoff(self) -> Backoff:
        feed = self._shared.feed
        return Backoff(feed.retry_base_ms / 1000, feed.retry_cap_s, random.random)

    async def _open(self, *, is_successor: bool) -> str | None:
        """Try once to open another link; return why it failed."""
        shared = self._shared
        link = Link(shared, self, self.symbols, is_successor=is_successor)
        self._opening = link
        try:
            await link.open()
        except (OSError, WSError, TimeoutError, ssl.SSLError) as error:
            shared.health.add(FeedCounter.CONNECT_FAILURES)
            return f"cannot connect: {str(error) or type(error).__name__}"
        finally:
            self._opening = None
        lifetime_s = shared.source.spec.limits.lifetime_s
        if lifetime_s is not None:
            link.due_s = link.opened_ns / 1e9 + rotation.rotation_age_s(lifetime_s, self._number)
        self._links.append(link)
        return None

    async def _replace(self, old: Link, lives: asyncio.TaskGroup) -> None:
        """Try to go over to another link; where that fails the old one stays, or has ended."""
        shared = self._shared
        if old is not self._replaced and old.has_been_healthy:
            self._replacing.reset()
        self._replaced = old
        if (delay_s := self._replacing.next_delay_s()) > 0:
            shared.log.warning("to be replaced soon again; next try in %.1f s", delay_s)
            await self._wait(delay_s)
        if not self._has(old):
            return
        if failure := await self._open(is_successor=True):
            # Where the old one ended meanwhile its own retry follows, and its own pause.
            shared.log.warning("%s", failure)
            return
        new = self._links[-1]
        old.proven = (
            frozenset(filter(shared.is_live, old.carried)) if self._has(old) else old.proven
        )
        old.forget_heard()
        lives.create_task(new.live())
        end_s = shared.now_s() + rotation.OVERLAP_S
        while self._has(old) and self._has(new) and not self._is_taken_over(old, new):
            if (left_s := end_s - shared.now_s()) <= 0:
                break
            await self._stirred(min(left_s, rotation.LOOK_S))
        new.settle()
        if self._has(new) and self._has(old):
            shared.log.info("connection %d replaced", self._number)
            old.part()

    def _is_taken_over(self, old: Link, new: Link) -> bool:
        return all(new.covers(symbol) for symbol in old.proven if symbol in self._wanted)

    def _has(self, link: Link) -> bool:
        return link in self._links

    async def _stirred(self, seconds: float) -> None:
        """Wait until something happens to a link, or for so long."""
        self._stir.clear()
        try:
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                await self._stir.wait()
        except TimeoutError:
            return

    async def _pause(self, why: str, backoff: Backoff) -> None:
        """Wait before the next try."""
        delay_s = backoff.next_delay_s()
        self._shared.log.warning("%s; next try in %.1f s", why, delay_s)
        self._next_try_s = self._shared.now_s() + delay_s
        await self._wait(delay_s)

    async def _wait(self, seconds: float) -> None:
        """Wait for so long; with a link that lives, at most until it ends."""
        was, end_s = self._current, self._shared.now_s() + seconds
        while (left_s := end_s - self._shared.now_s()) > 0 and self._current is was:
            await self._stirred(left_s)
