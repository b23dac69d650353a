"""Baselines: looks at every route of the universe, publishes what is usual, keeps it on disk.

A tick looks at a part of the routes, so that each is seen once in ``baseline_interval_s`` and no
tick takes long. The engine reads the published record when it signals (z-score). The file is
written by a thread of its own every few minutes; losing it costs hours of looking, nothing else.
"""

import os
import threading
import zipfile

import numpy as np
import numpy.typing as npt

from spreadscan.runtime.process import Context
from spreadscan.shm.layout import MAX_SYMBOLS
from spreadscan.shm.price_store import slot_of
from spreadscan.tracker.episode import Route
from spreadscan.tracker.legs import LegReader
from spreadscan.tracker.names import RouteNames
from spreadscan.tracker.parts import sync_folder
from spreadscan.tracker.snapshot import Watch
from spreadscan.tracker.windows import SpreadWindows

__all__ = ["BASELINE_NAME", "Baselines", "routes_of"]

BASELINE_NAME = "baseline.npz"
SAVE_INTERVAL_NS = 300_000_000_000
_BAD_FILE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def routes_of(context: Context) -> list[Route]:
    """Return every route of the context's universe, in order of its numbers."""
    universe = context.universe
    names = RouteNames.of(universe, context.config.directions)
    return [
        names.route(row.direction_id, symbol_id, row.spot_source, row.futures_source)
        for row in sorted(universe.directions, key=lambda row: row.direction_id)
        if row.direction_id in names.directions
        for symbol_id in row.symbols
    ]


