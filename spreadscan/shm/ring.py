"""The ring from engine to tracker: 65,536 signals, one producer, one consumer.

Neither side ever waits for the other. What was peeked is consumed only by ``advance``, so that a
consumer which dies in between reads it again.
"""

import numpy as np
import numpy.typing as npt

from spreadscan.kernel.memory import SignalRing
from spreadscan.shm.layout import RING_CAPACITY, SIGNAL_DTYPE
from spreadscan.shm.region import Region

__all__ = ["RingReader", "RingWriter"]

DRAIN_BATCH = 4096
# Between a copy and the look at the tail after it the producer writes on; what is so close to being
# written over is not believed.
OVERWRITE_MARGIN = 64


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

    def peek_from(self, position: int, max_count: int) -> npt.NDArray[np.void]:
        """Copy up to *max_count* committed records from *position* on, without consuming any.

        Position n holds the record with sequence n + 1. From the read position on nothing is ever
        missing; before it, what was written over since is left out, as the first sequence tells.

        Concurrency: the consumer; never blocks.
        """
        limit = min(max_count, DRAIN_BATCH)
        position = max(position, self.first_held())
        found = self.ring.peek_from(position, self._batch[:limit].view(np.uint8))
        # Again after the copy: the tail moves before a slot is written anew.
        gone = min(found, max(0, self.first_held() - position))
        return self._batch[gone:found].copy()

    def first_held(self) -> int:
        """Return the earliest position whose record was not written over.

        Concurrency: any reader; it moves on with the producer.
        """
        oldest = self.ring.tail + OVERWRITE_MARGIN - RING_CAPACITY
        return max(0, min(self.ring.head, oldest))

    def head(self) -> int:
        """Return the read position. Concurrency: any reader."""
        return self.ring.head

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
