"""All regions as plain files in a folder of /dev/shm, so that a second process can map them too.

A benchmark measures the structures; creating and checking regions is tested elsewhere.
"""

import contextlib
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spreadscan.engine.channels import Channels
from spreadscan.kernel.health import HealthSlot
from spreadscan.kernel.memory import DirtyBits, Mapping, PriceSlots, SignalRing
from spreadscan.shm.layout import PRICE_DTYPE, REGION_SHAPES, Prices, RegionKind


class MappedRegions:
    """The regions of one folder; made when they are not there yet."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._buffers = {kind: _map(Path(folder) / kind.name, kind) for kind in RegionKind}
        self.prices = PriceSlots(self._mapping(RegionKind.PRICES))
        self.dirty = DirtyBits(self._mapping(RegionKind.DIRTY))
        self.ring = SignalRing(self._mapping(RegionKind.RING))

    def health(self, index: int) -> HealthSlot:
        return HealthSlot(self._mapping(RegionKind.HEALTH), index)

    def engine_channels(self, index: int) -> Channels:
        """What an engine with this health slot reads and writes."""
        return Channels(
            prices=self.prices,
            dirty=self.dirty,
            ring=self.ring,
            health=self.health(index),
            control=self._mapping(RegionKind.CONTROL),
            funding=self._mapping(RegionKind.FUNDING),
            baseline=self._mapping(RegionKind.BASELINE),
            routes=self._mapping(RegionKind.ROUTES),
        )

    def price_words(self) -> mmap.mmap:
        """The price store's raw bytes, for baselines that go without the kernel."""
        return self._buffers[RegionKind.PRICES]

    def dirty_words(self) -> mmap.mmap:
        """The bitmap's raw bytes."""
        return self._buffers[RegionKind.DIRTY]

    def price_table(self) -> np.ndarray:
        """All price records as one table, in order of slot."""
        bytes_, _, count = REGION_SHAPES[RegionKind.PRICES]
        assert Prices.DATA + count * PRICE_DTYPE.itemsize <= bytes_
        return np.frombuffer(self.price_words(), PRICE_DTYPE, count, Prices.DATA)

    def _mapping(self, kind: RegionKind) -> Mapping:
        return Mapping(self._buffers[kind], REGION_SHAPES[kind][0])


def _map(path: Path, kind: RegionKind) -> mmap.mmap:
    size = REGION_SHAPES[kind][0]
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary_regions() -> Iterator[MappedRegions]:
    """Regions that are gone afterwards."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="spreadscan-bench-") as folder:
        yield MappedRegions(folder)
