"""Universes by their generation: the one on disk, and those before it that are kept."""

from collections.abc import Iterator
from pathlib import Path

from spreadscan.errors import UniverseError
from spreadscan.universe import Universe, load_universe, read_metadata
from spreadscan.universe_files import kept_sets

__all__ = ["generation_on_disk", "universe_of"]


def generation_on_disk(directory: Path) -> int | None:
    """Return the generation of a set; None when that cannot be read."""
    try:
        return read_metadata(directory).generation
    except UniverseError:
        return None


def universe_of(directory: Path, generation: int) -> Universe | None:
    """Return the universe of a generation; None when it is not there any more, or damaged.

    Args:
        directory: where pair-discovery writes.
        generation: as a health slot shows it.
    """
    for place in _places(directory):
        if generation_on_disk(place) == generation:
            try:
                return load_universe(place)
            except UniverseError:
                continue
    return None


def _places(directory: Path) -> Iterator[Path]:
    yield directory
    # A folder that was begun anew may hold a generation twice: the later one is meant.
    yield from reversed(kept_sets(directory))
