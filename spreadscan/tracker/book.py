"""The open episodes of all routes: signals and snapshots in, changed episodes out. Pure.

At most one episode is open for a route. The book also remembers which episodes differ from what
the ledger holds, until the caller says that they were stored.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from spreadscan.model import SignalType
from spreadscan.tracker.episode import (
    Ending,
    Episode,
    EpisodeIds,
    Moment,
    Route,
    SignalEvent,
    is_sound,
    moment_of,
)
from spreadscan.tracker.names import RouteNames

__all__ = ["EpisodeBook", "Rules", "SnapshotRow", "Tally"]

# An episode of which only `last` moved is stored anew every fifth snapshot: each stored row costs a
# page of write-ahead log, and the path itself is in the snapshots, which are stored every time.
REFRESH_TICKS = 5


class Rules(NamedTuple):
    """When an episode ends."""

    converge_net_bps: float
    """On fresh legs, a net spread at or below this has converged."""
    max_life_ns: int


class SnapshotRow(NamedTuple):
    """One point of an episode's path."""

    episode_id: int
    t_ms: int
    """Milliseconds since the opening."""
    gross_bps: float
    net_bps: float
    executable_usd: float


class Tally(msgspec.Struct):
    """What happened since the book was made."""

    signals: int = 0
    refused: int = 0
    """Signals that cannot be true: not finite, not positive, of no known type."""
    ignored: int = 0
    """Updates and closes of routes that have no open episode."""
    re_signals: int = 0
    opened: int = 0
    converged: int = 0
    expired: int = 0
    delisted: int = 0
    snapshots: int = 0


