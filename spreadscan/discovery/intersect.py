"""Legs of all sources to symbols with ids and directions with symbols. Pure.

Only a symbol that both sides of some direction list gets an id. A symbol keeps the id it had; an
id given up stays unused until the next full restart, because processes that have not yet loaded
the new generation still know it under its old name. Where there are more symbols than ids, the
most liquid stay.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from spreadscan.directions import DirectionRecord
from spreadscan.discovery.member import Member
from spreadscan.model import Direction, Instrument
from spreadscan.shm.layout import MAX_SYMBOLS, NUM_SOURCES
from spreadscan.symbols import SymbolRecord

__all__ = ["Intersection", "intersect"]

# A symbol that has an id gives it up only to one that is this much more liquid: or those around
# the last place would come and go with every run, and use up an id each time.
HOLDER_BONUS = 2.0


class Intersection(msgspec.Struct, frozen=True, kw_only=True):
    """The symbols that can be scanned."""

    symbols: tuple[SymbolRecord, ...]
    """Ascending by id."""
    directions: tuple[DirectionRecord, ...]
    """As configured, also those without a symbol."""
    next_symbol_id: int
    """Lowest id not given out since the last full restart."""
    without_id: tuple[str, ...]
    """Names that would take part but found no id below MAX_SYMBOLS."""


def intersect(
    members: Mapping[int, Mapping[str, Member]],
    directions: Sequence[Direction],
    last_ids: Mapping[str, int],
    free_ids: Sequence[int],
    next_symbol_id: int,
) -> Intersection:
    """Match legs by name, per direction.

    Args:
        members: source id to symbol name to listing; a source may be absent.
        directions: the configured ones.
        last_ids: the ids of the last generation by name.
        free_ids: the ids that newcomers may get, in this order.
        next_symbol_id: lowest id that none has given out since the last full restart.
    """
    shared = {
        row.direction_id: members.get(row.spot_source, {}).keys()
        & members.get(row.futures_source, {}).keys()
        for row in directions
    }
    wanted = set().union(*shared.values())
    liquidity_usd = _liquidity_usd(members, directions, shared)
    by_rank = sorted(
        wanted,
        key=lambda name: (
            -liquidity_usd[name] * (HOLDER_BONUS if name in last_ids else 1.0),
            name not in last_ids,
            name,
        ),
    )
    ids: dict[str, int] = {}
    newcomers: list[str] = []
    for name in by_rank:
        if len(ids) + len(newcomers) == MAX_SYMBOLS:
            break
        if name in last_ids:
            ids[name] = last_ids[name]
        elif len(newcomers) < len(free_ids):
            newcomers.append(name)
    ids.update(zip(sorted(newcomers), free_ids, strict=False))
    return Intersection(
        symbols=tuple(
            SymbolRecord(symbol_id=symbol_id, name=name, instruments=_legs(members, name))
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
        next_symbol_id=max(next_symbol_id, max(ids.values(), default=-1) + 1),
        without_id=tuple(name for name in by_rank if name not in ids),
    )


def _legs(members: Mapping[int, Mapping[str, Member]], name: str) -> tuple[Instrument | None, ...]:
    found = (members.get(source_id, {}).get(name) for source_id in range(NUM_SOURCES))
    return tuple(member.leg if member else None for member in found)


def _liquidity_usd(
    members: Mapping[int, Mapping[str, Member]],
    directions: Sequence[Direction],
    shared: Mapping[int, AbstractSet[str]],
) -> dict[str, float]:
    """Return what the best direction of each symbol can trade in a day: its thinner leg."""
    best: dict[str, float] = {}
    for row in directions:
        for name in shared[row.direction_id]:
            thinner = min(
                members[source_id][name].turnover_usd or 0.0
                for source_id in (row.spot_source, row.futures_source)
            )
            best[name] = max(best.get(name, 0.0), thinner)
    return best
