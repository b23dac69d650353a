# Who takes a connection's frames, and who reads most of them in picows' place.

cimport cython
from libc.stdint cimport int64_t
from picows.picows cimport WSFrame, WSListener, WSTransport

cdef extern from "ws_frame.h" nogil:
    enum:
        NOT_PLAIN
        HEADER_INCOMPLETE
        MAX_PLAIN_HEADER
        MAX_PLAIN_PAYLOAD
    int plain_header(const char* p, const char* end, Py_ssize_t* payload_size)


cdef enum:
    # Eight of the longest plain frames. What is read stays in the second-level cache until it is
    # parsed; smaller reads are more system calls: an eighth of it was 12 % slower.
    READ_BYTES = 8 * (MAX_PLAIN_HEADER + MAX_PLAIN_PAYLOAD)
    # Memory behind what was read, so that numbers can be fetched in whole words.
    SLACK_BYTES = 16


cdef class FrameListener(WSListener):
    cdef:
        readonly Py_ssize_t max_message_bytes
        public bint needs_frames        # every frame has to come by on_ws_frame
        # Between the reader and on_ws_frame: whether the next frame came with the same read, how
        # many bytes of the read are not picows' yet, what ended a message, and what stands behind
        # the last frame that picows has: how much (-1: it has delivered none) and its beginning.
        bint read_goes_on
        Py_ssize_t following_bytes
        object failure
        Py_ssize_t tail_bytes
        char[MAX_PLAIN_HEADER] tail

    cdef void read_in_place(self, WSTransport transport)
    cdef void begin_read(self, Py_ssize_t size) noexcept
    cdef int message(self, const char* payload, Py_ssize_t size, Py_ssize_t slack) except -1
    cdef int frame(self, WSTransport transport, WSFrame frame) except -1


cdef class ReaderBase:
    pass
