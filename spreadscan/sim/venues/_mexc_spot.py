"""MEXC spot's conversation and frames: text to command, protobuf to quote.

From mexc.com/api-docs/spot-v3 (2026-08), github.com/mexcdevelop/websocket-proto (2026-06-17) and
recordings and measurements of 2026-09. Worth knowing:

* Every answer has code 0; a refusal says ``Not Subscribed successfully!`` with a full-width colon.
* The 31st topic of a connection is acknowledged and stays silent.
* The best bid and ask come every 100 ms even if nothing changed, now and then without a body.
* Without a topic a connection ends after 30 s, without data or PING after 60 s.
"""

from typing import Any

import orjson

from spreadscan.sim.market import Quote
from spreadscan.sim.protobuf import bytes_field, fields, varint_field
from spreadscan.sim.universe import Listing
from spreadscan.sim.venues._venue import (
    Action,
    Client,
    Close,
    Frame,
    Intake,
    Listen,
    Moment,
    RecordedQuote,
    Send,
    Unlisten,
)

__all__ = ["MAX_TOPICS", "MexcSpotSession", "encode_spot", "read_spot"]

CHANNEL = "spot@public.aggre.bookTicker.v3.api.pb"
SPEEDS = ("100ms", "10ms")
MAX_TOPICS = 30
NO_TOPIC_S, NO_DATA_S = 30.0, 60.0
# Field numbers of PushDataV3ApiWrapper and PublicAggreBookTickerV3Api.
CHANNEL_FIELD, SYMBOL_FIELD, CREATED_FIELD, SENT_FIELD, BODY_FIELD = 1, 3, 5, 6, 315
BID, BID_SIZE, ASK, ASK_SIZE, VERSION, ORDER_CREATED = 1, 2, 3, 4, 5, 6
# One repeat in so many comes without a body.
EMPTY_EVERY = 8


def encode_spot(listing: Listing, quote: Quote, form: str, moment: Moment) -> Frame:
    """Write one PushDataV3ApiWrapper; *form* is the speed that the client asked for."""
    symbol = listing.exchange_symbol
    head = (
        bytes_field(CHANNEL_FIELD, f"{CHANNEL}@{form}@{symbol}".encode())
        + bytes_field(SYMBOL_FIELD, symbol.encode())
        + varint_field(SENT_FIELD, moment.sent_ms)
    )
    if moment.is_repeat and moment.sent_ms // 100 % EMPTY_EVERY == 0:
        return head
    body = (
        bytes_field(BID, listing.price_text(quote.bid_ticks).encode())
        + bytes_field(BID_SIZE, listing.size_text(quote.bid_lots).encode())
        + bytes_field(ASK, listing.price_text(quote.ask_ticks).encode())
        + bytes_field(ASK_SIZE, listing.size_text(quote.ask_lots).encode())
        + bytes_field(VERSION, str(quote.update_id).encode())
        + varint_field(ORDER_CREATED, quote.exchange_ms)
    )
    return head + bytes_field(BODY_FIELD, body)


def read_spot(frame: bytes) -> RecordedQuote | None:
    """Return symbol and mid of a bookTicker push with both sides."""
    try:
        wrapper = dict(fields(frame))
        symbol, body = wrapper[SYMBOL_FIELD], wrapper[BODY_FIELD]
        if not isinstance(symbol, bytes) or not isinstance(body, bytes):
            return None
        book = dict(fields(body))
        mid = (float(book[BID]) + float(book[ASK])) / 2
        return RecordedQuote(symbol.decode(), mid)
    except (ValueError, KeyError):
        return None


class MexcSpotSession:
    """One client of MEXC spot."""

    def __init__(self, client: Client) -> None:
        self.form = SPEEDS[0]
        self.last_push_s = client.opened_s
        self.intake = Intake(client)
        self._directory = client.directory
        self._rows: dict[str, int] = {}
        self._silent: set[str] = set()
        self._had_topic_s = client.opened_s
        self._heard_s = client.opened_s

    def opened(self) -> list[Action]:
        """Say nothing: the exchange does not greet."""
        return []

    def received(self, message: str | bytes, now_s: float) -> list[Action]:
        """Answer one request; refused topics and accepted ones together."""
        if refusal := self.intake.refusal(message, now_s):
            return [refusal]
        request = _request(message)
        if request is None:
            return [_reply(0, "msg is illegal")]
        method, number = request.get("method"), request.get("id", 0)
        if method == "PING":
            self._heard_s = now_s
            return [_reply(number, "PONG")]
        topics = request.get("params")
        if method not in ("SUBSCRIPTION", "UNSUBSCRIPTION") or not isinstance(topics, list):
            return [_reply(number, f"no handler found for {method}")]
        self.intake.count_request(now_s)
        names = [str(topic) for topic in topics]
        if method == "UNSUBSCRIPTION":
            rows = [self._rows.pop(name, None) for name in names]
            self._silent.difference_update(names)
            ack = _reply(number, ",".join(names))
            return [ack, *(Unlisten(row) for row in rows if row is not None)]
        return self._subscribe(names, number, now_s)

    def tick(self, now_s: float) -> list[Action]:
        """Close a connection without a topic, and one without data or PING."""
        if self._rows:
            self._had_topic_s = now_s
        elif now_s - self._had_topic_s > NO_TOPIC_S:
            return [Close(1000, "no valid subscription")]
        if now_s - max(self.last_push_s, self._heard_s) > NO_DATA_S:
            return [Close(1000, "no data")]
        return []

    def ponged(self, now_s: float) -> None:
        """Do nothing: this exchange sends no pings."""

    def farewell(self, now_ms: int) -> list[Action]:
        """Say nothing: the exchange does not announce its restarts."""
        del now_ms
        return []

    def _subscribe(self, names: list[str], number: object, now_s: float) -> list[Action]:
        rows = {name: self._row(name) for name in names}
        refused = [name for name, row in rows.items() if row is None]
        accepted = [name for name, row in rows.items() if row is not None]
        actions: list[Action] = []
        if refused:
            text = f"Not Subscribed successfully! [{','.join(refused)}].  Reason： Blocked! "  # noqa: RUF001 - the exchange writes a full-width colon
            actions.append(_reply(number, text))
        if accepted:
            actions.append(_reply(number, ",".join(accepted)))
        for name in accepted:
            row = rows[name]
            if row is None or name in self._rows:
                continue
            if len(self._rows) == MAX_TOPICS:
                self._silent.add(name)
                continue
            self._rows[name] = row
            actions.append(Listen(row, with_snapshot=True))
        self.intake.has_too_many(len(self._rows) + len(self._silent), now_s)
        return actions

    def _row(self, topic: str) -> int | None:
        """Return the row of a topic that is served; the speed becomes the client's form."""
        channel, _, rest = topic.rpartition(".pb@")
        speed, _, symbol = rest.partition("@")
        if f"{channel}.pb" != CHANNEL or speed not in SPEEDS:
            return None
        row = self._directory.get(symbol)
        if row is not None and not self._rows:
            self.form = speed
        return row


def _request(message: str | bytes) -> dict[str, Any] | None:
    try:
        request = orjson.loads(message)
    except orjson.JSONDecodeError:
        return None
    return request if isinstance(request, dict) else None


def _reply(number: object, text: str) -> Send:
    return Send(orjson.dumps({"id": number, "code": 0, "msg": text}).decode())
