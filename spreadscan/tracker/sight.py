"""What one look at the prices does to the open episodes, for all of them at once. Pure."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spreadscan.tracker.columns import BY_SNAPSHOT, MOMENT_FIELDS
from spreadscan.tracker.episode import MAX_CLOCK_STEP_NS, Ending, EpisodeState
from spreadscan.tracker.frames import Frame
from spreadscan.tracker.snapshot import Snapshot
from spreadscan.tracker.table import Rows

__all__ = ["Rules", "frame_of", "overdue", "take_in"]

Records = npt.NDArray[np.void]


class Rules(NamedTuple):
    """When an episode ends."""

    converge_net_bps: float
    """On fresh legs, a net spread at or below this has converged."""
    max_life_ns: int
    max_suspended_ns: int
    """Out of sight for longer, an episode is lost."""

    @property
    def max_gap_ns(self) -> int:
        """A gap that no step of the clock explains: what is there now is another dislocation."""
        return self.max_life_ns + MAX_CLOCK_STEP_NS


def take_in(records: Records, rows: Rows, seen: Snapshot, now_ns: int) -> Rows:
    """Write a look into open episodes; return the rows that are in sight.

    Where a leg is not usable nothing is proven, and the episode is suspended.

    Args:
        records: the table, EPISODE_DTYPE; written to.
        rows: the open episodes, one for each of the snapshot's routes.
        seen: what their routes look like.
        now_ns: monotonic time of the look.
    """
    in_sight, away = rows[seen.usable], rows[~seen.usable]
    back = in_sight[records["state"][in_sight] == EpisodeState.SUSPENDED]
    records["suspended_ns"][back] += np.maximum(0, now_ns - records["suspended_since_ns"][back])
    records["state"][back] = EpisodeState.OPEN
    records["snapshots"][in_sight] += 1
    moment = seen.moment(now_ns)
    later = now_ns >= records["last"]["time_ns"][in_sight]
    higher = moment["net_bps"] > records["peak"]["net_bps"][in_sight]
    for name in MOMENT_FIELDS:
        records["last"][name][in_sight[later]] = moment[name][later]
        records["peak"][name][in_sight[higher]] = moment[name][higher]
    records["snapshots_unusable"][away] += 1
    newly_away = away[records["state"][away] == EpisodeState.OPEN]
    records["state"][newly_away] = EpisodeState.SUSPENDED
    records["suspended_since_ns"][newly_away] = now_ns
    for news in (back, in_sight[higher], newly_away):
        records["changed"][news] |= BY_SNAPSHOT
    return in_sight


def frame_of(records: Records, in_sight: Rows, seen: Snapshot, now_ns: int) -> Frame:
    """Return the points of a look at the episodes in sight."""
    usable = seen.usable
    # Of a leg that was never written the spread is infinite, so only what is in sight is computed.
    gross_bps = seen.gross_bps[usable]
    return Frame(
        episode_ids=records["episode_id"][in_sight],
        t_ms=np.maximum(0, now_ns - records["opened_ns"][in_sight]) // 1_000_000,
        gross_bps=gross_bps,
        cost_bps=gross_bps - seen.net_bps[usable],
        usd=seen.executable_usd[usable],
    )


def overdue(records: Records, rows: Rows, rules: Rules, now_ns: int) -> dict[Ending, Rows]:
    """Return which open episodes were over before this look, by how they ended.

    To be asked before `take_in`: whatever the look shows is not of these any more.
    ``overdue_ending`` in kernel/episodes.pyx says the same of a signal.
    """
    is_old = now_ns - records["opened_ns"][rows] >= rules.max_life_ns
    is_suspended = records["state"][rows] == EpisodeState.SUSPENDED
    # In sight, but by a look of long ago: a tracker that hung has seen nothing.
    unseen_since_ns = np.where(
        is_suspended, records["suspended_since_ns"][rows], records["last"]["time_ns"][rows]
    )
    is_lost = now_ns - unseen_since_ns >= rules.max_suspended_ns
    is_lost |= records["gap_ns"][rows] > rules.max_gap_ns
    is_lost &= ~is_old
    lost = rows[is_lost]
    records["suspended_since_ns"][lost] = unseen_since_ns[is_lost]
    records["state"][lost] = EpisodeState.SUSPENDED
    return {Ending.EXPIRED: rows[is_old], Ending.LOST: lost}
