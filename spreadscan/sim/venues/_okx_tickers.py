"""OKX's tickers and index prices of the simulated world.

From okx.com/docs-v5 (order-book trading, 2025-11; public data). The same two names mean different
things by market: ``volCcy24h`` counts quote coins on spot and coins on swaps, ``vol24h`` coins on
spot and contracts on swaps. ``""`` is null: an instrument that is not open yet has no book.
"""

from collections.abc import Mapping
from typing import Any

from spreadscan.model import Market
from spreadscan.sim.venues._day import Day, days, plain
from spreadscan.sim.venues._funding import HOUR_MS, Funding, funding_of
from spreadscan.sim.venues._okx_listing import INST_TYPES, strangers
from spreadscan.sim.venues._venue import Board, Venue

__all__ = ["funding_rates", "index_tickers", "tickers"]

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


def funding_rates(venue: Venue, now_ms: int) -> list[Row]:
    """Return the funding of every swap, and of a dated contract that has one."""
    fundings = {
        listing.exchange_symbol: funding_of(venue, listing, now_ms)
        for listing in venue.listings
        if listing.exchange_symbol not in venue.delisted
    }
    first = funding_of(venue, venue.listings[0], now_ms)
    live = {row["instId"] for row in strangers(venue.market, venue.listings)
            if row["state"] == "live"}  # fmt: skip
    fundings |= dict.fromkeys(sorted(live), first)
    rows = [_funding_row(symbol, funding, now_ms) for symbol, funding in fundings.items()]
    return [*rows, {**_funding_row("BTC-USDT-310404", first, now_ms), "instType": "FUTURES"}]


def _funding_row(symbol: str, funding: Funding, now_ms: int) -> Row:
    return {
        "formulaType": "withRate",
        "fundingRate": f"{funding.rate:.16f}",
        "fundingTime": str(funding.next_ms),
        "impactValue": "",
        "instId": symbol,
        "instType": "SWAP",
        "interestRate": "0.0001",
        "maxFundingRate": "0.015",
        "method": "current_period",
        "minFundingRate": "-0.015",
        "nextFundingRate": "",
        "nextFundingTime": str(funding.following_ms),
        "premium": f"{funding.rate / 2:.16f}",
        "prevFundingTime": str(funding.next_ms - funding.hours * HOUR_MS),
        "settFundingRate": f"{funding.rate / 3:.16f}",
        "settState": "settled",
        "ts": str(now_ms),
    }


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