class Baselines:
    """The tracker's baselines.

    Args:
        context: the region that is published to, configuration and clock.
        legs: through which routes are looked at.

    Concurrency: one loop; the file is written by a thread that is given a copy.
    """

    def __init__(self, context: Context, legs: LegReader) -> None:
        config = context.config.tracker
        self._context = context
        self._legs = legs
        self._interval_ns = round(config.baseline_interval_s * 1e9)
        self._length = max(2, round(config.baseline_window_h * 3600 / config.baseline_interval_s))
        self._min_samples = config.baseline_min_samples
        self._file = context.config.path(config.data_dir) / BASELINE_NAME
        self._position = 0
        self._round_due_ns = 0
        self._saved_ns = context.clock.monotonic_ns()
        self._saving: threading.Thread | None = None
        # A predecessor's records stand until they are known anew; those of nobody are taken back.
        self._published = self._read_published()
        self._universe = context.universe
        self._use(self._loaded(routes_of(context)))

    def look(self) -> None:
        """Look at the routes whose turn it is, and publish what is usual for them now.

        After a reload, whoever asked for it, routes keep their windows by name.
        """
        if self._context.universe is not self._universe:
            self._universe = self._context.universe
            self._use(self._windows.taken_over(routes_of(self._context)))
        now_ns = self._context.clock.monotonic_ns()
        total = len(self._windows.routes)
        if self._position == total:
            if now_ns < self._round_due_ns:
                return
            self._windows.next_round()
            self._position = 0
        if self._position == 0:
            self._round_due_ns = now_ns + self._interval_ns
        tick_ns = self._context.config.tracker.snapshot_interval_ms * 1_000_000
        # A little more than its share, so that a round is over before the next one is due.
        count = min(total - self._position, -(-total * tick_ns * 5 // (self._interval_ns * 4)))
        rows = slice(self._position, self._position + count)
        if count:
            self._look_at(rows)
        self._position += count

    def save_if_due(self) -> None:
        """Have the windows written to disk, every few minutes, one writing at a time."""
        now_ns = self._context.clock.monotonic_ns()
        if now_ns - self._saved_ns < SAVE_INTERVAL_NS:
            return
        if self._saving is not None and self._saving.is_alive():
            return
        self._saved_ns = now_ns
        self._begin_saving()

    def close(self, timeout_s: float) -> None:
        """Write the windows a last time; a disk that does not answer is left to itself."""
        if self._saving is not None:
            self._saving.join(timeout_s / 2)
        self._begin_saving().join(timeout_s / 2)

    def _look_at(self, rows: slice) -> None:
        slots = np.concatenate([self._spot_slots[rows], self._futures_slots[rows]])
        count = len(slots) // 2
        watched = Watch(
            slots=slots,
            sources=(slots // MAX_SYMBOLS).astype(np.intp),
            fee_bps=np.zeros(count),
            known=np.ones(count, np.bool_),
        )
        seen, now_ns = self._legs.look(watched)
        found = self._windows.put(rows.start, np.where(seen.usable, seen.gross_bps, np.nan))
        known = found.samples >= self._min_samples
        columns = zip(
            self._indexes[rows].tolist(),
            np.where(known, found.median_bps, 0.0).tolist(),
            np.where(known, found.mad_bps, 0.0).tolist(),
            np.where(known, found.samples, 0).tolist(),
            strict=True,
        )
        for index, median_bps, mad_bps, samples in columns:
            if samples or index in self._published:
                self._publish(index, median_bps, mad_bps, samples, now_ns)

    def _publish(
        self, index: int, median_bps: float, mad_bps: float, samples: int, now_ns: int
    ) -> None:
        self._context.regions.baseline.write(
            index, median_bps=median_bps, mad_bps=mad_bps, samples=samples, updated_ns=now_ns
        )
        if samples:
            self._published.add(index)
        else:
            self._published.discard(index)

    def _read_published(self) -> set[int]:
        records, _ = self._context.regions.baseline.read_all()
        return set(np.flatnonzero(records["samples"]).tolist())

    def _use(self, windows: SpreadWindows) -> None:
        self._windows = windows
        routes = windows.routes
        self._spot_slots = np.array(
            [slot_of(route.spot_source, route.symbol_id) for route in routes], np.int32
        )
        self._futures_slots = np.array(
            [slot_of(route.futures_source, route.symbol_id) for route in routes], np.int32
        )
        self._indexes = np.array(
            [route.direction_id * MAX_SYMBOLS + route.symbol_id for route in routes], np.int64
        )
        self._position = 0
        now_ns = self._context.clock.monotonic_ns()
        for index in self._published - set(self._indexes.tolist()):
            self._publish(index, 0.0, 0.0, 0, now_ns)

    def _loaded(self, routes: list[Route]) -> SpreadWindows:
        """Return the windows of the last run; new ones where there are none that can be used."""
        fresh = SpreadWindows(routes, self._length)
        try:
            with np.load(self._file, allow_pickle=False) as kept:
                values, keys = kept["values"], kept["keys"]
                (round_number, interval_ns, wall_ns) = kept["clock"].tolist()
        except FileNotFoundError:
            return fresh
        except _BAD_FILE as error:
            self._context.log.warning("%s: %s; baselines begin anew", self._file, error)
            return fresh
        if interval_ns != self._interval_ns or values.shape != (len(keys), self._length):
            self._context.log.info("%s: of another window; baselines begin anew", self._file)
            return fresh
        names = [Route(direction, symbol, 0, 0, 0, 0) for direction, symbol in keys.tolist()]
        before = SpreadWindows(names, self._length)
        before.values = values
        before.round = round_number
        away_ns = max(0, self._context.clock.wall_ns() - wall_ns)
        before.forget_rounds(1 + away_ns // self._interval_ns)
        return before.taken_over(routes)

    def _begin_saving(self) -> threading.Thread:
        windows = self._windows
        keys = np.array([route.key for route in windows.routes], np.str_).reshape(-1, 2)
        clock = np.array(
            [windows.round, self._interval_ns, self._context.clock.wall_ns()], np.int64
        )
        self._saving = threading.Thread(
            target=self._save, args=(windows.values.copy(), keys, clock), daemon=True
        )
        self._saving.start()
        return self._saving

    def _save(
        self,
        values: npt.NDArray[np.float32],
        keys: npt.NDArray[np.str_],
        clock: npt.NDArray[np.int64],
    ) -> None:
        working = self._file.with_name(f"{self._file.name}.new")
        try:
            with working.open("wb") as target:
                np.savez(target, values=values, keys=keys, clock=clock)
                target.flush()
                os.fsync(target.fileno())
            working.rename(self._file)
            sync_folder(self._file.parent)
        except OSError as error:
            # The ledger tells loudly when the disk is in trouble; these are hours of looking.
            self._context.log.warning("%s: not written: %s", self._file, error)
