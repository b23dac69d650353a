"""What the engine's kernel reads and writes, in one bundle."""

from typing import NamedTuple

from spreadscan.kernel.health import HealthSlot
from spreadscan.kernel.memory import DirtyBits, Mapping, PriceSlots, SignalRing
from spreadscan.shm.regions import Regions

__all__ = ["Channels", "channels_of"]


class Channels(NamedTuple):
    """Words of shared memory; dirty, ring, health and routes must be writable."""

    prices: PriceSlots
    dirty: DirtyBits
    ring: SignalRing
    health: HealthSlot
    control: Mapping
    funding: Mapping
    baseline: Mapping
    routes: Mapping


def channels_of(regions: Regions, ring: SignalRing, health: HealthSlot) -> Channels:
    """Return the engine's channels in a set of regions, with its own ends of ring and health."""
    return Channels(
        prices=regions.prices.slots,
        dirty=regions.dirty.bits,
        ring=ring,
        health=health,
        control=regions.control.mapping,
        funding=regions.funding.table.mapping,
        baseline=regions.baseline.table.mapping,
        routes=regions.routes.table.mapping,
    )
