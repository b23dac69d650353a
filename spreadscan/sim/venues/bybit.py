"""Bybit as a client sees it: instruments-info and tickers, and orderbook.1 over WebSocket.

From bybit-exchange.github.io/docs/v5 (2026-07-24) and live frames and probes of 2026-08 to 2026-10.
Worth knowing:

* One acknowledgement per request. One unknown or already subscribed topic refuses the whole
  request, and only the first offender is named; the two markets word it differently.
* A spot request takes ten topics; a connection holds 21,000 characters of topics. What the exchange
  says beyond that is not known; here the request is refused.
* The whole first level on subscribe and on change; again after three seconds of silence with the
  same ``u``. Deltas of one side were seen until early 2024; a scenario brings them back.
* Heartbeats are JSON; a silent client is cut off after ten minutes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeGuard

import orjson

from spreadscan.model import Market, source_name_of
from spreadscan.sim.manners import Limits
from spreadscan.sim.market import Quote
from spreadscan.sim.universe import Coin, Listing, Naming, magnitude, prefixed
from spreadscan.sim.venues._bybit_listing import CATEGORIES, instruments
from spreadscan.sim.venues._bybit_tickers import tickers
from spreadscan.sim.venues._venue import (
    Action,
    Board,
    Client,
    Close,
    Endpoint,
    Frame,
    Intake,
    Listen,
    Moment,
    RecordedQuote,
    RestReply,
    Send,
    Session,
    Target,
    Unlisten,
    Venue,
)

__all__ = ["VENUE", "BybitSession", "BybitVenue"]

CHANNEL = "orderbook.1."
ENDPOINTS = {
    "/v5/market/instruments-info": Endpoint("listing"),
    "/v5/market/tickers": Endpoint("tickers", also="funding"),
}
WS_PATHS = {Market.SPOT: ("", "v5/public/spot"), Market.FUTURES: ("", "v5/public/linear")}
IDLE_S = 600.0
SPOT_ARGS = 10
# Quotes and a comma stand around every topic.
TOPIC_OVERHEAD_BYTES = 3


class BybitVenue:
    """Spot, or USDT perpetuals; both at one host, with one window of connects."""

    name: ClassVar[str] = "bybit"
    shares_symbols: ClassVar[bool] = False
    shares_connects: ClassVar[bool] = True

    def __init__(self, market: Market, coins: Sequence[Coin], added: Sequence[Naming] = ()) -> None:
        self.market = market
        self.source = source_name_of(self.name, market)
        self.limits = Limits(
            topics_per_request=SPOT_ARGS if market is Market.SPOT else None,
            topic_bytes_per_connection=21_000,
            connects=500,
            connects_window_s=300.0,
            connects_status=403,
            rest_weight=600,
            rest_window_s=5.0,
            rest_status=403,
        )
        self.resend_quiet_s: float | None = 3.0
        self.endpoints: Mapping[str, Endpoint] = ENDPOINTS
        usual = (_naming(market, index, coin) for index, coin in enumerate(coins))
        self.listings = tuple(_listing(market, naming) for naming in (*usual, *added))
        self.delisted: set[str] = set()
        self.hourly: set[str] = set()
        self._last: dict[str, Quote] = {}

    def rest(self, target: Target, now_ms: int, board: Board) -> RestReply:
        """Answer instruments-info or tickers of this market; errors come with status 200."""
        endpoint = self.endpoints.get(target.path)
        if endpoint is None:
            return RestReply(404, _envelope(now_ms, 10001, "path not found", {}))
        if target.query.get("category") != CATEGORIES[self.market]:
            return RestReply(200, _envelope(now_ms, 10001, "category is invalid", {}))
        try:
            if endpoint.subject == "listing":
                found = instruments(self, target.query)
            else:
                found = tickers(self, target.query, now_ms, board)
        except ValueError as error:
            return RestReply(200, _envelope(now_ms, 10001, f"params error: {error}", {}))
        return RestReply(200, _envelope(now_ms, 0, "OK", found), found["list"])

    def refusal(self, status: int) -> bytes:
        """Write the body of a refusal."""
        text = "access too frequent" if status == 403 else "Too many visits!"
        return orjson.dumps(_envelope(0, 10016 if status == 503 else 10006, text, {}))

    def session(self, target: Target, client: Client) -> Session | None:
        """Begin a conversation on the public path of this market or the bare address."""
        if target.path.strip("/") not in WS_PATHS[self.market]:
            return None
        return BybitSession(self.market, client)

    def encode(self, listing: Listing, quote: Quote, form: str, moment: Moment) -> Frame:
        """Write an orderbook.1 push; there is one form."""
        del form
        symbol = listing.exchange_symbol
        bid = f'["{listing.price_text(quote.bid_ticks)}","{listing.size_text(quote.bid_lots)}"]'
        ask = f'["{listing.price_text(quote.ask_ticks)}","{listing.size_text(quote.ask_lots)}"]'
        kind = "snapshot"
        last, self._last[symbol] = self._last.get(symbol), quote
        # An id of 1 says that the service began anew: that is always the whole level.
        if moment.is_delta and last is not None and quote.update_id not in (1, last.update_id):
            kind = "delta"
            bid = _side_delta(listing, bid, (last.bid_ticks, last.bid_lots), quote[1:3])
            ask = _side_delta(listing, ask, (last.ask_ticks, last.ask_lots), quote[3:5])
        data = (
            f'{{"s":"{symbol}","b":[{bid}],"a":[{ask}],"u":{quote.update_id},'
            f'"seq":{quote.update_id * 7}}}'
        )
        # The two markets differ in the order of their keys.
        stamp, type_ = f'"ts":{moment.sent_ms}', f'"type":"{kind}"'
        head = f"{stamp},{type_}" if self.market is Market.SPOT else f"{type_},{stamp}"
        return f'{{"topic":"{CHANNEL}{symbol}",{head},"data":{data},"cts":{quote.exchange_ms}}}'

    def read(self, frame: bytes) -> RecordedQuote | None:
        """Return symbol and mid of a push with both sides."""
        try:
            push = orjson.loads(frame)
            book = push["data"]
            if not push["topic"].startswith(CHANNEL):
                return None
            mid = (float(book["b"][0][0]) + float(book["a"][0][0])) / 2
            return RecordedQuote(book["s"], mid)
        except (ValueError, LookupError, TypeError, AttributeError):
            return None


class BybitSession:
    """One client of Bybit."""

    form = ""

    def __init__(self, market: Market, client: Client) -> None:
        self.last_push_s = client.opened_s
        self.intake = Intake(client)
        self._market = market
        self._directory = client.directory
        self._heard_s = client.opened_s
        self._topics: dict[str, int] = {}
        self._connection_id = f"d9tc7k421nl91l9k6obg-{client.number:04x}"

    def opened(self) -> list[Action]:
        """Say nothing: the exchange does not greet."""
        return []

    def received(self, message: str | bytes, now_s: float) -> list[Action]:
        """Answer one request as a whole."""
        if refusal := self.intake.refusal(message, now_s):
            return [refusal]
        self._heard_s = now_s
        try:
            request = orjson.loads(message)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, dict):
            return [self._reply("", "", success=False, text="Invalid JSON request")]
        op, request_id = request.get("op"), str(request.get("req_id", ""))
        if op == "ping":
            return [self._reply("ping", request_id, success=True, text="pong")]
        topics = request.get("args")
        if op not in ("subscribe", "unsubscribe") or not _is_text_list(topics):
            return [self._reply(str(op), request_id, success=False, text="Invalid request")]
        self.intake.count_request(now_s)
        if op == "unsubscribe":
            rows = [self._topics.pop(topic, None) for topic in topics]
            ack = self._reply(op, request_id, success=True, text="")
            return [ack, *(Unlisten(row) for row in rows if row is not None)]
        return self._subscribe(topics, request_id, now_s)

    def tick(self, now_s: float) -> list[Action]:
        """Cut off a client that has said nothing for long."""
        if now_s - self._heard_s > IDLE_S:
            return [Close(1000, "idle")]
        return []

    def ponged(self, now_s: float) -> None:
        """Do nothing: this exchange sends no pings."""

    def farewell(self, now_ms: int) -> list[Action]:
        """Say nothing: restarts of public sockets are not announced on them."""
        del now_ms
        return []

    def _subscribe(self, topics: list[str], request_id: str, now_s: float) -> list[Action]:
        if refusal := self._refusal(topics, now_s):
            return [self._reply("subscribe", request_id, success=False, text=refusal)]
        rows = {topic: self._directory[topic.removeprefix(CHANNEL)] for topic in topics}
        self._topics.update(rows)
        self.intake.has_too_many(len(self._topics), now_s)
        text = "subscribe" if self._market is Market.SPOT else ""
        ack = self._reply("subscribe", request_id, success=True, text=text)
        return [ack, *(Listen(row, with_snapshot=True) for row in rows.values())]

    def _refusal(self, topics: list[str], now_s: float) -> str | None:
        """Return why nothing of this request is subscribed."""
        if self.intake.is_too_long(len(topics), now_s):
            return f"args size >{SPOT_ARGS}"
        for topic in topics:
            if topic in self._topics:
                return f"error:already subscribed,topic:{topic}"
            symbol = topic.removeprefix(CHANNEL)
            if not topic.startswith(CHANNEL) or symbol not in self._directory:
                if self._market is Market.SPOT:
                    return f"Invalid symbol :[{topic}]"
                return f"error:handler not found,topic:{topic}"
        held = sum(len(topic) + TOPIC_OVERHEAD_BYTES for topic in (*self._topics, *topics))
        if self.intake.has_too_many_bytes(held, now_s):
            return "args length exceeds 21000"
        return None

    def _reply(self, op: str, request_id: str, *, success: bool, text: str) -> Send:
        body = {
            "success": success,
            "ret_msg": text,
            "conn_id": self._connection_id,
            "req_id": request_id,
            "op": op,
        }
        return Send(orjson.dumps(body).decode())


def _is_text_list(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _side_delta(
    listing: Listing, level: str, last: tuple[int, int], now: Sequence[int | float]
) -> str:
    """Return one side's part of a delta: nothing, a new size, or a removal and a new level."""
    if tuple(now) == last:
        return ""
    return level if now[0] == last[0] else f'["{listing.price_text(last[0])}","0"],{level}'


