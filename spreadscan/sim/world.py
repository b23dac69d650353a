"""Who lists what: the usual coins, and those that a scenario adds, as every source calls them."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from spreadscan.model import Market, source_name_of
from spreadscan.sim.universe import Coin, Naming, coins, contract_coins_for
from spreadscan.sim.venues import Venue, venues

__all__ = ["AddedCoin", "Ticker", "build_venues", "listed_symbols"]

# Beyond these the exchanges' grids have no room.
Price = Annotated[float, Meta(gt=0, le=1e7)]
ContractCoins = Annotated[float, Meta(ge=1e-4, le=1e9)]


class Ticker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one source calls an added coin."""

    base: str
    coins: Annotated[int, Meta(ge=1, le=10**9)] = 1
    """Coins whose price is quoted."""
    base_name: str = ""
    """The coin that is meant, at exchanges that say so beside the base; "" is the base itself."""


class AddedCoin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One coin of a scenario."""

    name: str
    price_usd: Price
    contract_coins: ContractCoins | None = None
    """None: some dollars' worth."""
    listed: Annotated[dict[str, str | Ticker], Meta(min_length=1)]
    """By source."""

    def coin(self) -> Coin:
        """Return what the price process needs to know."""
        contract_coins = self.contract_coins or contract_coins_for(self.price_usd)
        return Coin(self.name, self.price_usd, contract_coins)

    def ticker(self, source: str) -> Ticker | None:
        """Return what a source calls it; None where it is not listed."""
        found = self.listed.get(source)
        return Ticker(base=found) if isinstance(found, str) else found


def build_venues(
    exchanges: Sequence[str], symbols: int, added: Sequence[AddedCoin] = ()
) -> list[Venue]:
    """Return both markets of every exchange, with everything that they list.

    Args:
        exchanges: names of simulated exchanges.
        symbols: how many of the usual coins.
        added: further coins; their ranks follow those of the usual ones.

    Raises:
        ValueError: the number of symbols is out of range.
    """
    usual = coins(symbols)
    return [
        venues()[name](kind, usual, _namings(added, len(usual), source_name_of(name, kind)))
        for name in exchanges
        for kind in Market
    ]


def listed_symbols(sources: Sequence[Venue]) -> list[tuple[str, str]]:
    """Return (source, exchange symbol) of every row, in order."""
    return [
        (venue.source, listing.exchange_symbol) for venue in sources for listing in venue.listings
    ]


def _namings(added: Sequence[AddedCoin], first_index: int, source: str) -> list[Naming]:
    found = []
    for index, coin in enumerate(added, start=first_index):
        if ticker := coin.ticker(source):
            name = ticker.base_name or ticker.base
            found.append(Naming(index, coin.coin(), ticker.base, ticker.coins, name))
    return found
