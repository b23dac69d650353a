"""MEXC as a client sees it: two exchanges in one, spot by protobuf and futures by JSON.

From mexc.com/api-docs (2026-08), recordings of 2025 and probes of 2026-09; what is particular to a
market stands in its own file. Errors of the futures REST come with status 200 and
``success: false``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson

from spreadscan.model import Market, source_name_of
from spreadscan.sim.manners import Limits
from spreadscan.sim.market import Quote
from spreadscan.sim.universe import Coin, Listing, Naming, magnitude, prefixed
from spreadscan.sim.venues._mexc_futures import MexcFuturesSession, encode_futures, read_futures
from spreadscan.sim.venues._mexc_listing import contract_detail, exchange_info
from spreadscan.sim.venues._mexc_spot import MAX_TOPICS, MexcSpotSession, encode_spot, read_spot
from spreadscan.sim.venues._mexc_tickers import (
    books_of,
    contract_funding,
    contract_tickers,
    tickers_24h,
)
from spreadscan.sim.venues._venue import (
    Board,
    Client,
    Endpoint,
    Frame,
    Moment,
    RecordedQuote,
    RestReply,
    Session,
    Target,
    Venue,
    Window,
)

__all__ = ["VENUE", "MexcVenue"]

BOOK_PATH = "/api/v3/ticker/bookTicker"
FUNDING_PATH = "/api/v1/contract/funding_rate"
# Spot weights as in the documents of 2026, the same for one symbol or all.
ENDPOINTS = {
    Market.SPOT: {
        "/api/v3/exchangeInfo": Endpoint("listing", 25),
        "/api/v3/ticker/24hr": Endpoint("tickers", 25),
        BOOK_PATH: Endpoint("tickers", 10),
    },
    Market.FUTURES: {
        "/api/v1/contract/detail": Endpoint("listing"),
        "/api/v1/contract/ticker": Endpoint("tickers"),
        FUNDING_PATH: Endpoint("funding", 0, window=Window(20, 2.0)),
    },
}
WS_PATHS = {Market.SPOT: ("", "ws"), Market.FUTURES: ("", "edge")}
LIMITS = {
    Market.SPOT: Limits(
        messages_per_s=100, messages_fatal=200, topics_per_connection=MAX_TOPICS,
        lifetime_s=86_400.0, rest_weight=300, rest_window_s=10.0,
    ),
    Market.FUTURES: Limits(rest_weight=10, rest_per_path=True, rest_window_s=2.0),
}  # fmt: skip
# How often an unchanged book is sent again.
REPEAT_S = {Market.SPOT: 0.1, Market.FUTURES: 0.3}
# Contracts that are called otherwise than their coin, as recorded.
OTHER_NAMES = {"TON": "TONCOIN", "FIL": "FILECOIN"}
# Bundles that this exchange quotes; the other coins of the kind are priced one by one.
BUNDLES = {"BONK": 1000}


class MexcVenue:
    """Spot, or USDT-settled perpetual contracts."""

    name: ClassVar[str] = "mexc"
    shares_symbols: ClassVar[bool] = False
    shares_connects: ClassVar[bool] = False

    def __init__(self, market: Market, coins: Sequence[Coin], added: Sequence[Naming] = ()) -> None:
        self.market = market
        self.source = source_name_of(self.name, market)
        self.limits = LIMITS[market]
        self.resend_quiet_s: float | None = REPEAT_S[market]
        self.endpoints: Mapping[str, Endpoint] = ENDPOINTS[market]
        is_spot = market is Market.SPOT
        name, make = (prefixed, _spot_listing) if is_spot else (_contract_naming, _contract)
        usual = (name(index, coin) for index, coin in enumerate(coins))
        self.listings = tuple(make(naming) for naming in (*usual, *added))
        self.delisted: set[str] = set()
        self.hourly: set[str] = set()

    def rest(self, target: Target, now_ms: int, board: Board) -> RestReply:
        """Answer this market's list or tickers."""
        endpoint = self.endpoints.get(target.path)
        if endpoint is None:
            return RestReply(404, {"code": 404, "msg": "Not Found"})
        is_listing = endpoint.subject == "listing"
        wanted = target.query.get("symbol")
        if self.market is Market.SPOT:
            if is_listing:
                body = exchange_info(self.listings, self.delisted, now_ms)
                return RestReply(200, body, body["symbols"])
            rows = tickers_24h(self, now_ms, board)
            return _spot_tickers(books_of(rows) if target.path == BOOK_PATH else rows, wanted)
        if is_listing:
            return _contracts(contract_detail(self.listings, self.delisted), wanted)
        if target.path == FUNDING_PATH:
            return _contracts(contract_funding(self, now_ms), wanted)
        return _contracts(contract_tickers(self, now_ms, board), wanted)

    def refusal(self, status: int) -> bytes:
        """Write the body of a refusal."""
        if self.market is Market.SPOT:
            return orjson.dumps({"code": status, "msg": "Too Many Requests"})
        code = 801 if status == 503 else 510
        return orjson.dumps({"success": False, "code": code, "message": "Requests too frequent"})

    def session(self, target: Target, client: Client) -> Session | None:
        """Begin a conversation on this market's path or the bare address."""
        if target.path.strip("/") not in WS_PATHS[self.market]:
            return None
        if self.market is Market.SPOT:
            return MexcSpotSession(client)
        return MexcFuturesSession(client)

    def encode(self, listing: Listing, quote: Quote, form: str, moment: Moment) -> Frame:
        """Write a push: protobuf on spot, JSON on futures."""
        write = encode_spot if self.market is Market.SPOT else encode_futures
        return write(listing, quote, form, moment)

    def read(self, frame: bytes) -> RecordedQuote | None:
        """Return symbol and mid of a push with both sides."""
        return read_spot(frame) if self.market is Market.SPOT else read_futures(frame)


