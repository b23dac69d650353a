"""MEXC as a client sees it: two exchanges in one, spot by protobuf and futures by JSON.

From mexc.com/api-docs (2026-08), recordings of 2025 and probes of 2026-09; what is particular to a
market stands in its own file. Errors of the futures REST come with status 200 and
``success: false``.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import orjson

from spreadscan.model import Market, source_name_of
from spreadscan.sim.manners import Limits
from spreadscan.sim.market import Quote
from spreadscan.sim.universe import Coin, Listing, magnitude
from spreadscan.sim.venues._mexc_futures import MexcFuturesSession, encode_futures, read_futures
from spreadscan.sim.venues._mexc_listing import contract_detail, exchange_info
from spreadscan.sim.venues._mexc_spot import MAX_TOPICS, MexcSpotSession, encode_spot, read_spot
from spreadscan.sim.venues._venue import (
    Client,
    Frame,
    Moment,
    RecordedQuote,
    RestReply,
    Session,
    Target,
    Venue,
)

__all__ = ["VENUE", "MexcVenue"]

REST_PATHS = {Market.SPOT: "/api/v3/exchangeInfo", Market.FUTURES: "/api/v1/contract/detail"}
WS_PATHS = {Market.SPOT: ("", "ws"), Market.FUTURES: ("", "edge")}
LIMITS = {
    # 300 weight in ten seconds, of which a listing takes 25.
    Market.SPOT: Limits(
        messages_per_s=100, messages_fatal=200, topics_per_connection=MAX_TOPICS,
        lifetime_s=86_400.0, rest_requests=12, rest_window_s=10.0,
    ),
    Market.FUTURES: Limits(rest_requests=10, rest_window_s=2.0),
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

    def __init__(self, market: Market, coins: Sequence[Coin]) -> None:
        self.market = market
        self.source = source_name_of(self.name, market)
        self.limits = LIMITS[market]
        self.resend_quiet_s: float | None = REPEAT_S[market]
        make = _spot_listing if market is Market.SPOT else _contract
        self.listings = tuple(make(index, coin) for index, coin in enumerate(coins))
        self.delisted: set[str] = set()

    def rest(self, target: Target, now_ms: int) -> RestReply:
        """Answer this market's listing."""
        if target.path != REST_PATHS[self.market]:
            return RestReply(404, orjson.dumps({"code": 404, "msg": "Not Found"}))
        body: dict[str, Any]
        if self.market is Market.SPOT:
            body = exchange_info(self.listings, self.delisted, now_ms)
        else:
            rows = contract_detail(self.listings, self.delisted)
            wanted = target.query.get("symbol")
            if wanted is None:
                body = {"success": True, "code": 0, "data": rows}
            elif found := [row for row in rows if row["symbol"] == wanted]:
                body = {"success": True, "code": 0, "data": found[0]}
            else:
                body = {"success": False, "code": 1001, "message": "Contract not exists!"}
        return RestReply(200, orjson.dumps(body))

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


def _spot_listing(index: int, coin: Coin) -> Listing:
    leading = magnitude(coin.price_usd)
    tick = min(0, max(leading - 5, -10))
    lot = min(0, max(-8, -leading - 2))
    return Listing(
        exchange_symbol=f"{coin.name}USDT",
        coin=coin,
        coin_index=index,
        tick_exponent=tick,
        lot_exponent=lot,
        price_digits=-tick,
        size_digits=0,
    )


def _contract(index: int, coin: Coin) -> Listing:
    bundle = BUNDLES.get(coin.name, 1)
    leading = magnitude(coin.price_usd * bundle)
    name = OTHER_NAMES.get(coin.name, coin.name)
    prefix = "" if bundle == 1 else str(bundle)
    return Listing(
        exchange_symbol=f"{prefix}{name}_USDT",
        coin=coin,
        coin_index=index,
        price_coins=float(bundle),
        # A contract is worth some dollars.
        size_coins=10.0**-leading * bundle,
        tick_exponent=max(leading - 5, -10),
        lot_exponent=0,
        price_digits=0,
        size_digits=0,
    )


VENUE: type[Venue] = MexcVenue
