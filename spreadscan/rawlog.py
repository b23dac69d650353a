"""Recordings on disk: what feeds received, written by their recorders and read by a replay.

    record/<source>/20261122T101500Z-0000000012.57-1f3a9c20d4e1.rawlog.gz     segments
    record/universe/57-1f3a9c20d4e1/                                          sets they name
    record/config/config.toml and so on                                       the last writer's

A segment is gzip over lines of ``<receive time in Unix ns> <frame>``: text as it came, anything
else in hex. Lines whose frame is an object with the key ``spreadscan`` are notes of the recorder:
the first one is the segment's head; they stand in their place among the frames. Unzipped, a segment
is a ``.rawlog`` as `spreadscan decode` and `spreadscan sim --replay` read it.

A segment that was cut off, by a kill or a power cut, is read up to its last whole line.
"""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from spreadscan.errors import EXIT_USAGE, SpreadscanError
from spreadscan.shm.layout import MAX_SYMBOLS

__all__ = [
    "CONFIG_FOLDER",
    "GZIP_WBITS",
    "UNIVERSE_FOLDER",
    "Confirmed",
    "End",
    "Funded",
    "FundingRow",
    "Head",
    "Line",
    "Lost",
    "Mark",
    "Note",
    "RecordingError",
    "SegmentName",
    "is_note",
    "line_of",
    "read_lines",
    "segments_in",
]

CONFIG_FOLDER, UNIVERSE_FOLDER = "config", "universe"
NOTE_PREFIX = b'{"spreadscan":'
READ_BYTES = 1 << 18
# gzip's own header and trailer around the deflated bytes.
GZIP_WBITS = 16 + zlib.MAX_WBITS

_HEX = re.compile(rb"(?:[0-9a-fA-F]{2})+")
_NAME = re.compile(r"(\d{8}T\d{6}Z)-(\d{10})\.([0-9]+-[0-9a-f]{12})\.rawlog\.gz")


class RecordingError(SpreadscanError):
    """A folder or file is no recording that can be replayed.

    Args:
        place: the folder or file.
        found: what is there.
        expected: what would have been accepted.
    """

    exit_code = EXIT_USAGE

    def __init__(self, place: Path, found: str, expected: str) -> None:
        self.place = place
        self.found = found
        self.expected = expected
        super().__init__(f"{place}: found {found}, expected {expected}")


class NoteBase(msgspec.Struct, frozen=True, kw_only=True, tag_field="spreadscan"):
    """What the recorder itself says; keys of a later version are stepped over."""


class Head(NoteBase, frozen=True, tag="head"):
    """The first line of every segment."""

    source: str
    session: str
    """One life of a feed: a new one has lost everything that was known before."""
    serial: Annotated[int, Meta(ge=0)]
    """Of the source's segments; one more than the last one's."""
    universe: Annotated[str, Meta(pattern=r"^[0-9]+-[0-9a-f]{12}$")]
    boot_id: str
    offset_ns: int
    """Unix time minus CLOCK_MONOTONIC, the same in all times of a session."""


class Mark(NoteBase, frozen=True, tag="mark"):
    """A symbol became unusable: its connection ended, or it was unsubscribed."""

    symbol_id: Annotated[int, Meta(ge=0, lt=MAX_SYMBOLS)]
    flag: Annotated[int, Meta(gt=0, lt=1 << 16)]


class Confirmed(NoteBase, frozen=True, tag="confirmed"):
    """REST bore out the price that a symbol jumped to."""

    symbol_id: Annotated[int, Meta(ge=0, lt=MAX_SYMBOLS)]
    price: Annotated[float, Meta(gt=0)]


class FundingRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One perpetual's funding; units and unknowns as in ``layout.Funding``. Alone: none."""

    symbol_id: Annotated[int, Meta(ge=0, lt=MAX_SYMBOLS)]
    rate: float = 0.0
    interval_s: Annotated[float, Meta(ge=0)] = 0.0
    next_settlement_ms: Annotated[int, Meta(ge=0)] = 0


class Funded(NoteBase, frozen=True, tag="funding"):
    """The exchange told of its perpetuals' funding."""

    age_ns: Annotated[int, Meta(ge=0)]
    """Since it was asked."""
    rows: list[FundingRow]


class Lost(NoteBase, frozen=True, tag="lost"):
    """Entries are missing here."""

    count: int
    """0: nobody knows how many."""


class End(NoteBase, frozen=True, tag="end"):
    """The feed ended in order."""


Note = Head | Mark | Confirmed | Funded | Lost | End
_NOTES: msgspec.json.Decoder[Note] = msgspec.json.Decoder(Note)


class Line(NamedTuple):
    """One line of a segment."""

    time_ns: int
    """Unix time."""
    content: bytes | Note
    """A frame as it came, or a note."""


class SegmentName(NamedTuple):
    """What a segment's file name says."""

    began: str
    """UTC, as in ``20261122T101500Z``."""
    serial: int
    universe: str
    """Folder of the universe that all its frames are of."""

    @property
    def file_name(self) -> str:
        """The name itself."""
        return f"{self.began}-{self.serial:010}.{self.universe}.rawlog.gz"


def segments_in(folder: Path) -> list[tuple[SegmentName, Path]]:
    """Return the segments of one source in the order of writing; none where there is no folder."""
    try:
        files = list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = [
        (SegmentName(match[1], int(match[2]), match[3]), file)
        for file in files
        if (match := _NAME.fullmatch(file.name))
    ]
    # Not by time: that clock may have been set back.
    return sorted(found, key=lambda segment: segment[0].serial)


def is_note(frame: bytes) -> bool:
    """Tell whether a line's frame is a note of the recorder."""
    return frame.startswith(NOTE_PREFIX)


def line_of(time_ns: int, note: Note) -> bytes:
    """Return a note as a line."""
    return b"%d %s\n" % (time_ns, msgspec.json.encode(note))


def read_lines(file: Path) -> Iterator[Line]:
    """Read a segment; where it breaks off, or is damaged, the last line is ``Lost``.

    Raises:
        RecordingError: the file cannot be opened.
    """
    time_ns = 0
    is_whole = False
    for text in _texts(file):
        if text is None:
            is_whole = True
            break
        stamp, _, frame = text.partition(b" ")
        try:
            time_ns = int(stamp)
            content = _content(frame)
        except ValueError:  # msgspec's errors are some too
            break
        yield Line(time_ns, content)
    if not is_whole:
        yield Line(time_ns, Lost(count=0))


def _content(frame: bytes) -> bytes | Note:
    if is_note(frame):
        return _NOTES.decode(frame)
    if frame.startswith(b"{"):
        return frame
    return bytes.fromhex(frame.decode("ascii")) if _HEX.fullmatch(frame) else frame


def _texts(file: Path) -> Iterator[bytes | None]:
    """Yield whole lines without their ends, and None at the end of a segment that was finished."""
    inflate = zlib.decompressobj(GZIP_WBITS)
    rest = b""
    try:
        with file.open("rb") as packed:
            while not inflate.eof and (chunk := packed.read(READ_BYTES)):
                *lines, rest = (rest + inflate.decompress(chunk)).split(b"\n")
                yield from lines
    except OSError as error:
        raise RecordingError(file, error.strerror or str(error), "a readable segment") from None
    except zlib.error:
        return
    if inflate.eof and not rest:
        yield None
