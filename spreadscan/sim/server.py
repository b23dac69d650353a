"""The sockets of the simulated exchanges: REST by aiohttp, WebSocket by websockets.

Source S is at ``<base>/<S>`` on both. What a client is told is the venue's business; here is only
reading, writing, time passing and the end of connections.
"""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from spreadscan.errors import PortInUse, SpreadscanError
from spreadscan.sim.hub import Hub, Link
from spreadscan.sim.manners import Ledger
from spreadscan.sim.venues import (
    Action,
    Client,
    Close,
    Listen,
    Ping,
    Send,
    Target,
    Unlisten,
    Venue,
)

__all__ = ["Servers", "SimClock"]

TICK_S = 0.25
# Some seconds of the full universe; whoever is further behind will not catch up.
MAX_BUFFERED_BYTES = 16 * 1024 * 1024
MAX_MESSAGE_BYTES = 1024 * 1024
CLOSE_TIMEOUT_S = 1.0

BoundT = TypeVar("BoundT")


class SimClock(NamedTuple):
    """The two clocks of the simulator, injected."""

    monotonic_s: Callable[[], float]
    wall_ms: Callable[[], int]


class Servers:
    """Both servers and every open connection.

    Args:
        venues: the sources to serve.
        hub: where their quotes come from.
        clock: for limits, heartbeats and server time.
    """

    def __init__(self, venues: Sequence[Venue], hub: Hub, clock: SimClock) -> None:
        self.ledgers = {venue.source: Ledger(venue.limits) for venue in venues}
        self._venues = {venue.source: venue for venue in venues}
        self._directories = _directories(venues)
        self._hub = hub
        self._clock = clock
        self._links: set[Link] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._runner: web.AppRunner | None = None
        self._server: Server | None = None

    async def listen(self, rest_base: str, ws_base: str) -> tuple[str, str]:
        """Bind both addresses and return them with their real ports.

        Raises:
            PortInUse: another process listens there.
            SpreadscanError: the address cannot be bound for another reason.
        """
        application = web.Application()
        application.router.add_get("/{source}{path:/.*}", self._get)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        rest = urlsplit(rest_base)
        site = web.TCPSite(self._runner, rest.hostname, rest.port)
        await _bound(rest_base, site.start())
        rest_port = self._runner.addresses[0][1]

        # A port scan or a client that gives up is no news for whoever runs a simulator.
        logger = logging.getLogger("spreadscan.sim.websocket")
        logger.setLevel(logging.CRITICAL)
        ws = urlsplit(ws_base)
        self._server = await _bound(
            ws_base,
            serve(
                self._converse,
                ws.hostname,
                ws.port,
                process_request=self._refuse_unknown,
                compression=None,
                ping_interval=None,  # pings belong to the venue
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
                logger=logger,
            ),
        )
        ws_port = next(iter(self._server.sockets)).getsockname()[1]
        return f"http://{rest.hostname}:{rest_port}", f"ws://{ws.hostname}:{ws_port}"

    async def close(self) -> None:
        """Close every connection and both servers."""
        if self._server is not None:
            self._server.close(code=1001, reason="simulator stops")
            await self._server.wait_closed()
        if self._runner is not None:
            await self._runner.cleanup()

    async def keep_time(self) -> None:
        """Let time pass for every conversation, until cancelled."""
        while True:
            self.tick()
            await asyncio.sleep(TICK_S)

    def tick(self) -> None:
        """Send what is due by time alone, and cut off whoever does not read."""
        now_s = self._clock.monotonic_s()
        self._hub.resend_quiet(now_s)
        for link in tuple(self._links):
            if link.buffered_bytes() > MAX_BUFFERED_BYTES:
                # A close frame would only stand in the same queue.
                link.ledger.slow_readers += 1
                link.socket.transport.abort()
            elif actions := link.session.tick(now_s):
                self._start(self._perform(link, actions))

    def close_links(self, links: set[Link], code: int, reason: str) -> None:
        """End some connections without waiting for them; they hear nothing more at once."""
        for link in links:
            self._hub.drop(link)
            self._start(self._perform(link, [Close(code, reason)]))

    def _start(self, job: Awaitable[None]) -> None:
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _get(self, request: web.Request) -> web.Response:
        venue = self._venues.get(request.match_info["source"])
        if venue is None:
            return web.json_response({"error": "no such source"}, status=404)
        self.ledgers[venue.source].rest_requests += 1
        target = Target(request.match_info["path"], dict(request.query))
        reply = venue.rest(target, self._clock.wall_ms())
        return web.Response(
            status=reply.status, body=reply.body, content_type="application/json", charset="utf-8"
        )

    def _refuse_unknown(self, socket: ServerConnection, request: Request) -> Response | None:
        source, target = _located(request.path)
        venue = self._venues.get(source)
        if venue is not None and venue.session(target, self._client(source)) is not None:
            return None
        return socket.respond(HTTPStatus.NOT_FOUND, "no socket is served here\n")

    def _client(self, source: str) -> Client:
        return Client(
            self.ledgers[source],
            self._directories[source],
            self._connections,
            self._clock.monotonic_s(),
        )

    async def _converse(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        source, target = _located(socket.request.path)
        self._connections += 1
        session = self._venues[source].session(target, self._client(source))
        assert session is not None  # _refuse_unknown looked already
        ledger = self.ledgers[source]
        link = Link(socket, session, ledger)
        self._links.add(link)
        ledger.opened(self._clock.monotonic_s())
        try:
            await self._perform(link, session.opened())
            async for message in socket:
                await self._perform(link, session.received(message, self._clock.monotonic_s()))
        except ConnectionClosed:
            pass  # how a connection ends is the client's choice
        finally:
            self._links.discard(link)
            self._hub.drop(link)
            ledger.closed()

    async def _perform(self, link: Link, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(text):
                    await link.socket.send(text)
                case Listen(row, with_snapshot):
                    self._hub.listen(link, row)
                    if with_snapshot:
                        self._hub.snapshot(link, row, self._clock.monotonic_s())
                case Unlisten(row):
                    self._hub.unlisten(link, row)
                case Ping(payload):
                    await self._ping(link, payload)
                case Close(code, reason):
                    self._hub.drop(link)
                    await link.socket.close(code, reason)

    async def _ping(self, link: Link, payload: str) -> None:
        def note(pong: asyncio.Future[float]) -> None:
            if not pong.cancelled() and pong.exception() is None:
                link.session.ponged(self._clock.monotonic_s())

        try:
            waiter = await link.socket.ping(payload)
        except ConnectionClosed:
            return
        asyncio.ensure_future(waiter).add_done_callback(note)


async def _bound(address: str, binding: Awaitable[BoundT]) -> BoundT:
    try:
        return await binding
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(address) from None
        raise SpreadscanError(f"{address}: cannot listen: {error.strerror or error}") from None


def _located(request_path: str) -> tuple[str, Target]:
    """Split ``/<source>/<path>?<query>``."""
    parts = urlsplit(request_path)
    source, _, path = parts.path.strip("/").partition("/")
    return source, Target(f"/{path}", dict(parse_qsl(parts.query)))


def _directories(venues: Sequence[Venue]) -> dict[str, dict[str, int]]:
    """Return, by source, the rows of the exchange symbols that its address serves."""
    own: dict[str, dict[str, int]] = {}
    first = 0
    for venue in venues:
        own[venue.source] = {
            listing.exchange_symbol: first + index for index, listing in enumerate(venue.listings)
        }
        first += len(venue.listings)
    shared: dict[str, dict[str, int]] = {}
    for venue in venues:
        merged = dict(own[venue.source])
        for other in venues:
            if venue.shares_address and other.name == venue.name:
                merged.update(own[other.source])
        shared[venue.source] = merged
    return shared
