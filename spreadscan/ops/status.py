"""The whole pipeline at one moment, and the verdict on it. Reads only; prints nothing.

Everything that is missing or foreign is part of the answer, not an end of it: a status must be told
most of all when things are not as they should be.
"""

import shutil
from datetime import UTC, datetime

import msgspec

from spreadscan.config import Config
from spreadscan.errors import (
    EXIT_DEGRADED,
    EXIT_DOWN,
    EXIT_NOT_RUNNING,
    RegionError,
    RegionMissing,
    UniverseError,
)
from spreadscan.ops.command import watched_programs
from spreadscan.ops.feeds_now import FeedNow, feed_now
from spreadscan.ops.holds_now import holds_now, holds_of_the_absent
from spreadscan.ops.processes_now import HANGS, RUNNING, ProcessNow, Sight, process_now
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.in_force import config_in_force
from spreadscan.shm.control import ControlReader
from spreadscan.shm.counters import EngineCounter, Gate, Histogram, TrackerCounter
from spreadscan.shm.health import HealthReader, HealthSnapshot, quantile_ns
from spreadscan.shm.layout import RING_CAPACITY, RegionKind, Ring
from spreadscan.shm.region import Region, attach_region
from spreadscan.topology import ENGINE_SLOT, TRACKER_SLOT, feed_name
from spreadscan.tracker.parts import ledger_parts
from spreadscan.universe import read_metadata

__all__ = [
    "VERDICT_STATUS",
    "ControlNow",
    "EngineNow",
    "RingNow",
    "StatusNow",
    "TrackerNow",
    "UniverseNow",
    "status_now",
]

HEALTHY, DEGRADED, DOWN, NOTHING = "healthy", "degraded", "down", "not running"
VERDICT_STATUS = {
    HEALTHY: 0,
    DEGRADED: EXIT_DEGRADED,
    DOWN: EXIT_DOWN,
    NOTHING: EXIT_NOT_RUNNING,
}
"""Exit status by verdict."""
READS = (
    RegionKind.PRICES,
    RegionKind.RING,
    RegionKind.HEALTH,
    RegionKind.CONTROL,
    RegionKind.FUNDING,
)
# Quiet books are quiet; beyond this share something is missing.
LIVE_SHARE = 0.9
RING_SHARE = 0.5
DISK_FREE_MIB = 512
# The timer runs every six hours.
UNIVERSE_AGE_S = 24 * 3600.0
MIB = 1024 * 1024


