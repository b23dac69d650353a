"""Bybit's tickers of the simulated world.

From bybit-exchange.github.io/docs/v5 (market/tickers, 2026-07-24): one call, no pages, numbers are
strings. ``linear`` shows its dated and USDC contracts too, and those before their market opens,
which have a phase instead of a book. What was delisted is gone.
"""

from collections.abc import Mapping
from typing import Any

from spreadscan.model import Market
from spreadscan.sim.venues._bybit_listing import CATEGORIES, strangers
from spreadscan.sim.venues._day import Day, days, plain
from spreadscan.sim.venues._funding import Funding, funding_of
from spreadscan.sim.venues._venue import Board, Venue

__all__ = ["tickers"]

Row = dict[str, Any]
# Only coins that serve as collateral have a dollar index on spot.
COINS_WITH_DOLLAR_INDEX = 30


def tickers(venue: Venue, query: Mapping[str, str], now_ms: int, board: Board) -> Row:
    """Return the ``result`` of one tickers request.

    Raises:
        ValueError: the symbol that was asked for is not traded.
    """
    rows = [
        _spot_row(day)
        if venue.market is Market.SPOT
        else _linear_row(day, funding_of(venue, day.listing, now_ms))
        for day in days(venue, board)
    ]
    model = rows[0]
    for stranger in strangers(venue.market, venue.listings):
        row = {**model, "symbol": stranger["symbol"]}
        if stranger.get("contractType") == "LinearFutures":  # a dated contract has no funding
            row |= {"fundingRate": "", "nextFundingTime": "0", "fundingIntervalHour": ""}
        if stranger["status"] == "PreLaunch":
            phase = stranger["preListingInfo"]["curAuctionPhase"]
            nothing = dict.fromkeys(("bid1Price", "bid1Size", "ask1Price", "ask1Size"), "")
            row |= {**nothing, "turnover24h": "0", "volume24h": "0", "curPreListingPhase": phase}
        elif stranger["status"] != "Trading":
            continue
        rows.append(row)
    rows = [row for row in rows if row["symbol"] not in venue.delisted]
    wanted = query.get("symbol")
    if wanted is not None:
        rows = [row for row in rows if row["symbol"] == wanted]
        if not rows:
            raise ValueError(f"symbol invalid {wanted}")
    return {"category": CATEGORIES[venue.market], "list": rows}


def _day_row(day: Day) -> Row:
    """Return what both markets say of a day."""
    quote = day.quote
    return {
        "symbol": day.listing.exchange_symbol,
        "bid1Price": day.price(quote.bid_ticks),
        "bid1Size": day.size(quote.bid_lots),
        "ask1Price": day.price(quote.ask_ticks),
        "ask1Size": day.size(quote.ask_lots),
        "lastPrice": day.price(day.last_ticks),
        "prevPrice24h": day.price(day.open_ticks),
        "price24hPcnt": f"{day.change:.4f}",
        "highPrice24h": day.price(day.high_ticks),
        "lowPrice24h": day.price(day.low_ticks),
        "turnover24h": f"{day.turnover:.4f}",
        "volume24h": day.volume,
    }


def _spot_row(day: Day) -> Row:
    has_index = day.listing.coin_index < COINS_WITH_DOLLAR_INDEX
    return {**_day_row(day), "usdIndexPrice": plain(day.index_price) if has_index else ""}


def _linear_row(day: Day, funding: Funding) -> Row:
    unit = 10.0**day.listing.tick_exponent
    mark = (day.quote.bid_ticks + day.quote.ask_ticks) / 2 * unit
    return {
        **_day_row(day),
        "indexPrice": plain(day.index_price),
        "markPrice": plain(mark),
        "prevPrice1h": day.price(day.open_ticks),
        "openInterest": day.volume,
        "openInterestValue": f"{day.turnover:.2f}",
        "fundingRate": f"{funding.rate:.8f}",
        "fundingIntervalHour": str(funding.hours),
        "fundingCap": "0.00375",
        "nextFundingTime": str(funding.next_ms),
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "basis": "",
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }
