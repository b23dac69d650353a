"""MEXC futures' conversation and frames: JSON both ways, one contract a request.

From mexc.com/api-docs/futures and live probes of 2026-09-15 to 2026-09-25. Worth knowing:

* There is no channel of the best bid and ask; ``depth.full`` sends five levels every 300 ms,
  changed or not, as JSON numbers, small ones with an exponent. Sizes are contracts.
* An acknowledgement names no contract; an unknown method gets no answer at all.
* A client that does not ping is closed after 60 s even while data flow.
"""

from typing import Any

import orjson

from spreadscan.sim.market import Quote
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

__all__ = ["MexcFuturesSession", "encode_futures", "read_futures"]

LEVELS = (5, 10, 20)
NO_PING_S = 60.0


def encode_futures(listing: Listing, quote: Quote, form: str, moment: Moment) -> Frame:
    """Write a push of five levels; there is one form.

    Behind the first level stand one tick and one share of its size more each.
    """
    del form
    exponent = listing.tick_exponent
    asks = ",".join(
        f"[{_number(quote.ask_ticks + n, exponent)},{quote.ask_lots * (n + 1)},{n + 1}]"
        for n in range(5)
    )
    # A coarse grid may have fewer than five ticks below the bid.
    bids = ",".join(
        f"[{_number(quote.bid_ticks - n, exponent)},{quote.bid_lots * (n + 1)},{n + 1}]"
        for n in range(min(5, quote.bid_ticks))
    )
    return (
        f'{{"symbol":"{listing.exchange_symbol}","data":{{"cts":{quote.exchange_ms},'
        f'"asks":[{asks}],"bids":[{bids}],"version":{quote.update_id}}},'
        f'"channel":"push.depth.full","ts":{moment.sent_ms}}}'
    )


def read_futures(frame: bytes) -> RecordedQuote | None:
    """Return contract and mid of a depth push with both sides."""
    try:
        push = orjson.loads(frame)
        if push["channel"] != "push.depth.full":
            return None
        book = push["data"]
        mid = (float(book["bids"][0][0]) + float(book["asks"][0][0])) / 2
        return RecordedQuote(push["symbol"], mid)
    except (ValueError, LookupError, TypeError):
        return None


class MexcFuturesSession:
    """One client of MEXC futures."""

    form = ""

    def __init__(self, client: Client) -> None:
        self.last_push_s = client.opened_s
        self.intake = Intake(client)
        self._directory = client.directory
        self._rows: dict[str, int] = {}
        self._pinged_s = client.opened_s
        self._wall_offset_s = client.wall_offset_s

    def opened(self) -> list[Action]:
        """Say nothing: the exchange does not greet."""
        return []

    def received(self, message: str | bytes, now_s: float) -> list[Action]:
        """Answer one request; what is not understood gets no answer."""
        if refusal := self.intake.refusal(message, now_s):
            return [refusal]
        method, param = _request(message)
        if method == "ping":
            self._pinged_s = now_s
            return [self._event("pong", self._milliseconds(now_s), now_s)]
        if method not in ("sub.depth.full", "unsub.depth.full"):
            return []
        self.intake.count_request(now_s)
        symbol = str(param.get("symbol"))
        ack = self._event(f"rs.{method}", "success", now_s)
        if method == "sub.depth.full":
            return self._subscribe(symbol, param.get("limit", LEVELS[0]), ack, now_s)
        row = self._rows.pop(symbol, None)
        return [ack] if row is None else [ack, Unlisten(row)]

    def tick(self, now_s: float) -> list[Action]:
        """Close the connection of a client that does not ping, and say so."""
        if now_s - self._pinged_s <= NO_PING_S:
            return []
        text = "more than 60 seconds no response, close the channel"
        return [self._event("rs.error", text, now_s), Close(1000, "")]

    def ponged(self, now_s: float) -> None:
        """Do nothing: this exchange sends no pings."""

    def farewell(self, now_ms: int) -> list[Action]:
        """Say nothing: the exchange does not announce its restarts."""
        del now_ms
        return []

    def _subscribe(self, symbol: str, levels: object, ack: Send, now_s: float) -> list[Action]:
        row = self._directory.get(symbol)
        if row is None:
            return [self._event("rs.error", f"Contract [{symbol}] not exists", now_s)]
        if levels not in LEVELS:
            return [self._event("rs.error", f"Invalid limit {levels}", now_s)]
        self._rows[symbol] = row
        self.intake.has_too_many(len(self._rows), now_s)
        return [ack, Listen(row, with_snapshot=True)]

    def _event(self, channel: str, data: str | int, now_s: float) -> Send:
        body = {"channel": channel, "data": data, "ts": self._milliseconds(now_s)}
        return Send(orjson.dumps(body).decode())

    def _milliseconds(self, now_s: float) -> int:
        return round((now_s + self._wall_offset_s) * 1000)


def _request(message: str | bytes) -> tuple[str, dict[str, Any]]:
    """Return method and parameters; an empty method for what is no request."""
    try:
        request = orjson.loads(message)
    except orjson.JSONDecodeError:
        return "", {}
    if not isinstance(request, dict):
        return "", {}
    param = request.get("param")
    return str(request.get("method")), param if isinstance(param, dict) else {}


def _number(units: int, exponent: int) -> str:
    """Write ``units * 10 ** exponent`` as a JSON number, below a thousandth with an exponent."""
    digits = str(units)
    leading = len(digits) - 1 + exponent
    if leading >= -3:
        if exponent >= 0:
            return digits + "0" * exponent
        digits = digits.rjust(1 - exponent, "0")
        return f"{digits[:exponent]}.{digits[exponent:]}".rstrip("0").rstrip(".")
    return f"{digits[0]}.{digits[1:].rstrip('0') or '0'}E{leading}"
