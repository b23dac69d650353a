"""How an episode stands in its row: the columns, the statements, and both conversions. Pure."""

from typing import Any

from spreadscan.tracker.episode import Ending, Episode, Moment, Route
from spreadscan.tracker.frames import FRAME_COLUMNS

__all__ = [
    "EPISODE_COLUMNS",
    "INSERT_FRAME",
    "SELECT_ENDED",
    "SELECT_OPEN",
    "UPSERT_EPISODE",
    "episode_of",
    "row_of",
]

_MOMENT_COLUMNS = (
    "ns", "gross_bps", "net_bps", "usd",
    "spot_bid", "spot_ask", "spot_bid_qty", "spot_ask_qty",
    "futures_bid", "futures_ask", "futures_bid_qty", "futures_ask_qty",
)  # fmt: skip
_FIXED_COLUMNS = (
    "episode_id", "previous_id", "direction", "symbol", "direction_id", "symbol_id",
    "spot_source", "futures_source", "opened_wall_ns", "z_score", "net_after_funding_bps",
    *(f"first_{name}" for name in _MOMENT_COLUMNS),
)  # fmt: skip
# boot_id and monotonic times are rewritten when an episode outlives a reboot.
_MOVING_COLUMNS = (
    "boot_id", "opened_ns", "ending", "ended_ns", "ended_wall_ns", "re_signals", "snapshots",
    "snapshots_unusable", "suspended_ns", "suspended_since_ns", "gaps", "gap_ns",
    *(f"peak_{name}" for name in _MOMENT_COLUMNS),
    *(f"last_{name}" for name in _MOMENT_COLUMNS),
)  # fmt: skip
EPISODE_COLUMNS = (*_FIXED_COLUMNS, *_MOVING_COLUMNS)
"""All columns that make an episode; the frames of its path stand beside them."""
_COLUMN_LIST = ", ".join(EPISODE_COLUMNS)

# Column names are constants of this file; values are always bound.
UPSERT_EPISODE = (
    f"INSERT INTO episodes ({_COLUMN_LIST}, first_frame_id, last_frame_id)"  # noqa: S608
    f" VALUES ({', '.join('?' * (len(EPISODE_COLUMNS) + 2))})"
    " ON CONFLICT (episode_id) DO UPDATE SET "
    + ", ".join(
        f"{name} = excluded.{name}" for name in ("first_ns", *_MOVING_COLUMNS, "last_frame_id")
    )
)
SELECT_OPEN = f"SELECT {_COLUMN_LIST} FROM episodes NOT INDEXED WHERE ending IS NULL"  # noqa: S608
SELECT_ENDED = SELECT_OPEN.replace("IS NULL", "IS NOT NULL")
INSERT_FRAME = (
    "INSERT INTO frames (frame_id, points, min_episode_id, max_episode_id,"  # noqa: S608
    f" {', '.join(FRAME_COLUMNS)}, checksum) VALUES ({', '.join('?' * (len(FRAME_COLUMNS) + 5))})"
)


def row_of(episode: Episode) -> tuple[Any, ...]:
    """Return an episode's values in the order of EPISODE_COLUMNS."""
    route = episode.route
    return (
        episode.episode_id, episode.previous_id, route.direction, route.symbol,
        route.direction_id, route.symbol_id, route.spot_source, route.futures_source,
        episode.opened_wall_ns, episode.z_score, episode.net_after_funding_bps, *episode.first,
        episode.boot_id, episode.opened_ns, episode.ending, episode.ended_ns,
        episode.ended_wall_ns, episode.re_signals, episode.snapshots, episode.snapshots_unusable,
        episode.suspended_ns, episode.suspended_since_ns, episode.gaps, episode.gap_ns,
        *episode.peak, *episode.last,
    )  # fmt: skip


def episode_of(row: tuple[Any, ...]) -> Episode:
    """Return the episode of a row whose values are in the order of EPISODE_COLUMNS."""
    value = dict(zip(EPISODE_COLUMNS, row, strict=True))

    def moment(prefix: str) -> Moment:
        return Moment(*(value[f"{prefix}_{name}"] for name in _MOMENT_COLUMNS))

    ending = value["ending"]
    return Episode(
        route=Route(*(value[name] for name in Route._fields)),
        first=moment("first"),
        peak=moment("peak"),
        last=moment("last"),
        ending=None if ending is None else Ending(ending),
        **{
            name: value[name]
            for name in EPISODE_COLUMNS
            if name in Episode.__struct_fields__ and name != "ending"
        },
    )
