"""One look at all open episodes as columns, and how they stand in the ledger. Pure.

A frame is one row of the ledger, its columns packed: a row for each point would cost the tracker
more time than everything else, and three times the bytes. Net spread is gross minus cost; the cost
(round-trip fees) hardly ever changes within an episode, so that it costs no bytes once compacted.

A checksum stands beside the columns. SQLite notices a page of zeros that a power cut left (a hole)
wherever it follows a page's contents, but not where a page is the end of a long row.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

__all__ = ["FRAME_COLUMNS", "Frame", "readable"]

FRAME_COLUMNS = {
    "episode_ids": "<i8",
    "t_ms": "<i8",
    "gross_bps": "<f4",
    "cost_bps": "<f4",
    "usd": "<f4",
}
"""Names of the packed columns and their types; the checksum stands after them."""
_FRAME_TYPES = {name: np.dtype(kind) for name, kind in FRAME_COLUMNS.items()}


class Frame(NamedTuple):
    """Points of n episodes; arrays of shape (n,)."""

    episode_ids: npt.NDArray[np.int64]
    t_ms: npt.NDArray[np.int64]
    """Milliseconds since the episode's opening."""
    gross_bps: npt.NDArray[np.floating]
    cost_bps: npt.NDArray[np.floating]
    """Gross minus net: what the round trip costs."""
    usd: npt.NDArray[np.floating]

    @property
    def size(self) -> int:
        """How many points there are."""
        return len(self.episode_ids)

    def packed(self) -> tuple[int | bytes, ...]:
        """Return count, lowest and highest episode id, the columns as bytes, and their checksum."""
        columns = [
            np.ascontiguousarray(column, kind).tobytes()
            for column, kind in zip(self, _FRAME_TYPES.values(), strict=True)
        ]
        ids = self.episode_ids
        return (len(ids), int(ids.min()), int(ids.max()), *columns, _checksum(columns))

    @classmethod
    def unpacked(cls, row: tuple[Any, ...]) -> Self:
        """Return the frame of columns and checksum as `packed` gave them.

        Args:
            row: its checksum is None where an older build wrote it.

        Raises:
            ValueError: they are not of one length, or not those that were written.
        """
        *columns, checksum = row
        if checksum is not None and checksum != _checksum(columns):
            raise ValueError("columns that are not those of their checksum")
        arrays = [
            np.frombuffer(column, kind)
            for column, kind in zip(columns, _FRAME_TYPES.values(), strict=True)
        ]
        if len({len(array) for array in arrays}) != 1:
            raise ValueError(f"columns of {[len(array) for array in arrays]} points")
        return cls(*arrays)


def _checksum(columns: Iterable[bytes]) -> int:
    total = 0
    for column in columns:
        total = zlib.crc32(column, total)
    return total


def readable(rows: Iterable[tuple[Any, ...]]) -> Iterator[Frame]:
    """Yield the frames of packed columns, without those that are damaged inside."""
    for row in rows:
        try:
            frame = Frame.unpacked(row)
        except (ValueError, TypeError):
            continue
        yield frame
