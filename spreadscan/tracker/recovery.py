"""What a tracker finds of its predecessors, however they ended.

The newest part that can be read says what is open, and where in the ring it stood; signals after
that are still in the ring, unless it was written over or made anew. A part that is damaged is read
as far as it goes, set aside and succeeded by another with the episodes that were found; older parts
are only looked at when those are not all. Paths are gone with a damaged part.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from spreadscan.errors import ConfigError
from spreadscan.tracker.episode import Clocks
from spreadscan.tracker.parts import (
    LEGACY_NAME,
    WORKING_SUFFIX,
    Part,
    archived_parts,
    day_of,
    ledger_parts,
    set_aside,
)
from spreadscan.tracker.saved import Saved, load, salvaged
from spreadscan.tracker.store import Batch, EpisodeStore, LedgerError, NewPart, is_damage

__all__ = ["Opened", "open_ledger"]


class Opened(NamedTuple):
    """The ledger, ready for the next batch."""

    store: EpisodeStore
    saved: Saved
    damaged: Sequence[str]
    """One sentence for every part that was set aside."""


def open_ledger(directory: Path, now: Clocks) -> Opened:
    """Find the ledger in a folder, or begin it.

    Raises:
        ConfigError: the folder cannot be made or used, or the newest part is of a newer build.
        LedgerError: the ledger cannot be opened or begun now.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _tidy(directory)
    except OSError as error:
        raise ConfigError(
            str(directory), "tracker.data_dir", str(error), "a folder that can be written"
        ) from None
    damaged: list[tuple[Part, str]] = []
    saved: Saved | None = None
    for part in reversed(ledger_parts(directory)):
        store = EpisodeStore(directory, part)
        try:
            found = load(store.opened())
        except sqlite3.DatabaseError as error:
            store.close()
            if not is_damage(error):
                raise LedgerError(store.file, str(error)) from None
            damaged.append((part, str(error)))
            saved = salvaged(store.file)
            if saved is not None:
                break
        else:
            if not damaged:
                return Opened(store, found, ())
            store.close()
            saved = found
            break
    return _begun(directory, now, saved or Saved(), damaged)


def _begun(
    directory: Path, now: Clocks, saved: Saved, damaged: Sequence[tuple[Part, str]]
) -> Opened:
    """Begin a part with what was found, then set aside what is damaged."""
    numbers = [part.number for part in (*ledger_parts(directory), *archived_parts(directory))]
    store = EpisodeStore(directory, Part(max(numbers, default=0), day_of(now.wall_ns)))
    batch = Batch(
        episodes=saved.ended,
        frames=(),
        ring_created_ns=saved.ring_created_ns,
        ring_sequence=saved.ring_sequence,
        last_id=saved.last_id,
        clocks=saved.clocks or now,
        is_synced=True,
        new_part=NewPart(day_of(now.wall_ns), saved.episodes, saved.previous, saved.expired),
        kills=saved.kills,
    )
    try:
        store.commit(batch)
        sentences = []
        for part, reason in damaged:
            file = part.ledger(directory)
            aside = set_aside(file, now.wall_ns)
            sentences.append(
                f"{file}: damaged ({reason}), set aside as {aside.name};"
                f" {store.file.name} goes on with {len(saved.episodes)} open episodes"
            )
    except (sqlite3.OperationalError, OSError) as error:
        store.close()
        raise LedgerError(store.file, str(error)) from None
    return Opened(store, saved, sentences)


def _tidy(directory: Path) -> None:
    """Remove parts that were never finished, and give a version-1 ledger its place."""
    for file in directory.glob(f"ledger-*{WORKING_SUFFIX}*"):
        file.unlink()
    legacy = directory / LEGACY_NAME
    if not legacy.is_file():
        return
    # After those that are there: whoever went back to an older build has written it last.
    number = max((part.number for part in ledger_parts(directory)), default=-1) + 1
    part = Part(number, day_of(legacy.stat().st_mtime_ns))
    for suffix in ("-wal", "-shm", ""):
        side = legacy.with_name(legacy.name + suffix)
        if side.exists():
            target = part.ledger(directory)
            side.rename(target.with_name(target.name + suffix))
