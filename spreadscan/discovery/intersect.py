"""Legs of all sources to symbols with ids and directions with symbols. Pure.

Only a symbol that both sides of some direction list gets an id. A symbol keeps the id it had; an
id given up stays unused for as long as the folder of the universe lives, because processes that
have not yet loaded the new generation still know it under its old name.
"""

from collections.abc import Mapping, Sequence

import msgspec

from spreadscan.directions import DirectionRecord
from spreadscan.model import Direction, Instrument
from spreadscan.shm.layout import MAX_SYMBOLS, NUM_SOURCES
from spreadscan.symbols import SymbolRecord

__all__ = ["Intersection", "intersect"]


class Intersection(msgspec.Struct, frozen=True, kw_only=True):
    """The symbols that can be scanned."""

    symbols: tuple[SymbolRecord, ...]
    """Ascending by id."""
    directions: tuple[DirectionRecord, ...]
    """As configured, also those without a symbol."""
    next_symbol_id: int
    """Lowest id never given out."""
    without_id: tuple[str, ...]
    """Names that would take part but found no id below MAX_SYMBOLS."""


def intersect(
    legs: Mapping[int, Mapping[str, Instrument]],
    directions: Sequence[Direction],
    last_ids: Mapping[str, int],
    first_free_id: int,
) -> Intersection:
    """Match legs by name, per direction.

    Args:
        legs: source id to name to leg; a source may be absent.
        directions: the configured ones.
        last_ids: the ids of the last generation by name.
        first_free_id: lowest id that no generation has given out.
    """
    shared = {
        row.direction_id: legs.get(row.spot_source, {}).keys()
        & legs.get(row.futures_source, {}).keys()
        for row in directions
    }
    wanted = sorted(set().union(*shared.values()))
    ids = {name: last_ids[name] for name in wanted if name in last_ids}
    newcomers = [name for name in wanted if name not in last_ids]
    room = max(0, MAX_SYMBOLS - first_free_id)
    ids.update(zip(newcomers[:room], range(first_free_id, MAX_SYMBOLS), strict=False))
    return Intersection(
        symbols=tuple(
            SymbolRecord(
                symbol_id=symbol_id,
                name=name,
                instruments=tuple(
                    legs.get(source_id, {}).get(name) for source_id in range(NUM_SOURCES)
                ),
            )
            for name, symbol_id in sorted(ids.items(), key=lambda item: item[1])
        ),
        directions=tuple(
            DirectionRecord(
                direction_id=row.direction_id,
                spot_source=row.spot_source,
                futures_source=row.futures_source,
                symbols=tuple(
                    sorted(ids[name] for name in shared[row.direction_id] if name in ids)
                ),
            )
            for row in directions
        ),
        next_symbol_id=max(first_free_id, max(ids.values(), default=-1) + 1),
        without_id=tuple(newcomers[room:]),
    )
