"""OKX's instruments of the simulated world, with the rows that a reader must not take.

Shapes as recorded on 2025-10-02 and 2026-08-01: every number is a string, ``""`` is null, a swap's
base and quote are empty, and an announced listing may have nothing filled but id, time and state.
"""

from collections.abc import Collection, Sequence
from typing import Any

from spreadscan.model import Market
from spreadscan.sim.universe import Listing, decimal_text, without_listed

__all__ = ["INST_TYPES", "instruments", "strangers"]

Row = dict[str, Any]
INST_TYPES = {Market.SPOT: "SPOT", Market.FUTURES: "SWAP"}


def instruments(
    market: Market, listings: Sequence[Listing], delisted: Collection[str]
) -> list[Row]:
    """Return the rows of one instruments request; a delisted one is suspended."""
    if market is Market.SPOT:
        rows = [_spot_row(listing) for listing in listings]
    else:
        rows = [_swap_row(listing) for listing in listings]
    rows += strangers(market, listings)
    return [{**row, "state": "suspend"} if row["instId"] in delisted else row for row in rows]


def strangers(market: Market, listings: Sequence[Listing]) -> list[Row]:
    """Return the rows that a reader must not take."""
    if market is Market.SPOT:
        rows = _spot_strangers(_spot_row(listings[0]))
    else:
        rows = _swap_strangers(_swap_row(listings[0]))
    return without_listed(rows, "instId", listings)


def _spot_row(listing: Listing) -> Row:
    lot = decimal_text(1, listing.lot_exponent, 0)
    return {
        **_EMPTY,
        "instType": "SPOT",
        "instId": listing.exchange_symbol,
        "baseCcy": listing.base,
        "quoteCcy": "USDT",
        "tickSz": decimal_text(1, listing.tick_exponent, 0),
        "lotSz": lot,
        "minSz": lot,
        "maxLmtSz": "9999999999",
        "maxMktSz": "1000000",
        "state": "live",
        "listTime": "1548133413000",
        "ruleType": "normal",
        "instCategory": "1",
        "tradeQuoteCcyList": ["USDT"],
    }


def _swap_row(listing: Listing) -> Row:
    lot = decimal_text(1, listing.lot_exponent, 0)
    family = listing.exchange_symbol.removesuffix("-SWAP")
    return {
        **_EMPTY,
        "instType": "SWAP",
        "instId": listing.exchange_symbol,
        "instFamily": family,
        "uly": family,
        "ctType": "linear",
        "ctVal": _plain(listing.size_coins / listing.price_coins),
        "ctValCcy": listing.base,
        "ctMult": "1",
        "settleCcy": "USDT",
        "tickSz": decimal_text(1, listing.tick_exponent, 0),
        "lotSz": lot,
        "minSz": lot,
        "maxLmtSz": "100000000",
        "maxMktSz": "35000",
        "lever": "100",
        "state": "live",
        "listTime": "1573557408000",
        "ruleType": "normal",
        "instCategory": "1",
    }


def _plain(value: float) -> str:
    # repr() writes large and small values with an exponent, which the exchange never does.
    return f"{value:.8f}".rstrip("0").rstrip(".")


_EMPTY: Row = {
    "baseCcy": "",
    "category": "1",
    "contTdSwTime": "",
    "ctMult": "",
    "ctType": "",
    "ctVal": "",
    "ctValCcy": "",
    "expTime": "",
    "instCategory": "",
    "instFamily": "",
    "instId": "",
    "instType": "",
    "lever": "",
    "listTime": "",
    "lotSz": "",
    "maxLmtSz": "",
    "maxMktSz": "",
    "minSz": "",
    "openType": "",
    "preMktSwTime": "",
    "quoteCcy": "",
    "ruleType": "",
    "settleCcy": "",
    "state": "",
    "tickSz": "",
    "tradeQuoteCcyList": [],
    "uly": "",
    "upcChg": [],
}


def _spot_strangers(model: Row) -> list[Row]:
    def row(base: str, quote: str = "USDT", **changes: Any) -> Row:
        names = {"instId": f"{base}-{quote}", "baseCcy": base, "quoteCcy": quote}
        return {**model, **names, **changes}

    announced = {**_EMPTY, "instType": "SPOT", "state": "preopen", "listTime": "1795000000000"}
    return [
        row("BTC", "USDC"),
        row("BTC", "EUR"),
        row("BTC", "USD", tradeQuoteCcyList=["USD", "USDC"]),
        row("OMG", state="suspend"),
        row("TESTCOIN", state="test"),
        row("EARLY", state="preopen"),
        {**announced, "instId": "2Z-USDT"},
    ]


def _swap_strangers(model: Row) -> list[Row]:
    def row(base: str, family: str, **changes: Any) -> Row:
        names = {"instId": f"{family}-SWAP", "instFamily": family, "uly": family}
        return {**model, **names, "ctValCcy": base, **changes}

    announced = {**_EMPTY, "instType": "SWAP", "state": "preopen", "listTime": "1795000000000"}
    return [
        row("USD", "BTC-USD", ctType="inverse", ctVal="100", settleCcy="BTC"),
        row("BTC", "BTC-USDC", settleCcy="USDC", ctVal="0.0001"),
        row("BTC", "BTC-USD_UM", settleCcy="USD", ctVal="0.001"),
        row("OMG", "OMG-USDT", state="suspend"),
        row("TESTCOIN", "TESTCOIN-USDT", state="test"),
        row("EARLY", "EARLY-USDT", ruleType="pre_market"),
        row("TSLA", "TSLA-USDT", instCategory="3"),
        {**announced, "instId": "2Z-USDT-SWAP"},
    ]
