"""tracker.bytes_per_snapshot, tracker.history: a month of 51 M snapshots, generated and asked."""

import contextlib
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tracker_stage import BOOT, RowStore, new_book, signals

from spreadscan.model import SignalType
from spreadscan.ops.archive import write_part
from spreadscan.ops.benchmark import Benchmark, Result, in_turns
from spreadscan.ops.history import EpisodeQuery, History
from spreadscan.tracker.episode import Clocks
from spreadscan.tracker.frames import Frame
from spreadscan.tracker.parts import Part
from spreadscan.tracker.recovery import open_ledger
from spreadscan.tracker.store import Batch, connected

DAYS = 30
LIVES = 135
"""Episodes one after the other in every lane of a day."""
LANES = 85
POINTS_IN_LIFE = 150
POINTS_IN_DAY = LIVES * LANES * POINTS_IN_LIFE
ROUTES = 3_300
ROUNDS = 9
TICK_NS = 200_000_000
DAY_NS = 86_400_000_000_000


class Day:
    """One busy day as the tracker writes it: 1.7 M points of 11,475 episodes."""

    def __init__(self, folder: Path) -> None:
        self.chance = np.random.default_rng(17)
        opened = open_ledger(folder, Clocks(BOOT, 0, 0))
        self.store = opened.store
        self.rows = RowStore(folder / "rows.sqlite3")
        self.book = new_book()
        self.now_ns = time.monotonic_ns()

    def write(self) -> None:
        routes = self.chance.integers(0, ROUTES, (LIVES, LANES))
        for life in range(LIVES):
            lanes = np.unique(routes[life])
            self._signal(SignalType.OPEN, lanes)
            ids = np.array([episode.episode_id for episode in self.book.open_episodes()])
            self._commit(self._path(ids))
            self._signal(SignalType.CLOSE, lanes)
        self._commit([])
        self.store.close()
        self.rows.close()

    def _signal(self, kind: SignalType, routes: np.ndarray) -> None:
        records = signals(np.full(len(routes), kind), routes)
        records["time_ns"] = self.now_ns
        self.book.apply(records, 0)

    def _path(self, ids: np.ndarray) -> list[Frame]:
        # Prices move by whole ticks, in half of the looks; sizes in most of them.
        shape = (POINTS_IN_LIFE, len(ids))
        steps = self.chance.integers(-2, 3, shape) * (self.chance.random(shape) < 0.5)
        tick_bps = self.chance.uniform(0.05, 2.0, len(ids))
        gross = 45.0 + np.cumsum(steps, axis=0) * tick_bps * (1 + 1e-5 * np.cumsum(steps, axis=0))
        lots = np.round(self.chance.lognormal(3, 1, shape)) + 1
        usd = np.where(self.chance.random(shape) < 0.4, lots, lots[0]) * (100 + gross / 1e4)
        frames = []
        for step in range(POINTS_IN_LIFE):
            self.now_ns += TICK_NS
            t_ms = np.full(len(ids), 200 * step + self.chance.integers(0, 2))
            frame = Frame(ids, t_ms, gross[step], np.full(len(ids), 20.0), usd[step])
            frames.append(frame)
        columns = [np.concatenate(column) for column in zip(*frames, strict=True)]
        self.rows.add(columns[0], columns[1], columns[2], columns[2] - columns[3], columns[4])
        return frames

    def _commit(self, frames: list[Frame]) -> None:
        clocks = Clocks(BOOT, self.now_ns, self.now_ns)
        self.store.commit(Batch(self.book.take_changes(), frames, 1, 1, 0, clocks, is_synced=False))


def _month(folder: Path, first: Part) -> Path:
    """Thirty days like the one: their episodes shifted in time, their points the same."""
    month = folder / "month"
    (month / "history").mkdir(parents=True)
    table = pq.read_table(first.episodes(folder))
    chance = np.random.default_rng(23)
    for day in range(DAYS):
        part = Part(day + 1, f"2026-11-{day + 1:02d}")
        columns = {name: table[name] for name in table.column_names}
        for name in ("episode_id", "opened_wall_ns", "ended_wall_ns"):
            shift = day * (DAY_NS if name.endswith("_ns") else 10**9)
            columns[name] = pa.compute.add(table[name], shift)
        order = pa.array(chance.permutation(table.num_rows))
        columns["symbol"] = table["symbol"].take(order)
        shifted = pa.table(columns, schema=table.schema).sort_by(
            [("direction", "ascending"), ("symbol", "ascending")]
        )
        pq.write_table(shifted, part.episodes(month), row_group_size=16_384, compression="zstd")
        shutil.copy(first.paths(folder), part.paths(month))
    return month


def measure() -> list[Result]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spreadscan-bench-")))
        day = Day(folder)
        day.write()
        part = day.store.part
        with contextlib.closing(connected(part.ledger(folder))) as connection:
            points = write_part(connection, part, folder)
        ours_bytes = part.paths(folder).stat().st_size / points
        rows_bytes = (folder / "rows.sqlite3").stat().st_size / points
        month = _month(folder, part)
        assert points * DAYS >= 50_000_000, points
        route = ("d0", "COIN7-USDT")

        def ours() -> float:
            started_s = time.perf_counter()
            found = History(month).summaries(EpisodeQuery(direction=route[0], symbol=route[1]))
            assert found
            return time.perf_counter() - started_s

        def unsorted() -> float:
            started_s = time.perf_counter()
            found = 0
            for file in sorted((month / "history").glob("*-episodes.parquet")):
                table = pq.read_table(file)
                is_route = pa.compute.equal(table["direction"], route[0])
                found += table.filter(is_route).num_rows
            assert found
            return time.perf_counter() - started_s

        fast, reference = in_turns(ROUNDS, ours, unsorted)
    return [
        Result(name="tracker.bytes_per_snapshot", value=ours_bytes, unit="B",
               baseline="a SQLite row a point", ratio=rows_bytes / ours_bytes),
        Result(name="tracker.history", value=fast, unit="s",
               baseline="the same files, read whole", ratio=reference / fast),
    ]  # fmt: skip


BENCHMARKS = (Benchmark(("tracker.bytes_per_snapshot", "tracker.history"), measure),)