class EngineNow(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine does; counters are since its start."""

    wait: str
    """Its wake mode, "" while it does not say."""
    passes_per_s: int
    opened: int
    updated: int
    closed: int
    held_back: dict[str, int]
    """Signals that were not sent, by Gate in lower case."""
    latency_p50_ns: int
    """From receiving a quote to its scan."""
    latency_p99_ns: int


class RingNow(msgspec.Struct, frozen=True, kw_only=True):
    """The way from engine to tracker."""

    depth: int
    capacity: int
    full: int
    """Pushes that found no room."""


class TrackerNow(msgspec.Struct, frozen=True, kw_only=True):
    """What the tracker does; counters are since its start, ``open`` is now."""

    open: int
    suspended: int
    """Of the open ones: without two fresh legs now."""
    opened: int
    converged: int
    expired: int
    commits_failed: int
    ledger_mib: float
    disk_free_mib: int


class UniverseNow(msgspec.Struct, frozen=True, kw_only=True):
    """The universe on disk."""

    generation: int
    age_s: float
    symbols: int
    pairs: int


class ControlNow(msgspec.Struct, frozen=True, kw_only=True):
    """What operators ask for."""

    generation: int
    held_back: str
    """In a few words; "" when nothing is."""
    is_killed: bool
    absent: tuple[str, ...]
    """Held by name, and neither configured nor listed now: held again when it comes back."""
    behind: tuple[str, ...]
    """Who has not obeyed the last command yet."""


class StatusNow(msgspec.Struct, frozen=True, kw_only=True):
    """Everything."""

    verdict: str
    """``healthy``, ``degraded``, ``down`` or ``not running``."""
    reasons: tuple[str, ...]
    """Why it is not healthy, the worst first."""
    processes: tuple[ProcessNow, ...]
    feeds: tuple[FeedNow, ...]
    engine: EngineNow | None
    """None while there is no living one."""
    ring: RingNow | None
    """None without regions."""
    tracker: TrackerNow | None
    universe: UniverseNow | None
    control: ControlNow | None


def status_now(config: Config, clock: Clock, *, with_details: bool = False) -> StatusNow:
    """Look once at everything.

    Raises:
        RunFolderRefused: the locks cannot be looked at.

    Concurrency: any number of readers; blocks nobody.
    """
    regions, troubles = _regions(config)
    health = HealthReader(regions[RegionKind.HEALTH]) if RegionKind.HEALTH in regions else None
    sight = Sight(
        config=config,
        clock=clock,
        health=health,
        prices=regions.get(RegionKind.PRICES),
        funding=regions.get(RegionKind.FUNDING),
    )
    processes = {row.name: process_now(sight, row) for row in watched_programs(config)}
    feeds = tuple(
        feed_now(sight, source, processes[feed_name(source.name)], with_details=with_details)
        for source in config.active_sources()
    )
    found = StatusNow(
        verdict=HEALTHY,
        reasons=(),
        processes=tuple(processes.values()),
        feeds=feeds,
        engine=_engine(config, health, processes["spread-engine"]),
        ring=_ring(regions.get(RegionKind.RING)),
        tracker=_tracker(config, health, processes["spread-tracker"]),
        universe=_universe(config, clock),
        control=_control(config, regions.get(RegionKind.CONTROL), processes),
    )
    verdict, reasons = _judged(found, troubles)
    return msgspec.structs.replace(found, verdict=verdict, reasons=reasons)


def _regions(config: Config) -> tuple[dict[RegionKind, Region], list[str]]:
    """Attach what is there; say of the rest what is wrong with it."""
    found, troubles = {}, []
    for kind in READS:
        try:
            found[kind] = attach_region(config.shm, kind, writable=False)
        except RegionMissing:
            troubles.append(f"no {kind.name.lower()} region: shm-init has not run")
        except RegionError as error:
            troubles.append(str(error))
    return found, troubles


def _slot(health: HealthReader | None, index: int, process: ProcessNow) -> HealthSnapshot | None:
    return health.slot(index) if health and process.pid is not None else None


def _engine(config: Config, health: HealthReader | None, process: ProcessNow) -> EngineNow | None:
    slot = _slot(health, ENGINE_SLOT, process)
    if slot is None or health is None:
        return None
    scans = health.buckets(ENGINE_SLOT, Histogram.ENGINE_RECEIVE_TO_SCAN)
    in_force = config_in_force(config.path(config.runtime.run_dir), process.name)
    gates = {gate.name.lower(): slot.counters[EngineCounter.SUPPRESSED + gate] for gate in Gate}
    return EngineNow(
        wait="" if in_force is None else in_force.engine.wait,
        passes_per_s=slot.counters[EngineCounter.PASSES_PER_S],
        opened=slot.counters[EngineCounter.SIGNALS_OPEN],
        updated=slot.counters[EngineCounter.SIGNALS_UPDATE],
        closed=slot.counters[EngineCounter.SIGNALS_CLOSE],
        held_back={name: count for name, count in gates.items() if count},
        latency_p50_ns=quantile_ns(scans, 0.5),
        latency_p99_ns=quantile_ns(scans, 0.99),
    )


def _ring(region: Region | None) -> RingNow | None:
    if region is None:
        return None
    load = region.mapping.load_word
    # Head first: a depth below zero would be the engine's push in between.
    head = load(Ring.CONSUMER_LINE + Ring.HEAD)
    return RingNow(
        depth=max(0, load(Ring.PRODUCER_LINE + Ring.TAIL) - head),
        capacity=RING_CAPACITY,
        full=load(Ring.PRODUCER_LINE + Ring.FULL_COUNT),
    )


def _tracker(config: Config, health: HealthReader | None, process: ProcessNow) -> TrackerNow | None:
    slot = _slot(health, TRACKER_SLOT, process)
    if slot is None:
        return None
    folder = config.path(config.tracker.data_dir)
    try:
        size = sum(part.ledger(folder).stat().st_size for part in ledger_parts(folder))
        free = shutil.disk_usage(folder).free
    except OSError:
        size, free = 0, 0
    return TrackerNow(
        open=slot.counters[TrackerCounter.EPISODES_OPEN],
        suspended=slot.counters[TrackerCounter.EPISODES_SUSPENDED],
        opened=slot.counters[TrackerCounter.EPISODES_OPENED],
        converged=slot.counters[TrackerCounter.EPISODES_CONVERGED],
        expired=slot.counters[TrackerCounter.EPISODES_EXPIRED],
        commits_failed=slot.counters[TrackerCounter.COMMITS_FAILED],
        ledger_mib=round(size / MIB, 1),
        disk_free_mib=free // MIB,
    )


def _universe(config: Config, clock: Clock) -> UniverseNow | None:
    try:
        found = read_metadata(config.path(config.runtime.generated_dir))
        written = datetime.fromisoformat(found.timestamp)
    except (UniverseError, ValueError):
        return None
    if written.tzinfo is None:
        written = written.replace(tzinfo=UTC)
    return UniverseNow(
        generation=found.generation,
        age_s=max(0.0, clock.wall_ns() / 1e9 - written.timestamp()),
        symbols=found.num_symbols,
        pairs=sum(found.per_direction_counts.values()),
    )


def _control(
    config: Config, region: Region | None, processes: dict[str, ProcessNow]
) -> ControlNow | None:
    if region is None:
        return None
    state = ControlReader(region).state()
    return ControlNow(
        generation=state.generation,
        held_back=holds_now(config, state),
        is_killed=state.is_killed,
        absent=holds_of_the_absent(config),
        behind=tuple(
            row.name
            for row in processes.values()
            if row.obeyed_generation is not None and row.obeyed_generation < state.generation
        ),
    )


def _judged(found: StatusNow, troubles: list[str]) -> tuple[str, tuple[str, ...]]:
    """Return the verdict and everything that speaks against health, the worst first."""
    if not any(row.lives for row in found.processes):
        return NOTHING, tuple(troubles)
    down = list(troubles)
    states = {row.name: row.state for row in found.processes}
    down += [
        f"{name} {_is(states[name])}: no signal comes without it"
        for name in ("spread-engine", "spread-tracker")
        if states[name] != RUNNING
    ]
    if not any(feed.live for feed in found.feeds):
        down.append("no source has a usable price")
    degraded = [
        f"{row.name} {_is(row.state)}"
        for row in found.processes
        if row.state != RUNNING and row.name not in {"spread-engine", "spread-tracker"}
    ]
    degraded += [line for feed in found.feeds for line in _of_feed(feed)]
    degraded += _of_pipeline(found)
    if down:
        return DOWN, (*down, *degraded)
    return (DEGRADED if degraded else HEALTHY), tuple(degraded)


def _of_feed(feed: FeedNow) -> list[str]:
    if feed.state != RUNNING:
        return []
    found = []
    if feed.live < LIVE_SHARE * feed.expected:
        found.append(f"{feed.source}: {feed.live} of {feed.expected} symbols have a usable price")
    if feed.missing:
        found.append(f"{feed.source}: {feed.missing} symbols trade and send nothing")
    return found


def _of_pipeline(found: StatusNow) -> list[str]:
    lines = []
    if found.control is not None and found.control.held_back:
        lines.append(f"held back: {found.control.held_back}")
    if found.control is not None and found.control.behind:
        lines.append(f"not obeyed yet by {', '.join(found.control.behind)}")
    generations = {row.universe_generation for row in found.processes} - {None, 0}
    if found.universe is None:
        lines.append("the universe on disk cannot be read")
    elif generations - {found.universe.generation}:
        shown = ", ".join(map(str, sorted(filter(None, generations))))
        lines.append(f"universe {found.universe.generation} is on disk, {shown} in use: reload")
    if found.universe is not None and found.universe.age_s > UNIVERSE_AGE_S:
        lines.append(f"the universe is {found.universe.age_s / 3600:.0f} h old")
    if found.ring is not None and found.ring.depth > RING_SHARE * found.ring.capacity:
        lines.append(f"the ring holds {found.ring.depth} of {found.ring.capacity} signals")
    if found.tracker is not None and found.tracker.disk_free_mib < DISK_FREE_MIB:
        lines.append(f"{found.tracker.disk_free_mib} MiB free for the ledger")
    return lines + [
        f"{row.name}: {row.status}"
        for row in found.processes
        if row.status.startswith(("degraded", "universe", "configuration"))
    ]


def _is(state: str) -> str:
    return state if state == HANGS else f"is {state}"
