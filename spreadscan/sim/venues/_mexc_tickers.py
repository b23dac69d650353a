"""MEXC's tickers of the simulated world.

From mexc.com/api-docs (2026-08) and a probe of the contracts of 2026-09-15. Spot sends null where
it has not worked out a turnover, and zeros for pairs that nobody quotes. Contracts are numbers:
volume counts contracts, ``maxBidPrice`` and ``minAskPrice`` are a price band and not the book, and
some rows are dead, with a last price of 0.
"""

from typing import Any

from spreadscan.model import Market
from spreadscan.sim.venues._day import DAY_MS, Day, days, plain
from spreadscan.sim.venues._funding import Funding, funding_of
from spreadscan.sim.venues._mexc_listing import strangers
from spreadscan.sim.venues._venue import Board, Venue

__all__ = ["books_of", "contract_funding", "contract_tickers", "tickers_24h"]

Row = dict[str, Any]
# One listing in so many has no turnover, though it trades.
NULL_EVERY = 10
BAND = 0.1
# Documented: up to 15 s.
SETTLEMENT_MS = 10_000


def tickers_24h(venue: Venue, now_ms: int, board: Board) -> list[Row]:
    """Return the spot rows; what is offline is gone, what is paused has no book."""
    rows = [_spot_row(day, now_ms) for day in days(venue, board)]
    model = rows[0]
    for stranger in strangers(Market.SPOT, venue.listings):
        row = {**model, "symbol": stranger["symbol"]}
        if stranger["status"] != "1":
            row |= {key: "0" for key in row if key.endswith(("Price", "Qty"))}
            row |= {"volume": "0", "quoteVolume": None, "priceChange": "0"}
        if stranger["status"] != "3":
            rows.append(row)
    return [row for row in rows if row["symbol"] not in venue.delisted]


def books_of(rows: list[Row]) -> list[Row]:
    """Return what the list of best bids and asks has of these spot rows."""
    names = ("symbol", "bidPrice", "bidQty", "askPrice", "askQty")
    return [{name: row[name] for name in names} for row in rows]


def contract_tickers(venue: Venue, now_ms: int, board: Board) -> list[Row]:
    """Return the contract rows; a delisted contract is gone, an offline one is dead."""
    rows = [
        _contract_row(day, funding_of(venue, day.listing, now_ms), now_ms)
        for day in days(venue, board)
    ]
    model = rows[0]
    for stranger in strangers(Market.FUTURES, venue.listings):
        row = {**model, "symbol": stranger["symbol"]}
        if stranger["state"] != 0:
            still = ("symbol", "contractId", "timestamp")
            row = {key: row[key] if key in still else 0 for key in row}
        rows.append(row)
    return [row for row in rows if row["symbol"] not in venue.delisted]


def contract_funding(venue: Venue, now_ms: int) -> list[Row]:
    """Return the funding of every contract; one that is offline keeps a row without a time.

    A settlement is over some seconds after its time only.
    """
    settled_ms = now_ms - SETTLEMENT_MS
    rows = [
        _funding_row(listing.exchange_symbol, funding_of(venue, listing, settled_ms), now_ms)
        for listing in venue.listings
    ]
    model = rows[0]
    for stranger in strangers(Market.FUTURES, venue.listings):
        row = {**model, "symbol": stranger["symbol"]}
        if stranger["state"] != 0:
            row |= {"fundingRate": 0, "nextSettleTime": None}
        rows.append(row)
    return [row for row in rows if row["symbol"] not in venue.delisted]


def _funding_row(symbol: str, funding: Funding, now_ms: int) -> Row:
    return {
        "symbol": symbol,
        "fundingRate": funding.rate,
        "maxFundingRate": 0.02,
        "minFundingRate": -0.02,
        "collectCycle": funding.hours,
        "nextSettleTime": funding.next_ms,
        "timestamp": now_ms,
    }


def _spot_row(day: Day, now_ms: int) -> Row:
    quote = day.quote
    change = float(day.price(day.last_ticks)) - float(day.price(day.open_ticks))
    is_null = day.listing.coin_index % NULL_EVERY == NULL_EVERY - 1
    return {
        "symbol": day.listing.exchange_symbol,
        "priceChange": f"{change:.10f}".rstrip("0").rstrip("."),
        # A share, whatever it is called.
        "priceChangePercent": f"{day.change:.4f}",
        "prevClosePrice": day.price(day.open_ticks),
        "lastPrice": day.price(day.last_ticks),
        "bidPrice": day.price(quote.bid_ticks),
        "bidQty": day.size(quote.bid_lots),
        "askPrice": day.price(quote.ask_ticks),
        "askQty": day.size(quote.ask_lots),
        "openPrice": day.price(day.open_ticks),
        "highPrice": day.price(day.high_ticks),
        "lowPrice": day.price(day.low_ticks),
        "volume": day.volume,
        "quoteVolume": None if is_null else plain(day.turnover, 12),
        "openTime": now_ms - DAY_MS,
        "closeTime": now_ms,
        "count": None,
    }


def _contract_row(day: Day, funding: Funding, now_ms: int) -> Row:
    def number(ticks: int) -> float:
        return float(day.price(ticks))

    quote, mid = day.quote, number(day.quote.bid_ticks + day.quote.ask_ticks) / 2
    return {
        "contractId": 10 + day.listing.coin_index,
        "symbol": day.listing.exchange_symbol,
        "lastPrice": number(day.last_ticks),
        "bid1": number(quote.bid_ticks),
        "ask1": number(quote.ask_ticks),
        "volume24": day.volume_lots,
        "amount24": round(day.turnover, 4),
        "holdVol": day.volume_lots // 3,
        "lower24Price": number(day.low_ticks),
        "high24Price": number(day.high_ticks),
        "riseFallRate": round(day.change, 4),
        "riseFallValue": round(number(day.last_ticks) - number(day.open_ticks), 10),
        "indexPrice": float(plain(day.index_price)),
        "fairPrice": float(plain(mid)),
        "fundingRate": funding.rate,
        "maxBidPrice": float(plain(day.index_price * (1 + BAND))),
        "minAskPrice": float(plain(day.index_price * (1 - BAND))),
        "timestamp": now_ms,
    }
