"""The thread that writes a recording: what the tap holds, into segments on disk.

It looks at the tap every ``POLL_S``, compresses (without the interpreter's lock) and writes.
Segments are cut by size, by age and where the universe changes, and the oldest make room.
"""

import contextlib
import os
import threading
import uuid
import zlib
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from spreadscan.config import Config, RecordConfig
from spreadscan.errors import SpreadscanError
from spreadscan.feed.record_folder import forget_universes, keep_config, keep_universe
from spreadscan.kernel.tap import Tap
from spreadscan.rawlog import (
    CONFIG_FOLDER,
    GZIP_WBITS,
    UNIVERSE_FOLDER,
    End,
    Head,
    SegmentName,
    line_of,
    segments_in,
)
from spreadscan.runtime.clock import Clock, boot_id
from spreadscan.universe import Universe

__all__ = ["END_NOTE", "UNIVERSE_NOTE", "RecordWriter"]

# 8 MiB of room last for longer than this at any rate a feed can read at.
POLL_S = 0.05
# What a killed process loses at most.
FLUSH_S = 1.0
MIB = 1 << 20
# Level 1: a tenth of the size at some 60 MB/s; higher levels win little and take twice as long.
LEVEL = 1
UNIVERSE_NOTE, END_NOTE = b"universe", b"end"


class RecordWriter:
    """One session of a recording.

    Args:
        config: its ``record`` branch, and the files to keep.
        source: name of the source.
        tap: what is to be written.
        universes: one for each universe note in the tap, in that order.
        clock: wall and monotonic time.

    Concurrency: ``run`` is the thread; its owner sets ``is_stopping`` and reads the others.
    """

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
        self.is_writing = False
        """A segment could be begun."""

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
        # Before anything is written: on a full disk others need what is left.
        self._check_room()
        # Never that of a segment that is there, or was: a replay would miss nothing in between.
        self._serial = max((name.serial for name, _ in segments_in(folder)), default=-1)
        keep_config(Path(self._config.file), self._root / CONFIG_FOLDER)

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
        self._universe = keep_universe(self._universes.popleft(), self._root / UNIVERSE_FOLDER)
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
        self.is_writing = True

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
            forget_universes(self._root)


class _Segment:
    """One file while it is written."""

    def __init__(self, file: Path, now_ns: int) -> None:
        self._file = file
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
        """Close the file as it is; an empty one tells nothing."""
        with contextlib.suppress(OSError):
            if not self._bytes:
                self._file.unlink()
            self._target.close()

    def _put(self, packed: bytes) -> None:
        rest = memoryview(packed)
        while rest:
            written = self._target.write(rest)
            self._bytes += written
            rest = rest[written:]
