"""MEXC's listings of the simulated world, with the rows that a reader must not take.

Shapes as recorded on 2025-09-21 (spot) and 2025-07-21 (contracts; newer fields of 2026-09-15).
Spot gives digit counts for tick and step but values for the minima, and says of its most liquid
pairs that the API may not trade them; contracts are numbers instead of strings, some carry another
coin's name, and stocks stand among them.
"""

from collections.abc import Collection, Sequence
from typing import Any

from spreadscan.model import Market
from spreadscan.sim.universe import Listing, decimal_text, without_listed

__all__ = ["contract_detail", "exchange_info", "strangers"]

Row = dict[str, Any]
# Scanned, but not tradable by API: so recorded for the two largest.
CLOSED_TO_API = {"BTC", "ETH"}
CONTRACTS_CLOSED_TO_API = {"DOGE"}


def exchange_info(listings: Sequence[Listing], delisted: Collection[str], now_ms: int) -> Row:
    """Return the body of the spot listing; a delisted symbol is offline."""
    rows = [_spot_row(listing) for listing in listings]
    rows += strangers(Market.SPOT, listings)
    for row in rows:
        if row["symbol"] in delisted:
            row["status"] = "3"
    head = {"timezone": "CST", "serverTime": now_ms}
    return {**head, "rateLimits": [], "exchangeFilters": [], "symbols": rows}


def contract_detail(listings: Sequence[Listing], delisted: Collection[str]) -> list[Row]:
    """Return ``data`` of the contract listing; a delisted contract is gone."""
    rows = [_contract_row(listing) for listing in listings]
    rows += strangers(Market.FUTURES, listings)
    return [row for row in rows if row["symbol"] not in delisted]


def strangers(market: Market, listings: Sequence[Listing]) -> list[Row]:
    """Return the rows that a reader must not take."""
    if market is Market.SPOT:
        rows = _spot_strangers(_spot_row(listings[-1]))
    else:
        rows = _contract_strangers(_contract_row(listings[0]))
    return without_listed(rows, "symbol", listings)


def _spot_row(listing: Listing) -> Row:
    price_digits, size_digits = -listing.tick_exponent, -listing.lot_exponent
    return {
        "symbol": listing.exchange_symbol,
        "status": "1",
        "baseAsset": listing.base,
        "baseAssetPrecision": size_digits,
        "quoteAsset": "USDT",
        "quotePrecision": price_digits,
        "quoteAssetPrecision": price_digits,
        "baseCommissionPrecision": size_digits,
        "quoteCommissionPrecision": price_digits,
        "orderTypes": ["LIMIT", "MARKET", "LIMIT_MAKER"],
        "isSpotTradingAllowed": listing.coin.name not in CLOSED_TO_API,
        "isMarginTradingAllowed": False,
        "quoteAmountPrecision": "1",
        "baseSizePrecision": decimal_text(1, listing.lot_exponent, 0) if size_digits > 2 else "0",
        "permissions": ["SPOT"],
        "filters": [
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": "0.2",
                "askMultiplierDown": "0.2",
            }
        ],
        "maxQuoteAmount": "2000000",
        "makerCommission": "0",
        "takerCommission": "0.0005",
        "quoteAmountPrecisionMarket": "1",
        "maxQuoteAmountMarket": "100000",
        "fullName": listing.coin.name.title(),
        "tradeSideType": 1,
        "contractAddress": "",
        "st": False,
    }


def _spot_strangers(model: Row) -> list[Row]:
    def row(base: str, quote: str = "USDT", **changes: Any) -> Row:
        names = {"symbol": base + quote, "baseAsset": base, "quoteAsset": quote}
        return {**model, **names, **changes}

    return [
        row("BTC", "USDC"),
        row("BTC", "USD1"),
        row("ETH", "BTC"),
        row("OMG", status="2", tradeSideType=4),
        row("REEF", status="3", isSpotTradingAllowed=False),
    ]


def _contract_row(listing: Listing) -> Row:
    symbol = listing.exchange_symbol
    return {
        "symbol": symbol,
        "displayName": f"{symbol}永续",
        "displayNameEn": f"{symbol} PERPETUAL",
        "positionOpenType": 3,
        "baseCoin": listing.base,
        "quoteCoin": "USDT",
        # The coin that is meant, whatever the contract is called.
        "baseCoinName": listing.base_name,
        "quoteCoinName": "USDT",
        "futureType": 1,
        "settleCoin": "USDT",
        # In units of the base coin, bundles included in its name.
        "contractSize": _number(listing.size_coins / listing.price_coins),
        "minLeverage": 1,
        "maxLeverage": 200,
        "priceScale": max(0, -listing.tick_exponent),
        "volScale": 0,
        "amountScale": 4,
        "priceUnit": _number(10.0**listing.tick_exponent),
        "volUnit": 1,
        "minVol": 1,
        "maxVol": 1500000,
        "bidLimitPriceRate": 0.1,
        "askLimitPriceRate": 0.1,
        "takerFeeRate": 0.0004,
        "makerFeeRate": 0.0001,
        "indexOrigin": ["BITGET", "BYBIT", "BINANCE", "OKX", "MEXC"],
        "state": 0,
        "isNew": False,
        "isHot": False,
        "isHidden": False,
        "riskLimitType": "BY_VOLUME",
        "maxNumOrders": [200, 50],
        "triggerProtect": 0.1,
        "automaticDelivery": 0,
        "apiAllowed": listing.coin.name not in CONTRACTS_CLOSED_TO_API,
        "depthStepList": ["0.1", "1", "10", "100"],
        "limitMaxVol": 10000000,
        "id": 10 + listing.coin_index,
        "createTime": 1591242684000,
        "openingTime": 0,
        "isZeroFeeRate": False,
        "feeRateMode": "NORMAL",
        "preMarket": False,
        "type": 1,
    }


def _number(value: float) -> float | int:
    # Powers of ten that floating point misses by a hair; whole ones come without a point.
    exact = float(f"{value:.12g}")
    return int(exact) if exact.is_integer() else exact


def _contract_strangers(model: Row) -> list[Row]:
    def row(base: str, quote: str = "USDT", **changes: Any) -> Row:
        symbol = f"{base}_{quote}"
        names = {"symbol": symbol, "baseCoin": base, "baseCoinName": base, "quoteCoin": quote}
        texts = {"displayName": f"{symbol}永续", "displayNameEn": f"{symbol} PERPETUAL"}
        return {**model, **names, **texts, "settleCoin": quote, **changes}

    return [
        row("BTC", "USDC"),
        row("BTC", "USD1"),
        # Coin-margined: one contract is 100 dollars.
        row("BTC", "USD", settleCoin="BTC", contractSize=100),
        row("BTC", symbol="BTC_USDT_20261225", futureType=2, deliveryTime=1798185600000),
        row("TESLA", baseCoinName="TSLA", type=2),
        row("XAU", type=2),
        row("EARLY", preMarket=True, indexOrigin=["MEXC_FUTURE"]),
        row("OMG", state=3),
        row("STMX", state=4),
        row("SECRET", isHidden=True),
    ]
