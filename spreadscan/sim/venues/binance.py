"""Binance as a client sees it: listings, tickers and funding, and bookTicker over WebSocket.

From github.com/binance/binance-spot-api-docs (rest-api.md, web-socket-streams.md; 2026-07-21),
the USD-M change notice of 2026-03-06 and live probes of 2026-10-07. Worth knowing:

* An unknown symbol, an upper-case stream and a futures stream on the wrong route are all
  acknowledged like any other, and stay silent.
* No snapshot on subscribe: the first message is the next change. Spot carries no time at all.
* Acknowledgements are not wrapped on ``/stream``, quotes are.
* The 1,025th stream ends the connection after an error; 40 messages at once end it too.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson

from spreadscan.model import Market, source_name_of
from spreadscan.sim.manners import Limits
from spreadscan.sim.market import Quote
from spreadscan.sim.universe import Coin, Listing, Naming, magnitude, prefixed
from spreadscan.sim.venues._binance_listing import exchange_info
from spreadscan.sim.venues._binance_tickers import funding_info, tickers
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
    Ping,
    RecordedQuote,
    RestReply,
    Send,
    Session,
    Target,
    Unlisten,
    Venue,
    Window,
)

__all__ = ["VENUE", "BinanceSession", "BinanceVenue"]

RAW, COMBINED = "raw", "combined"
CHANNEL = "@bookTicker"
FUNDING_INFO_PATH = "/fapi/v1/fundingInfo"
# Weights as documented (spot, 2026-07-21) and measured (futures, 2026-10-07).
ENDPOINTS = {
    Market.SPOT: {
        "/api/v3/exchangeInfo": Endpoint("listing", 20),
        "/api/v3/ticker/24hr": Endpoint("tickers", 80, 2),
        "/api/v3/ticker/bookTicker": Endpoint("tickers", 4, 2),
    },
    Market.FUTURES: {
        "/fapi/v1/exchangeInfo": Endpoint("listing", 1),
        "/fapi/v1/ticker/24hr": Endpoint("tickers", 40, 1),
        "/fapi/v1/ticker/bookTicker": Endpoint("tickers", 5, 2),
        "/fapi/v1/premiumIndex": Endpoint("tickers", 10, 1, also="funding"),
        FUNDING_INFO_PATH: Endpoint("funding", 0, window=Window(500, 300.0)),
    },
}
# How often the server pings and how long it waits for the pong, seconds.
PING_S = {Market.SPOT: (20.0, 60.0), Market.FUTURES: (180.0, 600.0)}
LIMITS = {
    Market.SPOT: Limits(
        messages_per_s=5, messages_fatal=20, counts_control_frames=True,
        topics_per_connection=1024, connects=300, connects_window_s=300.0, lifetime_s=86_400.0,
        rest_weight=6000, rest_window_s=60.0,
    ),
    Market.FUTURES: Limits(
        messages_per_s=10, messages_fatal=40, counts_control_frames=True,
        topics_per_connection=1024, connects=300, connects_window_s=300.0, lifetime_s=86_400.0,
        rest_weight=2400, rest_window_s=60.0,
    ),
}  # fmt: skip


class BinanceVenue:
    """Spot, or USD-M futures."""

    name: ClassVar[str] = "binance"
    shares_symbols: ClassVar[bool] = False
    shares_connects: ClassVar[bool] = False

    def __init__(self, market: Market, coins: Sequence[Coin], added: Sequence[Naming] = ()) -> None:
        self.market = market
        self.source = source_name_of(self.name, market)
        self.limits = LIMITS[market]
        self.endpoints: Mapping[str, Endpoint] = ENDPOINTS[market]
        self.resend_quiet_s: float | None = None
        is_spot = market is Market.SPOT
        usual = (prefixed(n, coin, 1 if is_spot else coin.bundle) for n, coin in enumerate(coins))
        self.listings = tuple(_listing(market, naming) for naming in (*usual, *added))
        self.delisted: set[str] = set()
        self.hourly: set[str] = set()

    def rest(self, target: Target, now_ms: int, board: Board) -> RestReply:
        """Answer the list or tickers; everything else is a 404, as a wrong path is there."""
        endpoint = self.endpoints.get(target.path)
        if endpoint is None:
            return RestReply(404, {"code": -5000, "msg": "Path not found"})
        if endpoint.subject == "listing":
            body = exchange_info(self.market, self.listings, self.delisted, now_ms)
            return RestReply(200, body, body["symbols"])
        if target.path == FUNDING_INFO_PATH:
            rows = funding_info(self)
            return RestReply(200, rows, rows)
        rows = tickers(self, target, now_ms, board)
        wanted = target.query.get("symbol")
        if wanted is None:
            return RestReply(200, rows, rows)
        found = [row for row in rows if row["symbol"] == wanted]
        if not found:
            return RestReply(400, {"code": -1121, "msg": "Invalid symbol."})
        return RestReply(200, found[0])

    def refusal(self, status: int) -> bytes:
        """Write the body of a refusal."""
        texts = {
            403: "Forbidden.",
            418: "Way too much request weight used; IP banned until later.",
            429: "Too much request weight used; please use WebSocket Streams.",
            503: "Service unavailable from a restricted location or under maintenance.",
        }
        return orjson.dumps({"code": -1003, "msg": texts[status]})

    def session(self, target: Target, client: Client) -> Session | None:
        """Begin a conversation on ``/ws``, ``/stream`` or the bare address (combined)."""
        route, _, rest = target.path.strip("/").partition("/")
        if route in ("public", "market", "private") and self.market is Market.FUTURES:
            path = rest
        else:
            route, path = "public", target.path.strip("/")
        endpoint, _, names = path.partition("/")
        if endpoint not in ("", "ws", "stream"):
            return None
        streams = names if endpoint == "ws" else target.query.get("streams", "")
        return BinanceSession(
            self.market,
            client,
            form=RAW if endpoint == "ws" else COMBINED,
            has_data=route == "public",
            streams=[name for name in streams.split("/") if name],
        )

    def encode(self, listing: Listing, quote: Quote, form: str, moment: Moment) -> Frame:
        """Write a bookTicker event, wrapped in its stream for combined clients."""
        symbol = listing.exchange_symbol
        sides = (
            f'"b":"{listing.price_text(quote.bid_ticks)}","B":"{listing.size_text(quote.bid_lots)}"'
            f',"a":"{listing.price_text(quote.ask_ticks)}","A":"{listing.size_text(quote.ask_lots)}"'
        )
        if self.market is Market.SPOT:
            event = f'{{"u":{quote.update_id},"s":"{symbol}",{sides}}}'
        else:
            event = (
                f'{{"e":"bookTicker","u":{quote.update_id},"s":"{symbol}","ps":"{symbol}",{sides},'
                f'"T":{quote.exchange_ms},"E":{moment.sent_ms},"st":1}}'
            )
        if form == RAW:
            return event
        return f'{{"stream":"{symbol.lower()}{CHANNEL}","data":{event}}}'

    def read(self, frame: bytes) -> RecordedQuote | None:
        """Return symbol and mid of a bookTicker event, raw or combined."""
        try:
            event = orjson.loads(frame)
            event = event.get("data", event)
            return RecordedQuote(event["s"], (float(event["b"]) + float(event["a"])) / 2)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


class BinanceSession:
    """One client of Binance; *has_data* is false on a route that carries no quotes."""

    def __init__(
        self, market: Market, client: Client, *, form: str, has_data: bool, streams: list[str]
    ) -> None:
        self.last_push_s = client.opened_s
        self.intake = Intake(client)
        self._directory = client.directory
        self.form = form
        self._market = market
        self._has_data = has_data
        self._from_url = streams
        self._streams: dict[str, int | None] = {}
        self._ping_s, self._pong_within_s = PING_S[market]
        self._opened_s = client.opened_s
        self._pinged_s = client.opened_s
        self._is_awaiting_pong = False

    def opened(self) -> list[Action]:
        """Subscribe what stands in the URL."""
        return self._subscribe(self._from_url, None, [], self._opened_s)

    def received(self, message: str | bytes, now_s: float) -> list[Action]:
        """Answer one request."""
        if refusal := self.intake.refusal(message, now_s):
            return [refusal]
        try:
            request = orjson.loads(message)
        except orjson.JSONDecodeError as error:
            return [self._error(3, f"Invalid JSON: {error}", None)]
        if not isinstance(request, dict):
            return [self._error(2, "Invalid request: request must be an object", None)]
        return self._answer(request, now_s)

    def farewell(self, now_ms: int) -> list[Action]:
        """Announce the end of the connection."""
        event: dict[str, Any] = {"e": "serverShutdown", "E": now_ms}
        if self.form == COMBINED:
            event = {"stream": "!serverShutdown", "data": event}
        return [Send(orjson.dumps(event).decode())]

    def tick(self, now_s: float) -> list[Action]:
        """Ping when it is time; give up on a client that does not answer."""
        if self._is_awaiting_pong and now_s - self._pinged_s > self._pong_within_s:
            return [Close(1008, "Pong timeout")]
        if now_s - self._pinged_s < self._ping_s or self._is_awaiting_pong:
            return []
        self._pinged_s = now_s
        self._is_awaiting_pong = True
        return [Ping(str(int(now_s * 1000)))]

    def ponged(self, now_s: float) -> None:
        """Note that the client lives; the next ping keeps its own rhythm."""
        del now_s
        self._is_awaiting_pong = False

    def _answer(self, request: dict[str, Any], now_s: float) -> list[Action]:
        request_id, method = request.get("id"), request.get("method")
        if method == "LIST_SUBSCRIPTIONS":
            return [_result(list(self._streams), request_id)]
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            found = orjson.dumps(method).decode()
            return [self._error(2, f"Invalid request: unknown variant {found}", request_id)]
        names = request.get("params")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return [self._error(2, "Invalid request: params must be an array", request_id)]
        self.intake.count_request(now_s)
        if method == "UNSUBSCRIBE":
            return [_result(None, request_id), *self._unsubscribe(names)]
        return self._subscribe(names, request_id, [_result(None, request_id)], now_s)

    def _subscribe(
        self, names: list[str], request_id: object, acknowledgement: list[Action], now_s: float
    ) -> list[Action]:
        actions = acknowledgement
        for name in names:
            if name in self._streams:
                continue
            row = self._row(name)
            self._streams[name] = row
            if row is not None:
                actions.append(Listen(row, with_snapshot=False))
        if self.intake.has_too_many(len(self._streams), now_s):
            error = {"error": {"code": 4, "msg": "Too many subscriptions"}, "id": request_id}
            return [Send(orjson.dumps(error).decode()), Close(1008, "Too many subscriptions")]
        return actions

    def _unsubscribe(self, names: list[str]) -> list[Action]:
        rows = [self._streams.pop(name, None) for name in names]
        return [Unlisten(row) for row in rows if row is not None]

    def _row(self, stream: str) -> int | None:
        symbol, at, channel = stream.partition("@")
        if at + channel != CHANNEL or symbol != symbol.lower():
            return None
        return self._directory.get(symbol.upper()) if self._has_data else None

    def _error(self, code: int, text: str, request_id: object) -> Send:
        # Spot answers flat, futures wraps; both recorded.
        body: dict[str, Any] = {"code": code, "msg": text}
        if self._market is Market.FUTURES:
            body = {"error": body}
        return Send(orjson.dumps({**body, "id": request_id}).decode())


def _result(result: list[str] | None, request_id: object) -> Send:
    return Send(orjson.dumps({"result": result, "id": request_id}).decode())


def _listing(market: Market, naming: Naming) -> Listing:
    is_spot = market is Market.SPOT
    quoted = naming.coin.price_usd * naming.coins
    tick = max(magnitude(quoted) - 5, -8 if is_spot else -7)
    lot = min(0, -magnitude(quoted) - 1 if is_spot else 1 - magnitude(quoted))
    return Listing(
        exchange_symbol=f"{naming.base}USDT",
        base=naming.base,
        coin=naming.coin,
        coin_index=naming.coin_index,
        price_coins=float(naming.coins),
        size_coins=float(naming.coins),
        tick_exponent=tick,
        lot_exponent=lot,
        # Spot always writes eight decimals; futures one more than the tick has.
        price_digits=8 if is_spot else max(0, -tick) + 1,
        size_digits=8 if is_spot else max(0, -lot),
    )


VENUE: type[Venue] = BinanceVenue
