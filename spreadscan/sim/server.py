"""The sockets of the simulated exchanges: WebSocket by websockets, beside the REST server.

Source S is at ``<base>/<S>`` on both. What a client is told is the venue's business; here is only
reading, writing, time passing, doors that are shut, and the end of connections.
"""

import asyncio
import logging
import math
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from spreadscan.sim.directory import Directory
from spreadscan.sim.gate import Refusal, SimClock, SimConnection, bound, ledgers_of, shut
from spreadscan.sim.hub import Hub, Link
from spreadscan.sim.rest import RestServer
from spreadscan.sim.venues import (
    Action,
    Board,
    Client,
    Close,
    Listen,
    Ping,
    Send,
    Target,
    Unlisten,
    Venue,
)

__all__ = ["Servers"]

# Some seconds of the full universe; whoever is further behind will not catch up.
MAX_BUFFERED_BYTES = 16 * 1024 * 1024
MAX_MESSAGE_BYTES = 1024 * 1024
CLOSE_TIMEOUT_S = 1.0
LIFETIME_CODE, LIFETIME_REASON = 1001, "maximum lifetime reached"


class Servers:
    """Both servers and every open connection.

    Args:
        venues: the sources to serve.
        hub: where their quotes come from.
        directory: which symbols they serve.
        boards: what their tickers show, by source.
        clock: for limits, heartbeats and server time.
    """

    def __init__(
        self,
        venues: Sequence[Venue],
        hub: Hub,
        directory: Directory,
        boards: Mapping[str, Board],
        clock: SimClock,
    ) -> None:
        self.ledgers = ledgers_of(venues, clock.monotonic_s())
        self.rest = RestServer(venues, boards, self.ledgers, clock)
        self._venues = {venue.source: venue for venue in venues}
        self._directory = directory
        self._hub = hub
        self._clock = clock
        self._refusals: Mapping[str, Refusal] = {}
        self._announced: set[Link] = set()
        self._links: set[Link] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._server: Server | None = None

    async def listen(
        self, rest_base: str, ws_base: str, tls: ssl.SSLContext | None = None
    ) -> tuple[str, str]:
        """Bind both addresses and return them with their real ports and schemes.

        Raises:
            PortInUse: another process listens there.
            SpreadscanError: the address cannot be bound for another reason.
        """
        rest_url = await self.rest.listen(rest_base, tls)
        # A port scan or a client that gives up is no news for whoever runs a simulator.
        logger = logging.getLogger("spreadscan.sim.websocket")
        logger.setLevel(logging.CRITICAL)
        ws = urlsplit(ws_base)
        self._server = await bound(
            ws_base,
            serve(
                self._converse,
                ws.hostname,
                ws.port,
                process_request=self._greet,
                create_connection=SimConnection,
                ssl=tls,
                compression=None,
                ping_interval=None,  # pings belong to the venue
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
                logger=logger,
            ),
        )
        ws_port = next(iter(self._server.sockets)).getsockname()[1]
        return rest_url, f"ws{'' if tls is None else 's'}://{ws.hostname}:{ws_port}"

    async def close(self) -> None:
        """Close every connection and both servers."""
        if self._server is not None:
            self._server.close(code=1001, reason="simulator stops")
            await self._server.wait_closed()
        await self.rest.close()

    def tick(self, lifetime_s: Callable[[str], float] = lambda _source: math.inf) -> None:
        """Send what is due by time alone, and cut off whoever does not read or is too old.

        Args:
            lifetime_s: of a source's connections, by the scenario.
        """
        now_s = self._clock.monotonic_s()
        self.rest.release(now_s)
        self._hub.release(now_s)
        self._hub.resend_quiet(now_s)
        life_s = {
            source: min(lifetime_s(source), venue.limits.lifetime_s or math.inf)
            for source, venue in self._venues.items()
        }
        for link in tuple(self._links):
            if link.buffered_bytes() > MAX_BUFFERED_BYTES:
                # A close frame would only stand in the same queue.
                link.ledger.slow_readers += 1
                link.socket.transport.abort()
            elif now_s - link.opened_s >= life_s[link.source]:
                self.close_links({link}, LIFETIME_CODE, LIFETIME_REASON)
            elif actions := link.session.tick(now_s):
                self._start(self._perform(link, actions))

    def close_links(self, links: set[Link], code: int, reason: str) -> None:
        """End some connections without waiting for them; they hear nothing more at once."""
        for link in links:
            self._hub.drop(link)
            self._links.discard(link)
            self._start(self._perform(link, [Close(code, reason)]))

    def close_sources(self, sources: Collection[str], code: int, reason: str) -> None:
        """End every connection of some sources with a close frame."""
        self.close_links(self._links_of(sources), code, reason)

    def abort(self, sources: Collection[str]) -> None:
        """End every connection of some sources without a word."""
        for link in self._links_of(sources):
            link.socket.transport.abort()

    def announce_shutdown(self, sources: Collection[str], now_ms: int) -> None:
        """Tell the clients of some sources that their connection will be closed."""
        for link in self._links_of(sources):
            self._announced.add(link)
            if actions := link.session.farewell(now_ms):
                self._start(self._perform(link, actions))

    def close_announced(self, sources: Collection[str], code: int) -> None:
        """End the connections that were told; newer ones stay."""
        leaving = {link for link in self._announced if link.source in sources}
        self._announced -= leaving
        self.close_links(leaving & self._links, code, "service restart")

    def refuse(self, refusals: Mapping[str, Refusal]) -> None:
        """Shut the doors of these sources, and open all others."""
        self._refusals = refusals
        self.rest.refuse(refusals)

    def list_symbol(self, source: str, exchange_symbol: str, *, is_listed: bool) -> None:
        """Serve a symbol or refuse it from now on; who has it keeps it."""
        change = self._directory.add if is_listed else self._directory.remove
        change(source, exchange_symbol)

    def _links_of(self, sources: Collection[str]) -> set[Link]:
        return {link for link in self._links if link.source in sources}

    def _start(self, job: Awaitable[None]) -> None:
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    def _greet(self, socket: ServerConnection, request: Request) -> Response | None:
        """Let a handshake in, or refuse it."""
        source, target = _located(request.path)
        venue = self._venues.get(source)
        if venue is None or venue.session(target, self._client(source)) is None:
            return socket.respond(HTTPStatus.NOT_FOUND, "no socket is served here\n")
        now_s = self._clock.monotonic_s()
        ledger = self.ledgers[source]
        is_admitted = ledger.admits_connect(now_s)
        if refusal := self._refusals.get(source):
            ledger.turned_away("websocket", refusal.told_s(now_s), now_s)
            return shut(refusal.status, refusal.told_s(now_s))
        if not is_admitted:
            return shut(venue.limits.connects_status, math.ceil(venue.limits.connects_window_s))
        return None

    def _client(self, source: str) -> Client:
        now_s = self._clock.monotonic_s()
        return Client(
            self.ledgers[source],
            self._directory.served(source),
            self._connections,
            now_s,
            self._clock.wall_ms() / 1000 - now_s,
        )

    async def _converse(self, socket: ServerConnection) -> None:
        assert isinstance(socket, SimConnection)
        assert socket.request is not None
        source, target = _located(socket.request.path)
        self._connections += 1
        session = self._venues[source].session(target, self._client(source))
        assert session is not None  # _greet looked already
        link = Link(socket, source, session, self.ledgers[source], self._clock.monotonic_s())
        self._links.add(link)
        link.ledger.opened()
        socket.on_control = lambda: self._control(link)
        try:
            await self._perform(link, session.opened())
            async for message in socket:
                await self._perform(link, session.received(message, self._clock.monotonic_s()))
        except ConnectionClosed:
            pass  # how a connection ends is the client's choice
        finally:
            self._links.discard(link)
            self._announced.discard(link)
            self._hub.drop(link)
            link.ledger.closed()

    def _control(self, link: Link) -> None:
        if refusal := link.session.intake.control_refusal(self._clock.monotonic_s()):
            self._start(self._perform(link, [refusal]))

    async def _perform(self, link: Link, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(text):
                    self._hub.send(link, text)
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
                    link.flush()
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


def _located(request_path: str) -> tuple[str, Target]:
    """Split ``/<source>/<path>?<query>``."""
    parts = urlsplit(request_path)
    source, _, path = parts.path.strip("/").partition("/")
    return source, Target(f"/{path}", dict(parse_qsl(parts.query)))
