"""Which symbols a new connection quotes, told apart from those of the connection that it follows.

Both write into the same slots, so that the store does not tell where a quote came from. While they
overlap, each frame of the new one is read a second time, here and in Python. That is a matter of
seconds; afterwards the listener becomes one that is as fast as any other.
"""

from typing import Any

from picows import WSFrame, WSMsgType, WSTransport

from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.listener import QuoteListener
from spreadscan.model import QuoteStatus

__all__ = ["SettledListener", "WitnessListener"]

DATA = (WSMsgType.TEXT, WSMsgType.BINARY)


class SettledListener(QuoteListener):
    """A witness that has seen enough."""

    heard: set[str]
    """Exchange symbols that were quoted on this connection while it was watched."""
    extractor: Extractor


class WitnessListener(SettledListener):
    """Remembers who was quoted. Give it ``heard`` and ``extractor`` before its first frame."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.needs_frames = True

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:  # type: ignore[explicit-override] # from 3.12
        """Consume one frame as ever, then note whose quote it was.

        A quote that the store has already, from the other connection, counts as well.
        """
        super().on_ws_frame(transport, frame)
        if frame.msg_type in DATA and frame.fin:
            found = self.extractor.decode(frame.get_payload_as_bytes())
            if found.status == QuoteStatus.QUOTE and found.symbol is not None:
                self.heard.add(found.symbol)

    def settle(self) -> None:
        """Stop watching."""
        self.needs_frames = False
        self.__class__ = SettledListener  # type: ignore[assignment]
