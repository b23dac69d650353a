"""Side tables of seqlocked records: funding, baselines, and what became of each route.

Written now and then, by one process each; read by the engine's kernel (``kernel/records.pxd``) and,
through these classes, by everybody else.
"""

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from spreadscan.kernel.records import RecordTable
from spreadscan.shm.layout import (
    BASELINE_DTYPE,
    FUNDING_DTYPE,
    MAX_DIRECTIONS,
    MAX_SYMBOLS,
    NUM_GATES,
    NUM_SOURCES,
    ROUTE_CAPACITY,
    ROUTE_STATE_DTYPE,
    SLOT_COUNT,
    Baseline,
    Funding,
    Routes,
)
from spreadscan.shm.region import Region

__all__ = ["BaselineTable", "FundingTable", "RouteTable", "route_index"]

Records = npt.NDArray[np.void]
Stable = npt.NDArray[np.bool_]


def route_index(direction_id: int, symbol_id: int) -> int:
    """Return where a route's record stands in the tables of routes."""
    return direction_id * MAX_SYMBOLS + symbol_id


class _Table:
    """Records of one dtype; ``table`` is the kernel's end of it."""

    def __init__(self, region: Region, offset: int, dtype: np.dtype[np.void], count: int) -> None:
        self.table = RecordTable(region.mapping, offset, dtype.itemsize, count)
        self._dtype = dtype

    def read(self, index: int) -> np.void | None:
        """Copy one record out; None when it has no stable value.

        Concurrency: any reader; at most four tries.
        """
        record = np.zeros(1, self._dtype)
        if not self.table.read(index, record.view(np.uint8)):
            return None
        copied: np.void = record[0]
        return copied

    def read_all(self) -> tuple[Records, Stable]:
        """Copy every record out, those without a stable value as zeros; the second says which.

        Concurrency: any reader; the records are not from one instant.
        """
        records = np.zeros(self.table.count, self._dtype)
        stable = np.zeros(self.table.count, np.uint8)
        self.table.read_all(records.view(np.uint8), stable)
        return records, stable.view(np.bool_)

    def _write(self, index: int, values: tuple[float, ...]) -> None:
        self.table.write(index, np.array([(0, *values)], self._dtype).view(np.uint8))


class FundingTable(_Table):
    """Funding of every perpetual, FUNDING_DTYPE; the index is that of a price slot.

    Concurrency: one writer a source, its feed; any number of readers.
    """

    def __init__(self, region: Region) -> None:
        super().__init__(region, Funding.RECORDS, FUNDING_DTYPE, SLOT_COUNT)

    def write(
        self,
        slot: int,
        *,
        rate: float,
        interval_s: float,
        next_settlement_ms: int,
        received_ns: int,
    ) -> None:
        """Publish what is known of one perpetual; units and unknowns as in ``layout.Funding``.

        Concurrency: the source's feed.
        """
        self._write(slot, (rate, interval_s, next_settlement_ms, received_ns))


class BaselineTable(_Table):
    """The usual gross entry spread of every route, BASELINE_DTYPE; see ``route_index``.

    Concurrency: one writer, the tracker; any number of readers.
    """

    def __init__(self, region: Region) -> None:
        super().__init__(region, Baseline.RECORDS, BASELINE_DTYPE, ROUTE_CAPACITY)

    def write(
        self, index: int, *, median_bps: float, mad_bps: float, samples: int, updated_ns: int
    ) -> None:
        """Publish one route's baseline; zero samples take it back.

        Concurrency: the tracker.
        """
        self._write(index, (median_bps, mad_bps, samples, updated_ns))


class RouteTable(_Table):
    """The last signal of every route, ROUTE_STATE_DTYPE, and what was held back.

    Concurrency: written by the engine's kernel alone; any number of readers.
    """

    def __init__(self, region: Region) -> None:
        super().__init__(region, Routes.STATES, ROUTE_STATE_DTYPE, ROUTE_CAPACITY)
        self._load = region.mapping.load_word
        self._store = region.mapping.store_word

    def meet(self, names: Mapping[int, str]) -> list[str]:
        """Take back what is said of symbol ids that mean another coin now; return the new names.

        An id is given anew only after everything has ended; shared memory outlives that.

        Args:
            names: by symbol id, of the universe that is scanned from now on.

        Concurrency: the engine, before it scans.
        """
        changed = []
        for symbol_id, name in names.items():
            offset = Routes.NAMES + 8 * symbol_id
            digest = blake2b(name.encode(), digest_size=8).digest()
            mark = int.from_bytes(digest, "little") or 1
            before = self._load(offset)
            if before == mark:
                continue
            if before:
                self._forget(symbol_id)
                changed.append(name)
            self._store(offset, mark)
        return changed

    def _forget(self, symbol_id: int) -> None:
        for direction_id in range(MAX_DIRECTIONS):
            index = route_index(direction_id, symbol_id)
            record = self.read(index)
            if record is None or not record["is_open"]:
                continue
            # The rest stays: the engine compares it with the last signal in the ring, and numbers
            # of openings go on.
            kept = (record[name].item() for name in ("time_ns", "opening", "type"))
            self._write(index, (*kept, 0, float(record["net_bps"])))
        for source_id in range(NUM_SOURCES):
            word, bit = divmod(source_id * MAX_SYMBOLS + symbol_id, 64)
            offset = Routes.SUSPECTS + 8 * word
            self._store(offset, self._load(offset) & ~(1 << bit))

    def suppressed(self) -> npt.NDArray[np.uint64]:
        """Return how often each gate held a signal back, shape (MAX_DIRECTIONS, NUM_GATES).

        Concurrency: any reader; counts are since shm-init and not from one instant.
        """
        count = MAX_DIRECTIONS * NUM_GATES
        words = [self._load(Routes.GATES + 8 * number) for number in range(count)]
        return np.array(words, np.uint64).reshape(MAX_DIRECTIONS, NUM_GATES)

    def suspects(self) -> npt.NDArray[np.bool_]:
        """Tell of every price slot what `is_suspect` tells of one, shape (SLOT_COUNT,).

        Concurrency: any reader; words are not from one instant.
        """
        words = [self._load(Routes.SUSPECTS + 8 * number) for number in range(SLOT_COUNT // 64)]
        bits = np.unpackbits(np.array(words, "<u8").view(np.uint8), bitorder="little")
        return bits.view(np.bool_)

    def is_suspect(self, slot: int) -> bool:
        """Tell whether a leg stood still while its symbol moved elsewhere.

        Concurrency: any reader.
        """
        word, bit = divmod(slot, 64)
        return bool(self._load(Routes.SUSPECTS + 8 * word) >> bit & 1)
