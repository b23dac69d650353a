"""The ring from engine to tracker: 65,536 signals, one producer, one consumer.

Neither side ever waits for the other. What was peeked is consumed only by ``advance``, so that a
consumer which dies in between reads it again.
"""

import numpy as np
import numpy.typing as npt

from spreadscan.kernel.memory import SignalRing
from spreadscan.shm.layout import SIGNAL_DTYPE
from spreadscan.shm.region import Region

__all__ = ["RingReader", "RingWriter"]

DRAIN_BATCH = 4096


class RingWriter:
    """The producer's end.

    Concurrency: one process at a time, the engine. A record that a killed predecessor committed
    without counting it is stepped over when the writer is made.
    """

    def __init__(self, region: Region) -> None:
        self.ring = SignalRing(region.mapping)
        self.recovered_count = self.ring.recover_tail()

    def push(self, record: npt.NDArray[np.void]) -> bool:
        """Append one SIGNAL_DTYPE record; False when the ring is full, which is counted.

        Concurrency: the producer; never blocks.
        """
        return self.ring.push(np.frombuffer(record.tobytes(), np.uint8))


class RingReader:
    """The consumer's end.

    Concurrency: one process at a time, the tracker.
    """

    def __init__(self, region: Region) -> None:
        self.ring = SignalRing(region.mapping)
        self._batch = np.empty(DRAIN_BATCH, SIGNAL_DTYPE)

    def peek(self, max_count: int) -> npt.NDArray[np.void]:
        """Copy up to *max_count* committed records, oldest first, without consuming them.

        Concurrency: the consumer; never blocks.
        """
        limit = min(max_count, DRAIN_BATCH)
        found = self.ring.peek(self._batch[:limit].view(np.uint8))
        return self._batch[:found].copy()

    def advance(self, count: int) -> None:
        """Consume *count* records that were peeked.

        Raises:
            ValueError: the ring holds fewer.

        Concurrency: the consumer.
        """
        self.ring.advance(count)

    def depth(self) -> int:
        """Return how many records wait.

        Concurrency: any reader.
        """
        return self.ring.depth