def _envelope(now_ms: int, code: int, text: str, result: dict[str, Any]) -> dict[str, Any]:
    head = {"retCode": code, "retMsg": text, "result": result}
    return {**head, "retExtInfo": {}, "time": now_ms}


def _naming(market: Market, index: int, coin: Coin) -> Naming:
    if market is Market.SPOT:
        return prefixed(index, coin)
    if coin.name == "SHIB":
        # The one perpetual that carries its multiplier behind the name.
        return Naming(index, coin, f"{coin.name}{coin.bundle}", coin.bundle)
    return prefixed(index, coin, coin.bundle)


def _listing(market: Market, naming: Naming) -> Listing:
    is_spot = market is Market.SPOT
    leading = magnitude(naming.coin.price_usd * naming.coins)
    tick = max(leading - 5, -9)
    lot = min(0, max(-6, -leading - 2)) if is_spot else min(2, 1 - leading)
    return Listing(
        exchange_symbol=f"{naming.base}USDT",
        base=naming.base,
        coin=naming.coin,
        coin_index=naming.coin_index,
        price_coins=float(naming.coins),
        size_coins=float(naming.coins),
        tick_exponent=tick,
        lot_exponent=lot,
        price_digits=max(0, -tick),
        size_digits=max(0, -lot),
    )


VENUE: type[Venue] = BybitVenue
