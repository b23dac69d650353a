"""Reads everything that shared memory holds of one route; ``waterfall`` says what it means.

Attached read-only; blocks nobody. The engine's own configuration and universe are used while it
runs, those on disk otherwise.
"""

from typing import Any

import numpy as np

from spreadscan.config import Config
from spreadscan.errors import RouteUnknown
from spreadscan.model import Direction
from spreadscan.ops.explanation import Explanation, LegReading, Reading
from spreadscan.ops.processes_now import ProcessNow, Sight, process_now
from spreadscan.ops.universes import universe_of
from spreadscan.ops.waterfall import explained
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.in_force import config_in_force
from spreadscan.shm.control import ControlReader
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import RING_CAPACITY, RegionKind, Ring
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.record_table import route_index
from spreadscan.shm.regions import Regions, attach_regions
from spreadscan.shm.ring import DRAIN_BATCH, RingReader
from spreadscan.topology import ENGINE_SLOT, program_named
from spreadscan.universe import Universe, load_universe

__all__ = ["explain_route"]

ENGINE = "spread-engine"
READS = (
    RegionKind.PRICES, RegionKind.RING, RegionKind.HEALTH, RegionKind.CONTROL,
    RegionKind.FUNDING, RegionKind.BASELINE, RegionKind.ROUTES,
)  # fmt: skip
# Names in an error beyond which it helps nobody.
SHOWN_NAMES = 12


def explain_route(config: Config, clock: Clock, symbol: str, direction: str) -> Explanation:
    """Return the waterfall of one route now.

    Raises:
        RegionError: there is no shared memory, or it is of another build.
        UniverseError: there is no universe.
        RouteUnknown: the universe does not list the symbol, the direction, or both together.

    Concurrency: any number of readers; a reading is not from one instant.
    """
    regions = attach_regions(config.shm, reads=READS, writes=(), timeout_s=0.0)
    health = HealthReader(regions.health)
    sight = Sight(config=config, clock=clock, health=health, prices=None, funding=None)
    engine = process_now(sight, program_named(ENGINE))
    if engine.lives:
        run_dir = config.path(config.runtime.run_dir)
        config = config_in_force(run_dir, ENGINE) or config
    folder = config.path(config.runtime.generated_dir)
    generation = health.slot(ENGINE_SLOT).universe_generation if engine.lives else 0
    universe = universe_of(folder, generation) if generation else None
    chosen = universe or load_universe(folder)
    route = _direction(config, direction)
    symbol_id = _symbol_id(chosen, route, symbol)
    return explained(
        _reading(
            config,
            clock,
            regions,
            direction=route,
            symbol=symbol,
            symbol_id=symbol_id,
            engine=engine,
        )
    )


def _direction(config: Config, name: str) -> Direction:
    for row in config.directions:
        if row.name == name:
            return row
    raise RouteUnknown("direction", name, _some([row.name for row in config.directions]))


def _symbol_id(universe: Universe, direction: Direction, name: str) -> int:
    ids = {row.name: row.symbol_id for row in universe.symbols}
    listed = next(
        (
            record.symbols
            for record in universe.directions
            if record.direction_id == direction.direction_id
        ),
        (),
    )
    if name not in ids:
        near = [other for other in ids if other.startswith(name[:3].upper())] or list(ids)
        raise RouteUnknown("symbol", name, _some(near))
    if ids[name] not in listed:
        expected = _some([other for other, number in ids.items() if number in set(listed)])
        raise RouteUnknown(f"symbol of {direction.name}", name, expected)
    return ids[name]


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return "one of " + ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _reading(  # noqa: PLR0913 - what a reading is made of
    config: Config,
    clock: Clock,
    regions: Regions,
    *,
    direction: Direction,
    symbol: str,
    symbol_id: int,
    engine: ProcessNow,
) -> Reading:
    names = {source.source_id: source.name for source in config.active_sources()}
    epochs = regions.prices.source_epochs()

    def leg(source_id: int) -> LegReading:
        slot = slot_of(source_id, symbol_id)
        return LegReading(
            source=names[source_id],
            quote=_by_name(regions.prices.read(slot)),
            living_epoch=int(epochs[source_id]),
            is_suspect=regions.routes.is_suspect(slot),
            fees=config.fees[names[source_id]],
        )

    index = route_index(direction.direction_id, symbol_id)
    state = regions.routes.read(index)
    spot, futures = leg(direction.spot_source), leg(direction.futures_source)
    funding = regions.funding.read(slot_of(direction.futures_source, symbol_id))
    return Reading(
        # After the quotes, so that none of them can seem to come from the future.
        now_ns=clock.monotonic_ns(),
        now_ms=clock.wall_ns() / 1e6,
        symbol=symbol,
        symbol_id=symbol_id,
        direction=direction,
        engine_state=engine.state,
        engine_started_ns=_started_ns(regions, engine),
        is_ring_full=_is_full(regions),
        limits=config.engine,
        control=ControlReader(regions.control).state(),
        spot=spot,
        futures=futures,
        funding=_by_name(funding),
        baseline=_by_name(regions.baseline.read(index)),
        state=_by_name(state),
        signal=_last_signal(regions, state, direction.direction_id, symbol_id),
        suppressed=regions.routes.suppressed()[direction.direction_id].tolist(),
    )


def _started_ns(regions: Regions, engine: ProcessNow) -> int | None:
    return HealthReader(regions.health).slot(ENGINE_SLOT).started_ns if engine.lives else None


def _is_full(regions: Regions) -> bool:
    load = regions.ring.mapping.load_word
    # Head first, or a depth of too much would be the engine's push in between.
    head = load(Ring.CONSUMER_LINE + Ring.HEAD)
    return load(Ring.PRODUCER_LINE + Ring.TAIL) - head >= RING_CAPACITY


def _last_signal(
    regions: Regions, state: np.void | None, direction_id: int, symbol_id: int
) -> dict[str, Any] | None:
    """Return the route's last record that the ring still holds, looking from its end."""
    if state is not None and state["time_ns"] <= 0:
        return None
    ring = RingReader(regions.ring)
    end, first = ring.ring.tail, ring.first_held()
    while end > first:
        begin = max(first, end - DRAIN_BATCH)
        found = ring.peek_from(begin, end - begin)
        own = found[(found["direction"] == direction_id) & (found["symbol_id"] == symbol_id)]
        if len(own):
            return _by_name(own[-1])
        if state is not None and len(found) and found["time_ns"][0] < state["time_ns"]:
            # Its last signal was later than all that is left to search, and is written over.
            return None
        end = begin
    return None


def _by_name(record: np.void | None) -> dict[str, Any] | None:
    if record is None:
        return None
    return dict(zip(record.dtype.names or (), record.item(), strict=True))
