"""tracker.drain, tracker.tick_5000: signals into episodes, and a tick of 5,000 with its commit."""

import contextlib
import tempfile
import time
from pathlib import Path

import numpy as np
from mapped_regions import temporary_regions
from tracker_stage import (
    PythonBook,
    PythonEpisode,
    RowStore,
    clocks,
    fees,
    moments,
    new_book,
    openings,
    put_prices,
    signals,
)

from spreadscan.model import SignalType
from spreadscan.ops.benchmark import Benchmark, Result, in_turns, percentiles
from spreadscan.shm.layout import RING_CAPACITY
from spreadscan.shm.price_store import PriceStore
from spreadscan.shm.ring import DRAIN_BATCH, RingReader
from spreadscan.tracker.recovery import open_ledger
from spreadscan.tracker.snapshot import Legs, Limits, evaluate, watch
from spreadscan.tracker.store import Batch

OPEN_COUNT = 5_000
ROUNDS = 7
TICKS = 60
PYTHON_SIGNALS = 16_384
# Of a busy minute's signals one in fifty opens or ends an episode; the rest are updates.
SHARE_OF_EVENTS = 0.02


class Reader(RingReader):
    """The consumer's end of a ring that is no region."""

    def __init__(self, ring: object) -> None:
        self.ring = ring
        self._batch = np.empty(DRAIN_BATCH, openings(1).dtype)


def _mixed(count: int) -> np.ndarray:
    """Updates of open routes, and routes that open and close in turn."""
    chance = np.random.default_rng(7)
    kinds = np.full(count, SignalType.UPDATE, np.int64)
    routes = chance.integers(0, OPEN_COUNT, count)
    events = np.flatnonzero(chance.random(count) < SHARE_OF_EVENTS)
    kinds[events] = np.where(np.arange(len(events)) % 2, SignalType.CLOSE, SignalType.OPEN)
    routes[events] = OPEN_COUNT + np.arange(len(events)) // 2 % 1_000
    return signals(kinds, routes)


def measure_drain() -> list[Result]:
    mixed = _mixed(RING_CAPACITY)
    raw = [record.view(np.uint8) for record in mixed[:, None]]
    with temporary_regions() as regions:
        reader, book = Reader(regions.ring), new_book()
        book.apply(openings(OPEN_COUNT), 0)
        book.take_changes()

        def ours() -> float:
            for record in raw:
                regions.ring.push(record)
            position = reader.head()
            started_ns = time.perf_counter_ns()
            while len(records := reader.peek_from(position, DRAIN_BATCH)):
                book.lists(records)
                book.apply(records, 0)
                position = int(records["sequence"][-1])
            elapsed_ns = time.perf_counter_ns() - started_ns
            reader.advance(RING_CAPACITY)
            book.take_changes()
            return RING_CAPACITY / elapsed_ns * 1e9

        slow = PythonBook()
        slow.apply(openings(OPEN_COUNT))

        def python() -> float:
            started_ns = time.perf_counter_ns()
            slow.apply(mixed[:PYTHON_SIGNALS])
            return PYTHON_SIGNALS / (time.perf_counter_ns() - started_ns) * 1e9

        fast, reference = in_turns(ROUNDS, ours, python)
    return [
        Result(name="tracker.drain", value=fast, unit="signals/s",
               baseline="Python objects, a signal at a time", ratio=fast / reference)
    ]  # fmt: skip


def measure_tick() -> list[Result]:
    with contextlib.ExitStack() as stack:
        regions = stack.enter_context(temporary_regions())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spreadscan-bench-")))
        store = open_ledger(folder, clocks()).store
        stack.callback(store.close)
        rows_store = RowStore(folder / "rows.sqlite3")
        stack.callback(rows_store.close)
        prices = PriceStore.__new__(PriceStore)
        prices.slots = regions.prices
        put_prices(prices.slots, OPEN_COUNT)
        epochs = np.ones(2 * OPEN_COUNT, np.uint64)
        vouched = np.ones(2 * OPEN_COUNT, np.bool_)
        book = new_book()
        book.apply(openings(OPEN_COUNT), 0)
        rows = book.rows
        watched = watch(book.routes(rows), fees())
        store.commit(_batch(book, [], is_synced=True))

        def look() -> tuple[object, float]:
            legs = Legs(*prices.read_pairs(watched.slots), epochs, vouched)
            now_ns = time.monotonic_ns()
            return evaluate(watched, legs, now_ns, Limits(10**12, 2_000.0)), now_ns

        taken: list[float] = []

        def ours() -> float:
            started_ns = time.perf_counter_ns()
            seen, now_ns = look()
            frame = book.observe(rows, seen, int(now_ns), 0)
            store.commit(_batch(book, [frame]))
            elapsed = (time.perf_counter_ns() - started_ns) / 1e6
            taken.append(elapsed)
            return elapsed

        objects = [PythonEpisode() for _ in range(OPEN_COUNT)]

        def as_rows() -> float:
            started_ns = time.perf_counter_ns()
            seen, now_ns = look()
            for episode, moment in zip(objects, moments(seen, now_ns), strict=True):
                episode.observe(moment)
            ids = np.arange(OPEN_COUNT)
            rows_store.add(ids, ids, seen.gross_bps, seen.net_bps, seen.executable_usd)
            return (time.perf_counter_ns() - started_ns) / 1e6

        fast, reference = in_turns(TICKS, ours, as_rows)
        assert book.tally.snapshots == OPEN_COUNT * (TICKS + 1)
        p50, p90, p99, _ = percentiles(taken)
    return [
        Result(name="tracker.tick_5000", value=fast, unit="ms",
               baseline="Python objects, a row a point", ratio=reference / fast,
               p50=p50, p90=p90, p99=p99)
    ]  # fmt: skip


def _batch(book: object, frames: list[object], *, is_synced: bool = False) -> Batch:
    return Batch(book.take_changes(), frames, 1, 1, book.ids.last, clocks(), is_synced=is_synced)


BENCHMARKS = (
    Benchmark(("tracker.drain",), measure_drain),
    Benchmark(("tracker.tick_5000",), measure_tick),
)
