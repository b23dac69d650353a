"""Recorded frames: ``.rawlog`` files, one ``<receive time in ns> <frame>`` a line.

Text frames stand as they are, binary ones in hex. Files may be long, so they are read twice from
the disk rather than once into memory: to learn which symbols they speak of, then to play them.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from spreadscan.errors import ConfigError
from spreadscan.rawlog import is_note
from spreadscan.sim.venues import Venue

__all__ = ["RecordedFrame", "Recording"]

_HEX = re.compile(rb"(?:[0-9a-fA-F]{2})+")


class RecordedFrame(NamedTuple):
    """One quote of a recording."""

    received_ns: int
    frame: str | bytes
    """As it goes out: text, or bytes for a binary frame."""
    row: int
    quoted_mid: float


class Recording:
    """One file, to be played on one source.

    Args:
        venue: the source that it was recorded from.
        directory: exchange symbol to row, for that source.
        file: the ``.rawlog``.

    Raises:
        ConfigError: the file cannot be read, a line is no recorded frame, or no frame is a quote
            of a symbol that the simulated universe lists.
    """

    def __init__(self, venue: Venue, directory: Mapping[str, int], file: Path) -> None:
        self.source = venue.source
        self.file = file
        self.skipped = 0
        """Frames that are no quote of a listed symbol: acknowledgements, other channels."""
        self._venue = venue
        self._directory = directory
        rows, self.count = set(), 0
        for recorded in self.frames():
            rows.add(recorded.row)
            self.count += 1
        self.rows = frozenset(rows)
        if not rows:
            raise ConfigError(str(file), "", "no quote of a listed symbol", f"{self.source} frames")

    def frames(self) -> Iterator[RecordedFrame]:
        """Read the file from the beginning, skipping what is no quote.

        Raises:
            ConfigError: see the class.
        """
        self.skipped = 0
        try:
            with self.file.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        recorded = self._parsed(number, line)
                        if recorded is not None:
                            yield recorded
        except OSError as error:
            found = error.strerror or str(error)
            raise ConfigError(str(self.file), "", found, "a readable recording") from None

    def _parsed(self, number: int, line: bytes) -> RecordedFrame | None:
        stamp, _, payload = line.rstrip(b"\r\n").partition(b" ")
        if not stamp.isdigit() or not payload:
            found = repr(line[:40].decode(errors="replace"))
            raise ConfigError(
                str(self.file), f"line {number}", found, "`<receive time in ns> <frame>`"
            )
        if is_note(payload):
            return None
        is_binary = _HEX.fullmatch(payload) is not None
        raw = bytes.fromhex(payload.decode()) if is_binary else payload
        quote = self._venue.read(raw)
        row = None if quote is None else self._directory.get(quote.exchange_symbol)
        if quote is None or row is None:
            self.skipped += 1
            return None
        return RecordedFrame(int(stamp), raw if is_binary else payload.decode(), row, quote.mid)
