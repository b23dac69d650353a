"""Open episodes as a table: one numpy record each, so that thousands are looked at in one go. Pure.

``kernel/episodes.pyx`` says the same in C; sizes and offsets are compared when this is imported.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from spreadscan.kernel.episodes import ENDINGS, TABLE
from spreadscan.tracker.episode import Ending, Episode, EpisodeState, Moment, Route

__all__ = [
    "BY_SIGNAL",
    "BY_SNAPSHOT",
    "ENDING_CODES",
    "EPISODE_DTYPE",
    "MOMENT_FIELDS",
    "ending_of",
    "episode_of",
    "write_episode",
]

MOMENT_FIELDS = (
    "time_ns", "gross_bps", "net_bps", "usd", "spot_bid", "spot_ask", "spot_bid_qty",
    "spot_ask_qty", "futures_bid", "futures_ask", "futures_bid_qty", "futures_ask_qty",
)  # fmt: skip
MOMENT_DTYPE = np.dtype(
    [(name, "<i8" if name == "time_ns" else "<f8") for name in MOMENT_FIELDS], align=True
)
_COUNTED = ("re_signals", "snapshots", "snapshots_unusable", "gaps")
EPISODE_DTYPE = np.dtype(
    [
        ("episode_id", "<i8"), ("previous_id", "<i8"), ("opened_ns", "<i8"),
        ("opened_wall_ns", "<i8"), ("ended_ns", "<i8"), ("ended_wall_ns", "<i8"),
        ("suspended_since_ns", "<i8"), ("suspended_ns", "<i8"), ("gap_ns", "<i8"),
        ("first", MOMENT_DTYPE), ("peak", MOMENT_DTYPE), ("last", MOMENT_DTYPE),
        ("z_score", "<f8"), ("net_after_funding_bps", "<f8"), ("route", "<i4"), ("opening", "<u4"),
        *((name, "<u4") for name in _COUNTED),
        ("spot_source", "u1"), ("futures_source", "u1"), ("state", "u1"), ("ending", "u1"),
        ("changed", "u1"),
    ],
    align=True,
)  # fmt: skip
"""One open episode; ``route`` is direction id * MAX_SYMBOLS + symbol id, -1 when not listed."""

_NAMES = EPISODE_DTYPE.names or ()
assert EPISODE_DTYPE.itemsize == TABLE["BYTES"], (EPISODE_DTYPE.itemsize, TABLE)
assert MOMENT_DTYPE.itemsize == TABLE["MOMENT_BYTES"], (MOMENT_DTYPE.itemsize, TABLE)
for _name in ("first", "z_score", "route", "opening", "changed"):
    assert EPISODE_DTYPE.fields is not None
    assert EPISODE_DTYPE.fields[_name][1] == TABLE[_name.upper()], (_name, TABLE)

BY_SIGNAL = 1
"""``changed``: by a signal, so it must be stored together with the ring's position."""
BY_SNAPSHOT = 2
"""``changed``: by a look at the prices, which may wait a few ticks."""

ENDING_CODES = {ending: code for code, ending in enumerate(Ending, start=1)}
assert all(ENDING_CODES[Ending[name]] == code for name, code in ENDINGS.items()), ENDINGS
_ENDINGS = {code: ending for ending, code in ENDING_CODES.items()}


def episode_of(record: tuple[Any, ...], route: Route, boot_id: str) -> Episode:
    """Return the episode of one record of the table, as ``tolist`` gives it."""
    value = dict(zip(_NAMES, record, strict=True))
    is_ended = value["state"] == EpisodeState.ENDED
    is_suspended = value["state"] == EpisodeState.SUSPENDED
    return Episode(
        episode_id=value["episode_id"],
        previous_id=value["previous_id"] or None,
        route=route,
        boot_id=boot_id,
        opened_wall_ns=value["opened_wall_ns"],
        opened_ns=value["opened_ns"],
        first=Moment._make(value["first"]),
        peak=Moment._make(value["peak"]),
        last=Moment._make(value["last"]),
        z_score=_known(value["z_score"]),
        net_after_funding_bps=_known(value["net_after_funding_bps"]),
        opening=value["opening"],
        re_signals=value["re_signals"],
        snapshots=value["snapshots"],
        snapshots_unusable=value["snapshots_unusable"],
        suspended_ns=value["suspended_ns"],
        suspended_since_ns=value["suspended_since_ns"] if is_suspended else None,
        gaps=value["gaps"],
        gap_ns=value["gap_ns"],
        ending=_ENDINGS[value["ending"]] if is_ended else None,
        ended_ns=value["ended_ns"] if is_ended else None,
        ended_wall_ns=value["ended_wall_ns"] if is_ended else None,
    )


def ending_of(code: int) -> Ending:
    """Return the ending of a code in the table."""
    return _ENDINGS[code]


def write_episode(table: npt.NDArray[np.void], row: int, episode: Episode) -> None:
    """Write an open episode of an earlier run into a row of the table; its route is not set."""
    table[row] = np.zeros((), EPISODE_DTYPE)
    since_ns = episode.suspended_since_ns
    values: dict[str, Any] = {
        "episode_id": episode.episode_id,
        "previous_id": episode.previous_id or 0,
        "opened_ns": episode.opened_ns,
        "opened_wall_ns": episode.opened_wall_ns,
        "suspended_since_ns": since_ns or 0,
        "suspended_ns": episode.suspended_ns,
        "gap_ns": episode.gap_ns,
        "first": tuple(episode.first),
        "peak": tuple(episode.peak),
        "last": tuple(episode.last),
        "z_score": _number(episode.z_score),
        "net_after_funding_bps": _number(episode.net_after_funding_bps),
        "route": -1,
        "opening": episode.opening,
        "re_signals": episode.re_signals,
        "snapshots": episode.snapshots,
        "snapshots_unusable": episode.snapshots_unusable,
        "gaps": episode.gaps,
        "spot_source": episode.route.spot_source,
        "futures_source": episode.route.futures_source,
        "state": EpisodeState.OPEN if since_ns is None else EpisodeState.SUSPENDED,
        "changed": BY_SIGNAL,
    }
    for name, value in values.items():
        table[name][row] = value


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else value
