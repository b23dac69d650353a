"""OKX as a client sees it: public instruments and tickers, and bbo-tbt over WebSocket.

From okx.com/docs-v5 (public-data instruments 2026-07-03, order-book channel 2026-07-07) and live
frames of 2025 and 2026. Worth knowing:

* One acknowledgement per argument, with the connection's id. An unknown instrument refuses its own
  argument only, and the error names it in prose.
* The full first level at once on subscribe and on every change; again after a minute of silence,
  with the same ``seqId``.
* Sizes of swaps are in contracts. ``ping`` and ``pong`` are plain text.
* A connection on which nothing was pushed for 30 seconds is closed with 4004.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson

from spreadscan.model import Market, source_name_of
from spreadscan.sim.manners import Limits
from spreadscan.sim.market import Quote
from spreadscan.sim.universe import Coin, Listing, Naming, magnitude
from spreadscan.sim.venues._okx_listing import INST_TYPES, instruments
from spreadscan.sim.venues._okx_tickers import funding_rates, index_tickers, tickers
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
    Window,
)

__all__ = ["VENUE", "OkxSession", "OkxVenue"]

CHANNEL = "bbo-tbt"
INSTRUMENTS_PATH = "/api/v5/public/instruments"
INDEX_PATH = "/api/v5/market/index-tickers"
FUNDING_PATH = "/api/v5/public/funding-rate"
ENDPOINTS = {
    INSTRUMENTS_PATH: Endpoint("listing"),
    "/api/v5/market/tickers": Endpoint("tickers"),
    INDEX_PATH: Endpoint("tickers"),
    FUNDING_PATH: Endpoint("funding", 0, window=Window(10, 2.0)),
}
WS_PATHS = ("", "ws/v5/public")
IDLE_S = 30.0
LIMITS = Limits(
    requests_per_hour=480,
    message_bytes=65_536,
    topic_bytes_per_connection=65_536,
    connects=3,
    connects_window_s=1.0,
    rest_weight=20,
    rest_per_path=True,
    rest_window_s=2.0,
)


class OkxVenue:
    """Spot, or USDT-settled linear swaps; both at one address, with one window of connects."""

    name: ClassVar[str] = "okx"
    shares_symbols: ClassVar[bool] = True
    shares_connects: ClassVar[bool] = True

    def __init__(self, market: Market, coins: Sequence[Coin], added: Sequence[Naming] = ()) -> None:
        self.market = market
        self.source = source_name_of(self.name, market)
        self.limits = LIMITS
        self.endpoints: Mapping[str, Endpoint] = ENDPOINTS
        self.resend_quiet_s: float | None = 60.0
        usual = (Naming(index, coin, coin.name) for index, coin in enumerate(coins))
        self.listings = tuple(_listing(market, naming) for naming in (*usual, *added))
        self.delisted: set[str] = set()
        self.hourly: set[str] = set()

    def rest(self, target: Target, now_ms: int, board: Board) -> RestReply:
        """Answer for this market; errors come in the exchange's envelope."""
        if target.path not in self.endpoints:
            return _reply(404, "404", f"Invalid path {target.path}", [])
        if target.path == FUNDING_PATH:
            return self._funding(target.query, now_ms)
        is_index = target.path == INDEX_PATH
        if is_index and not {"quoteCcy", "instId"} & target.query.keys():
            return _reply(400, "50014", "Parameter quoteCcy can not be empty", [])
        kind = target.query.get("instType", "")
        if not is_index and kind not in INST_TYPES.values():
            return _reply(400, "51000", "Parameter instType error", [])
        if is_index:
            rows = index_tickers(self, target.query, now_ms, board)
        elif kind != INST_TYPES[self.market]:
            rows = []
        elif target.path == INSTRUMENTS_PATH:
            rows = instruments(self.market, self.listings, self.delisted)
        else:
            rows = tickers(self, now_ms, board)
        return _reply(200, "0", "", rows)

    def _funding(self, query: Mapping[str, str], now_ms: int) -> RestReply:
        wanted = query.get("instId", "")
        if not wanted:
            return _reply(400, "50014", "Parameter instId can not be empty", [])
        rows = funding_rates(self, now_ms) if self.market is Market.FUTURES else []
        if wanted != "ANY":
            rows = [row for row in rows if row["instId"] == wanted]
        if not rows:
            return _reply(400, "51001", "Instrument ID does not exist", [])
        return _reply(200, "0", "", rows)

    def refusal(self, status: int) -> bytes:
        """Write the body of a refusal."""
        code, text = {
            403: ("50113", "Forbidden"),
            418: ("50011", "Too Many Requests"),
            429: ("50011", "Too Many Requests"),
            503: ("50001", "Service temporarily unavailable. Please try again later"),
        }[status]
        return orjson.dumps(_envelope(code, text, []))

    def session(self, target: Target, client: Client) -> Session | None:
        """Begin a conversation on the public path or the bare address."""
        return OkxSession(client) if target.path.strip("/") in WS_PATHS else None

    def encode(self, listing: Listing, quote: Quote, form: str, moment: Moment) -> Frame:
        """Write a bbo-tbt push; there is one form."""
        del form, moment  # bbo-tbt carries the time of the engine alone
        ask, ask_size = listing.price_text(quote.ask_ticks), listing.size_text(quote.ask_lots)
        bid, bid_size = listing.price_text(quote.bid_ticks), listing.size_text(quote.bid_lots)
        # The last field counts orders; that it follows from the size keeps runs repeatable.
        ask_orders, bid_orders = quote.ask_lots % 17 + 1, quote.bid_lots % 17 + 1
        return (
            f'{{"arg":{{"channel":"{CHANNEL}","instId":"{listing.exchange_symbol}"}},"data":[{{'
            f'"asks":[["{ask}","{ask_size}","0","{ask_orders}"]],'
            f'"bids":[["{bid}","{bid_size}","0","{bid_orders}"]],'
            f'"ts":"{quote.exchange_ms}","seqId":{quote.update_id}}}]}}'
        )

    def read(self, frame: bytes) -> RecordedQuote | None:
        """Return instrument and mid of a push with both sides."""
        try:
            push = orjson.loads(frame)
            book = push["data"][0]
            mid = (float(book["bids"][0][0]) + float(book["asks"][0][0])) / 2
            return RecordedQuote(push["arg"]["instId"], mid)
        except (ValueError, LookupError, TypeError):
            return None


