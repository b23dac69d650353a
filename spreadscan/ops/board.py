"""What the pipeline is doing now, read from shared memory and the ledger; prints nothing.

Everything is attached read-only. What a dead process left behind, or an earlier run, is not shown
as live: a slot counts only if its process began after this board did and still lives. When the
engine goes over to another universe, so does the board.
"""

import sqlite3
from collections import deque
from pathlib import Path

import msgspec
import numpy as np

from spreadscan.config import Config
from spreadscan.ops.holds_now import holds_now
from spreadscan.ops.ledger import EpisodeSummary, LedgerReader
from spreadscan.ops.processes_now import HANGS, NOT_RUNNING, state_of
from spreadscan.ops.routes_now import Order, RouteRow, RoutesNow
from spreadscan.ops.universes import universe_of
from spreadscan.runtime.clock import Clock
from spreadscan.shm.control import ControlReader
from spreadscan.shm.counters import EngineCounter, FeedCounter, Histogram, TrackerCounter
from spreadscan.shm.health import HealthReader, HealthSnapshot, quantile_ns
from spreadscan.shm.layout import NUM_COUNTERS, RegionKind
from spreadscan.shm.regions import attach_regions
from spreadscan.topology import ENGINE_SLOT, TRACKER_SLOT
from spreadscan.universe import Universe, load_universe

__all__ = ["Board", "BoardState", "Episodes", "Order", "RouteRow", "SourceRow", "closing_summary"]

READS = (
    RegionKind.PRICES,
    RegionKind.HEALTH,
    RegionKind.CONTROL,
    RegionKind.BASELINE,
    RegionKind.FUNDING,
)
RATE_WINDOW_NS = 2_000_000_000
LEDGER_INTERVAL_NS = 1_000_000_000
# Between two attempts to find the engine's universe on disk.
UNIVERSE_INTERVAL_NS = 1_000_000_000
RECENT_EPISODES = 8
# Of an episode's path, one a look at the ledger.
PATH_POINTS = 60


class SourceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One source now."""

    name: str
    state: str
    """State of its feed; ``"hangs"``: it does not beat; ``"not running"``: there is none."""
    status: str
    """The feed's own words."""
    live: int
    """Symbols with usable data."""
    expected: int
    messages: int
    """Frames received since this board began, over all lives of the feed."""
    messages_per_s: float
    newest_age_ms: float | None
    """Age of the newest quote; None when no quote is usable."""
    restarts: int


class Episodes(msgspec.Struct, frozen=True, kw_only=True):
    """Episodes since this board began; ``open`` is now, whenever they were opened."""

    opened: int = 0
    open: int = 0
    converged: int = 0
    expired: int = 0
    delisted: int = 0
    halted: int = 0
    lost: int = 0


class BoardState(msgspec.Struct, frozen=True, kw_only=True):
    """The whole board at one moment."""

    uptime_s: float
    sources: tuple[SourceRow, ...]
    routes: tuple[RouteRow, ...]
    """Widest net spread first."""
    usable_routes: int
    all_routes: int
    signals: int
    """Openings the engine signalled."""
    episodes: Episodes
    recent: tuple[EpisodeSummary, ...]
    """Latest opened first."""
    paths: dict[int, tuple[float, ...]] = {}
    """Net spreads of the open ones among them as this board saw them, the latest last."""
    held_back: str = ""
    """By operators, in a few words."""
    latency_p50_ns: int
    """Receive to scan; 0 while nothing was measured."""
    latency_p99_ns: int


