"""From a WebSocket frame to the price store, without a Python object in between."""

from collections.abc import Callable

from picows import WSTransport

from spreadscan.kernel.frame_reader import FrameListener
from spreadscan.kernel.sink import FeedSink

class QuoteListener(FrameListener):
    """One connection of a feed."""

    transport: WSTransport | None
    quotes: int
    first_quote_ns: int
    last_frame_ns: int
    """Arrival of the last frame of any kind, CLOCK_MONOTONIC."""
    last_quote_ns: int
    """Arrival of the last quote, also one that was not used; 0 before the first. Pongs and
    acknowledgements do not count."""
    pongs: int
    """WebSocket pongs that came."""
    behind_ns: int
    """How late the newest quote was if the connection is in a backlog, else 0."""
    def __init__(
        self,
        sink: FeedSink,
        on_control: Callable[[QuoteListener, bytes], bool | None],
        on_closed: Callable[[QuoteListener], None],
        max_message_bytes: int,
    ) -> None: ...
