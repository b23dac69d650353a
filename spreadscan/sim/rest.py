"""The REST side of the simulated exchanges, by aiohttp: source S is at ``<base>/<S>``.

What a client is told is the venue's business; here are sockets, limits, shut doors and answers that
a scenario spoils or holds back.
"""

import asyncio
import math
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from aiohttp import web

from spreadscan.sim.faults import Fault
from spreadscan.sim.gate import Refusal, SimClock, bound
from spreadscan.sim.manners import Ledger
from spreadscan.sim.market import Market, Quote
from spreadscan.sim.spoil import Answer, spoilt
from spreadscan.sim.venues import Board, Target, Venue

__all__ = ["MarketBoard", "RestServer", "boards_of"]


class MarketBoard:
    """One source's part of the market, as its tickers see it."""

    def __init__(self, market: Market, rows: range) -> None:
        self._market = market
        self._rows = rows

    def quotes(self) -> Sequence[Quote]:
        """Return the present quote of every listing of the source, in order."""
        return self._market.present_quotes(self._rows)

    def index_prices(self) -> Sequence[float]:
        """Return their coins' prices over all sources, in quoted units."""
        return self._market.index_prices(self._rows)


def boards_of(venues: Sequence[Venue], market: Market) -> dict[str, Board]:
    """Return a board for each source; their listings, one after the other, are the rows."""
    boards: dict[str, Board] = {}
    first = 0
    for venue in venues:
        boards[venue.source] = MarketBoard(market, range(first, first + len(venue.listings)))
        first += len(venue.listings)
    return boards


class Held(NamedTuple):
    """An answer that waits for its time."""

    due_s: float
    release: asyncio.Future[None]


class RestServer:
    """One HTTP server for every source.

    Args:
        venues: the sources to serve.
        boards: what their tickers show, by source.
        ledgers: where requests are counted, by source.
        clock: for limits and server time.
    """

    def __init__(
        self,
        venues: Sequence[Venue],
        boards: Mapping[str, Board],
        ledgers: Mapping[str, Ledger],
        clock: SimClock,
    ) -> None:
        self._venues = {venue.source: venue for venue in venues}
        self._boards = boards
        self._ledgers = ledgers
        self._clock = clock
        self._refusals: Mapping[str, Refusal] = {}
        self._faults: Sequence[Fault] = ()
        self._skew_ms: Callable[[str], int] = lambda _source: 0
        self._held: list[Held] = []
        self._runner: web.AppRunner | None = None

    async def listen(self, base: str, tls: ssl.SSLContext | None = None) -> str:
        """Bind the address and return it with its real port and scheme.

        Raises:
            PortInUse: another process listens there.
            SpreadscanError: the address cannot be bound for another reason.
        """
        application = web.Application()
        application.router.add_get("/{source}{path:/.*}", self._get)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        address = urlsplit(base)
        site = web.TCPSite(self._runner, address.hostname, address.port, ssl_context=tls)
        await bound(base, site.start())
        port = self._runner.addresses[0][1]
        return f"http{'' if tls is None else 's'}://{address.hostname}:{port}"

    async def close(self) -> None:
        """Let go of every answer and close the server."""
        self.release(math.inf)
        if self._runner is not None:
            await self._runner.cleanup()

    def release(self, now_s: float) -> None:
        """Send the answers whose time has come."""
        due = [held for held in self._held if held.due_s <= now_s]
        self._held = [held for held in self._held if held.due_s > now_s]
        for held in due:
            if not held.release.done():  # a client that went away has ended the wait
                held.release.set_result(None)

    def refuse(self, refusals: Mapping[str, Refusal]) -> None:
        """Shut the doors of these sources, and open all others."""
        self._refusals = refusals

    def spoil(self, faults: Sequence[Fault]) -> None:
        """Let these faults, all of ``REST_KINDS``, have the answers from now on, and no others."""
        self._faults = faults

    def skew(self, skew_ms: Callable[[str], int]) -> None:
        """Ask this for how far the clock of a source is ahead."""
        self._skew_ms = skew_ms

    async def _get(self, request: web.Request) -> web.Response:
        venue = self._venues.get(request.match_info["source"])
        if venue is None:
            return web.json_response({"error": "no such source"}, status=404)
        now_s = self._clock.monotonic_s()
        target = Target(request.match_info["path"], dict(request.query))
        endpoint = venue.endpoints.get(target.path)
        ledger = self._ledgers[venue.source]
        if endpoint is None:
            is_admitted = ledger.admits_request(now_s)
        else:
            weight = endpoint.weight_for(target.query)
            is_admitted = ledger.admits_request(now_s, target.path, weight, endpoint.window)
        if refusal := self._refusals.get(venue.source):
            told_s = refusal.told_s(now_s)
            ledger.turned_away("rest", told_s, now_s)
            return _refused(venue, refusal.status, told_s)
        if not is_admitted:
            return _refused(venue, venue.limits.rest_status, math.ceil(venue.limits.rest_window_s))
        answer = self._answer(venue, target)
        if answer.delay_s > 0:
            held = Held(now_s + answer.delay_s, asyncio.get_running_loop().create_future())
            self._held.append(held)
            await held.release
        return _response(answer, {})

    def _answer(self, venue: Venue, target: Target) -> Answer:
        now_ms = self._clock.wall_ms() + self._skew_ms(venue.source)
        reply = venue.rest(target, now_ms, self._boards[venue.source])
        endpoint = venue.endpoints.get(target.path)
        faults = [
            fault
            for fault in self._faults
            if fault.hits(venue.source)
            and endpoint is not None
            and fault.answers in ("all", endpoint.subject, endpoint.also)
        ]
        return spoilt(reply, faults, venue.refusal)


def _refused(venue: Venue, status: int, retry_after_s: int) -> web.Response:
    return _response(Answer(status, venue.refusal(status)), {"Retry-After": str(retry_after_s)})


def _response(answer: Answer, headers: dict[str, str]) -> web.Response:
    return web.Response(
        status=answer.status,
        body=answer.body,
        content_type=answer.content_type,
        charset="utf-8",
        headers=headers,
    )
