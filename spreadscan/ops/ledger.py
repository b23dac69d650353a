"""Read-only questions to the episode ledger, for the board, the CLI and the closing summary.

Reading never blocks the tracker and never creates a file.
"""

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from spreadscan.tracker.schema import LEDGER_NAME, SCHEMA_VERSION

__all__ = ["EpisodeCounts", "EpisodeSummary", "LedgerReader", "PathPoint"]

BUSY_TIMEOUT_S = 1.0

_SUMMARY = """
    SELECT episode_id, direction, symbol, opened_wall_ns,
        coalesce(ended_ns, last_ns) - opened_ns AS life_ns, ending, first_net_bps, peak_net_bps,
        last_net_bps, peak_gross_bps, peak_ns - opened_ns AS peak_after_ns, peak_usd, re_signals,
        snapshots, snapshots_unusable
    FROM episodes
"""


class EpisodeCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many episodes there are."""

    opened: int
    open: int
    """Open now, whenever they were opened."""
    converged: int
    expired: int
    delisted: int


class EpisodeSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One episode, as a list shows it."""

    episode_id: int
    direction: str
    symbol: str
    opened_wall_ns: int
    life_ns: int
    """Until its ending; while open, until it was last seen on fresh quotes."""
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
    re_signals: int
    snapshots: int
    snapshots_unusable: int


class PathPoint(msgspec.Struct, frozen=True):
    """One snapshot of an episode."""

    t_ms: int
    """Since the opening."""
    gross_bps: float
    net_bps: float
    usd: float


class LedgerReader:
    """The ledger, opened for reading.

    Args:
        directory: the tracker's data folder.

    Raises:
        FileNotFoundError: there is no ledger yet.
        sqlite3.DatabaseError: it is damaged, cannot be read, or is of another build.

    Concurrency: one thread; any number of readers beside the tracker.
    """

    def __init__(self, directory: Path) -> None:
        file = directory / LEDGER_NAME
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no ledger; the tracker has not run yet")
        self._connection = sqlite3.connect(
            f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S
        )
        self._connection.row_factory = sqlite3.Row
        try:
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version != SCHEMA_VERSION:
                raise sqlite3.DatabaseError(
                    f"{file}: ledger version {version}, this build reads {SCHEMA_VERSION}"
                )
        except sqlite3.Error:
            self._connection.close()
            raise

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

    def counts(self, since_wall_ns: int = 0) -> EpisodeCounts:
        """Count openings and endings since a Unix time, and what is open now."""
        ended = dict(
            self._connection.execute(
                "SELECT ending, count(*) FROM episodes"
                " WHERE ending IS NOT NULL AND ended_wall_ns >= ? GROUP BY ending",
                (since_wall_ns,),
            ).fetchall()
        )
        (opened,) = self._connection.execute(
            "SELECT count(*) FROM episodes WHERE opened_wall_ns >= ?", (since_wall_ns,)
        ).fetchone()
        (still_open,) = self._connection.execute(
            "SELECT count(*) FROM episodes WHERE ending IS NULL"
        ).fetchone()
        return EpisodeCounts(
            opened=opened,
            open=still_open,
            converged=ended.get("converged", 0),
            expired=ended.get("expired", 0),
            delisted=ended.get("delisted", 0),
        )

    def open_episodes(self, limit: int) -> list[EpisodeSummary]:
        """Return open episodes, the widest last net spread first."""
        return self._summaries(
            f"{_SUMMARY} WHERE ending IS NULL ORDER BY last_net_bps DESC LIMIT ?", limit
        )

    def recent_episodes(self, limit: int) -> list[EpisodeSummary]:
        """Return episodes, the latest opened first."""
        return self._summaries(f"{_SUMMARY} ORDER BY episode_id DESC LIMIT ?", limit)

    def path(self, episode_id: int) -> list[PathPoint]:
        """Return the snapshots of an episode in order of time; empty for an unknown id."""
        rows = self._connection.execute(
            "SELECT s.t_ms, s.gross_bps, s.net_bps, s.usd FROM episodes AS e JOIN snapshots AS s"
            " ON s.snapshot_id BETWEEN e.first_snapshot_id"
            "  AND coalesce(e.last_snapshot_id, (SELECT max(snapshot_id) FROM snapshots))"
            " WHERE e.episode_id = ?1 AND s.episode_id = ?1 ORDER BY s.snapshot_id",
            (episode_id,),
        ).fetchall()
        return [PathPoint(*row) for row in rows]

    def _summaries(self, query: str, limit: int) -> list[EpisodeSummary]:
        return [EpisodeSummary(**row) for row in self._connection.execute(query, (limit,))]
