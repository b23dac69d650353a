"""Binance's exchangeInfo of the simulated world, with the rows that a reader must not take.

Shapes as recorded on 2025-08-07 (spot) and 2026-10-07 (futures). The strange rows are real kinds:
suspended pairs stay listed for ever, the futures list mixes quarterly, USDC, equity, index and
pre-market contracts with the perpetuals, and a handful of names are not ASCII.
"""

from collections.abc import Collection, Sequence
from typing import Any

from spreadscan.model import Market
from spreadscan.sim.universe import Listing, decimal_text, without_listed

__all__ = ["NEVER_MS", "exchange_info", "strangers"]

Row = dict[str, Any]
# What deliveryDate says while no delisting is announced.
NEVER_MS = 4133404800000


def exchange_info(
    market: Market, listings: Sequence[Listing], delisted: Collection[str], now_ms: int
) -> Row:
    """Return the body of one exchangeInfo request; a delisted symbol stays with a dead status."""
    if market is Market.SPOT:
        limits, symbols = _SPOT_LIMITS, [_spot_row(listing) for listing in listings]
    else:
        limits, symbols = _FUTURES_LIMITS, [_futures_row(listing) for listing in listings]
    symbols += strangers(market, listings)
    for row in symbols:
        if row["symbol"] in delisted:
            row["status"] = "BREAK" if market is Market.SPOT else "SETTLING"
    body: Row = {"timezone": "UTC", "serverTime": now_ms}
    if market is Market.FUTURES:
        body["futuresType"] = "U_MARGINED"
    return {**body, "rateLimits": limits, "exchangeFilters": [], "symbols": symbols}


def strangers(market: Market, listings: Sequence[Listing]) -> list[Row]:
    """Return the rows that a reader must not take."""
    if market is Market.SPOT:
        rows = _spot_strangers(_spot_row(listings[0]))
    else:
        rows = _futures_strangers(_futures_row(listings[0]))
    return without_listed(rows, "symbol", listings)


def _limit(kind: str, interval: str, number: int, limit: int) -> Row:
    return {
        "rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit,
    }  # fmt: skip


_SPOT_LIMITS = [
    _limit("REQUEST_WEIGHT", "MINUTE", 1, 6000),
    _limit("ORDERS", "SECOND", 10, 100),
    _limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
]
_FUTURES_LIMITS = [
    _limit("REQUEST_WEIGHT", "MINUTE", 1, 2400),
    _limit("ORDERS", "MINUTE", 1, 1200),
]


def _spot_row(listing: Listing) -> Row:
    tick = decimal_text(1, listing.tick_exponent, 8)
    lot = decimal_text(1, listing.lot_exponent, 8)
    return {
        "symbol": listing.exchange_symbol,
        "status": "TRADING",
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": True,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "1000000.00000000",
                "tickSize": tick,
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": lot,
                "maxQty": "900000000.00000000",
                "stepSize": lot,
            },
            # "0" means that there is no such rule.
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": "0.00000000",
                "maxQty": "97.09521512",
                "stepSize": "0.00000000",
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
        "permissions": [],
        "permissionSets": [["SPOT", "MARGIN"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
    }


def _spot_strangers(model: Row) -> list[Row]:
    def row(base: str, quote: str = "USDT", **changes: Any) -> Row:
        names = {"symbol": base + quote, "baseAsset": base, "quoteAsset": quote}
        return {**model, **names, **changes}

    legacy = {"filterType": "MIN_NOTIONAL", "minNotional": "5.00000000", "applyToMarket": True}
    return [
        row("BTC", "USDC"),
        row("ETH", "BTC"),
        row("BTC", "TRY"),
        row("BCC", status="BREAK", isSpotTradingAllowed=False),
        row("VEN", status="BREAK"),
        row("FTT", status="HALT"),
        row("REEF", status="CANCEL_ONLY"),
        row("DREP", isSpotTradingAllowed=False),
        # Lists here and on the same exchange's futures only, so it makes no pair.
        row("币安人生", filters=[*model["filters"][:3], legacy]),
    ]


def _futures_row(listing: Listing) -> Row:
    digits = listing.price_digits
    tick = decimal_text(1, listing.tick_exponent, digits)
    lot = decimal_text(1, listing.lot_exponent, 0)
    return {
        "symbol": listing.exchange_symbol,
        "pair": listing.exchange_symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": NEVER_MS,
        "onboardDate": 1567965300000,
        "status": "TRADING",
        # The multiplier stands inside the name of the asset.
        "baseAsset": listing.base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        # One more than the tick has: a reader that takes this for the tick is wrong, as there.
        "pricePrecision": digits,
        "quantityPrecision": listing.size_digits,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764",
             "tickSize": tick},
            {"filterType": "LOT_SIZE", "stepSize": lot, "minQty": lot, "maxQty": "10000000"},
            {"filterType": "MARKET_LOT_SIZE", "stepSize": lot, "minQty": lot, "maxQty": "10000"},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": "50" if listing.coin_index == 0 else "5"},
            {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500",
             "multiplierDecimal": "4"},
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "TAKE_PROFIT"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }  # fmt: skip


def _futures_strangers(model: Row) -> list[Row]:
    def row(base: str, **changes: Any) -> Row:
        symbol = f"{base}USDT"
        return {**model, "symbol": symbol, "pair": symbol, "baseAsset": base, **changes}

    return [
        row("BTC", symbol="BTCUSDT_261225", contractType="CURRENT_QUARTER",
            deliveryDate=1798185600000),
        row("BTC", symbol="BTCUSDC", pair="BTCUSDC", quoteAsset="USDC", marginAsset="USDC"),
        row("XAU", contractType="TRADIFI_PERPETUAL", underlyingType="COMMODITY"),
        row("TSLA", contractType="TRADIFI_PERPETUAL", underlyingType="EQUITY"),
        row("BTCDOM", underlyingType="INDEX"),
        row("SOON", underlyingType="PREMARKET"),
        row("OMG", status="SETTLING", deliveryDate=1780000000000),
        row("NEWCOIN", status="PENDING_TRADING"),
        row("币安人生"),
    ]  # fmt: skip
