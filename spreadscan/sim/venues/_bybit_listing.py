"""Bybit's instruments-info of the simulated world, with the rows that a reader must not take.

Shapes as recorded on 2025-09-21 (linear) and 2026 (spot). ``linear`` mixes USDT perpetuals with
USDC ones, dated contracts, stocks, commodities and perpetuals that are about to be delisted;
pre-market contracts come only when asked for. A page has 500 rows unless more are asked for, at
most 1,000, and the cursor arrives percent-encoded.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from spreadscan.model import Market
from spreadscan.sim.universe import Listing, decimal_text, without_listed
from spreadscan.sim.venues._funding import funding_hours
from spreadscan.sim.venues._venue import Venue

__all__ = ["CATEGORIES", "instruments", "strangers"]

Row = dict[str, Any]
CATEGORIES = {Market.SPOT: "spot", Market.FUTURES: "linear"}
DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS = 500, 1000


def instruments(venue: Venue, query: Mapping[str, str]) -> Row:
    """Return the ``result`` of one instruments-info request; a delisted symbol is gone.

    Raises:
        ValueError: limit, cursor or status is none that the exchange takes.
    """
    market, listings = venue.market, venue.listings
    if market is Market.SPOT:
        rows = [_spot_row(listing) for listing in listings]
    else:
        rows = [
            _linear_row(listing) | {"fundingInterval": 60 * funding_hours(venue, listing)}
            for listing in listings
        ]
    rows += strangers(market, listings)
    status = query.get("status", "Trading")
    if status not in {"Trading", "PreLaunch", "Delivering", "Closed"}:
        raise ValueError(f"status {status}")
    for row in rows:
        if row["symbol"] in venue.delisted:
            row["status"] = "Closed"
    rows = sorted((row for row in rows if row["status"] == status), key=_symbol)
    category = CATEGORIES[market]
    if market is Market.SPOT:  # limit and cursor are ignored
        return {"category": category, "list": rows, "nextPageCursor": None}
    page, cursor = _page(rows, query)
    return {"category": category, "list": page, "nextPageCursor": cursor}


def strangers(market: Market, listings: Sequence[Listing]) -> list[Row]:
    """Return the rows that a reader must not take."""
    if market is Market.SPOT:
        rows = _spot_strangers(_spot_row(listings[0]))
    else:
        rows = _linear_strangers(_linear_row(listings[0]))
    return without_listed(rows, "symbol", listings)


def _symbol(row: Row) -> str:
    return str(row["symbol"])


def _page(rows: list[Row], query: Mapping[str, str]) -> tuple[list[Row], str]:
    limit = int(query.get("limit", DEFAULT_PAGE_ROWS))
    if not 1 <= limit <= MAX_PAGE_ROWS:
        raise ValueError(f"limit {limit}")
    start = 0
    if cursor := query.get("cursor", ""):
        known = [_cursor(rows, first, limit) for first in range(0, len(rows), limit)]
        # The query was decoded once; what is still encoded was encoded twice by the client.
        found = quote(cursor, safe="")
        if found not in known:
            raise ValueError(f"cursor {cursor}")
        start = (known.index(found) + 1) * limit
    is_last = start + limit >= len(rows)
    return rows[start : start + limit], "" if is_last else _cursor(rows, start, limit)


def _cursor(rows: list[Row], first: int, limit: int) -> str:
    last = min(first + limit, len(rows)) - 1
    return quote(f"first={_symbol(rows[first])}&last={_symbol(rows[last])}", safe="")


def _spot_row(listing: Listing) -> Row:
    lot = decimal_text(1, listing.lot_exponent, 0)
    return {
        "symbolId": listing.coin_index + 1,
        "symbol": listing.exchange_symbol,
        "baseCoin": listing.base,
        "quoteCoin": "USDT",
        "innovation": "0",
        "status": "Trading",
        "marginTrading": "utaOnly",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": lot,
            "quotePrecision": "0.0000001",
            "minOrderQty": lot,
            "maxOrderQty": "1000000000",
            "minOrderAmt": "5",
            "maxLimitOrderQty": "1000000000",
            "maxMarketOrderQty": "500000000",
            "postOnlyMaxLimitOrderSize": "60000",
        },
        "priceFilter": {"tickSize": decimal_text(1, listing.tick_exponent, 0)},
        "symbolType": "",
    }


def _linear_row(listing: Listing) -> Row:
    tick = decimal_text(1, listing.tick_exponent, 0)
    lot = decimal_text(1, listing.lot_exponent, 0)
    return {
        "symbol": listing.exchange_symbol,
        "symbolId": listing.coin_index + 1,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        # The multiplier stands inside the coin's name, and there is no field for it.
        "baseCoin": listing.base,
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(max(0, -listing.tick_exponent)),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
        "lotSizeFilter": {
            "maxOrderQty": "60000000",
            "minOrderQty": lot,
            "qtyStep": lot,
            "maxMktOrderQty": "12000000",
            "minNotionalValue": "5",
        },
        "fundingInterval": 480,
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
        "displayName": "",
        "symbolType": "",
    }


def _spot_strangers(model: Row) -> list[Row]:
    def row(base: str, quote_coin: str = "USDT", **changes: Any) -> Row:
        names = {"symbol": base + quote_coin, "baseCoin": base, "quoteCoin": quote_coin}
        return {**model, **names, **changes}

    return [
        row("BTC", "USDC"),
        row("BTC", "EUR"),
        row("ETH", "BTC"),
        row("TSLAX", symbolType="xstocks", xstockMultiplier="1"),
    ]


def _linear_strangers(model: Row) -> list[Row]:
    def row(base: str, **changes: Any) -> Row:
        return {**model, "symbol": f"{base}USDT", "baseCoin": base, **changes}

    usdc = {"quoteCoin": "USDC", "settleCoin": "USDC"}
    pre_market = {"isPreListing": True, "preListingInfo": {"curAuctionPhase": "CallAuction"}}
    return [
        row("BTC", symbol="BTCPERP", **usdc),
        row("SHIB1000", symbol="SHIB1000PERP", **usdc),
        row("BTC", symbol="BTCUSDT-25DEC26", contractType="LinearFutures",
            deliveryTime="1798185600000"),
        row("BTC", symbol="BTC-25DEC26", contractType="LinearFutures",
            deliveryTime="1798185600000", **usdc),
        row("TSLA", symbolType="stock"),
        row("XAU", symbolType="commodity"),
        row("EURUSD", symbolType="forex"),
        # Trades until its delivery time: a delisting that is announced.
        row("OMG", deliveryTime="1795000000000"),
        row("EARLY", status="PreLaunch", **pre_market),
        row("REEF", status="Closed", deliveryTime="1780000000000"),
        row("STMX", status="Delivering", deliveryTime="1780000000000"),
    ]  # fmt: skip
