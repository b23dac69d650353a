"""Who listens to what, and the fan-out: a quote is encoded once per frame form, then broadcast.

Frames of one turn of the loop leave a connection in one write. One asyncio loop owns a hub; nothing
here is thread-safe and nothing blocks. A client that does not read is cut off by ``Servers`` before
its buffer grows without bound.
"""

import asyncio
import heapq
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from spreadscan.sim.faults import Disturbance
from spreadscan.sim.gate import SimClock
from spreadscan.sim.manners import Ledger
from spreadscan.sim.market import Market, Quote
from spreadscan.sim.truth import Fate, Witness
from spreadscan.sim.venues import Frame, Moment, Session, Venue

__all__ = ["Hub", "Link", "framed"]

# RFC 6455 section 5.2: final fragment, opcode text or binary; a server does not mask.
TEXT, BINARY = 0x81, 0x82
SHORT_BYTES, MEDIUM_BYTES = 125, 0xFFFF


def framed(frame: Frame) -> bytes:
    """Return a frame as it stands on the wire."""
    payload, opcode = (frame.encode(), TEXT) if isinstance(frame, str) else (frame, BINARY)
    size = len(payload)
    if size <= SHORT_BYTES:
        return bytes((opcode, size)) + payload
    if size <= MEDIUM_BYTES:
        return bytes((opcode, 126, size >> 8, size & 0xFF)) + payload
    return bytes((opcode, 127)) + size.to_bytes(8) + payload


class Link:
    """One client connection with its conversation and the rows it listens to."""

    __slots__ = ("ledger", "opened_s", "out", "rows", "session", "socket", "source")

    def __init__(
        self,
        socket: ServerConnection,
        source: str,
        session: Session,
        ledger: Ledger,
        opened_s: float,
    ) -> None:
        self.socket = socket
        self.source = source
        self.session = session
        self.ledger = ledger
        self.opened_s = opened_s
        self.rows: set[int] = set()
        self.out = bytearray()
        """Frames of this turn."""

    def buffered_bytes(self) -> int:
        """Return what the client has not taken yet."""
        return self.socket.transport.get_write_buffer_size() + len(self.out)

    def flush(self) -> None:
        """Hand this turn's frames to the connection, unless it is closing."""
        if self.out and self.socket.state is State.OPEN:
            self.socket.transport.write(bytes(self.out))
        self.out.clear()


class _Told(NamedTuple):
    """The quote that a frame tells, and its number in the truth."""

    quote: Quote
    number: int


class _Parcel(NamedTuple):
    """A frame before the faults get hold of it."""

    row: int
    form: str
    frame: Frame
    quote: Quote | None = None
    """What it tells; None for a recorded frame."""


class _Late(NamedTuple):
    """A delayed frame; in order of time, then of sending."""

    due_s: float
    order: int
    row: int
    form: str
    frame: Frame
    told: _Told | None


