"""OKX's tickers and index prices of the simulated world.

From okx.com/docs-v5 (order-book trading, 2025-11; public data). The same two names mean different
things by market: ``volCcy24h`` counts quote coins on spot and coins on swaps, ``vol24h`` coins on
spot and contracts on swaps. ``""`` is null: an instrument that is not open yet has no book.
"""

from collections.abc import Mapping
from typing import Any

from spreadscan.model import Market
from spreadscan.sim.venues._day import Day, days, plain
from spreadscan.sim.venues._okx_listing import INST_TYPES, strangers
from spreadscan.sim.venues._venue import Board, Venue

__all__ = ["index_tickers", "tickers"]

Row = dict[str, Any]


def tickers(venue: Venue, now_ms: int, board: Board) -> list[Row]:
    """Return the rows of one tickers request; a delisted instrument is gone."""
    rows = [
        _row(venue.market, day, now_ms)
        for day in days(venue, board)
        if day.listing.exchange_symbol not in venue.delisted
    ]
    model = rows[0] if rows else {}
    for stranger in strangers(venue.market, venue.listings):
        row = {**model, "instId": stranger["instId"]}
        if stranger["state"] == "preopen":
            always = ("instType", "instId", "ts")
            row = {key: row[key] if key in always else "" for key in row}
        elif stranger["state"] != "live":
            continue
        rows.append(row)
    return rows


def index_tickers(venue: Venue, query: Mapping[str, str], now_ms: int, board: Board) -> list[Row]:
    """Return the index of every coin against the quote coin that was asked for."""
    rows = []
    for day in days(venue, board):
        open_price = float(day.price(day.open_ticks))
        rows.append(
            {
                "instId": f"{day.listing.base}-USDT",
                "idxPx": plain(day.index_price),
                "high24h": plain(max(open_price, day.index_price)),
                "low24h": plain(min(open_price, day.index_price)),
                "open24h": plain(open_price),
                "sodUtc0": plain(open_price),
                "sodUtc8": plain(open_price),
                "ts": str(now_ms),
            }
        )
    if wanted := query.get("instId"):
        return [row for row in rows if row["instId"] == wanted]
    # The other quote coins have indexes of their own, of the largest coins at least.
    others = [{**row, "instId": row["instId"].replace("-USDT", "-USD")} for row in rows[:3]]
    suffix = f"-{query.get('quoteCcy', '')}"
    return [row for row in rows + others if row["instId"].endswith(suffix)]


def _row(market: Market, day: Day, now_ms: int) -> Row:
    quote, is_spot = day.quote, market is Market.SPOT
    volume_of_currency = day.turnover if is_spot else day.volume_coins / day.listing.price_coins
    return {
        "instType": INST_TYPES[market],
        "instId": day.listing.exchange_symbol,
        "last": day.price(day.last_ticks),
        "lastSz": day.size(quote.bid_lots),
        "askPx": day.price(quote.ask_ticks),
        "askSz": day.size(quote.ask_lots),
        "bidPx": day.price(quote.bid_ticks),
        "bidSz": day.size(quote.bid_lots),
        "open24h": day.price(day.open_ticks),
        "high24h": day.price(day.high_ticks),
        "low24h": day.price(day.low_ticks),
        "volCcy24h": plain(volume_of_currency),
        "vol24h": day.volume,
        "ts": str(now_ms),
        "sodUtc0": day.price(day.open_ticks),
        "sodUtc8": day.price(day.open_ticks),
    }
