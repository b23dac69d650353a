"""The open episodes of all routes: signals and snapshots in, changed episodes out. Pure.

At most one episode is open for a route. Open episodes are rows of one table (``table.py``), so
that a batch of signals is one kernel call and a snapshot a few numpy operations; whatever changed
is handed out as values (`take_changes`), for somebody else to store.
"""

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from spreadscan.kernel.episodes import apply_signals
from spreadscan.tracker.columns import BY_SNAPSHOT, ENDING_CODES, ending_of
from spreadscan.tracker.episode import (
    Ending,
    Episode,
    EpisodeIds,
    EpisodeState,
    Route,
)
from spreadscan.tracker.frames import Frame
from spreadscan.tracker.names import RouteNames
from spreadscan.tracker.sight import Rules, frame_of, overdue, take_in
from spreadscan.tracker.snapshot import Snapshot
from spreadscan.tracker.table import OpenTable, Rows

__all__ = ["EpisodeBook", "Tally"]

# An episode of which only `last` moved is stored anew every so many snapshots: the path itself is
# stored every time.
REFRESH_TICKS = 50
EVENT_OPENED = 1


class Tally(msgspec.Struct):
    """What happened since the book was made."""

    signals: int = 0
    refused: int = 0
    """Signals that cannot be true: not finite, not positive, of no known type or number."""
    ignored: int = 0
    """Closes of routes that have no open episode, and updates that open none."""
    withheld: int = 0
    """Signals that came while the pipeline was killed."""
    re_signals: int = 0
    opened: int = 0
    converged: int = 0
    expired: int = 0
    delisted: int = 0
    halted: int = 0
    lost: int = 0
    snapshots: int = 0


