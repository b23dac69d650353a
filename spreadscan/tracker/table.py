"""The table of open episodes and what stands beside it: names, numbers, free rows. Pure.

The kernel finds a signal's row by the numbers in it; everybody else by the route's names. Both ways
are kept here, together with the running universe's numbers.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from spreadscan.shm.layout import MAX_DIRECTIONS, MAX_SYMBOLS
from spreadscan.tracker.columns import BY_SIGNAL, EPISODE_DTYPE, episode_of, write_episode
from spreadscan.tracker.episode import Episode, Route
from spreadscan.tracker.names import RouteNames

__all__ = ["OpenTable", "Rows"]

Rows = npt.NDArray[np.int32]

FIRST_ROWS = 8192
# Of those that may wait, at most so many are handed out at once: a stored row costs some 10 us.
MAX_REFRESHED = 400
NEVER_NS = np.iinfo(np.int64).max


class OpenTable:
    """Rows of open episodes.

    Args:
        names: the running universe's names.
        boot_id: of the running boot, for the episodes' monotonic times.

    Concurrency: none; it belongs to the book.
    """

    def __init__(self, names: RouteNames, boot_id: str) -> None:
        self.records = np.zeros(FIRST_ROWS, EPISODE_DTYPE)
        """EPISODE_DTYPE; rows that no open episode has are meaningless."""
        self.row_of_route = np.full(MAX_DIRECTIONS * MAX_SYMBOLS, -1, np.int32)
        """By direction id * MAX_SYMBOLS + symbol id; -1 = none is open."""
        self.ended_ns = np.zeros(MAX_DIRECTIONS * MAX_SYMBOLS, np.int64)
        """By route as above: before this time an update opens nothing."""
        self.expired_openings = np.zeros(MAX_DIRECTIONS * MAX_SYMBOLS, np.uint32)
        """By route: the engine's opening whose episode has expired; 0 = none."""
        self.free: Rows = np.arange(FIRST_ROWS, dtype=np.int32)
        """Rows to begin episodes in, the first one next."""
        self.membership = 0
        """Changes whenever an episode opens, ends or is renumbered."""
        self._boot_id = boot_id
        self._routes: dict[int, Route] = {}
        self._rows: dict[tuple[str, str], int] = {}
        self._bars: dict[tuple[str, str], tuple[int, int]] = {}
        self._barred_before_ns = 0
        self._use(names)
        self._renumber_bars()

    def __len__(self) -> int:
        """Return how many episodes are open."""
        return len(self._routes)

    @property
    def rows(self) -> Rows:
        """The rows of the open episodes, ascending."""
        return np.array(sorted(self._routes), np.int32)

    def route(self, row: int) -> Route:
        """Return an open episode's route."""
        return self._routes[row]

    def values(self, rows: npt.NDArray[np.integer]) -> list[Episode]:
        """Return these open episodes as they are now."""
        return [
            episode_of(record, self._routes[row], self._boot_id)
            for row, record in zip(rows.tolist(), self.records[rows].tolist(), strict=True)
        ]

    def value(self, row: int) -> Episode:
        """Return one episode as it is now."""
        return episode_of(self.records[row].item(), self._routes[row], self._boot_id)

    def take_changed(self, turn: int) -> npt.NDArray[np.integer]:
        """Return rows that changed, and take them for unchanged from now on.

        All that signals changed are among them; of those that only looks did, some may be left for
        later, from another place each *turn*, or the last rows would never be reached.
        """
        changed = self.records["changed"]
        rows = np.flatnonzero(changed)
        must = (changed[rows] & BY_SIGNAL) != 0
        waiting = rows[~must]
        if len(waiting) > MAX_REFRESHED:
            waiting = np.roll(waiting, -(turn * MAX_REFRESHED) % len(waiting))[:MAX_REFRESHED]
        taken = np.concatenate([rows[must], waiting])
        changed[taken] = 0
        return taken

    def unlisted(self) -> list[int]:
        """Return the rows whose routes the running universe does not list."""
        return [row for row, route in self._routes.items() if not self.names.lists(route)]

    def lists(self, records: npt.NDArray[np.void]) -> bool:
        """Tell whether the running universe lists all these signals' routes by their numbers."""
        symbols, directions = records["symbol_id"], records["direction"]
        known = (symbols < MAX_SYMBOLS) & (directions < MAX_DIRECTIONS)
        routes = directions[known].astype(np.int32) * MAX_SYMBOLS + symbols[known]
        return bool(self._listed[routes].all())

    def make_room(self, count: int) -> None:
        """Have at least so many rows to begin episodes in."""
        while len(self.free) < count:
            size = len(self.records)
            # Not concatenate: that would pack the records.
            grown = np.zeros(2 * size, EPISODE_DTYPE)
            grown[:size] = self.records
            self.records = grown
            self.free = np.concatenate([self.free, np.arange(size, 2 * size, dtype=np.int32)])

    def restore(self, episodes: Iterable[Episode]) -> None:
        """Take in episodes of an earlier run, finding their routes anew by name."""
        for episode in episodes:
            route = episode.route
            # Its ending may still wait in the ring, under the number of that time.
            self._use(self.names.remembering({route.symbol_id: route.symbol}))
            self.make_room(1)
            row, self.free = int(self.free[0]), self.free[1:]
            write_episode(self.records, row, episode)
            self._put(row, route)
        self._renumber()

    def adopt(self, names: RouteNames) -> None:
        """Go over to another universe; open episodes find their routes anew by name."""
        self._use(names.remembering(self.names.symbols))
        self._renumber()

    def begun(self, row: int, record: np.void) -> Route:
        """Note that the kernel began an episode in a row; return its route."""
        route = self.names.route(
            int(record["direction"]),
            int(record["symbol_id"]),
            int(record["spot_source"]),
            int(record["futures_source"]),
        )
        self._put(row, route)
        return route

    def forget(self, row: int) -> None:
        """Take an ended episode's row out of use; it is not free before `release`."""
        route = self._routes.pop(row)
        del self._rows[route.key]
        number = int(self.records["route"][row])
        if number >= 0 and self.row_of_route[number] == row:
            self.row_of_route[number] = -1
        self.records["state"][row] = 0
        self.records["changed"][row] = 0
        self.membership += 1

    def bar(self, key: tuple[str, str], ended_ns: int, expired_opening: int) -> None:
        """Let a route's updates open no episode that are of before a time, or of an opening."""
        self._bars[key] = (ended_ns, expired_opening)
        direction_id, symbol_id = self.names.numbers(key)
        if (direction_id, symbol_id) in self.names.listed:
            number = direction_id * MAX_SYMBOLS + symbol_id
            self.ended_ns[number], self.expired_openings[number] = ended_ns, expired_opening

    def barred_openings(self) -> dict[tuple[str, str], int]:
        """Return the openings that `bar` was told of, by route."""
        return {key: opening for key, (_, opening) in self._bars.items() if opening}

    def bar_before(self, time_ns: int) -> None:
        """Let no update of before a time open an episode."""
        self._barred_before_ns = time_ns
        self._renumber_bars()

    def release(self, rows: list[int], used: int = 0) -> None:
        """Let rows be begun in again, after *used* of the free ones were taken."""
        self.free = np.concatenate([np.array(rows, np.int32), self.free[used:]])

    def _put(self, row: int, route: Route) -> None:
        assert route.key not in self._rows, route
        self._routes[row] = route
        self._rows[route.key] = row
        self.membership += 1

    def _use(self, names: RouteNames) -> None:
        self.names = names
        self.canonical = names.canonical()
        self._listed = names.listed_mask()

    def _renumber(self) -> None:
        self.row_of_route[:] = -1
        for row, before in self._routes.items():
            route = self._routes[row] = self.names.renumbered(before)
            symbol_id = route.symbol_id
            if symbol_id < 0:
                # Not listed: what comes late carries the number of before, if nobody has it now.
                symbol_id = self._number_of_before(route.symbol)
            number = -1 if symbol_id < 0 else route.direction_id * MAX_SYMBOLS + symbol_id
            self.records["route"][row] = number
            if number >= 0:
                self.row_of_route[number] = row
        self._renumber_bars()
        self.membership += 1

    def _renumber_bars(self) -> None:
        # Not listed: what comes late of such a route is the past.
        self.ended_ns[:] = np.where(self._listed, self._barred_before_ns, NEVER_NS)
        self.expired_openings[:] = 0
        for key, bar in list(self._bars.items()):
            self.bar(key, *bar)

    def _number_of_before(self, symbol: str) -> int:
        for number, name in self.names.symbols.items():
            if name == symbol and 0 <= number < MAX_SYMBOLS:
                return number
        return -1
