# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""From a WebSocket frame to the price store, without a Python object in between.

One QuoteListener a connection hands its messages to the source's sink. Those that are no quotes go
to a Python callback.
"""

from libc.stdint cimport int64_t
from picows.picows cimport WSFrame, WSMsgType, WSTransport

from spreadscan.kernel.extract cimport (
    STATUS_MALFORMED, STATUS_NOT_A_QUOTE, STATUS_ONE_SIDED, STATUS_QUOTE,
)
from spreadscan.kernel.frame_reader cimport FrameListener
from spreadscan.kernel.lag cimport known_lag
from spreadscan.kernel.memory cimport count, now_ns
from spreadscan.kernel.sink cimport ConnectionLag, FeedSink

from spreadscan.errors import FeedError
from spreadscan.shm.counters import FeedCounter

cdef int CONTROL_FRAMES = FeedCounter.CONTROL_FRAMES
cdef int REFUSED = FeedCounter.REFUSED


cdef class QuoteListener(FrameListener):
    """One connection of a feed.

    Args:
        sink: where quotes go.
        on_control: called with this listener and the bytes of every message that is no whole quote;
            returns whether it merged a part of one. It may raise FeedError, which counts the
            message as malformed and keeps the connection.
        on_closed: called once with this listener when the connection is gone.
        max_message_bytes: longer fragmented messages are refused. Whole ones are picows' to refuse.
    """

    cdef:
        FeedSink sink
        ConnectionLag lag
        object on_control
        object on_closed
        bytearray parts
        bint skipping
        readonly object transport
        readonly int64_t quotes
        readonly int64_t first_quote_ns
        readonly int64_t last_frame_ns
        readonly int64_t last_quote_ns
        readonly int64_t pongs

    def __init__(self, FeedSink sink, on_control, on_closed, Py_ssize_t max_message_bytes) -> None:
        self.sink = sink
        self.on_control = on_control
        self.on_closed = on_closed
        self.max_message_bytes = max_message_bytes

    cpdef on_ws_connected(self, WSTransport transport):
        """Remember the transport."""
        self.transport = transport
        self.last_frame_ns = now_ns()
        self.lag = self.sink.connected(self.last_frame_ns)
        self.read_in_place(transport)

    @property
    def behind_ns(self) -> int:
        """How late its quotes are; see the stub file."""
        if self.lag is None or self.lag.lag.late_ns <= self.lag.lag.timely_ns:
            return 0
        return self.lag.lag.late_by_ns

    cpdef on_ws_disconnected(self, WSTransport transport):
        """Tell the owner; its symbols become unusable before anything else happens."""
        self.transport = None
        self.on_closed(self)

    cdef void begin_read(self, Py_ssize_t size) noexcept:
        # All frames of one read arrived when the first of them is seen; what a later one waited for
        # its turn is its publish delay.
        self.last_frame_ns = now_ns()
        self.sink.begin_read(self.lag, self.last_frame_ns, size)

    cdef int frame(self, WSTransport transport, WSFrame frame) except -1:
        # The transport must not answer pings itself, or the last frame of a read could pass by
        # unseen.
        if frame.msg_type == WSMsgType.TEXT or frame.msg_type == WSMsgType.BINARY:
            if frame.fin:
                self.message(frame.payload_ptr, frame.payload_size, 0)
            else:
                self.parts = bytearray()
                self.skipping = False
                self.fragment(frame)
        elif frame.msg_type == WSMsgType.CONTINUATION:
            self.fragment(frame)
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.PONG:
            self.pongs += 1
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        return 0

    cdef int fragment(self, WSFrame frame) except -1:
        # Exchanges send whole messages; one that does not is still understood, within the bound.
        if self.parts is None:
            count(self.sink.health.slot, REFUSED + STATUS_MALFORMED, 1)
            return 0
        if len(self.parts) + frame.payload_size > self.max_message_bytes:
            self.skipping = True
            self.parts.clear()
        if not self.skipping:
            self.parts += frame.payload_ptr[: frame.payload_size]
        if frame.fin:
            whole, self.parts = bytes(self.parts), None
            if self.skipping:
                count(self.sink.health.slot, REFUSED + STATUS_MALFORMED, 1)
            else:
                self.message(whole, len(whole), 0)
        return 0

    cdef int message(self, const char* payload, Py_ssize_t size, Py_ssize_t slack) except -1:
        cdef int status = self.sink.consume(payload, size, slack)
        if status == STATUS_NOT_A_QUOTE:
            try:
                if self.on_control(self, payload[:size]):
                    status = STATUS_QUOTE
                else:
                    count(self.sink.health.slot, CONTROL_FRAMES, 1)
            except FeedError:
                count(self.sink.health.slot, REFUSED + STATUS_MALFORMED, 1)
        if status == STATUS_QUOTE or status >= STATUS_ONE_SIDED:
            # Also one that was not to be used: the exchange sends prices here.
            self.last_quote_ns = self.sink.received_ns
        if status == STATUS_QUOTE:
            if self.quotes == 0:
                self.first_quote_ns = self.sink.received_ns
            self.quotes += 1
        return 0