def _spot_tickers(rows: list[dict[str, Any]], wanted: str | None) -> RestReply:
    if wanted is None:
        return RestReply(200, rows, rows)
    found = [row for row in rows if row["symbol"] == wanted]
    if not found:
        return RestReply(400, {"code": -1121, "msg": "Invalid symbol."})
    return RestReply(200, found[0])


def _contracts(rows: list[dict[str, Any]], wanted: str | None) -> RestReply:
    if wanted is None:
        return RestReply(200, {"success": True, "code": 0, "data": rows}, rows)
    found = [row for row in rows if row["symbol"] == wanted]
    if not found:
        text = "Contract not exists!"
        return RestReply(200, {"success": False, "code": 1001, "message": text})
    return RestReply(200, {"success": True, "code": 0, "data": found[0]})


def _contract_naming(index: int, coin: Coin) -> Naming:
    usual = prefixed(index, coin, BUNDLES.get(coin.name, 1))
    return usual._replace(base=OTHER_NAMES.get(usual.base, usual.base))


def _spot_listing(naming: Naming) -> Listing:
    leading = magnitude(naming.coin.price_usd * naming.coins)
    tick = min(0, max(leading - 5, -10))
    lot = min(0, max(-8, -leading - 2))
    return Listing(
        exchange_symbol=f"{naming.base}USDT",
        base=naming.base,
        coin=naming.coin,
        coin_index=naming.coin_index,
        price_coins=float(naming.coins),
        size_coins=float(naming.coins),
        tick_exponent=tick,
        lot_exponent=lot,
        price_digits=-tick,
        size_digits=0,
    )


def _contract(naming: Naming) -> Listing:
    leading = magnitude(naming.coin.price_usd * naming.coins)
    return Listing(
        exchange_symbol=f"{naming.base}_USDT",
        base=naming.base,
        base_name=naming.base_name or naming.base,
        coin=naming.coin,
        coin_index=naming.coin_index,
        price_coins=float(naming.coins),
        # A contract is worth some dollars.
        size_coins=10.0**-leading * naming.coins,
        tick_exponent=max(leading - 5, -10),
        lot_exponent=0,
        price_digits=0,
        size_digits=0,
    )


VENUE: type[Venue] = MexcVenue
