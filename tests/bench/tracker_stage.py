"""A book with thousands of open episodes, signals for it, and the same in plain Python."""

import math
import sqlite3
import time
from collections.abc import Iterator

import numpy as np

from spreadscan.config import RoundTripFees
from spreadscan.model import Direction, SignalType
from spreadscan.shm.layout import MAX_SYMBOLS, PRICE_DTYPE, SIGNAL_DTYPE
from spreadscan.shm.price_store import slot_of
from spreadscan.tracker.book import EpisodeBook
from spreadscan.tracker.episode import Clocks, EpisodeIds
from spreadscan.tracker.names import RouteNames
from spreadscan.tracker.sight import Rules
from spreadscan.tracker.snapshot import Snapshot

BOOT = "bench"
FEE_BPS = 20.0
DIRECTIONS = [
    (spot, futures) for spot in range(0, 8, 2) for futures in range(1, 8, 2) if futures != spot + 1
]
FOREVER_NS = 10**18


def names() -> RouteNames:
    """Twelve directions over every symbol."""
    rows = [
        Direction(direction_id=n, name=f"d{n}", spot_source=spot, futures_source=futures)
        for n, (spot, futures) in enumerate(DIRECTIONS)
    ]
    symbols = {number: f"COIN{number}-USDT" for number in range(MAX_SYMBOLS)}
    return RouteNames(
        directions={row.direction_id: row.name for row in rows},
        symbols=symbols,
        symbol_ids={name: number for number, name in symbols.items()},
        listed=frozenset((n, number) for n in range(12) for number in range(MAX_SYMBOLS)),
    )


def new_book() -> EpisodeBook:
    rules = Rules(converge_net_bps=-1e9, max_life_ns=FOREVER_NS, max_suspended_ns=FOREVER_NS)
    return EpisodeBook(rules, names(), EpisodeIds(0), BOOT)


def fees() -> dict[str, RoundTripFees]:
    return {f"d{n}": RoundTripFees(usual_bps=FEE_BPS) for n in range(12)}


def clocks() -> Clocks:
    return Clocks(BOOT, time.monotonic_ns(), time.time_ns())


def signals(kinds: np.ndarray, routes: np.ndarray, seed: int = 3) -> np.ndarray:
    """Plausible records of these kinds for routes numbered direction * MAX_SYMBOLS + symbol."""
    chance = np.random.default_rng(seed)
    found = np.zeros(len(kinds), SIGNAL_DTYPE)
    directions = routes // MAX_SYMBOLS
    found["type"], found["version"] = kinds, 1
    found["time_ns"] = time.monotonic_ns() + np.arange(len(kinds))
    found["direction"], found["symbol_id"] = directions, routes % MAX_SYMBOLS
    found["spot_source"] = np.array([spot for spot, _ in DIRECTIONS])[directions]
    found["futures_source"] = np.array([futures for _, futures in DIRECTIONS])[directions]
    for name in ("spot_bid", "spot_ask", "futures_bid", "futures_ask"):
        found[name] = 100.0
    for name in ("spot_bid_qty", "spot_ask_qty", "futures_bid_qty", "futures_ask_qty"):
        found[name] = 5.0
    found["net_bps"] = chance.uniform(5.0, 80.0, len(kinds))
    found["gross_bps"] = found["net_bps"] + FEE_BPS
    found["executable_usd"] = 500.0
    return found


def openings(count: int) -> np.ndarray:
    return signals(np.full(count, SignalType.OPEN), np.arange(count))


def put_prices(prices: object, count: int) -> None:
    """Give both legs of the first *count* routes fresh quotes."""
    record = np.zeros(1, PRICE_DTYPE)
    record["bid"], record["ask"] = 100.4, 100.5
    record["bid_qty"] = record["ask_qty"] = 5.0
    record["epoch"], record["received_ns"] = 1, time.monotonic_ns()
    for route in range(count):
        spot, futures = DIRECTIONS[route // MAX_SYMBOLS]
        for source in (spot, futures):
            prices.write(slot_of(source, route % MAX_SYMBOLS), record.view(np.uint8))


class PythonBook:
    """Episodes as Python objects, a signal at a time: what the table and the kernel are for."""

    def __init__(self) -> None:
        self.open: dict[tuple[int, int], dict[str, object]] = {}
        self.ended: list[dict[str, object]] = []

    def apply(self, records: np.ndarray) -> None:
        names = records.dtype.names
        for values in records.tolist():
            event = dict(zip(names, values, strict=True))
            prices = (event["spot_bid"], event["spot_ask"], event["futures_bid"])
            if not all(math.isfinite(price) and price > 0 for price in prices):
                continue
            key = (event["direction"], event["symbol_id"])
            episode = self.open.get(key)
            if episode is None:
                if event["type"] == SignalType.OPEN:
                    self.open[key] = {"first": event, "peak": event, "last": event, "again": 0}
                continue
            episode["last"] = event
            if event["net_bps"] > episode["peak"]["net_bps"]:
                episode["peak"] = event
            if event["type"] == SignalType.OPEN:
                episode["again"] += 1
            elif event["type"] == SignalType.CLOSE:
                self.ended.append(self.open.pop(key))


class PythonEpisode:
    """What an open episode costs as an object of its own."""

    def __init__(self) -> None:
        self.peak = self.last = (0, -math.inf, -math.inf)
        self.snapshots = 0

    def observe(self, moment: tuple[float, ...]) -> None:
        self.snapshots += 1
        if moment[0] >= self.last[0]:
            self.last = moment
        if moment[2] > self.peak[2]:
            self.peak = moment


def moments(seen: Snapshot, now_ns: int) -> Iterator[tuple[float, ...]]:
    """Every route's moment as a tuple."""
    columns = [seen.gross_bps, seen.net_bps, seen.executable_usd]
    for leg in (seen.spot, seen.futures):
        columns += [leg["bid"], leg["ask"], leg["bid_qty"], leg["ask_qty"]]
    for row in zip(*(column.tolist() for column in columns), strict=True):
        yield (now_ns, *row)


class RowStore:
    """A row for each point, as the first ledger had it."""

    def __init__(self, file: object) -> None:
        self.connection = sqlite3.connect(file, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.execute(
            "CREATE TABLE snapshots (snapshot_id INTEGER PRIMARY KEY, episode_id INTEGER NOT NULL,"
            " t_ms INTEGER NOT NULL, gross_bps REAL NOT NULL, net_bps REAL NOT NULL,"
            " usd REAL NOT NULL) STRICT"
        )

    def add(self, *columns: np.ndarray) -> None:
        rows = zip(*(column.tolist() for column in columns), strict=True)
        self.connection.execute("BEGIN")
        self.connection.executemany(
            "INSERT INTO snapshots (episode_id, t_ms, gross_bps, net_bps, usd)"
            " VALUES (?, ?, ?, ?, ?)",
            rows,
        )
        self.connection.execute("COMMIT")

    def close(self) -> None:
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()
