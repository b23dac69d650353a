"""What the numbers in a signal mean, and which routes the running universe lists. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from spreadscan.model import Direction
from spreadscan.shm.layout import MAX_DIRECTIONS, MAX_SYMBOLS
from spreadscan.tracker.episode import Route
from spreadscan.universe import Universe

__all__ = ["RouteNames"]


class RouteNames(NamedTuple):
    """The names of one universe.

    Concurrency: none needed; it is never changed, only succeeded.
    """

    directions: Mapping[int, str]
    symbols: Mapping[int, str]
    """Of this universe and, for signals that come late, of earlier ones where the id is free:
    those that the universe says, and those that the tracker knew."""
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
            symbols={number: name for name, number in universe.retired_ids.items()}
            | {row.symbol_id: row.name for row in universe.symbols},
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

    def route(
        self, direction_id: int, symbol_id: int, spot_source: int, futures_source: int
    ) -> Route:
        """Return the route of a signal's numbers; a number without a name is spelled ``#17``.

        The engine may be a universe ahead of us; its opening must not be lost for want of a name.
        """
        symbol = self.symbols.get(symbol_id, f"#{symbol_id}")
        return Route(
            direction=self.directions.get(direction_id, f"#{direction_id}"),
            symbol=symbol,
            direction_id=direction_id,
            # A late signal carries the number that the symbol had; its legs are under the new one.
            symbol_id=self.symbol_ids.get(symbol, symbol_id),
            spot_source=spot_source,
            futures_source=futures_source,
        )

    def canonical(self) -> npt.NDArray[np.int32]:
        """Return a symbol's number now by the number in a signal, shape (MAX_SYMBOLS,)."""
        numbers = np.arange(MAX_SYMBOLS, dtype=np.int32)
        for number, name in self.symbols.items():
            if 0 <= number < MAX_SYMBOLS:
                numbers[number] = self.symbol_ids.get(name, number)
        return numbers

    def listed_mask(self) -> npt.NDArray[np.bool_]:
        """Return whether a route is listed, by direction id * MAX_SYMBOLS + symbol id."""
        mask = np.zeros(MAX_DIRECTIONS * MAX_SYMBOLS, np.bool_)
        for direction_id, symbol_id in self.listed:
            mask[direction_id * MAX_SYMBOLS + symbol_id] = True
        return mask

    def renumbered(self, route: Route) -> Route:
        """Return a route of another universe with the numbers that its names have in this one."""
        direction_ids = {name: number for number, name in self.directions.items()}
        return route._replace(
            direction_id=direction_ids.get(route.direction, route.direction_id),
            symbol_id=self.symbol_ids.get(route.symbol, -1),
        )

    def numbers(self, key: tuple[str, str]) -> tuple[int, int]:
        """Return direction id and symbol id of a route's names, -1 where this universe has none."""
        direction, symbol = key
        direction_ids = {name: number for number, name in self.directions.items()}
        return direction_ids.get(direction, -1), self.symbol_ids.get(symbol, -1)

    def lists(self, route: Route) -> bool:
        """Tell whether a route with this universe's numbers is one of its routes."""
        return (route.direction_id, route.symbol_id) in self.listed
