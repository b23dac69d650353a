"""What a tracker finds of its predecessors, however they ended.

The newest part that can be read says what is open, and where in the ring it stood; signals after
that are still in the ring, unless it was written over or made anew. A part that is damaged is read
as far as it goes, set aside and succeeded by another with the episodes that were found; older parts
are only looked at when those are not all. Paths are gone with a damaged part. A ledger that an
older build left takes its place among the parts (`legacy`).
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from spreadscan.errors import ConfigError
from spreadscan.tracker.episode import Clocks
from spreadscan.tracker.legacy import legacy_file, legacy_part, merged, put_in_place
from spreadscan.tracker.parts import (
    WORKING_SUFFIX,
    Part,
    archived_parts,
    day_of,
    ledger_parts,
    set_aside,
)
from spreadscan.tracker.saved import Saved, load, salvaged
from spreadscan.tracker.store import Batch, EpisodeStore, LedgerError, NewPart, connected, is_damage

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
        for file in directory.glob(f"ledger-*{WORKING_SUFFIX}*"):
            # Never finished.
            file.unlink()
        opened = _with_legacy(directory, now)
    except OSError as error:
        raise ConfigError(
            str(directory), "tracker.data_dir", str(error), "a folder that can be written"
        ) from None
    if opened is not None:
        return opened
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


def _with_legacy(directory: Path, now: Clocks) -> Opened | None:
    """Give a version-1 ledger its place; return the ledger when that had to be begun for it.

    Raises:
        LedgerError: one of both cannot be opened now.
        OSError: a file cannot be renamed.
    """
    file = legacy_file(directory)
    if file is None:
        return None
    part, parts = legacy_part(directory, file), ledger_parts(directory)
    opened = None
    if parts:
        newest = parts[-1].ledger(directory)
        try:
            with (
                closing(connected(newest, is_checked=True)) as before,
                closing(connected(file, is_checked=True)) as after,
            ):
                saved = merged(load(before), load(after))
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise LedgerError(newest, str(error)) from None
            # In its place it is met as any damaged part is.
        else:
            opened = _begun(directory, now, saved, (), [part])
    put_in_place(directory, file, part)
    return opened


def _begun(
    directory: Path,
    now: Clocks,
    saved: Saved,
    damaged: Sequence[tuple[Part, str]],
    reserved: Sequence[Part] = (),
) -> Opened:
    """Begin a part with what was found, then set aside what is damaged."""
    taken = (*ledger_parts(directory), *archived_parts(directory), *reserved)
    numbers = [part.number for part in taken]
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
    return Opened(store, saved, tuple(sentences))