class EpisodeBook:
    """All open episodes.

    Args:
        rules: when episodes end.
        names: the running universe's names.
        ids: where new ids come from.
        boot_id: of the running boot, for the episodes' monotonic times.
        previous: each route's latest episode that has ended, by direction and symbol.

    Concurrency: none; it belongs to the tracker's loop.
    """

    def __init__(
        self,
        rules: Rules,
        names: RouteNames,
        ids: EpisodeIds,
        boot_id: str,
        previous: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        self.tally = Tally()
        self.ids = ids
        self.previous: dict[tuple[str, str], int] = dict(previous or {})
        self.boot_id = boot_id
        self.rules = rules
        """Another one counts from the next look at the open episodes."""
        self._table = OpenTable(names, boot_id)
        self._ticks = 0
        # What the kernel writes: what opened and ended in a batch, and what did nothing.
        self._events = np.empty((0, 3), np.int32)
        self._counts = np.zeros(3, np.uint64)
        self._ended: list[Episode] = []

    def __len__(self) -> int:
        """Return how many episodes are open."""
        return len(self._table)

    @property
    def expired(self) -> dict[tuple[str, str], int]:
        """The engine's opening under it, of routes where that episode has expired."""
        return self._table.barred_openings()

    @property
    def suspended_count(self) -> int:
        """How many of them are without two fresh legs."""
        states = self._table.records["state"][self._table.rows]
        return int((states == EpisodeState.SUSPENDED).sum())

    @property
    def membership(self) -> int:
        """Changes whenever an episode opens, ends or is renumbered: derived arrays are old then."""
        return self._table.membership

    @property
    def rows(self) -> Rows:
        """The rows of the open episodes, ascending; new after every change of `membership`."""
        return self._table.rows

    def routes(self, rows: Rows) -> list[Route]:
        """Return the routes of these open episodes."""
        return [self._table.route(row) for row in rows.tolist()]

    def open_episodes(self) -> list[Episode]:
        """Return the open episodes in order of id."""
        return sorted(self._table.values(self._table.rows), key=_id_of)

    def take_changes(self) -> list[Episode]:
        """Return what changed since the last call, in order of id.

        In this order the ending of a route's episode is stored before the opening of its next.
        Everything that signals did is among it; of what snapshots did, some may be kept for later.
        """
        episodes = self._ended + self._table.values(self._table.take_changed(self._ticks))
        self._ended = []
        return sorted(episodes, key=_id_of)

    def restore(self, episodes: Iterable[Episode]) -> None:
        """Take back episodes of an earlier run, finding their routes anew by name."""
        self._table.restore(episodes)

    def bar(self, before_ns: int, expired: Mapping[tuple[str, str], int]) -> None:
        """Go by what an earlier run knew: which updates open no episode.

        Args:
            before_ns: those of before this time, as that run has looked since.
            expired: by route, those of the opening whose episode has expired.
        """
        self._table.bar_before(before_ns)
        for key, opening in expired.items():
            self._table.bar(key, before_ns, opening)

    def adopt(self, names: RouteNames) -> None:
        """Go over to another universe; open episodes find their routes anew by name.

        What it does not list stays open until `end_unlisted`, so that signals of before can still
        be applied; ids that it does not have keep their names for those that come late.
        """
        self._table.adopt(names)

    def lists(self, records: npt.NDArray[np.void]) -> bool:
        """Tell whether the running universe lists all these signals' routes by their numbers."""
        return self._table.lists(records)

    def end_unlisted(self, now_ns: int, wall_offset_ns: int) -> None:
        """End every episode whose route the running universe does not list."""
        for row in self._table.unlisted():
            self._end(row, Ending.DELISTED, now_ns, wall_offset_ns)

    def halt(self, now_ns: int, wall_offset_ns: int) -> None:
        """End every episode: the operator killed the pipeline."""
        for row in self._table.rows.tolist():
            self._end(row, Ending.HALTED, now_ns, wall_offset_ns)

    def withhold(self, count: int) -> None:
        """Count signals that nobody may take."""
        self.tally.signals += count
        self.tally.withheld += count

    def apply(self, records: npt.NDArray[np.void], wall_offset_ns: int) -> list[int]:
        """Take signals in their order; return the times of those that opened or ended an episode.

        Args:
            records: SIGNAL_DTYPE, contiguous.
            wall_offset_ns: wall clock minus monotonic clock.
        """
        count = len(records)
        self.tally.signals += count
        table = self._table
        table.make_room(count)
        if len(self._events) < 2 * count:
            self._events = np.empty((2 * count, 3), np.int32)
        rules = self.rules
        found = apply_signals(
            records.view(np.uint8),
            table.records.view(np.uint8),
            table.row_of_route,
            table.canonical,
            table.free,
            table.ended_ns,
            table.expired_openings,
            rules.converge_net_bps,
            np.array([rules.max_life_ns, rules.max_suspended_ns, rules.max_gap_ns], np.int64),
            self._events,
            self._counts,
        )
        self.tally.refused, self.tally.ignored, self.tally.re_signals = self._counts.tolist()
        ended_rows = []
        opened = 0
        for kind, row, index in self._events[:found].tolist():
            if kind == EVENT_OPENED:
                opened += 1
                self._begun(row, records[index], wall_offset_ns)
            else:
                ended_rows.append(row)
                ending = ending_of(int(table.records["ending"][row]))
                self._put_away(row, ending, wall_offset_ns)
        # Only now: the kernel takes rows from the front and must not have met one of these again.
        table.release(ended_rows, opened)
        times: list[int] = records["time_ns"][self._events[:found, 2]].tolist()
        return times

    def observe(self, rows: Rows, seen: Snapshot, now_ns: int, wall_offset_ns: int) -> Frame | None:
        """End the episodes that are over, then take one snapshot of the others.

        What was out of sight, or lived, for too long has ended so before the look, whatever that
        shows: only the others can converge.

        Args:
            rows: the open episodes, as `rows` gave them.
            seen: what their routes look like; where a leg is not usable, nothing is proven and the
                episode is suspended.
            now_ns: monotonic time of the snapshot.
            wall_offset_ns: wall clock minus monotonic clock.

        Returns:
            The points to store; None when no route could be seen.
        """
        self._ticks += 1
        records = self._table.records
        for ending, ended in overdue(records, rows, self.rules, now_ns).items():
            for row in ended.tolist():
                self._end(row, ending, now_ns, wall_offset_ns)
        is_open = records["state"][rows] != EpisodeState.FREE
        if not is_open.all():
            rows, seen = rows[is_open], seen.of(is_open)
        in_sight = take_in(records, rows, seen, now_ns)
        due = rows[(rows + self._ticks) % REFRESH_TICKS == 0]
        records["changed"][due] |= BY_SNAPSHOT
        frame = None
        if len(in_sight):
            frame = frame_of(records, in_sight, seen, now_ns)
            self.tally.snapshots += frame.size
        gone = in_sight[seen.net_bps[seen.usable] <= self.rules.converge_net_bps]
        for row in gone.tolist():
            self._end(row, Ending.CONVERGED, now_ns, wall_offset_ns)
        return frame

    def _begun(self, row: int, record: np.void, wall_offset_ns: int) -> None:
        """Give an episode that the kernel began its identity."""
        route = self._table.begun(row, record)
        opened_wall_ns = int(record["time_ns"]) + wall_offset_ns
        episode = self._table.records[row]
        episode["episode_id"] = self.ids.next(opened_wall_ns)
        episode["previous_id"] = self.previous.get(route.key, 0)
        episode["opened_wall_ns"] = opened_wall_ns
        self.tally.opened += 1

    def _end(self, row: int, ending: Ending, time_ns: int, wall_offset_ns: int) -> None:
        episode = self._table.records[row]
        time_ns = max(time_ns, int(episode["opened_ns"]))
        if episode["state"] == EpisodeState.SUSPENDED:
            episode["suspended_ns"] += max(0, time_ns - int(episode["suspended_since_ns"]))
        episode["state"] = EpisodeState.ENDED
        episode["ending"] = ENDING_CODES[ending]
        episode["ended_ns"] = time_ns
        self._put_away(row, ending, wall_offset_ns)
        self._table.release([row])

    def _put_away(self, row: int, ending: Ending, wall_offset_ns: int) -> None:
        """Move an ended episode out of the table, to be handed out."""
        episode = self._table.records[row]
        ended_ns = int(episode["ended_ns"])
        episode["ended_wall_ns"] = ended_ns + wall_offset_ns
        # A close may be of before the look that saw the route come back.
        life_ns = ended_ns - int(episode["opened_ns"])
        episode["suspended_ns"] = min(int(episode["suspended_ns"]), life_ns)
        value = self._table.value(row)
        self._ended.append(value)
        key = value.route.key
        self.previous[key] = value.episode_id
        expired_opening = value.opening if ending is Ending.EXPIRED else 0
        self._table.bar(key, ended_ns, expired_opening)
        self._table.forget(row)
        setattr(self.tally, ending.value, getattr(self.tally, ending.value) + 1)


def _id_of(episode: Episode) -> int:
    return episode.episode_id
