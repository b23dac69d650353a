"""The last universe of a folder: what a new run starts from, and which ids it may give out."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

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
    """Why it cannot be used; None when it can, or when there is none."""

    @property
    def free_ids(self) -> tuple[int, ...]:
        """The ids for newcomers, in the order to give them out."""
        if not self.may_reuse_ids:
            return tuple(range(self.first_free_id, MAX_SYMBOLS))
        symbols = self.universe.symbols if self.universe else ()
        used = {row.symbol_id for row in symbols}
        return tuple(symbol_id for symbol_id in range(MAX_SYMBOLS) if symbol_id not in used)


def read_last(output: Path, *, is_forced: bool, may_reuse_ids: bool = False) -> Last:
    """Read a folder's last universe; of a damaged one what keeps ids from being given out twice.

    A process that runs knows the ids of the set it started with, which may be any of those that
    the folder still holds. So sets written after the current one count too: somebody went back
    from them, or their writer was killed just before it published them.

    Args:
        output: the folder, which may be absent.
        is_forced: begin ids at 0 after damage; only right while nothing else runs.
        may_reuse_ids: no process of the pipeline runs, so only the ids of the last universe are
            in use, and after damage none.
    """
    is_absent = not (output / METADATA).exists() and not (output / SYMBOLS).exists()
    if is_absent and not has_lost_current(output):
        return Last(may_reuse_ids=may_reuse_ids)
    metadata = _metadata_in(output)
    try:
        universe = load_universe(output)
    except UniverseError as error:
        places = [output, *kept_sets(output)]
        return Last(
            metadata=metadata,
            generation=_highest_generation(places),
            first_free_id=0 if is_forced or may_reuse_ids else _next_symbol_id(places),
            may_reuse_ids=may_reuse_ids,
            damage=str(error),
        )
    beyond = sets_beyond_current(output)
    return Last(
        universe=universe,
        metadata=metadata,
        generation=max(universe.generation, _highest_generation(beyond)),
        first_free_id=universe.num_symbols
        if may_reuse_ids
        else max(universe.first_free_id, _next_symbol_id(beyond)),
        may_reuse_ids=may_reuse_ids,
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
