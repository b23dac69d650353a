"""From a WebSocket frame to the price store, without a Python object in between."""

from collections.abc import Callable

from picows import WSListener, WSTransport

from spreadscan.exchanges._adapter import PartialQuote
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.health import HealthSlot
from spreadscan.kernel.memory import DirtyBits, PriceSlots

class FeedSink:
    """A source's slots in the price store, and the only writer of them."""

    source_id: int
    epoch: int
    live_count: int
    def __init__(
        self,
        source_id: int,
        extractor: Extractor,
        prices: PriceSlots,
        dirty: DirtyBits,
        health: HealthSlot,
        *,
        restart_update_id: int = -1,
        is_restart_told_by_time: bool = False,
    ) -> None: ...
    def close(self) -> None: ...
    def set_wake_fd(self, wake_fd: int) -> None: ...
    def mark(self, symbol_id: int, flag: int) -> None: ...
    def is_live(self, symbol_id: int) -> bool: ...
    def feed(self, payload: bytes) -> int: ...
    def merge(self, partial: PartialQuote) -> int: ...
    def bench_consume(self, payloads: list[bytes], rounds: int) -> int: ...

class QuoteListener(WSListener):
    """One connection of a feed."""

    transport: WSTransport | None
    quotes: int
    first_quote_ns: int
    last_frame_ns: int
    def __init__(
        self,
        sink: FeedSink,
        on_control: Callable[[QuoteListener, bytes], bool | None],
        on_closed: Callable[[QuoteListener], None],
        max_message_bytes: int,
    ) -> None: ...