class Board:
    """A reader of a running pipeline.

    Args:
        config: the configuration the pipeline runs on.
        clock: injected.
        began_ns: monotonic; what older processes counted is not counted.

    Raises:
        RegionMissing: shm-init has not run.
        UniverseError: pair-discovery has not run.

    Concurrency: one thread; never blocks a writer.
    """

    def __init__(self, config: Config, clock: Clock, began_ns: int) -> None:
        self._config = config
        self._clock = clock
        self._began_ns = began_ns
        self._regions = attach_regions(config.shm, reads=READS, writes=(), timeout_s=0.0)
        self._health = HealthReader(self._regions.health)
        self._control = ControlReader(self._regions.control)
        self._universe_dir = config.path(config.runtime.generated_dir)
        self._universe_due_ns = 0
        self._take(load_universe(self._universe_dir))
        self._totals = _Totals()
        self._rates: dict[str, list[tuple[int, int]]] = {}
        self._ledger_dir = config.path(config.tracker.data_dir)
        self._recent: tuple[EpisodeSummary, ...] = ()
        self._paths: dict[int, deque[float]] = {}
        self._ledger_due_ns = 0

    def read(self, max_routes: int, order: Order = Order.NET, only: str = "") -> BoardState:
        """Return the state now, with at most ``max_routes`` routes; see `RoutesNow.widest`."""
        now_ns = self._clock.monotonic_ns()
        engine, tracker = self._slot(ENGINE_SLOT), self._slot(TRACKER_SLOT)
        self._follow(engine, now_ns)
        self._routes.refresh(now_ns)
        signalled = self._totals.of(ENGINE_SLOT, engine)
        tracked = self._totals.of(TRACKER_SLOT, tracker)
        scans = self._health.histogram(ENGINE_SLOT, Histogram.ENGINE_RECEIVE_TO_SCAN)
        if engine is None:
            scans = np.zeros_like(scans)
        return BoardState(
            uptime_s=(now_ns - self._began_ns) / 1e9,
            sources=tuple(
                self._source(source.source_id, source.name, now_ns)
                for source in self._config.active_sources()
            ),
            routes=tuple(
                self._routes.widest(max_routes, order, only, self._clock.wall_ns() // 1_000_000)
            ),
            usable_routes=self._routes.usable_count,
            all_routes=self._routes.count,
            signals=signalled[EngineCounter.SIGNALS_OPEN],
            episodes=Episodes(
                opened=tracked[TrackerCounter.EPISODES_OPENED],
                open=0 if tracker is None else tracker.counters[TrackerCounter.EPISODES_OPEN],
                converged=tracked[TrackerCounter.EPISODES_CONVERGED],
                expired=tracked[TrackerCounter.EPISODES_EXPIRED],
                delisted=tracked[TrackerCounter.EPISODES_DELISTED],
                halted=tracked[TrackerCounter.EPISODES_HALTED],
                lost=tracked[TrackerCounter.EPISODES_LOST],
            ),
            recent=self._recent_episodes(now_ns),
            paths={number: tuple(path) for number, path in self._paths.items()},
            held_back=holds_now(self._config, self._control.state()),
            latency_p50_ns=quantile_ns(scans, 0.5),
            latency_p99_ns=quantile_ns(scans, 0.99),
        )

    def _take(self, universe: Universe) -> None:
        self._generation = universe.generation
        self._routes = RoutesNow(self._config, universe, self._regions)

    def _follow(self, engine: HealthSnapshot | None, now_ns: int) -> None:
        """Go over to the universe that the engine works with, once it is found."""
        # 0: it has not come to its loop yet.
        if engine is None or engine.universe_generation in {0, self._generation}:
            return
        if now_ns >= self._universe_due_ns:
            universe = universe_of(self._universe_dir, engine.universe_generation)
            if universe is None:
                self._universe_due_ns = now_ns + UNIVERSE_INTERVAL_NS
            else:
                self._take(universe)

    def _slot(self, index: int) -> HealthSnapshot | None:
        slot = self._health.slot(index)
        return slot if slot.started_ns >= self._began_ns else None

    def _source(self, source_id: int, name: str, now_ns: int) -> SourceRow:
        slot = self._slot(source_id)
        messages = self._totals.of(source_id, slot)[FeedCounter.FRAMES]
        living = slot if slot is not None and slot.is_alive else None
        state = NOT_RUNNING if living is None else state_of(living, now_ns)
        # What one that hangs said last is of then, and the engine uses no price of it.
        believed = None if state == HANGS else living
        return SourceRow(
            name=name,
            state=state,
            status="" if living is None else living.status,
            live=0 if believed is None else believed.counters[FeedCounter.SYMBOLS_LIVE],
            expected=0 if slot is None else slot.counters[FeedCounter.SYMBOLS_EXPECTED],
            messages=messages,
            messages_per_s=self._rate(name, messages, now_ns),
            newest_age_ms=self._routes.newest_age_ms(source_id),
            restarts=self._totals.restarts(source_id),
        )

    def _rate(self, name: str, messages: int, now_ns: int) -> float:
        seen = self._rates.setdefault(name, [])
        seen.append((now_ns, messages))
        while len(seen) > 2 and now_ns - seen[1][0] >= RATE_WINDOW_NS:
            del seen[0]
        (from_ns, before), elapsed_ns = seen[0], now_ns - seen[0][0]
        return 0.0 if from_ns == now_ns else (messages - before) / (elapsed_ns / 1e9)

    def _recent_episodes(self, now_ns: int) -> tuple[EpisodeSummary, ...]:
        if now_ns >= self._ledger_due_ns:
            self._ledger_due_ns = now_ns + LEDGER_INTERVAL_NS
            self._recent = _read_ledger(self._ledger_dir)
            open_now = {row.episode_id: row for row in self._recent if row.ending is None}
            self._paths = {
                number: self._paths.get(number, deque(maxlen=PATH_POINTS)) for number in open_now
            }
            for number, row in open_now.items():
                self._paths[number].append(row.last_net_bps)
        return self._recent


class _Totals:
    """Counters of a slot summed over the lives of its process; a new life begins at zero."""

    def __init__(self) -> None:
        self._last: dict[int, HealthSnapshot] = {}
        self._carried: dict[int, list[int]] = {}
        self._restarts: dict[int, int] = {}

    def of(self, index: int, slot: HealthSnapshot | None) -> list[int]:
        carried = self._carried.setdefault(index, [0] * NUM_COUNTERS)
        last = self._last.get(index)
        if slot is None:
            return carried
        if last is not None and last.started_ns != slot.started_ns:
            self._restarts[index] = self._restarts.get(index, 0) + 1
            carried = self._carried[index] = _sum(carried, last.counters)
        self._last[index] = slot
        return _sum(carried, slot.counters)

    def restarts(self, index: int) -> int:
        return self._restarts.get(index, 0)


def _sum(first: list[int], second: list[int]) -> list[int]:
    return [one + other for one, other in zip(first, second, strict=True)]


def _read_ledger(directory: Path) -> tuple[EpisodeSummary, ...]:
    # Opened for each look: the tracker may set a damaged file aside and begin another.
    try:
        with LedgerReader(directory) as ledger:
            return tuple(ledger.recent_episodes(RECENT_EPISODES))
    except (FileNotFoundError, sqlite3.Error):
        # Not there yet, or busy with its recovery: the board shows the rest and looks again.
        return ()


def closing_summary(state: BoardState) -> dict[str, object]:
    """Return what ``spreadscan up --json`` prints when it ends."""
    return {
        "sources": {
            row.name: {"live": row.live, "expected": row.expected, "messages": row.messages}
            for row in state.sources
        },
        "signals": state.signals,
        "episodes": {
            "opened": state.episodes.opened,
            "open": state.episodes.open,
            "converged": state.episodes.converged,
            "expired": state.episodes.expired,
            "delisted": state.episodes.delisted,
            "halted": state.episodes.halted,
            "lost": state.episodes.lost,
        },
        "latency_ns": {"p50": state.latency_p50_ns, "p99": state.latency_p99_ns},
        "uptime_s": round(state.uptime_s, 3),
    }
