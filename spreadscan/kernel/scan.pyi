"""The engine's pass: dirty symbols in, signals out, one kernel call."""

from collections.abc import Iterable

from spreadscan.config import EngineConfig
from spreadscan.kernel.health import HealthSlot
from spreadscan.kernel.memory import DirtyBits, PriceSlots, SignalRing

WAIT_MODES: dict[str, int]

class Scanner:
    """All routes of a universe, and the one producer of the ring.

    Concurrency: one thread of one process, the engine; never blocks on a feed or the tracker.
    """

    spilled: int
    open_routes: int
    def __init__(
        self, prices: PriceSlots, dirty: DirtyBits, ring: SignalRing, health: HealthSlot
    ) -> None: ...
    def configure(self, config: EngineConfig) -> None: ...
    def set_wake_fd(self, wake_fd: int) -> None: ...
    def set_pause(self, everything: bool, sources: int, directions: int) -> None: ...
    def set_routes(self, routes: Iterable[tuple[int, int, int, int, float]]) -> None:
        """Replace the routes: (spot slot, futures slot, direction, symbol id, fee_bps) each.

        A route that was there before keeps its state, whatever its fee was: open stays open. One
        that is new begins closed, one that is gone is dropped without a signal. Every leg is read
        afresh with the next pass, so nothing that changed before is missed.

        Raises:
            IndexError: a slot or symbol does not exist; the routes are the same as before.
        """
    def look_again(self) -> None: ...
    def scan(self) -> int: ...
    def scan_at(self, time_ns: int) -> int:
        """Do one pass as if it were *time_ns* now; return how many symbols had changed.

        Times in signals and ages of legs count from it. For whoever keeps a clock of its own; the
        quotes must have been received by that clock too.
        """
    def run(self, budget_ns: int) -> int: ...
