"""The set of regions: shm-init makes it, every process attaches its part of it."""

import time
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from spreadscan.config import ShmConfig
from spreadscan.errors import RegionMissing, RegionRefused
from spreadscan.shm.bitmap import DirtyBitmap
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.region import (
    UNFINISHED,
    Region,
    attach_region,
    create_region,
    region_name,
    remove_region,
)

if TYPE_CHECKING:
    from spreadscan.shm.price_store import PriceStore
    from spreadscan.shm.record_table import BaselineTable, FundingTable, RouteTable

__all__ = ["Regions", "attach_regions", "create_regions", "lock_regions", "remove_regions"]

POLL_S = 0.02


class Regions:
    """The regions one process attached.

    Concurrency: attach once, at start; see ``shm/layout.py`` for who may write which word.
    """

    def __init__(self, attached: dict[RegionKind, Region]) -> None:
        self._attached = attached

    # Imported when they are used: numpy comes with them, and a quick command has no need of it.

    @cached_property
    def prices(self) -> "PriceStore":
        """The price store."""
        from spreadscan.shm.price_store import PriceStore

        return PriceStore(self._attached[RegionKind.PRICES])

    @cached_property
    def dirty(self) -> DirtyBitmap:
        """The dirty bitmap."""
        return DirtyBitmap(self._attached[RegionKind.DIRTY])

    @cached_property
    def funding(self) -> "FundingTable":
        """Funding of every slot."""
        from spreadscan.shm.record_table import FundingTable

        return FundingTable(self._attached[RegionKind.FUNDING])

    @cached_property
    def baseline(self) -> "BaselineTable":
        """Baselines of every route."""
        from spreadscan.shm.record_table import BaselineTable

        return BaselineTable(self._attached[RegionKind.BASELINE])

    @cached_property
    def routes(self) -> "RouteTable":
        """What became of every route."""
        from spreadscan.shm.record_table import RouteTable

        return RouteTable(self._attached[RegionKind.ROUTES])

    @property
    def ring(self) -> Region:
        """The signal ring."""
        return self._attached[RegionKind.RING]

    @property
    def health(self) -> Region:
        """The health slots."""
        return self._attached[RegionKind.HEALTH]

    @property
    def control(self) -> Region:
        """The control block."""
        return self._attached[RegionKind.CONTROL]

    @property
    def governor(self) -> Region:
        """The allowances that processes share."""
        return self._attached[RegionKind.GOVERNOR]

    def all(self) -> list[Region]:
        """Return every attached region."""
        return list(self._attached.values())


def create_regions(shm: ShmConfig) -> list[str]:
    """Make sure that all regions are there and usable; return the names of those made anew.

    Raises:
        RegionRefused: one belongs to another user, or there is no room.

    Concurrency: shm-init only, under its lock.
    """
    return [region_name(shm, kind) for kind in RegionKind if create_region(shm, kind)]


def remove_regions(shm: ShmConfig) -> None:
    """Unlink all regions; processes that map them keep them until they end."""
    for kind in RegionKind:
        remove_region(shm, kind)


def attach_regions(
    shm: ShmConfig,
    *,
    reads: Iterable[RegionKind],
    writes: Iterable[RegionKind],
    timeout_s: float,
) -> Regions:
    """Attach regions, read-only those in *reads*; wait up to *timeout_s* for shm-init.

    Raises:
        RegionMissing: one is still not there.
        RegionRefused, LayoutMismatch: one is not what this build expects.
    """
    writable = set(writes)
    deadline_s = time.monotonic() + timeout_s
    attached: dict[RegionKind, Region] = {}
    for kind in sorted(writable | set(reads)):
        while kind not in attached:
            try:
                attached[kind] = attach_region(shm, kind, writable=kind in writable)
            except (RegionMissing, RegionRefused) as error:
                is_coming = isinstance(error, RegionMissing) or error.reason == UNFINISHED
                if not is_coming or time.monotonic() >= deadline_s:
                    raise
                time.sleep(POLL_S)
    return Regions(attached)


def lock_regions(regions: Regions) -> dict[str, int]:
    """Lock the regions' pages into memory; return the errno of each refusal by region name."""
    outcomes = {region.name: region.mapping.lock() for region in regions.all()}
    return {name: errno for name, errno in outcomes.items() if errno}
