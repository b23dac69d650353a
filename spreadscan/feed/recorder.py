"""Keeps what a feed receives: a thread that packs the tap's lines into segments on disk.

The event loop only copies frames into the tap. This thread looks at it every ``POLL_S``, compresses
(without the interpreter's lock) and writes; segments are cut by size, by age and where the universe
changes, and the oldest make room. Whatever goes wrong with the disk ends the recording and nothing
else: the feed goes on, and says so.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import threading
import uuid
import zlib
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from spreadscan.config import Config, RecordConfig
from spreadscan.directions import encode_directions
from spreadscan.errors import SpreadscanError
from spreadscan.kernel.tap import NOTE, Tap
from spreadscan.rawlog import (
    CONFIG_FOLDER,
    GZIP_WBITS,
    UNIVERSE_FOLDER,
    Confirmed,
    End,
    Funded,
    FundingRow,
    Head,
    SegmentName,
    line_of,
    segments_in,
)
from spreadscan.runtime.clock import Clock, boot_id
from spreadscan.symbols import encode_symbols
from spreadscan.universe import Universe, write_universe

__all__ = ["Recorder"]

CONFIG_FILES = ("config.toml", "exchanges.toml", "directions.toml", "fees.toml", "identity.toml")
# 8 MiB of room last for longer than this at any rate a feed can read at.
POLL_S = 0.05
# What a killed process loses at most.
FLUSH_S = 1.0
STOP_TIMEOUT_S = 5.0
# Longer than a feed takes from a kept universe to the segment that names it.
YOUNG_S = 600.0
MIB = 1 << 20
# Level 1: a tenth of the size at some 60 MB/s; higher levels win little and take twice as long.
LEVEL = 1
UNIVERSE_NOTE, END_NOTE = b"universe", b"end"


class Recorder:
    """The recording of one source, from its making to ``stop``.

    Args:
        config: its ``record`` branch, and the files to keep beside the frames.
        source: name of the source.
        universe: whose symbols the feed is about to receive.
        clock: wall and monotonic time.
        log: the feed's logger.

    Concurrency: all methods belong to the thread of the event loop, and none of them waits for the
    disk but ``stop``. One recorder a source: the caller holds the feed's lock.
    """

    def __init__(
        self, config: Config, source: str, universe: Universe, clock: Clock, log: logging.Logger
    ) -> None:
        self._tap = Tap()
        self._clock = clock
        self._log = log
        self._universes: deque[Universe] = deque()
        self._writer = _Writer(config, source, self._tap, self._universes, clock)
        self._thread = threading.Thread(target=self._writer.run, name="recorder", daemon=True)
        self._trouble = ""
        self.adopt(universe)
        self._thread.start()

    @property
    def tap(self) -> Tap | None:
        """Where frames go; None once the recording has ended, for whatever reason."""
        return None if self._trouble or self._writer.is_stopping else self._tap

    @property
    def trouble(self) -> str:
        """Why the recording has ended; empty while it goes on."""
        return self._trouble

    @property
    def recorded_count(self) -> int:
        """Entries taken so far: frames, and symbols marked."""
        return self._tap.taken_count

    @property
    def lost_count(self) -> int:
        """Entries for which there was no room."""
        return self._tap.lost_count

    def adopt(self, universe: Universe) -> None:
        """Note that what comes from now on is of this universe; call it before anything is."""
        self._universes.append(universe)
        if not self._tap.put(NOTE, self._clock.monotonic_ns(), UNIVERSE_NOTE):
            self._give_up("no room to note a new universe")

    def confirmed(self, symbol_id: int, price: float) -> None:
        """Note that a held quote was borne out; call it before the sink is told."""
        note = msgspec.json.encode(Confirmed(symbol_id=symbol_id, price=price))
        # Where there is no room, the replay waits for a second quote instead.
        self._tap.put(NOTE, self._clock.monotonic_ns(), note)

    def funded(self, rows: list[FundingRow], asked_ns: int) -> None:
        """Note what the exchange told of funding when it was asked at a time."""
        now_ns = self._clock.monotonic_ns()
        note = msgspec.json.encode(Funded(age_ns=max(0, now_ns - asked_ns), rows=rows))
        # Where there is no room, what was known before goes on in the replay, and grows old.
        self._tap.put(NOTE, now_ns, note)

    def check(self) -> None:
        """Look after the writing thread; call it with every beat."""
        if self._trouble or self._thread.is_alive():
            return
        self._give_up(self._writer.trouble or "its thread ended by a mistake of its own")

    def stop(self) -> None:
        """Write what is left and end the last segment; waits for the disk, a few seconds at most.

        Call it when nothing is received any more.
        """
        if not self._trouble:
            self._tap.put(NOTE, self._clock.monotonic_ns(), END_NOTE)
        self._writer.is_stopping = True
        self._thread.join(STOP_TIMEOUT_S)

    def _give_up(self, why: str) -> None:
        self._trouble = why
        self._writer.is_stopping = True
        self._log.error("recording stopped, feeding goes on: %s", why)


class _Writer:
    """The thread's half."""

    def __init__(
        self, config: Config, source: str, tap: Tap, universes: deque[Universe], clock: Clock
    ) -> None:
        self.is_stopping = False
        self.trouble = ""
        self._config = config
        self._record: RecordConfig = config.record
        self._root = config.path(config.record.dir)
        self._source = source
        self._tap = tap
        self._universes = universes
        self._clock = clock
        self._session = uuid.uuid4().hex
        self._boot_id = boot_id()
        self._offset_ns = clock.wall_ns() - clock.monotonic_ns()
        self._universe = ""
        self._serial = -1
        self._segment: _Segment | None = None

    def run(self) -> None:
        """Write until told to stop; ``trouble`` says why it ended earlier."""
        try:
            self._prepare()
            is_last = False
            while not is_last:
                # Asked before looking: what was put in before the stop is found by this look.
                is_last = self.is_stopping
                self._look()
                if not is_last:
                    threading.Event().wait(POLL_S)
            self._end_segment()
        except (OSError, SpreadscanError) as error:
            self.trouble = str(error)
            if self._segment is not None:
                self._segment.abandon()

    def _prepare(self) -> None:
        folder = self._root / self._source
        folder.mkdir(parents=True, exist_ok=True)
        # Never that of a segment that is there, or was: a replay would miss nothing in between.
        self._serial = max((name.serial for name, _ in segments_in(folder)), default=-1)
        _keep_config(Path(self._config.file), self._root / CONFIG_FOLDER)

    def _look(self) -> None:
        now_ns = self._clock.monotonic_ns()
        while True:
            lines = self._tap.drain(self._offset_ns)
            if lines:
                self._write(lines)
                self._cut_if_due(now_ns)
                continue
            note = self._tap.take_note()
            if note is None:
                break
            self._obey(*note)
        self._cut_if_due(now_ns)
        if self._segment is not None:
            self._segment.flush_if_due(now_ns)

    def _cut_if_due(self, now_ns: int) -> None:
        if self._segment is not None and self._segment.is_over(now_ns, self._record):
            self._begin_segment(now_ns)

    def _write(self, lines: bytes) -> None:
        assert self._segment is not None
        self._check_room()
        self._segment.write(lines)

    def _obey(self, time_ns: int, note: bytes) -> None:
        if note == END_NOTE:
            self._write(line_of(time_ns + self._offset_ns, End()))
            return
        if note != UNIVERSE_NOTE:
            self._write(b"%d %s\n" % (time_ns + self._offset_ns, note))
            return
        self._universe = _keep_universe(self._universes.popleft(), self._root / UNIVERSE_FOLDER)
        self._begin_segment(time_ns)

    def _check_room(self) -> None:
        state = os.statvfs(self._root)
        free_mib = state.f_bavail * state.f_frsize // MIB
        if free_mib < self._record.min_free_mib:
            wanted = f"{self._record.min_free_mib} MiB of record.min_free_mib"
            raise OSError(f"{self._root}: {free_mib} MiB left, less than the {wanted}")

    def _begin_segment(self, time_ns: int) -> None:
        self._end_segment()
        self._make_room()
        self._check_room()
        self._serial += 1
        wall_ns = time_ns + self._offset_ns
        began = f"{datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC):%Y%m%dT%H%M%SZ}"
        name = SegmentName(began, self._serial, self._universe)
        self._segment = _Segment(self._root / self._source / name.file_name, time_ns)
        head = Head(
            source=self._source,
            session=self._session,
            serial=self._serial,
            universe=self._universe,
            boot_id=self._boot_id,
            offset_ns=self._offset_ns,
        )
        self._segment.write(line_of(wall_ns, head))
        self._segment.flush_if_due(time_ns, is_due=True)

    def _end_segment(self) -> None:
        if self._segment is not None:
            self._segment.finish()
            self._segment = None

    def _make_room(self) -> None:
        """Delete the oldest segments until a whole one more fits, then universes nobody names."""
        segments = segments_in(self._root / self._source)
        sizes = [file.stat().st_size for _, file in segments]
        excess = sum(sizes) + (self._record.segment_mib - self._record.max_mib) * MIB
        deleted = 0
        for (_, file), size in zip(segments, sizes, strict=True):
            if excess <= 0:
                break
            file.unlink(missing_ok=True)
            excess -= size
            deleted += 1
        if deleted:
            _forget_universes(self._root)


