"""What the numbers in a signal mean, and which routes the running universe lists. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

from spreadscan.model import Direction
from spreadscan.tracker.episode import Route, SignalEvent
from spreadscan.universe import Universe

__all__ = ["RouteNames"]


class RouteNames(NamedTuple):
    """The names of one universe.

    Concurrency: none needed; it is never changed, only succeeded.
    """

    directions: Mapping[int, str]
    symbols: Mapping[int, str]
    """Of this universe and, for signals that come late, of earlier ones where the id is free."""
    symbol_ids: Mapping[str, int]
    """Of this universe alone."""
    listed: frozenset[tuple[int, int]]
    """The routes of this universe, as (direction id, symbol id)."""

    @classmethod
    def of(cls, universe: Universe, directions: Iterable[Direction]) -> Self:
        """Return the names of a universe in the directions that are configured."""
        names = {direction.direction_id: direction.name for direction in directions}
        return cls(
            directions=names,
            symbols={row.symbol_id: row.name for row in universe.symbols},
            symbol_ids={row.name: row.symbol_id for row in universe.symbols},
            listed=frozenset(
                (row.direction_id, symbol_id)
                for row in universe.directions
                if row.direction_id in names
                for symbol_id in row.symbols
            ),
        )

    def remembering(self, symbols: Mapping[int, str]) -> Self:
        """Return the same names with those of ids that nobody has now."""
        return self._replace(symbols={**symbols, **self.symbols})

    def route(self, event: SignalEvent) -> Route:
        """Return the route of a signal; a number without a name is spelled ``#17``.

        The engine may be a universe ahead of us; its opening must not be lost for want of a name.
        """
        symbol = self.symbols.get(event.symbol_id, f"#{event.symbol_id}")
        return Route(
            direction=self.directions.get(event.direction, f"#{event.direction}"),
            symbol=symbol,
            direction_id=event.direction,
            # A late signal carries the number that the symbol had; its legs are under the new one.
            symbol_id=self.symbol_ids.get(symbol, event.symbol_id),
            spot_source=event.spot_source,
            futures_source=event.futures_source,
        )

    def renumbered(self, route: Route) -> Route:
        """Return a route of another universe with the numbers that its names have in this one."""
        direction_ids = {name: number for number, name in self.directions.items()}
        return route._replace(
            direction_id=direction_ids.get(route.direction, route.direction_id),
            symbol_id=self.symbol_ids.get(route.symbol, -1),
        )

    def lists(self, route: Route) -> bool:
        """Tell whether a route with this universe's numbers is one of its routes."""
        return (route.direction_id, route.symbol_id) in self.listed