class EpisodeBook:
    """All open episodes.

    Args:
        rules: when episodes end.
        names: the running universe's names.
        ids: where new ids come from.
        boot_id: of the running boot, for the episodes' monotonic times.

    Concurrency: none; it belongs to the tracker's loop.
    """

    def __init__(self, rules: Rules, names: RouteNames, ids: EpisodeIds, boot_id: str) -> None:
        self.tally = Tally()
        self.rules = rules
        """Another one counts from the next look at the open episodes."""
        self._names = names
        self._ids = ids
        self._boot_id = boot_id
        self._open: dict[tuple[str, str], Episode] = {}
        self._changed: dict[int, Episode] = {}
        self._ticks = 0
        self.membership = 0
        """Changes whenever an episode opens, ends or is renumbered, so that callers can keep
        derived arrays."""

    def open_episodes(self) -> list[Episode]:
        """Return the open episodes, oldest first as far as they were opened by this book."""
        return list(self._open.values())

    def changed_episodes(self) -> list[Episode]:
        """Return the episodes that the ledger does not hold as they are, by id.

        In this order the ending of a route's episode is stored before the opening of its next.
        """
        return [self._changed[episode_id] for episode_id in sorted(self._changed)]

    def mark_stored(self) -> None:
        """Note that the ledger now holds every episode as it is."""
        self._changed.clear()

    def mark_unstored(self) -> None:
        """Note that the ledger lost what it held: every open episode must be stored again."""
        self._changed.update((episode.episode_id, episode) for episode in self._open.values())

    def restore(self, episodes: Iterable[Episode]) -> None:
        """Take back episodes of an earlier run, finding their routes anew by name."""
        for episode in episodes:
            route = episode.route
            assert route.key not in self._open, route
            # Its ending may still wait in the ring, under the number of that time.
            self._names = self._names.remembering({route.symbol_id: route.symbol})
            self._open[route.key] = episode
        self._renumber()
        self.mark_unstored()

    def adopt(self, names: RouteNames) -> None:
        """Go over to another universe; open episodes find their routes anew by name.

        What it does not list stays open until `end_unlisted`, so that signals of before can still
        be applied; ids that it does not have keep their names for those that come late.
        """
        self._names = names.remembering(self._names.symbols)
        self._renumber()

    def lists(self, event: SignalEvent) -> bool:
        """Tell whether the running universe lists a signal's route under these very numbers."""
        return (event.direction, event.symbol_id) in self._names.listed

    def end_unlisted(self, now_ns: int, wall_offset_ns: int) -> None:
        """End every episode whose route the running universe does not list."""
        for episode in self.open_episodes():
            if not self._names.lists(episode.route):
                self._end(episode, Ending.DELISTED, now_ns, wall_offset_ns)

    def apply(self, event: SignalEvent, wall_offset_ns: int) -> None:
        """Take one signal; ``wall_offset_ns`` is wall clock minus monotonic clock."""
        self.tally.signals += 1
        if not is_sound(event):
            self.tally.refused += 1
            return
        route = self._names.route(event)
        episode = self._open.get(route.key)
        moment = moment_of(event)
        if episode is None:
            if event.type == SignalType.OPEN:
                self._start(route, moment, wall_offset_ns)
            else:
                self.tally.ignored += 1
            return
        episode.observe(moment)
        self._changed[episode.episode_id] = episode
        if event.type == SignalType.OPEN:
            episode.re_signals += 1
            self.tally.re_signals += 1
        elif event.type == SignalType.CLOSE:
            # The engine closes a route only on fresh quotes of both legs.
            self._end(episode, Ending.CONVERGED, event.time_ns, wall_offset_ns)

    def observe(
        self,
        episodes: Sequence[Episode],
        seen: Sequence[Moment | None],
        now_ns: int,
        wall_offset_ns: int,
    ) -> list[SnapshotRow]:
        """Take one snapshot of open episodes, then end those whose life is over.

        Args:
            episodes: open episodes, as `open_episodes` gave them.
            seen: what each route looks like on fresh legs; None where a leg is not usable, which
                proves nothing and can only let the episode grow older.
            now_ns: monotonic time of the snapshot.
            wall_offset_ns: wall clock minus monotonic clock.

        Returns:
            The points to store.
        """
        self._ticks += 1
        rows = []
        for episode, moment in zip(episodes, seen, strict=True):
            if moment is None:
                episode.snapshots_unusable += 1
                is_news = False
            else:
                is_news = episode.observe(moment)
                episode.snapshots += 1
                t_ms = max(0, (now_ns - episode.opened_ns) // 1_000_000)
                rows.append(SnapshotRow(episode.episode_id, t_ms, *moment[1:4]))
                if moment.net_bps <= self.rules.converge_net_bps:
                    self._end(episode, Ending.CONVERGED, now_ns, wall_offset_ns)
            if episode.ending is None and now_ns - episode.opened_ns >= self.rules.max_life_ns:
                self._end(episode, Ending.EXPIRED, now_ns, wall_offset_ns)
            if is_news or (self._ticks + episode.episode_id) % REFRESH_TICKS == 0:
                self._changed[episode.episode_id] = episode
        self.tally.snapshots += len(rows)
        return rows

    def _renumber(self) -> None:
        for episode in self._open.values():
            episode.route = self._names.renumbered(episode.route)
        self.membership += 1

    def _start(self, route: Route, moment: Moment, wall_offset_ns: int) -> None:
        opened_wall_ns = moment.time_ns + wall_offset_ns
        episode = Episode(
            episode_id=self._ids.next(opened_wall_ns),
            route=route,
            boot_id=self._boot_id,
            opened_wall_ns=opened_wall_ns,
            opened_ns=moment.time_ns,
            first=moment,
            peak=moment,
            last=moment,
        )
        self._open[route.key] = episode
        self._changed[episode.episode_id] = episode
        self.membership += 1
        self.tally.opened += 1

    def _end(self, episode: Episode, ending: Ending, time_ns: int, wall_offset_ns: int) -> None:
        episode.end(ending, time_ns, wall_offset_ns)
        del self._open[episode.route.key]
        self._changed[episode.episode_id] = episode
        self.membership += 1
        match ending:
            case Ending.CONVERGED:
                self.tally.converged += 1
            case Ending.EXPIRED:
                self.tally.expired += 1
            case Ending.DELISTED:
                self.tally.delisted += 1
