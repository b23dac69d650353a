"""Which exchange symbols are served at which source's address."""

from collections.abc import Mapping, Sequence

from spreadscan.sim.venues import Venue

__all__ = ["Directory"]


class Directory:
    """Exchange symbols to rows, by source; symbols come and go while it lives."""

    def __init__(self, venues: Sequence[Venue]) -> None:
        self._served: dict[str, dict[str, int]] = {venue.source: {} for venue in venues}
        self._row: dict[tuple[str, str], int] = {}
        self._addresses: dict[str, list[str]] = {
            venue.source: [
                other.source
                for other in venues
                if other is venue or (venue.shares_symbols and other.name == venue.name)
            ]
            for venue in venues
        }
        first = 0
        for venue in venues:
            for index, listing in enumerate(venue.listings):
                self._row[venue.source, listing.exchange_symbol] = first + index
                self.add(venue.source, listing.exchange_symbol)
            first += len(venue.listings)

    def served(self, source: str) -> Mapping[str, int]:
        """Return what one address serves, as it is at any time from now on."""
        return self._served[source]

    def row(self, source: str, exchange_symbol: str) -> int:
        """Return the row of a listing.

        Raises:
            KeyError: the source does not list it.
        """
        return self._row[source, exchange_symbol]

    def add(self, source: str, exchange_symbol: str) -> None:
        """Serve a symbol."""
        for address in self._addresses[source]:
            self._served[address][exchange_symbol] = self._row[source, exchange_symbol]

    def remove(self, source: str, exchange_symbol: str) -> None:
        """Serve a symbol no more; connections that have it keep it."""
        for address in self._addresses[source]:
            self._served[address].pop(exchange_symbol, None)
