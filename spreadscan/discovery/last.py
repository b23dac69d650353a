"""The last universe of a folder: what a new run starts from, and which ids it may give out."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from spreadscan.discovery.intersect import Ids
from spreadscan.errors import UniverseError
from spreadscan.shm.layout import MAX_SYMBOLS
from spreadscan.symbols import SymbolRecord, decode_symbols
from spreadscan.universe import Metadata, Universe, load_universe, read_metadata
from spreadscan.universe_files import (
    METADATA,
    SYMBOLS,
    has_lost_current,
    kept_sets,
    sets_beyond_current,
)

__all__ = ["Last", "read_last"]


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the folder's last universe."""

    universe: Universe | None = None
    """None when there is none that can be used."""
    metadata: Metadata | None = None
    generation: int = 0
    """The highest that any set in the folder has; 0 when there is none."""
    first_free_id: int = 0
    """From here on upwards no id is in use; 0 to MAX_SYMBOLS."""
    may_reuse_ids: bool = False
    """Whether an id that a symbol gave up is free again."""
    damage: str | None = None
    """Why the current set cannot be used; None when it can, or when there is none."""

    @property
    def ids(self) -> Ids:
        """The ids for the next universe."""
        symbols = self.universe.symbols if self.universe else ()
        held = {row.name: row.symbol_id for row in symbols}
        if self.may_reuse_ids:
            used = set(held.values())
            free = tuple(number for number in range(MAX_SYMBOLS) if number not in used)
            return Ids(held=held, free=free)
        return Ids(
            held=held,
            retired=self.universe.retired_ids if self.universe else {},
            free=range(self.first_free_id, MAX_SYMBOLS),
            next_symbol_id=self.first_free_id,
        )


def read_last(output: Path, *, may_reuse_ids: bool = False) -> Last:
    """Read a folder's last universe; where it is damaged, the newest whole one that was kept.

    A process that runs knows the ids of the set it started with, which may be any of those that
    the folder still holds. So sets written after the current one count too: somebody went back
    from them, or their writer was killed just before it published them.

    Args:
        output: the folder, which may be absent.
        may_reuse_ids: no process of the pipeline runs, so only the ids of the last universe are
            in use.
    """
    is_absent = not (output / METADATA).exists() and not (output / SYMBOLS).exists()
    if is_absent and not has_lost_current(output):
        return Last(may_reuse_ids=may_reuse_ids)
    try:
        universe = load_universe(output)
    except UniverseError as error:
        return _mended(output, str(error), may_reuse_ids=may_reuse_ids)
    beyond = sets_beyond_current(output)
    return Last(
        universe=universe,
        metadata=_metadata_in(output),
        generation=max(universe.generation, _highest_generation(beyond)),
        first_free_id=max(universe.first_free_id, _next_symbol_id(beyond)),
        may_reuse_ids=may_reuse_ids,
    )


def _mended(output: Path, damage: str, *, may_reuse_ids: bool) -> Last:
    """Go on from the newest set that is whole, above every id and generation of all sets."""
    places = [output, *kept_sets(output)]
    whole: tuple[Path, Universe] | None = None
    for place in places[1:]:
        with contextlib.suppress(UniverseError):
            whole = place, load_universe(place)
    return Last(
        universe=whole[1] if whole else None,
        metadata=_metadata_in(whole[0] if whole else output),
        generation=_highest_generation(places),
        first_free_id=_next_symbol_id(places),
        may_reuse_ids=may_reuse_ids,
        damage=damage,
    )


def _highest_generation(places: Sequence[Path]) -> int:
    found = [_metadata_in(place) for place in places]
    return max((metadata.generation for metadata in found if metadata), default=0)


def _next_symbol_id(places: Sequence[Path]) -> int:
    """Return one above every id that the sets in these folders speak of, whole or not."""
    stated = [metadata.next_symbol_id for place in places if (metadata := _metadata_in(place))]
    used = [row.symbol_id + 1 for place in places for row in _symbols_in(place)]
    return max([0, *stated, *used])


def _metadata_in(place: Path) -> Metadata | None:
    try:
        return read_metadata(place)
    except UniverseError:
        return None


def _symbols_in(place: Path) -> Sequence[SymbolRecord]:
    try:
        return decode_symbols((place / SYMBOLS).read_bytes(), str(place / SYMBOLS))
    except (UniverseError, OSError):
        return ()