class Hub:
    """Rows to listeners.

    Args:
        venues: every source; their listings, one after the other, are the rows.
        market: what the rows show.
        disturbance: what faults do to quotes.
        clock: the exchanges' wall clock, and the monotonic one of the truth.
        witness: told what becomes of every quote; None where nobody asks.
    """

    def __init__(
        self,
        venues: Sequence[Venue],
        market: Market,
        disturbance: Disturbance,
        clock: SimClock,
        witness: Witness | None = None,
    ) -> None:
        self._clock = clock
        self._witness = witness
        self._market = market
        self._disturbance = disturbance
        self._venues = [venue for venue in venues for _ in venue.listings]
        self._listings = [listing for venue in venues for listing in venue.listings]
        self._listeners: list[dict[str, set[Link]]] = [{} for _ in self._listings]
        quiet_s = [venue.resend_quiet_s or np.inf for venue in self._venues]
        self._quiet_s = np.array(quiet_s, dtype=np.float64)
        self._sent_s = np.zeros(len(self._listings))
        self._recorded: dict[int, Frame] = {}
        self._recorded_rows: set[int] = set()
        self._arrival = asyncio.Event()
        self._dirty: list[Link] = []
        self._late: list[_Late] = []
        self._late_count = 0
        self._gaps: set[int] = set()

    def listen(self, link: Link, row: int) -> None:
        """Send the row's quotes to this client from now on."""
        link.rows.add(row)
        self._listeners[row].setdefault(link.session.form, set()).add(link)
        self._arrival.set()
        self._arrival = asyncio.Event()

    def unlisten(self, link: Link, row: int) -> None:
        """Stop sending the row's quotes to this client."""
        link.rows.discard(row)
        forms = self._listeners[row]
        for form, links in tuple(forms.items()):
            links.discard(link)
            if not links:
                del forms[form]
                if not forms and self._witness is not None:
                    self._witness.went_deaf(row, self._clock.monotonic_s())

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
        rows = list(rows)
        heard = [row for row in rows if self._listeners[row]]
        if self._witness is not None:
            self._witness.came_about(rows)
            for quote in self._market.quotes(rows) if rows else ():
                if not self._listeners[quote.row]:
                    number = self._witness.number(quote.row)
                    self._witness.note(quote, number, Fate.UNHEARD, now_s)
        self._send_quotes(heard, now_s, Moment(self._clock.wall_ms()))

    def snapshot(self, link: Link, row: int, now_s: float) -> None:
        """Send one client the present quote; a recorded row that has not begun has none."""
        form = link.session.form
        if row in self._recorded_rows:
            if frame := self._recorded.get(row):
                self._deliver((link,), _Parcel(row, form, frame), now_s)
            return
        quote = self._market.quote(row)
        frame = self._encoded(quote, form, Moment(self._clock.wall_ms()))
        self._deliver((link,), _Parcel(row, form, frame, quote), now_s)

    def speak_for(self, rows: Iterable[int]) -> None:
        """Let recordings quote these rows; the price process falls silent on them."""
        self._recorded_rows.update(rows)
        self._market.mute(self._recorded_rows)

    def publish_recorded(self, row: int, frame: Frame, quoted_mid: float, now_s: float) -> None:
        """Send a recorded frame as it is to every listener of the row."""
        self._recorded[row] = frame
        self._market.follow(row, quoted_mid)
        for form, links in self._listeners[row].items():
            self._deliver(links, _Parcel(row, form, frame), now_s)

    def resend_quiet(self, now_s: float) -> None:
        """Repeat rows that were silent for as long as their venue allows."""
        # A hair less: times that are added up miss a round number by a rounding.
        quiet = np.flatnonzero(now_s - self._sent_s >= self._quiet_s - 1e-6).tolist()
        heard = [row for row in quiet if self._listeners[row]]
        recorded = [row for row in heard if row in self._recorded_rows]
        for row in recorded:
            for link in self.listeners((row,)):
                self.snapshot(link, row, now_s)
        own = [row for row in heard if row not in self._recorded_rows]
        self._send_quotes(own, now_s, Moment(self._clock.wall_ms(), is_repeat=True))

    def release(self, now_s: float) -> None:
        """Send the delayed frames whose time has come."""
        while self._late and self._late[0].due_s <= now_s:
            late = heapq.heappop(self._late)
            links = self._listeners[late.row].get(late.form, ())
            self._put(links, late.row, framed(late.frame), now_s)
            if self._witness is not None and late.told is not None and links:
                self._witness.note(*late.told, Fate.LEFT, now_s)

    def send(self, link: Link, frame: Frame) -> None:
        """Send one client an answer, in order with its quotes."""
        self._write(link, framed(frame))

    def flush(self) -> None:
        """Write what this turn has collected."""
        dirty, self._dirty = self._dirty, []
        for link in dirty:
            link.flush()

    def _send_quotes(self, rows: Sequence[int], now_s: float, moment: Moment) -> None:
        for quote in self._market.quotes(rows) if rows else ():
            for form, links in self._listeners[quote.row].items():
                # No exchange sends a change of something that it kept to itself.
                is_delta = quote.row in self._disturbance.delta_rows and not (
                    moment.is_repeat or quote.row in self._gaps
                )
                frame = self._encoded(
                    quote, form, moment._replace(is_delta=True) if is_delta else moment
                )
                self._deliver(links, _Parcel(quote.row, form, frame, quote), now_s)

    def _encoded(self, quote: Quote, form: str, moment: Moment) -> Frame:
        row = quote.row
        if skew_ms := self._disturbance.skew_ms[row]:
            quote = quote._replace(exchange_ms=quote.exchange_ms + skew_ms)
            moment = moment._replace(sent_ms=moment.sent_ms + skew_ms)
        return self._venues[row].encode(self._listings[row], quote, form, moment)

    def _deliver(self, links: Collection[Link], parcel: _Parcel, now_s: float) -> None:
        """Send a frame, or what the faults make of it."""
        row = parcel.row
        has_left = True
        if self._disturbance.touches(row):
            has_left = self._deliver_disturbed(links, parcel, now_s)
        else:
            self._put(links, row, framed(parcel.frame), now_s)
        (self._gaps.discard if has_left else self._gaps.add)(row)
        if self._witness is not None and (told := self._told(parcel.quote)) is not None:
            self._witness.note(*told, Fate.LEFT if has_left else Fate.HELD, now_s)

    def _deliver_disturbed(self, links: Collection[Link], parcel: _Parcel, now_s: float) -> bool:
        """Send what the faults make of a frame; return whether the frame itself went out."""
        row, form, frame, quote = parcel
        has_left = False
        for delay_s, each in self._disturbance.outgoing(row, form, frame):
            if delay_s > 0:
                self._late_count += 1
                # Garbage and what another quote left behind tell nothing new.
                told = self._told(quote) if each is frame else None
                late = _Late(now_s + delay_s, self._late_count, row, form, each, told)
                heapq.heappush(self._late, late)
                self._sent_s[row] = now_s
            else:
                self._put(links, row, framed(each), now_s)
                has_left |= each is frame
        return has_left

    def _told(self, quote: Quote | None) -> _Told | None:
        if quote is None or self._witness is None:
            return None
        return _Told(quote, self._witness.number(quote.row))

    def _put(self, links: Collection[Link], row: int, wire: bytes, now_s: float) -> None:
        self._sent_s[row] = now_s
        for link in links:
            link.session.last_push_s = now_s
            link.ledger.frames_sent += 1
            self._write(link, wire)

    def _write(self, link: Link, wire: bytes) -> None:
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self.flush)
        if not link.out:
            self._dirty.append(link)
        link.out += wire