class _Segment:
    """One file while it is written."""

    def __init__(self, file: Path, now_ns: int) -> None:
        self._deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_WBITS)
        self._target: BinaryIO = file.open("xb", buffering=0)
        self._began_ns = self._flushed_ns = now_ns
        self._is_dirty = False
        self._bytes = 0

    def is_over(self, now_ns: int, record: RecordConfig) -> bool:
        """Tell whether it is large or old enough."""
        is_old = now_ns - self._began_ns >= record.segment_s * 1e9
        return is_old or self._bytes >= record.segment_mib * MIB

    def write(self, lines: bytes) -> None:
        """Take whole lines."""
        self._put(self._deflate.compress(lines))
        self._is_dirty = True

    def flush_if_due(self, now_ns: int, *, is_due: bool = False) -> None:
        """Bring everything so far where the end of this process cannot touch it."""
        if self._is_dirty and (is_due or now_ns - self._flushed_ns >= FLUSH_S * 1e9):
            self._put(self._deflate.flush(zlib.Z_SYNC_FLUSH))
            self._flushed_ns = now_ns
            self._is_dirty = False

    def finish(self) -> None:
        """End the file; it lasts when this returns."""
        self._put(self._deflate.flush(zlib.Z_FINISH))
        os.fsync(self._target.fileno())
        self._target.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        with contextlib.suppress(OSError):
            self._target.close()

    def _put(self, packed: bytes) -> None:
        rest = memoryview(packed)
        while rest:
            written = self._target.write(rest)
            self._bytes += written
            rest = rest[written:]


