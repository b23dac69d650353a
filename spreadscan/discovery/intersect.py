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

__all__ = ["Ids", "Intersection", "intersect"]

# A symbol that has an id gives it up only to one that is this much more liquid: or those around
# the last place would come and go with every run, and use up an id each time.
HOLDER_BONUS = 2.0


class Ids(msgspec.Struct, frozen=True, kw_only=True):
    """Which id a symbol may get."""

    held: Mapping[str, int] = {}
    """By name, of the last universe."""
    retired: Mapping[str, int] = {}
    """By name, of symbols that were given up since the last full restart: theirs if they return,
    nobody else's."""
    free: Sequence[int] = range(MAX_SYMBOLS)
    """For newcomers, in this order; none of those above."""
    next_symbol_id: int = 0
    """Lowest id not given out since the last full restart."""


class Intersection(msgspec.Struct, frozen=True, kw_only=True):
    """The symbols that can be scanned."""

    symbols: tuple[SymbolRecord, ...]
    """Ascending by id."""
    directions: tuple[DirectionRecord, ...]
    """As configured, also those without a symbol."""
    next_symbol_id: int
    """Lowest id not given out since the last full restart."""
    retired_ids: dict[str, int]
    """What `Ids.retired` is for the next run."""
    without_id: tuple[str, ...]
    """Names that would take part but found no id below MAX_SYMBOLS."""


def intersect(
    members: Mapping[int, Mapping[str, Member]], directions: Sequence[Direction], ids: Ids
) -> Intersection:
    """Match legs by name, per direction.

    Args:
        members: source id to symbol name to listing; a source may be absent.
        directions: the configured ones.
        ids: which may be given to whom.
    """
    shared = {
        row.direction_id: members.get(row.spot_source, {}).keys()
        & members.get(row.futures_source, {}).keys()
        for row in directions
    }
    wanted: set[str] = set().union(*shared.values())
    by_rank = _ranked(wanted, _liquidity_usd(members, directions, shared), ids.held)
    given = _given(by_rank, ids)
    gone = {name: number for name, number in ids.held.items() if name not in given}
    return Intersection(
        symbols=tuple(
            SymbolRecord(symbol_id=symbol_id, name=name, instruments=_legs(members, name))
            for name, symbol_id in sorted(given.items(), key=lambda item: item[1])
        ),
        directions=tuple(
            DirectionRecord(
                direction_id=row.direction_id,
                spot_source=row.spot_source,
                futures_source=row.futures_source,
                symbols=tuple(
                    sorted(given[name] for name in shared[row.direction_id] if name in given)
                ),
            )
            for row in directions
        ),
        next_symbol_id=max(ids.next_symbol_id, max(given.values(), default=-1) + 1),
        retired_ids={
            name: number for name, number in {**ids.retired, **gone}.items() if name not in given
        },
        without_id=tuple(name for name in by_rank if name not in given),
    )


def _ranked(
    names: AbstractSet[str], liquidity_usd: Mapping[str, float], held: Mapping[str, int]
) -> list[str]:
    """Return the names, the most liquid first."""
    return sorted(
        names,
        key=lambda name: (
            -liquidity_usd[name] * (HOLDER_BONUS if name in held else 1.0), name not in held, name,
        ),
    )  # fmt: skip


def _given(by_rank: Sequence[str], ids: Ids) -> dict[str, int]:
    """Give an id to as many as there are, in order of rank."""
    given: dict[str, int] = {}
    newcomers: list[str] = []
    for name in by_rank:
        if len(given) + len(newcomers) == MAX_SYMBOLS:
            break
        number = ids.held.get(name, ids.retired.get(name))
        if number is not None:
            given[name] = number
        elif len(newcomers) < len(ids.free):
            newcomers.append(name)
    given.update(zip(sorted(newcomers), ids.free, strict=False))
    return given


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
