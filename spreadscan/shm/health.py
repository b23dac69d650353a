"""Health slots: what every process says of itself, and how to read it without being fooled.

A slot outlives its process. Whoever reads one compares pid and start time with the living system,
so that the last words of a dead process are never shown as live.
"""

import os
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec

from spreadscan.kernel.health import HealthSlot
from spreadscan.shm.layout import (
    HISTOGRAM_BUCKETS,
    NUM_COUNTERS,
    Health,
    ProcessState,
)
from spreadscan.shm.pid import is_same_process, start_ticks
from spreadscan.shm.region import Region

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["HealthReader", "HealthSnapshot", "HealthWriter", "bucket_floor_ns", "quantile_ns"]


class HealthSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One process as its slot shows it; times are CLOCK_MONOTONIC."""

    name: str
    pid: int
    state: ProcessState
    is_alive: bool
    """The very process that wrote this slot still runs."""
    heartbeat_ns: int
    started_ns: int
    restarts: int
    obeyed_generation: int
    universe_generation: int
    status: str
    counters: list[int]


class HealthWriter:
    """A process's own slot.

    Concurrency: one writer, the holder of the role's lock.
    """

    def __init__(self, region: Region, index: int, name: str) -> None:
        self.slot = HealthSlot(region.mapping, index)
        self.slot.take(os.getpid(), start_ticks(os.getpid()), name.encode())
        self.set_state(ProcessState.STARTING)

    def beat(self, now_ns: int) -> None:
        """Say that the working loop moved. Concurrency: the owner."""
        self.slot.beat(now_ns)

    def set_state(self, state: ProcessState) -> None:
        """Publish the state. Concurrency: the owner."""
        self.slot.set_state(state)

    def set_status(self, text: str) -> None:
        """Publish a status line; what does not fit 127 bytes is cut. Concurrency: the owner."""
        self.slot.set_status(text.encode()[:127].decode(errors="ignore").encode())

    def set_generations(self, obeyed: int, universe: int) -> None:
        """Write back what this process acts on. Concurrency: the owner."""
        self.slot.set_generations(obeyed, universe)

    def add(self, counter: int, amount: int = 1) -> None:
        """Raise a counter. Concurrency: the owner."""
        self.slot.add(counter, amount)

    def set(self, counter: int, value: int) -> None:
        """Set a gauge. Concurrency: the owner."""
        self.slot.set(counter, value)

    def get(self, counter: int) -> int:
        """Return a counter. Concurrency: the owner."""
        return self.slot.get(counter)

    def record_all(self, histogram: int, values_ns: "npt.NDArray[np.int64]") -> None:
        """Count many latency samples in nanoseconds. Concurrency: the owner."""
        self.slot.record_all(histogram, values_ns)

    def record(self, histogram: int, value_ns: int) -> None:
        """Count a latency sample in nanoseconds. Concurrency: the owner."""
        self.slot.record(histogram, value_ns)


class HealthReader:
    """All slots, read-only.

    Concurrency: any number of readers; a snapshot is not from one instant.
    """

    def __init__(self, region: Region) -> None:
        self._region = region

    def slot(self, index: int) -> HealthSnapshot:
        """Return what one process says, and whether it still lives."""
        base = Health.SLOTS + index * Health.SLOT_BYTES
        load = self._region.mapping.load_word
        pid_and_state = load(base + Health.PID)
        pid, state = pid_and_state & 0xFFFFFFFF, pid_and_state >> 32
        return HealthSnapshot(
            name=self._text(base + Health.NAME, Health.NAME_BYTES),
            pid=pid,
            state=ProcessState(state),
            is_alive=is_same_process(pid, load(base + Health.START_TICKS)),
            heartbeat_ns=load(base + Health.HEARTBEAT_NS),
            started_ns=load(base + Health.STARTED_NS),
            restarts=load(base + Health.RESTARTS),
            obeyed_generation=load(base + Health.OBEYED_GENERATION),
            universe_generation=load(base + Health.UNIVERSE_GENERATION),
            status=self._text(base + Health.STATUS, Health.STATUS_BYTES),
            counters=[load(base + Health.COUNTERS + 8 * n) for n in range(NUM_COUNTERS)],
        )

    def heartbeat_ns(self, index: int) -> int:
        """Return when a process last beat, CLOCK_MONOTONIC; one load, for a loop's every turn."""
        return self._region.mapping.load_word(
            Health.SLOTS + index * Health.SLOT_BYTES + Health.HEARTBEAT_NS
        )

    def buckets(self, index: int, which: int) -> list[int]:
        """Return the bucket counts of one histogram, HISTOGRAM_BUCKETS of them."""
        base = Health.SLOTS + index * Health.SLOT_BYTES + Health.HISTOGRAMS
        base += which * Health.HISTOGRAM_BYTES
        load = self._region.mapping.load_word
        return [load(base + 8 * n) for n in range(HISTOGRAM_BUCKETS)]

    def histogram(self, index: int, which: int) -> "npt.NDArray[np.uint64]":
        """Return the bucket counts of one histogram, shape (HISTOGRAM_BUCKETS,)."""
        import numpy as np

        return np.array(self.buckets(index, which), np.uint64)

    def _text(self, offset: int, size: int) -> str:
        load = self._region.mapping.load_word
        words = [load(offset + 8 * n).to_bytes(8, "little") for n in range(size // 8)]
        return b"".join(words).split(b"\0")[0].decode(errors="replace")


def bucket_floor_ns(bucket: int) -> int:
    """Return the smallest sample that falls into a bucket: the inverse of the kernel's rule."""
    if bucket < 16:
        return bucket
    octave, step = divmod(bucket, 16)
    return (16 + step) << (octave - 1)


def quantile_ns(histogram: "Sequence[int] | npt.NDArray[np.uint64]", quantile: float) -> int:
    """Return a quantile of the samples, within 6.25 %; 0 when there are none.

    Args:
        histogram: bucket counts, HISTOGRAM_BUCKETS of them.
        quantile: 0 to 1.
    """
    cumulated = list(accumulate(map(int, histogram)))
    if cumulated[-1] == 0:
        return 0
    bucket = bisect_left(cumulated, max(1, round(quantile * cumulated[-1])))
    return (bucket_floor_ns(bucket) + bucket_floor_ns(bucket + 1)) // 2
