"""The last universe of a folder: what a new run starts from, and how a damaged one is mended."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from spreadscan.errors import UniverseError
from spreadscan.symbols import decode_symbols
from spreadscan.universe import (
    METADATA,
    SYMBOLS,
    Metadata,
    Universe,
    load_universe,
    read_metadata,
)

__all__ = ["Last", "read_last"]

FoundT = TypeVar("FoundT")


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the folder's last universe."""

    universe: Universe | None = None
    """None when there is none that can be used."""
    metadata: Metadata | None = None
    first_free_id: int = 0
    damage: str | None = None
    """Why it cannot be used; None when it can, or when there is none."""

    @property
    def generation(self) -> int:
        """Its number; 0 when there is none."""
        return self.metadata.generation if self.metadata else 0


def read_last(output: Path, *, is_forced: bool) -> Last:
    """Read a folder's last universe; of a damaged one what keeps ids from being given out twice.

    A crash between two renames leaves files of two sets. The next run mends that by writing a
    whole set, with ids above all that either set can have used.

    Args:
        output: the folder, which may be absent.
        is_forced: begin ids at 0 after damage; only right while nothing else runs.
    """
    if not (output / METADATA).exists() and not (output / SYMBOLS).exists():
        return Last()
    try:
        universe = load_universe(output)
        return Last(
            universe=universe,
            metadata=read_metadata(output),
            first_free_id=universe.first_free_id,
        )
    except UniverseError as error:
        damage = str(error)
    metadata = _or_none(lambda: read_metadata(output))
    symbols = _or_none(lambda: decode_symbols((output / SYMBOLS).read_bytes(), SYMBOLS)) or ()
    ids = [metadata.next_symbol_id if metadata else 0, *(row.symbol_id + 1 for row in symbols)]
    return Last(metadata=metadata, first_free_id=0 if is_forced else max(ids), damage=damage)


def _or_none(read: Callable[[], FoundT]) -> FoundT | None:
    try:
        return read()
    except (UniverseError, OSError):
        return None
