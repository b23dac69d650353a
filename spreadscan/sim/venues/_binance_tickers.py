"""Binance's tickers of the simulated world.

From binance-spot-api-docs (rest-api.md, 2026-07-21) and probes of the futures of 2026-10-07. Spot
goes on listing what it suspended, without a book; the futures' day has no bid and ask at all and
shows only what trades, while premiumIndex keeps the frozen prices of settled contracts.
"""

from collections.abc import Iterable
from typing import Any

from spreadscan.model import Market
from spreadscan.sim.venues._binance_listing import strangers
from spreadscan.sim.venues._day import DAY_MS, Day, days
from spreadscan.sim.venues._funding import USUAL_HOURS, Funding, funding_hours, funding_of
from spreadscan.sim.venues._venue import Board, Target, Venue

__all__ = ["funding_info", "tickers"]

Row = dict[str, Any]
ZERO = "0.00000000"
# One contract in so many has had its caps changed, though not its interval.
CAPS_EVERY = 5
# When contracts that are no more were settled.
SETTLED_MS = 1_780_000_000_000
# What a type=MINI ticker leaves out.
NOT_MINI = {
    "priceChange", "priceChangePercent", "weightedAvgPrice", "prevClosePrice", "lastQty",
    "bidPrice", "bidQty", "askPrice", "askQty",
}  # fmt: skip


def tickers(venue: Venue, target: Target, now_ms: int, board: Board) -> list[Row]:
    """Return the rows of one ticker request."""
    all_days = days(venue, board)
    if venue.market is Market.FUTURES:
        if target.path.endswith("premiumIndex"):
            return _premium_rows(venue, all_days, now_ms)
        if target.path.endswith("bookTicker"):
            return _futures_books(venue, all_days, now_ms)
        return _futures_rows(venue, all_days, now_ms)
    rows = _spot_rows(venue, all_days, now_ms)
    if target.path.endswith("bookTicker"):
        book = ("symbol", "bidPrice", "bidQty", "askPrice", "askQty")
        return [{key: row[key] for key in book} for row in rows]
    if target.query.get("symbolStatus") == "TRADING":
        rows = [row for row in rows if float(row["bidPrice"]) > 0]
    if target.query.get("type") == "MINI":
        return [{key: row[key] for key in row if key not in NOT_MINI} for row in rows]
    return rows


