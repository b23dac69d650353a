"""Frame bytes to a quote, by a declared plan, without making a Python object on the way."""

from collections.abc import Iterable
from typing import NamedTuple

from spreadscan.exchanges._adapter import JsonPlan, ProtobufPlan

class Extracted(NamedTuple):
    """What `Extractor.decode` found. Prices and sizes are per one base coin."""

    status: int
    """A QuoteStatus; the other fields hold values only when it is QUOTE (0)."""
    symbol_id: int
    """-1 when the frame names no known symbol."""
    bid: float
    bid_qty: float
    ask: float
    ask_qty: float
    exchange_ns: int
    """-1 where the frame carries no time."""
    update_id: int
    """-1 where the frame carries none."""
    symbol: str | None
    """The symbol as spelled in the frame, when one was found (also when unknown)."""

class Extractor:
    """A plan compiled for the instruments of one source.

    Args:
        plan: where the values stand.
        legs: (exchange symbol, symbol id, price multiplier, quantity factor); a price in the frame
            is divided by the multiplier, a quantity multiplied by the factor.

    Concurrency: none; one per connection thread.
    """

    def __init__(
        self, plan: JsonPlan | ProtobufPlan, legs: Iterable[tuple[str, int, float, float]]
    ) -> None: ...
    def decode(self, frame: bytes | memoryview) -> Extracted: ...
    def add_leg(
        self, symbol: str, symbol_id: int, price_multiplier: float, qty_factor: float
    ) -> None:
        """Add one instrument.

        Args:
            symbol: as the exchange spells it, at most 48 bytes of UTF-8.
            symbol_id: 0 to MAX_SYMBOLS - 1, nobody else's.
            price_multiplier: a price in a frame is divided by it.
            qty_factor: a quantity in a frame is multiplied by it.

        Raises:
            ValueError: too long, already known, out of range, or there are 1,024; nothing changed.
        """

    def set_legs(self, legs: Iterable[tuple[str, int, float, float]]) -> None:
        """Replace all instruments, between one frame and the next.

        A symbol that is no longer listed is unknown from then on.

        Args:
            legs: as in the constructor.

        Raises:
            ValueError: one of them is refused, see `add_leg`; nothing changed.
        """

    def bench_decode(self, frames: list[bytes], rounds: int) -> int: ...

STATUS_NUMBERS: dict[str, int]
FIELD_NUMBERS: dict[str, int]
