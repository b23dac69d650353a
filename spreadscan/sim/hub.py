"""Who listens to what, and the fan-out: a quote is encoded once per frame form, then broadcast.

One asyncio loop owns a hub; nothing here is thread-safe and nothing blocks. A client that does not
read is cut off by ``Server`` before its buffer grows without bound.
"""

import asyncio
from collections.abc import Iterable, Sequence

from websockets.asyncio.server import ServerConnection, broadcast

from spreadscan.sim.manners import Ledger
from spreadscan.sim.market import Market
from spreadscan.sim.venues import Session, Venue

__all__ = ["Frame", "Hub", "Link"]

Frame = str | bytes
"""Text is sent as a text frame, bytes as a binary one."""


class Link:
    """One client connection with its conversation and the rows it listens to."""

    __slots__ = ("ledger", "rows", "session", "socket")

    def __init__(self, socket: ServerConnection, session: Session, ledger: Ledger) -> None:
        self.socket = socket
        self.session = session
        self.ledger = ledger
        self.rows: set[int] = set()

    def buffered_bytes(self) -> int:
        """Return what the client has not taken yet."""
        return self.socket.transport.get_write_buffer_size()


class Hub:
    """Rows to listeners.

    Args:
        venues: every source; their listings, one after the other, are the rows.
        market: what the rows show.
    """

    def __init__(self, venues: Sequence[Venue], market: Market) -> None:
        self._market = market
        self._venues = [venue for venue in venues for _ in venue.listings]
        self._listings = [listing for venue in venues for listing in venue.listings]
        self._listeners: list[dict[str, set[Link]]] = [{} for _ in self._listings]
        self._sent_s = [0.0] * len(self._listings)
        self._recorded: dict[int, Frame] = {}
        self._recorded_rows: set[int] = set()
        self._arrival = asyncio.Event()

    def listen(self, link: Link, row: int) -> None:
        """Send the row's quotes to this client from now on."""
        link.rows.add(row)
        self._listeners[row].setdefault(link.session.form, set()).add(link)
        self._arrival.set()
        self._arrival = asyncio.Event()

    def unlisten(self, link: Link, row: int) -> None:
        """Stop sending the row's quotes to this client."""
        link.rows.discard(row)
        self._listeners[row].get(link.session.form, set()).discard(link)

    def drop(self, link: Link) -> None:
        """Forget a client."""
        for row in tuple(link.rows):
            self.unlisten(link, row)

    def listeners(self, rows: Iterable[int]) -> set[Link]:
        """Return the clients that listen to any of these rows."""
        return {link for row in rows for links in self._listeners[row].values() for link in links}

    async def first_listener(self, rows: Iterable[int]) -> None:
        """Wait until somebody listens to any of these rows."""
        while not self.listeners(rows):
            await self._arrival.wait()

    def publish(self, rows: Iterable[int], now_s: float) -> None:
        """Send the present quote of each row to its listeners."""
        for row in rows:
            for form, links in self._listeners[row].items():
                if links:
                    self._send(links, self._encoded(row, form), row, now_s)

    def snapshot(self, link: Link, row: int, now_s: float) -> None:
        """Send one client the present quote; a recorded row that has not begun has none."""
        if row in self._recorded_rows:
            frame = self._recorded.get(row)
        else:
            frame = self._encoded(row, link.session.form)
        if frame is not None:
            self._send({link}, frame, row, now_s)

    def speak_for(self, rows: Iterable[int]) -> None:
        """Let recordings quote these rows; the price process falls silent on them."""
        self._recorded_rows.update(rows)
        self._market.mute(self._recorded_rows)

    def publish_recorded(self, row: int, frame: Frame, quoted_mid: float, now_s: float) -> None:
        """Send a recorded frame as it is to every listener of the row."""
        self._recorded[row] = frame
        self._market.follow(row, quoted_mid)
        for links in self._listeners[row].values():
            if links:
                self._send(links, frame, row, now_s)

    def resend_quiet(self, now_s: float) -> None:
        """Repeat rows that were silent for as long as their venue allows."""
        for row, venue in enumerate(self._venues):
            if venue.resend_quiet_s is None or now_s - self._sent_s[row] < venue.resend_quiet_s:
                continue
            for link in self.listeners((row,)):
                self.snapshot(link, row, now_s)

    def _encoded(self, row: int, form: str) -> str:
        return self._venues[row].encode(self._listings[row], self._market.quote(row), form)

    def _send(self, links: set[Link], frame: Frame, row: int, now_s: float) -> None:
        broadcast([link.socket for link in links], frame)
        self._sent_s[row] = now_s
        for link in links:
            link.session.last_push_s = now_s
            link.ledger.frames_sent += 1