def _keep_config(file: Path, folder: Path) -> None:
    """Copy the configuration; feeds that start together write the same."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in CONFIG_FILES:
        beside = folder / f".{name}.{os.getpid()}"
        shutil.copyfile(file.with_name(file.name if name == CONFIG_FILES[0] else name), beside)
        beside.replace(folder / name)


def _keep_universe(universe: Universe, folder: Path) -> str:
    """Write a universe unless it is there; return the name of its folder."""
    content = encode_symbols(universe.symbols) + encode_directions(universe.directions)
    name = f"{universe.generation}-{hashlib.sha256(content).hexdigest()[:12]}"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{name}.{uuid.uuid4().hex}"
        try:
            write_universe(beside, universe)
            beside.rename(folder / name)
        except OSError:
            # Another feed was faster, or the disk is full.
            if not (folder / name).exists():
                raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    # Young again: see _forget_universes.
    os.utime(folder / name)
    return name


def _forget_universes(root: Path) -> None:
    """Delete the universes that no segment of any source names.

    Not what another feed has just kept: its segment may be about to be begun.
    """
    named = {
        name.universe
        for folder in root.iterdir()
        if folder.is_dir()
        for name, _ in segments_in(folder)
    }
    # Other feeds keep and forget here too: what is being put in place has a name with a dot, and
    # what is gone by now needs no forgetting.
    kept: dict[Path, float] = {}
    for folder in (root / UNIVERSE_FOLDER).iterdir():
        if not folder.name.startswith("."):
            with contextlib.suppress(FileNotFoundError):
                kept[folder] = folder.stat().st_mtime
    newest_s = max(kept.values(), default=0.0)
    for folder, made_s in kept.items():
        is_young = made_s > newest_s - YOUNG_S
        if folder.name not in named and not is_young:
            shutil.rmtree(folder, ignore_errors=True)
