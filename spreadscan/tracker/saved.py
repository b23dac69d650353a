"""What a part of the ledger says of the run that wrote it, caught up with its points."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from spreadscan.tracker.episode import NO_QUOTES, Clocks, Episode, Moment, resumed
from spreadscan.tracker.frames import Frame, readable
from spreadscan.tracker.pages import is_empty, without_torn_page
from spreadscan.tracker.rows import SELECT_ENDED, SELECT_OPEN, episode_of
from spreadscan.tracker.schema import frame_columns
from spreadscan.tracker.store import KillsFollowed

__all__ = ["Saved", "load", "salvaged"]

# More than the ticks for which a row may wait to be stored anew.
RECENT_FRAMES = 128


class Saved(NamedTuple):
    """What a part says of the run that wrote it."""

    episodes: tuple[Episode, ...] = ()
    """Open ones, oldest first, in the clock of their time."""
    last_id: int = 0
    ring_created_ns: int = 0
    ring_sequence: int = 0
    """Of the last signal applied, of the ring with that stamp."""
    clocks: Clocks | None = None
    """At its latest commit; None in a part that was never written by this build."""
    previous: dict[tuple[str, str], int] = {}  # noqa: RUF012 -- never changed
    expired: dict[tuple[str, str], int] = {}  # noqa: RUF012 -- never changed
    kills: KillsFollowed | None = None
    """The operator's, as far as they were followed; None in a part of a build that did not say."""
    ended: tuple[Episode, ...] = ()
    """Those of a damaged part, which would be gone with it."""

    def resumed(self, now: Clocks) -> list[Episode]:
        """Return the open episodes in the running boot's clock, with their gaps marked."""
        return [
            resumed(episode, self.clocks or _clocks_of(episode), now) for episode in self.episodes
        ]


def load(connection: sqlite3.Connection) -> Saved:
    """Read what a part says.

    Raises:
        sqlite3.DatabaseError: it cannot be read.
    """
    episodes = sorted(
        map(episode_of, connection.execute(SELECT_OPEN).fetchall()),
        key=lambda episode: episode.episode_id,
    )
    meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
    (highest,) = connection.execute("SELECT max(episode_id) FROM episodes").fetchone()
    clocks = connection.execute("SELECT * FROM clocks").fetchone()
    previous = {
        (direction, symbol): episode_id
        for query in (
            "SELECT direction, symbol, episode_id FROM previous",
            """
            SELECT direction, symbol, max(episode_id) FROM episodes
            WHERE ending IS NOT NULL GROUP BY direction, symbol
            """,
        )
        for direction, symbol, episode_id in connection.execute(query)
    }
    recent = connection.execute(
        f"SELECT {frame_columns(connection)} FROM frames"  # noqa: S608
        f" ORDER BY frame_id DESC LIMIT {RECENT_FRAMES}"
    ).fetchall()
    return Saved(
        episodes=tuple(_caught_up(episodes, recent)),
        last_id=max(meta.get("last_id", 0), highest or 0),
        ring_created_ns=meta.get("ring_created_ns", 0),
        ring_sequence=meta.get("ring_sequence", 0),
        clocks=None if clocks is None else Clocks(*clocks),
        previous=previous,
        expired={
            (direction, symbol): opening
            for direction, symbol, opening in connection.execute("SELECT * FROM expired")
        },
        kills=(
            KillsFollowed(meta["control_created_ns"], meta["kills"]) if "kills" in meta else None
        ),
    )


def salvaged(file: Path) -> Saved | None:
    """Read what a damaged part still says; None when that is not everything that counts."""
    if is_empty(file):
        return None
    try:
        uri = f"{file.absolute().as_uri()}?mode=ro"
        with without_torn_page(file), closing(sqlite3.connect(uri, uri=True)) as found:
            # Lets SQLite open a file that lost its end, so that the pages before it can be read.
            found.execute("PRAGMA writable_schema = ON")
            ended = tuple(map(episode_of, found.execute(SELECT_ENDED).fetchall()))
            return load(found)._replace(ended=ended)
    except (sqlite3.Error, OSError, ValueError, TypeError):
        return None


def _caught_up(episodes: Sequence[Episode], recent: Sequence[tuple[Any, ...]]) -> list[Episode]:
    """Add the points that are newer than the episodes' rows, which may be some ticks behind."""
    # Earliest first, so that of equal peaks the earliest is found. A frame that is damaged costs
    # its points and keeps nobody from going on; the compaction tells of it.
    frames = list(readable(reversed(recent)))
    if not frames:
        return list(episodes)
    points = Frame(*map(np.concatenate, zip(*frames, strict=True)))
    caught_up = []
    for episode in episodes:
        seen_ms = (episode.last.time_ns - episode.opened_ns) // 1_000_000
        is_newer = (points.episode_ids == episode.episode_id) & (points.t_ms > seen_ms)
        newer = Frame(*(column[is_newer] for column in points))
        caught_up.append(
            msgspec.structs.replace(
                episode, snapshots=episode.snapshots + newer.size, peak=_peak(episode, newer)
            )
        )
    return caught_up


def _peak(episode: Episode, newer: Frame) -> Moment:
    """Return the highest moment that is known; a point has no quotes to tell."""
    if newer.size == 0:
        return episode.peak
    nets = newer.gross_bps.astype(np.float64) - newer.cost_bps
    top = int(nets.argmax())
    peak = episode.peak
    # As a point would say it: rounding alone makes no new peak.
    if nets[top] <= float(np.float32(peak.gross_bps)) - np.float32(peak.gross_bps - peak.net_bps):
        return peak
    return Moment(
        episode.opened_ns + int(newer.t_ms[top]) * 1_000_000,
        float(newer.gross_bps[top]),
        float(nets[top]),
        float(newer.usd[top]),
        *NO_QUOTES,
    )


def _clocks_of(episode: Episode) -> Clocks:
    seen_ns = episode.last.time_ns
    return Clocks(episode.boot_id, seen_ns, seen_ns + episode.opened_wall_ns - episode.opened_ns)