class OkxSession:
    """One client of OKX."""

    form = ""

    def __init__(self, client: Client) -> None:
        self.last_push_s = client.opened_s
        self.intake = Intake(client)
        self._directory = client.directory
        self._rows: dict[str, int] = {}
        self._arg_bytes: dict[str, int] = {}
        self._connection_id = f"{0xA4D30000 + client.number:08x}"

    def received(self, message: str | bytes, now_s: float) -> list[Action]:
        """Answer one request; each argument on its own."""
        if refusal := self.intake.refusal(message, now_s):
            return [refusal]
        if message == "ping":
            # A pong counts as pushed, so that an idle but polite client is kept.
            self.last_push_s = now_s
            return [Send("pong")]
        request = _request(message)
        if request is None:
            text = message if isinstance(message, str) else message.decode(errors="replace")
            return [self._error("60012", f"Invalid request: {text}")]
        op, request_id = request["op"], request.get("id")
        if self.intake.count_request(now_s):
            return [self._error("60014", "Requests too frequent", request_id)]
        answer = self._subscribe if op == "subscribe" else self._unsubscribe
        actions = [action for arg in request["args"] for action in answer(arg, request_id)]
        self.intake.has_too_many(len(self._rows), now_s)
        self.intake.has_too_many_bytes(sum(self._arg_bytes.values()), now_s)
        return actions

    def tick(self, now_s: float) -> list[Action]:
        """Close a connection on which nothing happens."""
        if now_s - self.last_push_s > IDLE_S:
            return [Close(4004, "No data received in 30s.")]
        return []

    def opened(self) -> list[Action]:
        """Say nothing: the exchange does not greet."""
        return []

    def ponged(self, now_s: float) -> None:
        """Do nothing: this exchange sends no pings."""

    def farewell(self, now_ms: int) -> list[Action]:
        """Announce the end of the connection."""
        del now_ms
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        body = {"event": "notice", "code": "64008", "msg": text, "connId": self._connection_id}
        return [Send(orjson.dumps(body).decode())]

    def _subscribe(self, arg: dict[str, Any], request_id: str | None) -> list[Action]:
        channel, instrument = arg.get("channel"), arg.get("instId")
        row = self._directory.get(str(instrument))
        if channel != CHANNEL or row is None:
            text = (
                f"Wrong URL or channel:{channel},instId:{instrument} doesn't exist. Please use the "
                "correct URL, channel and parameters referring to API document."
            )
            return [self._error("60018", text, request_id)]
        self._rows[str(instrument)] = row
        self._arg_bytes[str(instrument)] = len(orjson.dumps(arg))
        ack = self._event("subscribe", arg, request_id)
        return [ack, Listen(row, with_snapshot=True)]

    def _unsubscribe(self, arg: dict[str, Any], request_id: str | None) -> list[Action]:
        row = self._rows.pop(str(arg.get("instId")), None)
        self._arg_bytes.pop(str(arg.get("instId")), None)
        ack = self._event("unsubscribe", arg, request_id)
        return [ack] if row is None else [ack, Unlisten(row)]

    def _event(self, event: str, arg: dict[str, Any], request_id: str | None) -> Send:
        begin = {} if request_id is None else {"id": request_id}
        body = {**begin, "event": event, "arg": arg, "connId": self._connection_id}
        return Send(orjson.dumps(body).decode())

    def _error(self, code: str, text: str, request_id: str | None = None) -> Send:
        begin = {} if request_id is None else {"id": request_id}
        body = {**begin, "event": "error", "code": code, "msg": text}
        return Send(orjson.dumps({**body, "connId": self._connection_id}).decode())


