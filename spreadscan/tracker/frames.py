"""One look at all open episodes as columns, and how they stand in the ledger. Pure.

A frame is one row of the ledger, its columns packed: a row for each point would cost the tracker
more time than everything else, and three times the bytes. Net spread is gross minus cost; the cost
(round-trip fees) hardly ever changes within an episode, so that it costs no bytes once compacted.
"""

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
"""Names of the packed columns and their types."""
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

    def packed(self) -> tuple[int, int, int, bytes, bytes, bytes, bytes, bytes]:
        """Return count, lowest and highest episode id, and the columns in order as bytes."""
        columns = (
            np.ascontiguousarray(column, kind).tobytes()
            for column, kind in zip(self, _FRAME_TYPES.values(), strict=True)
        )
        ids = self.episode_ids
        return (len(ids), int(ids.min()), int(ids.max()), *columns)  # type: ignore[return-value]

    @classmethod
    def unpacked(cls, columns: tuple[bytes, ...]) -> Self:
        """Return the frame of columns as `packed` gave them.

        Raises:
            ValueError: they are not of one length.
        """
        arrays = [
            np.frombuffer(column, kind)
            for column, kind in zip(columns, _FRAME_TYPES.values(), strict=True)
        ]
        if len({len(array) for array in arrays}) != 1:
            raise ValueError(f"columns of {[len(array) for array in arrays]} points")
        return cls(*arrays)


def readable(rows: Iterable[tuple[Any, ...]]) -> Iterator[Frame]:
    """Yield the frames of packed columns, without those that are damaged inside."""
    for row in rows:
        try:
            frame = Frame.unpacked(row)
        except (ValueError, TypeError):
            continue
        yield frame
