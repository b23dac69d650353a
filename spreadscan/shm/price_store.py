"""The price store as Python sees it: the tracker's and the operator's view, and tests' writer.

Feeds write through ``kernel.listener`` and the engine reads through ``kernel.scan``; both use the
same seqlock (``kernel/memory.pxd``).
"""

import numpy as np
import numpy.typing as npt

from spreadscan.kernel.memory import PriceSlots
from spreadscan.shm.layout import MAX_SYMBOLS, NUM_SOURCES, PRICE_DTYPE, SLOT_COUNT
from spreadscan.shm.region import Region

__all__ = ["PriceStore", "is_usable", "slot_of"]


def slot_of(source_id: int, symbol_id: int) -> int:
    """Return the index of a symbol at a source."""
    return source_id * MAX_SYMBOLS + symbol_id


def is_usable(
    records: npt.NDArray[np.void],
    stable: npt.NDArray[np.bool_],
    epochs: npt.NDArray[np.uint64],
    now_ns: int,
    max_age_ns: int,
) -> npt.NDArray[np.bool_]:
    """Say which price records may be believed.

    Args:
        records: PRICE_DTYPE, shape (n,).
        stable: shape (n,), from read_many.
        epochs: each record's source epoch now, shape (n,).
        now_ns: CLOCK_MONOTONIC.
        max_age_ns: a quote older than this is stale.
    """
    is_owned = (epochs & np.uint64(1) == 1) & (records["epoch"] == epochs & np.uint64(0xFFFF))
    is_fresh = now_ns - records["received_ns"] <= max_age_ns
    usable: npt.NDArray[np.bool_] = stable & (records["flags"] == 0) & is_owned & is_fresh
    return usable


class PriceStore:
    """The latest quote of every symbol at every source.

    Concurrency: one writer a source (its feed), any number of readers, nobody blocks.
    """

    def __init__(self, region: Region) -> None:
        self.slots = PriceSlots(region.mapping)

    def write(self, slot: int, record: npt.NDArray[np.void]) -> None:
        """Publish one PRICE_DTYPE record.

        Concurrency: holder of the source's lock only.
        """
        self.slots.write(slot, np.frombuffer(record.tobytes(), np.uint8))

    def read(self, slot: int) -> np.void | None:
        """Copy one record out; None when it has no stable value.

        Concurrency: any reader; at most four tries.
        """
        record = np.empty(1, PRICE_DTYPE)
        if not self.slots.read(slot, record.view(np.uint8)):
            return None
        copied: np.void = record[0]
        return copied

    def read_many(
        self, slots: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.void], npt.NDArray[np.bool_]]:
        """Copy many records in one kernel call; the second array says which are stable.

        Args:
            slots: int32, shape (n,), C-contiguous.

        Concurrency: any reader; the records are not from one instant.
        """
        records = np.zeros(len(slots), PRICE_DTYPE)
        stable = np.zeros(len(slots), np.uint8)
        self.slots.read_many(slots, records.view(np.uint8), stable)
        return records, stable.view(np.bool_)

    def read_pairs(
        self, slots: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.void], npt.NDArray[np.bool_]]:
        """Copy the legs of routes in one kernel call; the second array says which are stable.

        Args:
            slots: int32, shape (2n,), C-contiguous: first all spot legs, then all futures legs.

        Concurrency: any reader. Both legs of a stable route stood there at one moment; routes are
        not from one instant.
        """
        records = np.zeros(len(slots), PRICE_DTYPE)
        stable = np.zeros(len(slots), np.uint8)
        self.slots.read_pairs(slots, records.view(np.uint8), stable)
        return records, stable.view(np.bool_)

    def source_epoch(self, source_id: int) -> int:
        """Return a source's epoch: odd while a feed owns it."""
        return self.slots.source_epoch(source_id)

    def source_epochs(self) -> npt.NDArray[np.uint64]:
        """Return the epoch that each source's usable slots carry, shape (NUM_SOURCES,).

        Even where no feed owns the source or its feed hangs.
        """
        living = [self.slots.living_epoch(source) for source in range(NUM_SOURCES)]
        return np.array(living, np.uint64)

    def set_source_silent(self, source_id: int, *, is_silent: bool) -> None:
        """Take a hanging feed's slots out of use, or back into it. Concurrency: the engine only."""
        self.slots.set_source_silent(source_id, is_silent)

    def epochs_of(self, slots: npt.NDArray[np.int32]) -> npt.NDArray[np.uint64]:
        """Return the epoch of each slot's source, shape (n,)."""
        epochs: npt.NDArray[np.uint64] = self.source_epochs()[slots // MAX_SYMBOLS]
        return epochs

    def retire_source(self, source_id: int, epoch: int) -> bool:
        """Make every slot of a dead feed's source unusable; False when *epoch* has passed.

        Concurrency: anyone who has seen, after reading *epoch*, that the source's lock is free.
        """
        return self.slots.retire_source(source_id, epoch)


assert slot_of(NUM_SOURCES - 1, MAX_SYMBOLS - 1) + 1 == SLOT_COUNT
