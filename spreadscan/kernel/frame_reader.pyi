"""A connection's frames, most of them without an object each."""

import asyncio

from picows import WSFrame, WSListener, WSTransport

class FrameListener(WSListener):
    """Takes a connection's frames, by on_ws_frame or, most of them, from the transport's bytes."""

    max_message_bytes: int
    """Longer messages are not read in place."""
    needs_frames: bool
    """Whether each frame has to come by on_ws_frame; may be changed at any time."""
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None: ...  # type: ignore[explicit-override] # from 3.12

class FrameReader(asyncio.BufferedProtocol):
    """The transport's protocol, in front of picows' own."""

    def __init__(self, listener: FrameListener, protocol: asyncio.BufferedProtocol) -> None: ...
