"""The 24 hours behind a ticker, worked out from the present quote and the coin's rank.

Every exchange writes the same day in its own fields (``_<exchange>_tickers.py``). Nobody trades in
the simulated world: the last price is one side of the book, the day opened where the coin's price
began, and turnover follows from the rank alone, so that two runs of a seed agree.
"""

from typing import NamedTuple

from spreadscan.model import Market
from spreadscan.sim.market import Quote
from spreadscan.sim.universe import Listing, magnitude
from spreadscan.sim.venues._venue import Board, Venue

__all__ = ["DAY_MS", "Day", "days", "plain"]

DAY_MS = 86_400_000
# Of the first coin; the others fall from there by a power of their rank, as coins do.
FIRST_TURNOVER_USD = {Market.SPOT: 1.8e9, Market.FUTURES: 9.5e9}
TURNOVER_POWER = 1.2


class Day(NamedTuple):
    """One listing's day; prices and sizes in ticks and lots, or written as its venue does."""

    listing: Listing
    quote: Quote
    index_price: float
    """The coin's price over all sources, in quoted units."""
    turnover_usd: float

    @property
    def is_up(self) -> bool:
        """Whether the last trade took the ask."""
        return self.quote.update_id % 2 == 0

    @property
    def last_ticks(self) -> int:
        """Price of the last trade."""
        return self.quote.ask_ticks if self.is_up else self.quote.bid_ticks

    @property
    def open_ticks(self) -> int:
        """Price of a day ago; what a dead row goes on showing."""
        listing = self.listing
        began = listing.coin.price_usd * listing.price_coins
        return max(1, round(began / 10.0**listing.tick_exponent))

    @property
    def high_ticks(self) -> int:
        """Highest price of the day."""
        return max(self.quote.ask_ticks, self.open_ticks)

    @property
    def low_ticks(self) -> int:
        """Lowest price of the day."""
        return min(self.quote.bid_ticks, self.open_ticks)

    @property
    def change(self) -> float:
        """The last price's distance from the opening, as a share of it."""
        return self.last_ticks / self.open_ticks - 1.0

    @property
    def last_price(self) -> float:
        """The last price in quoted units."""
        return float(self.price(self.last_ticks))

    @property
    def volume_lots(self) -> int:
        """What was traded, in lots."""
        listing = self.listing
        lot_usd = self.last_price / listing.price_coins * listing.size_coins
        return max(1, round(self.turnover_usd / lot_usd / 10.0**listing.lot_exponent))

    @property
    def volume(self) -> str:
        """What was traded in units of size: coins, bundles or contracts."""
        return self.size(self.volume_lots)

    @property
    def volume_coins(self) -> float:
        """What was traded in coins."""
        return float(self.volume) * self.listing.size_coins

    @property
    def turnover(self) -> float:
        """What was paid for it, in the quote coin."""
        return self.volume_coins / self.listing.price_coins * self.last_price

    def price(self, ticks: int) -> str:
        """Write a price."""
        return self.listing.price_text(ticks)

    def size(self, lots: int) -> str:
        """Write a size."""
        return self.listing.size_text(lots)


def days(venue: Venue, board: Board) -> list[Day]:
    """Return the day of every listing of a source, delisted ones included, in order."""
    return [
        Day(listing, quote, index_price, _turnover_usd(venue.market, listing.coin_index))
        for listing, quote, index_price in zip(
            venue.listings, board.quotes(), board.index_prices(), strict=True
        )
    ]


def plain(value: float, digits: int = 7) -> str:
    """Write a positive number with that many significant digits, never with an exponent."""
    return f"{value:.{max(0, digits - 1 - magnitude(value))}f}"


def _turnover_usd(market: Market, coin_index: int) -> float:
    return FIRST_TURNOVER_USD[market] / float((coin_index + 1) ** TURNOVER_POWER)
