# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""A connection's frames, most of them without an object each.

picows connects, shakes hands and knows the whole protocol. But it makes an object of every frame,
and its buffer grows with a backlog until it no longer fits a cache. So a FrameReader takes its place
between transport and parser once a connection stands: plain frames, which all quotes are, go from
its buffer to the listener. At any other (a ping, a close, a fragment, a mistake) picows gets the rest
of what was read and goes on reading by itself until it stands between two plain frames again.
"""

import asyncio

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcpy, memmove
from picows.picows cimport WSFrame, WSListener, WSTransport

cdef extern from "Python.h":
    const int PyBUF_WRITE

cdef extern from *:
    """
    #define EVERYTHING PY_SSIZE_T_MAX
    """
    const Py_ssize_t EVERYTHING


cdef class FrameListener(WSListener):
    """Takes frames, whichever way they come; see the stub file."""

    cdef void read_in_place(self, WSTransport transport):
        # For on_ws_connected: from the next read on a FrameReader has the transport's bytes.
        transport.underlying_transport.set_protocol(
            FrameReader(self, transport.underlying_transport.get_protocol())
        )

    cdef void begin_read(self, Py_ssize_t size) noexcept:
        # Before the first frame of a read, which has *size* bytes from there on.
        pass

    cdef int message(self, const char* payload, Py_ssize_t size, Py_ssize_t slack) except -1:
        # One whole message; *slack* bytes behind it may be read.
        raise NotImplementedError

    cdef int frame(self, WSTransport transport, WSFrame frame) except -1:
        # A frame of any kind, by way of picows.
        raise NotImplementedError

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        """Consume one frame; called by picows for every frame that it parses."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        if not self.read_goes_on:
            self.begin_read(frame.payload_size + frame.tail_size + self.following_bytes)
        self.read_goes_on = not frame.last_in_buffer or self.following_bytes > 0
        if frame.last_in_buffer:
            self.tail_bytes = frame.tail_size
            memcpy(
                self.tail, frame.payload_ptr + frame.payload_size,
                min(frame.tail_size, <Py_ssize_t>MAX_PLAIN_HEADER),
            )
        self.frame(transport, frame)


cdef class ReaderBase:
    """An extension type has to come first among its bases."""


@cython.final
cdef class FrameReader(ReaderBase, asyncio.BufferedProtocol):
    """The transport's protocol, in front of picows' own.

    Args:
        listener: where messages go.
        protocol: picows', which has seen everything so far.
    """

    cdef:
        FrameListener listener
        object protocol
        char* buffer
        Py_ssize_t held         # bytes of an unfinished frame, at the beginning of the buffer
        Py_ssize_t owed         # as many of the next bytes are picows', or EVERYTHING
        const char* position    # of the frame that is looked at

    def __cinit__(self) -> None:
        self.buffer = <char*>PyMem_Malloc(READ_BYTES + SLACK_BYTES)
        if self.buffer == NULL:
            raise MemoryError

    def __dealloc__(self) -> None:
        PyMem_Free(self.buffer)

    def __init__(self, FrameListener listener, protocol) -> None:
        self.listener = listener
        self.protocol = protocol
        self.owed = EVERYTHING

    def is_buffered_protocol(self) -> bool:
        """Asked by aiofastnet."""
        return True

    def connection_lost(self, exc) -> None:
        """Pass on to picows."""
        self.protocol.connection_lost(exc)

    def eof_received(self):
        """Pass on to picows."""
        return self.protocol.eof_received()

    def pause_writing(self) -> None:
        """Pass on to picows."""
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass on to picows."""
        self.protocol.resume_writing()

    def get_buffer(self, Py_ssize_t size_hint):
        """Where the next bytes go."""
        if self.owed == EVERYTHING:
            return self.protocol.get_buffer(size_hint)
        return PyMemoryView_FromMemory(
            self.buffer + self.held, READ_BYTES - self.held, PyBUF_WRITE
        )

    def buffer_updated(self, Py_ssize_t size) -> None:
        """Consume what was read."""
        if self.owed == EVERYTHING:
            self.listener.tail_bytes = -1
            self.protocol.buffer_updated(size)
            self.resume()
            return
        cdef const char* end = self.buffer + self.held + size
        self.position = self.buffer
        try:
            self.pay(end)
            self.read_plain(end)
        except Exception as error:
            # picows knows how to end a connection over it, and goes on behind the frame.
            self.listener.failure = error
            self.owed = EVERYTHING
        if self.owed == EVERYTHING:
            self.pay(end)
            self.resume()
        self.listener.read_goes_on = False
        self.held = end - self.position
        memmove(self.buffer, self.position, self.held)

    cdef int read_plain(self, const char* end) except -1:
        # Up to the end, an unfinished frame, or one that is picows'.
        cdef FrameListener listener = self.listener
        cdef Py_ssize_t payload_size = 0
        cdef int header
        while True:
            header = plain_header(self.position, end, &payload_size)
            if header == HEADER_INCOMPLETE:
                return 0
            if header == NOT_PLAIN or payload_size > listener.max_message_bytes:
                self.owed = EVERYTHING
                return 0
            if end - self.position - header < payload_size:
                return 0
            if not listener.read_goes_on:
                listener.begin_read(end - self.position - header)
                listener.read_goes_on = True
            listener.message(self.position + header, payload_size, SLACK_BYTES)
            self.position += header + payload_size

    cdef int pay(self, const char* end) except -1:
        # Give picows what is owed to it, as far as it has come.
        cdef Py_ssize_t share
        cdef Py_buffer view
        while self.owed > 0 and self.position < end:
            PyObject_GetBuffer(self.protocol.get_buffer(-1), &view, PyBUF_WRITABLE)
            share = min(view.len, end - self.position, self.owed)
            memcpy(view.buf, self.position, share)
            PyBuffer_Release(&view)
            self.position += share
            if self.owed != EVERYTHING:
                self.owed -= share
            self.listener.following_bytes = end - self.position
            self.listener.tail_bytes = -1
            self.protocol.buffer_updated(share)
        self.listener.following_bytes = 0
        return 0

    cdef int resume(self) except -1:
        # picows stands behind a frame, perhaps at the beginning of another: read on from there.
        cdef FrameListener listener = self.listener
        cdef Py_ssize_t payload_size = 0
        cdef int header = 0
        if listener.tail_bytes < 0 or listener.needs_frames:
            return 0
        if listener.tail_bytes > 0:
            header = plain_header(
                listener.tail, listener.tail + min(listener.tail_bytes, <Py_ssize_t>MAX_PLAIN_HEADER),
                &payload_size,
            )
            if header <= 0 or payload_size > listener.max_message_bytes:
                return 0
        self.owed = header + payload_size - listener.tail_bytes
        return 0
