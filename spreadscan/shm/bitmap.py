"""The dirty bitmap: which symbols of a source changed since the engine last looked."""

from spreadscan.kernel.memory import DirtyBits
from spreadscan.shm.region import Region

__all__ = ["DirtyBitmap"]


class DirtyBitmap:
    """8 sources x 1,024 bits, and the word that says whether the engine sleeps.

    Concurrency: feeds mark, the engine takes; nobody blocks. The bitmap is the truth, waking the
    engine only a hint.
    """

    def __init__(self, region: Region) -> None:
        self.bits = DirtyBits(region.mapping)

    def mark(self, source_id: int, symbol_id: int) -> None:
        """Say that a symbol changed.

        Concurrency: any feed.
        """
        self.bits.mark(source_id, symbol_id)

    def take(self, source_id: int) -> list[int]:
        """Return the changed symbols in ascending order and clear them.

        Concurrency: the engine only.
        """
        return self.bits.take(source_id)