def _request(message: str | bytes) -> dict[str, Any] | None:
    """Return a request that can be answered, None for everything else."""
    try:
        request = orjson.loads(message)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(request, dict) or request.get("op") not in ("subscribe", "unsubscribe"):
        return None
    args = request.get("args")
    if not isinstance(args, list) or not all(isinstance(arg, dict) for arg in args):
        return None
    return request


def _reply(status: int, code: str, text: str, rows: list[dict[str, Any]]) -> RestReply:
    return RestReply(status, _envelope(code, text, rows), rows)


def _envelope(code: str, text: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"code": code, "msg": text, "data": rows}


def _listing(market: Market, naming: Naming) -> Listing:
    coin = naming.coin
    leading = magnitude(coin.price_usd * naming.coins)
    if market is Market.SPOT:
        suffix, size_coins = "", float(naming.coins)
        lot = min(0, max(-8, -leading - 3))
    else:
        # Whole contracts where a contract is small; tenths and hundredths where it is not.
        suffix, size_coins = "-SWAP", coin.contract_coins
        lot = -min(2, max(0, magnitude(size_coins * coin.price_usd) - 1))
    tick = max(leading - 5, -10)
    return Listing(
        exchange_symbol=f"{naming.base}-USDT{suffix}",
        base=naming.base,
        coin=coin,
        coin_index=naming.coin_index,
        price_coins=float(naming.coins),
        size_coins=size_coins,
        tick_exponent=tick,
        lot_exponent=lot,
        price_digits=max(0, -tick),
        size_digits=0,
    )


VENUE: type[Venue] = OkxVenue
