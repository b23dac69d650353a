"""The funding of a perpetual, worked out from source, contract and time.

Every exchange writes the same facts in its own fields. Contracts of one coin have other intervals
and rates at other exchanges; a rate is drawn anew for each settlement and stays until then, so
that two runs, and a test beside them, agree at every moment.
"""

import random
from typing import NamedTuple

from spreadscan.sim.universe import Listing
from spreadscan.sim.venues._venue import Venue

__all__ = ["HOUR_MS", "USUAL_HOURS", "Funding", "funding_hours", "funding_of"]

HOUR_MS = 3_600_000
USUAL_HOURS = 8
# Coins in order of liquidity, a few of them along by exchange: the first has the usual everywhere.
HOURS = (1, 4, 2, 8, 8, 8, 4, 8)
# Of the notional in eight hours: what a contract pays that costs as much as its index.
INTEREST_RATE = 0.0001
SPREAD_OF_RATES = 0.0005


class Funding(NamedTuple):
    """One contract's funding at a moment."""

    rate: float
    """Of the settlement to come, as a fraction; eight decimals."""
    hours: int
    """Between settlements."""
    next_ms: int
    """The settlement to come, Unix milliseconds."""

    @property
    def following_ms(self) -> int:
        """Return the settlement after the next."""
        return self.next_ms + self.hours * HOUR_MS


def funding_hours(venue: Venue, listing: Listing) -> int:
    """Return the hours between a contract's settlements."""
    if listing.exchange_symbol in venue.hourly:
        return 1
    return HOURS[(listing.coin_index + len(venue.name)) % len(HOURS)]


def funding_of(venue: Venue, listing: Listing, now_ms: int) -> Funding:
    """Return a contract's funding."""
    hours = funding_hours(venue, listing)
    next_ms = (now_ms // (hours * HOUR_MS) + 1) * hours * HOUR_MS
    # The same for the same words in every process; no secret depends on it.
    chance = random.Random(f"{venue.source} {listing.exchange_symbol} {next_ms}")  # noqa: S311
    per_usual = INTEREST_RATE + chance.gauss(0.0, SPREAD_OF_RATES)
    return Funding(round(per_usual * hours / USUAL_HOURS, 8), hours, next_ms)
