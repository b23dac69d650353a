"""Read-only questions to the parts of the ledger that are not compacted yet.

For the board and discovery, which ask about now; `history` answers for all days. Reading never
blocks the tracker and never creates a file.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from spreadscan.ops.part_reader import open_part
from spreadscan.tracker.frames import Frame
from spreadscan.tracker.parts import ledger_parts
from spreadscan.tracker.schema import frame_columns

__all__ = [
    "SUMMARY_COLUMNS",
    "EpisodeSummary",
    "LedgerReader",
    "PathPoint",
    "frames_of",
]

# Frames read in one go: a long read would keep the tracker's log from being emptied, and those of
# 5,000 open episodes take 140 kB each.
FRAMES_AT_ONCE = 200


class EpisodeSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One episode, as a list shows it."""

    episode_id: int
    previous_id: int | None = None
    """The route's episode before it."""
    direction: str
    symbol: str
    opened_wall_ns: int
    life_ns: int
    """Until its ending; while open, until it was last seen on fresh quotes."""
    seen_ns: int
    """Until it was last seen on fresh quotes, ended or not."""
    ending: str | None
    """None while open."""
    first_net_bps: float
    peak_net_bps: float
    last_net_bps: float
    peak_gross_bps: float
    peak_after_ns: int
    """From the opening to the peak."""
    peak_usd: float
    """What both top levels could fill at the peak, USDT."""
    z_score: float | None = None
    """Of the opening against the route's baseline; None where that is not known."""
    re_signals: int
    snapshots: int
    snapshots_unusable: int
    suspended_ns: int = 0
    """Time out of sight."""
    gaps: int = 0
    """Times that no tracker looked."""


_EXPRESSIONS = {
    "life_ns": "coalesce(ended_ns, last_ns) - opened_ns",
    "seen_ns": "last_ns - opened_ns",
    "peak_after_ns": "peak_ns - opened_ns",
}
SUMMARY_COLUMNS = {name: _EXPRESSIONS.get(name, name) for name in EpisodeSummary.__struct_fields__}
"""Field of a summary -> the expression over the columns of the ledger."""
_SUMMARY = (
    f"SELECT {', '.join(f'{value} AS {name}' for name, value in SUMMARY_COLUMNS.items())}"  # noqa: S608
    " FROM episodes"
)


class PathPoint(msgspec.Struct, frozen=True):
    """One snapshot of an episode."""

    t_ms: int
    """Since the opening."""
    gross_bps: float
    net_bps: float
    usd: float


def frames_of(connection: sqlite3.Connection, episode_id: int | None = None) -> Iterator[Frame]:
    """Yield the frames of a part in order of time, of one episode's time or of all.

    Raises:
        sqlite3.DatabaseError: the part is damaged.
        ValueError: a frame is.
    """
    first, last = 0, None
    condition = ""
    if episode_id is not None:
        row = connection.execute(
            "SELECT first_frame_id, last_frame_id FROM episodes WHERE episode_id = ?", (episode_id,)
        ).fetchone()
        if row is None:
            return
        first, last = row
        condition = " AND ?3 BETWEEN min_episode_id AND max_episode_id"
    query = (
        f"SELECT frame_id, {frame_columns(connection)} FROM frames"  # noqa: S608
        f" WHERE frame_id >= ?1 AND (?2 IS NULL OR frame_id <= ?2){condition}"
        f" ORDER BY frame_id LIMIT {FRAMES_AT_ONCE}"
    )
    while True:
        values = (first, last) if episode_id is None else (first, last, episode_id)
        rows = connection.execute(query, values).fetchall()
        for row in rows:
            yield Frame.unpacked(row[1:])
        if len(rows) < FRAMES_AT_ONCE:
            return
        first = rows[-1][0] + 1


class LedgerReader:
    """The ledger's uncompacted parts, opened for reading.

    Args:
        directory: the tracker's data folder.

    Raises:
        FileNotFoundError: there is no ledger yet.
        sqlite3.DatabaseError: the newest part is damaged, cannot be read, or is of another build.

    Concurrency: one thread; any number of readers beside the tracker.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        parts = ledger_parts(directory)
        if not parts:
            raise FileNotFoundError(f"{directory}: no ledger; the tracker has not run yet")
        *self._earlier, newest = parts
        self._connection = open_part(newest.ledger(directory))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def open_episodes(self, limit: int) -> list[EpisodeSummary]:
        """Return open episodes, the widest last net spread first."""
        query = f"{_SUMMARY} WHERE ending IS NULL ORDER BY last_net_bps DESC LIMIT ?"
        return [_summary(row) for row in self._connection.execute(query, (limit,))]

    def recent_episodes(self, limit: int) -> list[EpisodeSummary]:
        """Return episodes, the latest opened first."""
        query = f"{_SUMMARY} ORDER BY episode_id DESC LIMIT ?"
        rows = map(_summary, self._connection.execute(query, (limit,)))
        found = {row.episode_id: row for row in rows}
        if len(found) < limit:
            query = f"{_SUMMARY} WHERE ending IS NOT NULL ORDER BY episode_id DESC LIMIT ?"
            for row in map(_summary, self._from_earlier(query, (limit,))):
                found.setdefault(row.episode_id, row)
        return sorted(found.values(), key=lambda row: -row.episode_id)[:limit]

    def _from_earlier(self, query: str, values: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        for connection in self._earlier_connections():
            yield from connection.execute(query, values)

    def _earlier_connections(self) -> Iterator[sqlite3.Connection]:
        """Yield the parts before the newest, oldest first; one that cannot be read is left out."""
        for part in self._earlier:
            try:
                connection = open_part(part.ledger(self._directory))
            except sqlite3.Error:
                # Damaged, or compacted just now: the compaction reports it, `history` has it.
                continue
            try:
                yield connection
            finally:
                connection.close()


def _summary(row: tuple[Any, ...]) -> EpisodeSummary:
    return EpisodeSummary(**dict(zip(SUMMARY_COLUMNS, row, strict=True)))
