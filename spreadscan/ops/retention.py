"""Which compacted days are let go.

A day's age is how many days were recorded since, not what a clock says: a clock that was wrong for
a minute must not cost years, and looks the same as a tracker that was away.
"""

from collections.abc import Iterator
from pathlib import Path

from spreadscan.config import Config
from spreadscan.tracker.parts import Part, archived_parts, ledger_parts

__all__ = ["MIB", "drop_old"]

MIB = 1024 * 1024


def drop_old(config: Config, directory: Path) -> Iterator[str]:
    """Delete what is older than allowed, then the oldest of what is more than allowed.

    Yields the files' names as they go; nothing else may compact the folder meanwhile.

    Raises:
        OSError: a file cannot be deleted.
    """
    tracker = config.tracker
    archived = archived_parts(directory)
    ages = _ages({*archived, *ledger_parts(directory)})
    files = {part: [part.paths(directory), part.episodes(directory)] for part in archived}
    total = sum(file.stat().st_size for pair in files.values() for file in pair if file.exists())
    for part, pair in files.items():
        if ages[part] < tracker.retention_days and total <= tracker.retention_max_mib * MIB:
            # Later parts are younger and fewer.
            break
        # The mark first: a crash in between leaves paths of nobody, which the next run removes.
        for file in reversed(pair):
            if file.exists():
                total -= file.stat().st_size
                file.unlink()
                yield file.name
    kept = {part.paths(directory) for part in archived_parts(directory)}
    for file in (directory / "history").glob("*-paths.parquet"):
        if file not in kept:
            file.unlink()
            yield file.name


def _ages(parts: set[Part]) -> dict[Part, int]:
    """Return how many days were recorded after that of each part.

    Parts are in order of number: where a clock was wrong, their days are in none.
    """
    ages: dict[Part, int] = {}
    age = 0
    later: Part | None = None
    for part in sorted(parts, reverse=True):
        if later is not None and part.day != later.day:
            age += 1
        ages[part] = age
        later = part
    return ages
