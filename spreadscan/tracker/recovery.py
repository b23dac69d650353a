"""What a tracker finds of its predecessors, however they ended.

The newest part that can be read says what is open, and where in the ring it stood; signals after
that are still in the ring, unless it was written over or made anew. A part that is damaged is read
as far as it goes, set aside and succeeded by another with the episodes that were found; older parts
are only looked at when those are not all. Paths are gone with a damaged part. A ledger that an
older build left takes its place among the parts (`legacy`).
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from spreadscan.tracker.disk_errors import LedgerError, folder_refused, is_damage, is_of_the_disk
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
from spreadscan.tracker.store import (
    FULL_CHECK_BYTES,
    Batch,
    EpisodeStore,
    NewPart,
    connected,
)

__all__ = ["Opened", "open_ledger"]

MEMORY = "/dev/shm"  # noqa: S108 -- a folder of a random name is made in it


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
        LedgerError: the ledger cannot be begun, or not even be read, now.
    """
    opened = _prepared(directory, now)
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
                if damaged or not is_of_the_disk(error):
                    raise LedgerError(store.file, str(error)) from None
                return Opened(store, _read_in_memory(store.file, error), ())
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


def _prepared(directory: Path, now: Clocks) -> Opened | None:
    """Make the folder, tidy it, and give an older build's ledger its place.

    Returns:
        The ledger, when it had to be begun for that.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _ask_for_rights(directory)
        _tidy(directory)
        return _with_legacy(directory, now)
    except OSError as error:
        raise folder_refused(directory, error) from None


def _ask_for_rights(directory: Path) -> None:
    """Find out whether this user may write, which SQLite does not tell from a disk in trouble.

    Raises:
        PermissionError: to the folder or to the newest part.
    """
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC))
        for part in ledger_parts(directory)[-1:]:
            os.close(os.open(part.ledger(directory), os.O_RDWR | os.O_CLOEXEC))
    except PermissionError:
        raise
    except OSError:
        # Whatever else is the matter shows when the ledger is opened.
        return


def _read_in_memory(file: Path, trouble: sqlite3.Error) -> Saved:
    """Read a part whose disk is full or read-only: SQLite cannot so much as open it there.

    What is open is carried on with, and stored once the disk lets anybody.

    Raises:
        LedgerError: it cannot be read either, or not without the memory that others need.
    """
    sides = [file.with_name(file.name + suffix) for suffix in ("", "-wal")]
    try:
        present = [side for side in sides if side.exists()]
        if sum(side.stat().st_size for side in present) > FULL_CHECK_BYTES:
            raise LedgerError(file, str(trouble))
        with tempfile.TemporaryDirectory(prefix="spreadscan-", dir=MEMORY) as copies:
            for side in present:
                shutil.copy(side, copies)
            with closing(connected(Path(copies) / file.name, is_checked=True)) as connection:
                return load(connection)
    except (sqlite3.DatabaseError, OSError):
        raise LedgerError(file, str(trouble)) from None


def _tidy(directory: Path) -> None:
    """Remove parts that were never finished; they do no harm where that is not possible."""
    for file in directory.glob(f"ledger-*{WORKING_SUFFIX}*"):
        with suppress(OSError):
            file.unlink()


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
        # Of a run that did not say, each episode was last seen at a time of its own.
        clocks=saved.clocks or (None if saved.episodes else now),
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
