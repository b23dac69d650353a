"""A recording as one stream of events: all sources' segments, merged by receive time.

Within a source the order of the lines is the order of what happened. Between sources the receive
time decides, and for equal times the source id, so the same files always give the same stream.
Sources that were recorded in the same boot of the same host shared a monotonic clock, and are put
beside each other by it: a wall clock that was set in between moves none of them.
"""

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from spreadscan.exchanges import Source, sources
from spreadscan.rawlog import End, Head, Lost, Note, RecordingError, read_lines, segments_in

__all__ = ["Event", "events_of", "recorded_sources"]


class Event(NamedTuple):
    """One line, at its place in time; compares by time and source."""

    time_ns: int
    """Unix time; never less than that of the event before."""
    source_id: int
    received_ns: int
    """What the line itself says: within a read, frames were received before they were seen."""
    content: bytes | Note


def recorded_sources(root: Path) -> list[Source]:
    """Return the sources that a recording holds, in order of source id.

    Raises:
        RecordingError: it holds none.
    """
    found = [source for source in sources().values() if segments_in(root / source.name)]
    if not found:
        raise RecordingError(root, "no segment of any source", "a folder written by feeds")
    return found


def events_of(root: Path) -> Iterator[Event]:
    """Return everything in a recording, in order.

    A source's life that ended without a word gets an ``End`` at its last line: its feed was killed.

    Raises:
        RecordingError: no recording, or a segment cannot be read.
    """
    # The offset of each boot's first session, which all sessions of that boot are shown by.
    boots: dict[str, int] = {}
    return heapq.merge(*(_of_source(root, source, boots) for source in recorded_sources(root)))


def _of_source(root: Path, source: Source, boots: dict[str, int]) -> Iterator[Event]:
    head: Head | None = None
    is_living = False
    time_ns = received_ns = shift_ns = 0
    for _, file in segments_in(root / source.name):
        for line in read_lines(file):
            content = line.content
            if isinstance(content, Head):
                is_new = head is None or content.session != head.session
                if is_new and is_living:
                    yield Event(time_ns, source.source_id, received_ns, End())
                if not is_new and head is not None and content.serial != head.serial + 1:
                    yield Event(time_ns, source.source_id, received_ns, Lost(count=0))
                head, is_living = content, True
                shift_ns = boots.setdefault(head.boot_id, head.offset_ns) - head.offset_ns
            elif head is None or not is_living:
                # Damaged from the first line on, or torn after its end.
                continue
            received_ns = max(line.time_ns + shift_ns, 0)
            time_ns = max(time_ns, received_ns)
            yield Event(time_ns, source.source_id, received_ns, content)
            if isinstance(content, End):
                is_living = False
    if is_living:
        yield Event(time_ns, source.source_id, received_ns, End())
