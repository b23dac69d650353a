"""What the exchange's REST says of all symbols at once, asked seldom and off the quotes' path.

Prices with every question; the listing, which tells what trades, only every LISTING_TURNS
intervals. All who want an answer share one; bodies are parsed on a thread.
"""

import asyncio
import importlib
import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from spreadscan.errors import DiscoveryError
from spreadscan.exchanges import Source
from spreadscan.exchanges._adapter import RestRequest
from spreadscan.feed.seen import SpotAnswer
from spreadscan.manners.bans import DEFAULT_S as BANS
from spreadscan.manners.gates import RestGate
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.trust import Trust

if TYPE_CHECKING:
    import aiohttp

__all__ = ["SpotCheck", "SpotPolicy"]

LISTING_TURNS = 6
# A listing with fewer of our symbols is half a listing and says nothing about those it lacks.
MIN_LISTED_SHARE = 0.8
MAX_PAGES = 50
MAX_BODY_BYTES = 67_108_864
CHUNK_BYTES = 65_536


class SpotPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how often to ask."""

    rest_url: str
    interval_s: float
    timeout_s: float
    """For one request."""


class _Barred(Exception):  # noqa: N818 - told to ask less is no error of anybody
    """The exchange wants no more requests for a while."""


class SpotCheck:
    """Asks one source's REST when somebody wants it to.

    Args:
        source: whose prices and listing.
        policy: see there.
        gate: shared by all who ask this address.
        symbols: returns the exchange symbols that matter.
        trust: whose certificates are believed.
        clock: monotonic time.
        log: the feed's logger.

    Concurrency: one event loop; at most one question at a time.
    """

    def __init__(  # noqa: PLR0913 - the parts of the feed that it works with
        self,
        *,
        source: Source,
        policy: SpotPolicy,
        gate: RestGate,
        symbols: Callable[[], Collection[str]],
        trust: Trust,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._source = source
        self._policy = policy
        self._gate = gate
        self._symbols = symbols
        self._trust = trust
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
        if self._task is None and now_ns >= self._next_ns and self._gate.banned_s == 0:
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
        # A sixth of a feed's memory, and most feeds never ask; on a thread, as it takes a while.
        aiohttp = await asyncio.to_thread(importlib.import_module, "aiohttp")
        try:
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._trust.context()),
                timeout=aiohttp.ClientTimeout(total=self._policy.timeout_s),
                headers={"User-Agent": "spreadscan"},
            ) as session:
                self.answer = await self._answer(session)
        except _Barred as bar:
            self._log.warning("REST: %s", bar)
        except (OSError, DiscoveryError, aiohttp.ClientError) as error:
            # TimeoutError is an OSError.
            reason = str(error) or type(error).__name__
            self._log.warning("REST: %s", reason)
            self.answer = SpotAnswer(asked_ns=self._clock.monotonic_ns(), failure=reason)
        self._next_ns = self._clock.monotonic_ns() + round(self._policy.interval_s * 1e9)

    async def _answer(self, session: "aiohttp.ClientSession") -> SpotAnswer:
        # The first list of tickers has every price; further ones tell what is not asked here.
        ticker = self._source.spec.tickers[0]
        body, asked_ns = await self._get(session, ticker.request)
        rows = await asyncio.to_thread(ticker.parse, body)
        if asked_ns >= self._next_listing_ns:
            self._trading = await self._listed_or_none(session)
            self._next_listing_ns = asked_ns + round(LISTING_TURNS * self._policy.interval_s * 1e9)
        return SpotAnswer(
            asked_ns=asked_ns,
            prices={row.exchange_symbol: row.price for row in rows if row.price is not None},
            trading=self._trading,
        )

    async def _listed_or_none(self, session: "aiohttp.ClientSession") -> frozenset[str] | None:
        """Return what trades; None where the listing cannot be had: the prices stand without it."""
        try:
            return await self._listed(session)
        except (OSError, DiscoveryError) as error:
            self._log.warning("REST: no listing: %s", str(error) or type(error).__name__)
            return None

    async def _listed(self, session: "aiohttp.ClientSession") -> frozenset[str] | None:
        """Return the symbols that trade; None when the listing lacks too many of ours."""
        spec = self._source.spec
        listed: dict[str, bool] = {}
        request: RestRequest | None = spec.instruments
        for _ in range(MAX_PAGES):
            if request is None:
                break
            body, _ = await self._get(session, request)
            rows = await asyncio.to_thread(spec.parse_instruments, body)
            listed |= {row.exchange_symbol: row.is_trading for row in rows}
            request = await asyncio.to_thread(spec.next_page, body)
        wanted = self._symbols()
        count = sum(symbol in listed for symbol in wanted)
        if count < MIN_LISTED_SHARE * len(wanted):
            self._log.warning("REST: a listing with %d of our %d symbols", count, len(wanted))
            return None
        return frozenset(symbol for symbol, is_trading in listed.items() if is_trading)

    async def _get(
        self, session: "aiohttp.ClientSession", request: RestRequest
    ) -> tuple[bytes, int]:
        """Return a body, and when it was asked for.

        Raises:
            _Barred: the exchange wants no more requests.
            DiscoveryError: another status, or too long a body.
            OSError, aiohttp.ClientError: it could not be had.
        """
        if not await self._gate.turn(patience_s=0.0):
            raise _Barred("somebody was told to ask no more for now")
        asked_ns = self._clock.monotonic_ns()
        from yarl import URL  # comes with aiohttp

        query = "&".join(filter(None, (urlencode(request.query), request.encoded_query)))
        address = self._policy.rest_url + request.path + (f"?{query}" if query else "")
        async with session.get(URL(address, encoded=True), allow_redirects=False) as response:
            if response.status != 200:
                told = response.headers.get("Retry-After", "")
                barred_s = self._gate.refused(response.status, told)
                if response.status in BANS:
                    raise _Barred(f"status {response.status}, no more questions for {barred_s:g} s")
                raise DiscoveryError(f"{address}: found status {response.status}, expected 200")
            self._gate.admitted()
            body = bytearray()
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise DiscoveryError(f"{address}: more than {MAX_BODY_BYTES} bytes")
            return bytes(body), asked_ns
