"""What the exchange's REST says of all symbols at once, asked seldom and off the quotes' path.

Prices with every question; the listing, which tells what trades, only every LISTING_TURNS
intervals. All who want an answer share one; bodies are parsed on a thread.
"""

import asyncio
import logging
from collections.abc import Callable, Collection

from spreadscan.errors import DiscoveryError
from spreadscan.exchanges import Source
from spreadscan.exchanges._adapter import RestRequest
from spreadscan.feed.rest import Barred, RestDoor
from spreadscan.feed.seen import SpotAnswer
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.heap import give_back

__all__ = ["SpotCheck"]

LISTING_TURNS = 20
# A listing with fewer of our symbols is half a listing and says nothing about those it lacks.
MIN_LISTED_SHARE = 0.8
MAX_PAGES = 50


class SpotCheck:
    """Asks one source's REST when somebody wants it to.

    Args:
        source: whose prices and listing.
        interval_s: at most one question for prices in this time.
        door: the way to its REST.
        symbols: returns the exchange symbols that matter.
        clock: monotonic time.
        log: the feed's logger.

    Concurrency: one event loop; at most one question at a time.
    """

    def __init__(  # noqa: PLR0913 - the parts of the feed that it works with
        self,
        *,
        source: Source,
        interval_s: float,
        door: RestDoor,
        symbols: Callable[[], Collection[str]],
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._source = source
        self._interval_s = interval_s
        self._door = door
        self._symbols = symbols
        self._clock = clock
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._next_ns = 0
        self._next_listing_ns = 0
        self._trading: frozenset[str] | None = None
        self.answer: SpotAnswer | None = None
        """The latest; None before the first."""

    def want(self) -> None:
        """Ask, unless a question is under way, the last one is young, or asking is barred."""
        self.check()
        now_ns = self._clock.monotonic_ns()
        if self._task is None and now_ns >= self._next_ns and self._door.banned_s == 0:
            self._task = asyncio.create_task(self._ask())

    def check(self) -> None:
        """Raise what a question ended with; only a mistake of ours ends one with an error."""
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            task.result()

    async def close(self) -> None:
        """Give up the question that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _ask(self) -> None:
        try:
            self.answer = await self._answer()
        except Barred as bar:
            self._log.warning("REST: %s", bar)
        except (OSError, DiscoveryError) as error:
            # TimeoutError is an OSError.
            reason = str(error) or type(error).__name__
            self._log.warning("REST: %s", reason)
            now_ns = self._clock.monotonic_ns()
            self.answer = SpotAnswer(asked_ns=now_ns, answered_ns=now_ns, failure=reason)
        self._next_ns = self._clock.monotonic_ns() + round(self._interval_s * 1e9)

    async def _answer(self) -> SpotAnswer:
        spec = self._source.spec
        # The first list of tickers has every price; further ones tell what is not asked here.
        ticker = spec.book or spec.tickers[0]
        body, asked_ns = await self._door.get(ticker.request)
        answered_ns = self._clock.monotonic_ns()
        rows = await asyncio.to_thread(ticker.parse, body)
        if asked_ns >= self._next_listing_ns:
            self._trading = await self._listed_or_none()
            await asyncio.to_thread(give_back)
            self._next_listing_ns = asked_ns + round(LISTING_TURNS * self._interval_s * 1e9)
        return SpotAnswer(
            asked_ns=asked_ns,
            answered_ns=answered_ns,
            books={row.exchange_symbol: row.book for row in rows if row.book is not None},
            prices={row.exchange_symbol: row.price for row in rows if row.price is not None},
            trading=self._trading,
        )

    async def _listed_or_none(self) -> frozenset[str] | None:
        """Return what trades; None where the listing cannot be had: the prices stand without it."""
        try:
            return await self._listed()
        except (OSError, DiscoveryError) as error:
            self._log.warning("REST: no listing: %s", str(error) or type(error).__name__)
            return None

    async def _listed(self) -> frozenset[str] | None:
        """Return the symbols that trade; None when the listing lacks too many of ours."""
        spec = self._source.spec
        listed: dict[str, bool] = {}
        request: RestRequest | None = spec.instruments
        for _ in range(MAX_PAGES):
            if request is None:
                break
            body, _ = await self._door.get(request)
            rows = await asyncio.to_thread(spec.parse_instruments, body)
            listed |= {row.exchange_symbol: row.is_trading for row in rows}
            request = await asyncio.to_thread(spec.next_page, body)
        wanted = self._symbols()
        count = sum(symbol in listed for symbol in wanted)
        if count < MIN_LISTED_SHARE * len(wanted):
            self._log.warning("REST: a listing with %d of our %d symbols", count, len(wanted))
            return None
        return frozenset(symbol for symbol, is_trading in listed.items() if is_trading)
