"""How an episode stands in its row: the columns, the statements, and both conversions. Pure."""

from typing import Any

from spreadscan.tracker.episode import Ending, Episode, Moment, Route

__all__ = ["INSERT_SNAPSHOT", "SELECT_OPEN", "UPSERT_EPISODE", "episode_of", "row_of"]

_MOMENT_COLUMNS = (
    "ns", "gross_bps", "net_bps", "usd",
    "spot_bid", "spot_ask", "spot_bid_qty", "spot_ask_qty",
    "futures_bid", "futures_ask", "futures_bid_qty", "futures_ask_qty",
)  # fmt: skip
_FIXED_COLUMNS = (
    "episode_id", "direction", "symbol", "direction_id", "symbol_id", "spot_source",
    "futures_source", "opened_wall_ns", *(f"first_{name}" for name in _MOMENT_COLUMNS),
)  # fmt: skip
# boot_id and monotonic times are rewritten when an episode outlives a reboot.
_MOVING_COLUMNS = (
    "boot_id", "opened_ns", "ending", "ended_ns", "ended_wall_ns", "re_signals", "snapshots",
    "snapshots_unusable", *(f"peak_{name}" for name in _MOMENT_COLUMNS),
    *(f"last_{name}" for name in _MOMENT_COLUMNS),
)  # fmt: skip
_COLUMNS = (*_FIXED_COLUMNS, *_MOVING_COLUMNS)
_COLUMN_LIST = ", ".join(_COLUMNS)

# Column names are constants of this file; values are always bound.
UPSERT_EPISODE = (
    f"INSERT INTO episodes ({_COLUMN_LIST}, first_snapshot_id, last_snapshot_id)"  # noqa: S608
    f" VALUES ({', '.join('?' * (len(_COLUMNS) + 2))}) ON CONFLICT (episode_id) DO UPDATE SET "
    + ", ".join(
        f"{name} = excluded.{name}" for name in ("first_ns", *_MOVING_COLUMNS, "last_snapshot_id")
    )
)
SELECT_OPEN = (
    f"SELECT {_COLUMN_LIST}, first_snapshot_id"  # noqa: S608
    " FROM episodes WHERE ending IS NULL ORDER BY episode_id"
)
INSERT_SNAPSHOT = (
    "INSERT INTO snapshots (episode_id, t_ms, gross_bps, net_bps, usd) VALUES (?, ?, ?, ?, ?)"
)


def row_of(episode: Episode) -> tuple[Any, ...]:
    """Return an episode's values in the order that UPSERT_EPISODE binds, without its last two."""
    route = episode.route
    return (
        episode.episode_id, route.direction, route.symbol, route.direction_id, route.symbol_id,
        route.spot_source, route.futures_source, episode.opened_wall_ns, *episode.first,
        episode.boot_id, episode.opened_ns, episode.ending, episode.ended_ns,
        episode.ended_wall_ns, episode.re_signals, episode.snapshots, episode.snapshots_unusable,
        *episode.peak, *episode.last,
    )  # fmt: skip


def episode_of(row: tuple[Any, ...]) -> Episode:
    """Return the episode of a row of SELECT_OPEN."""
    value = dict(zip(_COLUMNS, row, strict=False))

    def moment(prefix: str) -> Moment:
        return Moment(*(value[f"{prefix}_{name}"] for name in _MOMENT_COLUMNS))

    return Episode(
        episode_id=value["episode_id"],
        route=Route(*(value[name] for name in Route._fields)),
        boot_id=value["boot_id"],
        opened_wall_ns=value["opened_wall_ns"],
        opened_ns=value["opened_ns"],
        first=moment("first"),
        peak=moment("peak"),
        last=moment("last"),
        re_signals=value["re_signals"],
        snapshots=value["snapshots"],
        snapshots_unusable=value["snapshots_unusable"],
        ending=None if value["ending"] is None else Ending(value["ending"]),
        ended_ns=value["ended_ns"],
        ended_wall_ns=value["ended_wall_ns"],
    )
