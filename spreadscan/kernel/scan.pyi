"""The engine's pass: dirty symbols in, signals out, one kernel call."""

from collections.abc import Iterable
from typing import Protocol

from spreadscan.config import EngineConfig
from spreadscan.kernel.health import HealthSlot
from spreadscan.kernel.memory import DirtyBits, Mapping, PriceSlots, SignalRing

WAIT_MODES: dict[str, int]

def numbers() -> list[tuple[str, int, int]]: ...

class _Channels(Protocol):
    @property
    def prices(self) -> PriceSlots: ...
    @property
    def dirty(self) -> DirtyBits: ...
    @property
    def ring(self) -> SignalRing: ...
    @property
    def health(self) -> HealthSlot: ...
    @property
    def control(self) -> Mapping: ...
    @property
    def funding(self) -> Mapping: ...
    @property
    def baseline(self) -> Mapping: ...
    @property
    def routes(self) -> Mapping: ...

class Scanner:
    """All routes of a universe, and the one producer of the ring.

    Concurrency: one thread of one process, the engine; never blocks on a feed or the tracker.
    """

    spilled: int
    open_routes: int
    def __init__(self, channels: _Channels) -> None: ...
    def configure(self, config: EngineConfig) -> None:
        """Take limits and wait mode; may be called between any two passes."""
    def set_wake_fd(self, wake_fd: int) -> None: ...
    def set_routes(self, routes: Iterable[tuple[int, int, int, int, float]]) -> None:
        """Replace the routes: (spot slot, futures slot, direction, symbol id, fee_bps) each.

        A route that was there before keeps its state, whatever its fee was: open stays open. One
        that is gone is dropped without a signal. One that is new begins closed, or resumed where
        an earlier engine left it open. Every leg is read afresh with the next pass, so nothing that
        changed before is missed; confirmation begins anew.

        Raises:
            IndexError: a slot, direction or symbol does not exist; the routes are the same as
                before.
        """
    def look_again(self) -> None: ...
    def scan(self) -> int: ...
    def scan_at(self, time_ns: int, wall_offset_ns: int = 0) -> int:
        """Do one pass as if it were *time_ns* now; return how many symbols had changed.

        Times in signals and ages of legs count from it. For whoever keeps a clock of its own; the
        quotes must have been received by that clock too. *wall_offset_ns* is Unix time less it.
        """
    def run(self, budget_ns: int) -> int: ...