def _day_row(day: Day, now_ms: int) -> Row:
    """Return what both markets say of a day."""
    change = float(day.price(day.last_ticks)) - float(day.price(day.open_ticks))
    return {
        "symbol": day.listing.exchange_symbol,
        "priceChange": f"{change:.8f}",
        "priceChangePercent": f"{day.change * 100:.3f}",
        "weightedAvgPrice": day.price((day.last_ticks + day.open_ticks) // 2),
        "lastPrice": day.price(day.last_ticks),
        "lastQty": day.size(day.quote.bid_lots),
        "openPrice": day.price(day.open_ticks),
        "highPrice": day.price(day.high_ticks),
        "lowPrice": day.price(day.low_ticks),
        "volume": day.volume,
        "quoteVolume": f"{day.turnover:.8f}",
        "openTime": now_ms - DAY_MS,
        "closeTime": now_ms,
        "firstId": 1,
        "lastId": day.volume_lots,
        "count": day.volume_lots,
    }


def _spot_rows(venue: Venue, all_days: Iterable[Day], now_ms: int) -> list[Row]:
    rows = []
    for day in all_days:
        quote = day.quote
        row = _day_row(day, now_ms) | {
            "prevClosePrice": day.price(day.open_ticks),
            "bidPrice": day.price(quote.bid_ticks),
            "bidQty": day.size(quote.bid_lots),
            "askPrice": day.price(quote.ask_ticks),
            "askQty": day.size(quote.ask_lots),
        }
        if day.listing.exchange_symbol in venue.delisted:
            row = _without_book(row, day.price(day.open_ticks))
        rows.append(row)
    model = rows[0]
    for stranger in strangers(venue.market, venue.listings):
        row = {**model, "symbol": stranger["symbol"]}
        rows.append(row if stranger["status"] == "TRADING" else _without_book(row, "0.03210000"))
    return rows


def _without_book(row: Row, last: str) -> Row:
    """Return what stays of a suspended pair: its last price."""
    nothing = ("bidPrice", "bidQty", "askPrice", "askQty", "volume", "quoteVolume", "lastQty")
    still = dict.fromkeys(("lastPrice", "openPrice", "highPrice", "lowPrice"), last)
    return {**row, **still, **dict.fromkeys(nothing, ZERO), "priceChange": ZERO, "count": 0}


def _futures_rows(venue: Venue, all_days: Iterable[Day], now_ms: int) -> list[Row]:
    rows = [
        _day_row(day, now_ms)
        for day in all_days
        if day.listing.exchange_symbol not in venue.delisted
    ]
    model = rows[0] if rows else {}
    return rows + [
        {**model, "symbol": stranger["symbol"]}
        for stranger in strangers(venue.market, venue.listings)
        if stranger["status"] == "TRADING"
    ]


def _futures_books(venue: Venue, all_days: Iterable[Day], now_ms: int) -> list[Row]:
    """Return the best bids and asks of what trades."""
    return [
        {
            "symbol": day.listing.exchange_symbol,
            "bidPrice": day.price(day.quote.bid_ticks),
            "bidQty": day.size(day.quote.bid_lots),
            "askPrice": day.price(day.quote.ask_ticks),
            "askQty": day.size(day.quote.ask_lots),
            "time": now_ms,
        }
        for day in all_days
        if day.listing.exchange_symbol not in venue.delisted
    ]


def _premium_rows(venue: Venue, all_days: Iterable[Day], now_ms: int) -> list[Row]:
    rows = []
    for day in all_days:
        # The mark follows the contract's own price, the index does not.
        unit = 10.0**day.listing.tick_exponent
        mark = (day.quote.bid_ticks + day.quote.ask_ticks) / 2 * unit
        funding = funding_of(venue, day.listing, now_ms)
        row = _premium_row(day.listing.exchange_symbol, mark, day.index_price, now_ms, funding)
        if day.listing.exchange_symbol in venue.delisted:
            row = _settled(day.listing.exchange_symbol, day.open_ticks * unit)
        rows.append(row)
    for stranger in strangers(venue.market, venue.listings):
        name = stranger["symbol"]
        if stranger["status"] != "TRADING":
            rows.append(_settled(name, 0.0321))
        elif stranger["contractType"] == "PERPETUAL":
            rows.append({**rows[0], "symbol": name})
        else:  # no funding where there is no perpetual
            none = {"lastFundingRate": "", "interestRate": "", "nextFundingTime": 0}
            rows.append({**rows[0], "symbol": name, **none})
    return rows


def _premium_row(symbol: str, mark: float, index: float, now_ms: int, funding: Funding) -> Row:
    return {
        "symbol": symbol,
        "markPrice": f"{mark:.8f}",
        "indexPrice": f"{index:.8f}",
        "estimatedSettlePrice": f"{index:.8f}",
        "lastFundingRate": f"{funding.rate:.8f}",
        "interestRate": "0.00010000",
        "nextFundingTime": funding.next_ms,
        "time": now_ms,
    }


def _settled(symbol: str, price: float) -> Row:
    """Return what stays of a contract: prices and a time that move no more."""
    row = _premium_row(symbol, price, price, SETTLED_MS, Funding(0.0, USUAL_HOURS, 0))
    return {**row, "interestRate": ZERO}


def funding_info(venue: Venue) -> list[Row]:
    """Return the contracts whose funding is not as usual, coin-margined ones among them."""
    found = [
        (listing.exchange_symbol, hours)
        for listing in venue.listings
        if (hours := funding_hours(venue, listing)) != USUAL_HOURS
        or listing.coin_index % CAPS_EVERY == 0
    ]
    return [
        {
            "symbol": symbol,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": hours,
            "disclaimer": False,
        }
        for symbol, hours in (*found, ("BTCUSD_PERP", USUAL_HOURS), ("ETHUSD_PERP", USUAL_HOURS))
    ]
