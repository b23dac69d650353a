# How the engine looks for work and sleeps until there may be some.

from libc.stdint cimport int64_t, uint64_t
from posix.time cimport timespec
from posix.unistd cimport read as posix_read

from spreadscan.kernel.memory cimport (
    NUM_SOURCES, dirty_t, fence_seq_cst, load_relaxed_u64, store_seq_cst_u32,
)

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    short POLLIN
    int ppoll(pollfd* fds, unsigned long count, const timespec* timeout, const void* mask)


cdef inline bint is_anything_dirty(const dirty_t* dirty, int words_in_use) noexcept nogil:
    cdef int source_id, word
    for source_id in range(NUM_SOURCES):
        for word in range(words_in_use):
            if load_relaxed_u64(&dirty.words[source_id][word]):
                return True
    return False


cdef inline int sleep_until_woken(
    dirty_t* dirty, int words_in_use, int wake_fd, int64_t limit_ns, bint* has_slept,
    bint* is_written,
) noexcept nogil:
    # sync: the engine's half of the sleep handshake, see wake_if_sleeping. Says -1 when a signal
    # came in.
    #
    # The eventfd is emptied before the next sleep and not after this one: between a price and its
    # signal stands one system call, the one that ends. What is written until then is for bits that
    # are set already, and those are looked at below.
    cdef pollfd waiter
    cdef timespec limit
    cdef uint64_t drained
    cdef int outcome = 0
    if is_written[0]:
        posix_read(wake_fd, &drained, 8)
        is_written[0] = False
    store_seq_cst_u32(&dirty.engine_sleeping, 1)
    fence_seq_cst()
    has_slept[0] = not is_anything_dirty(dirty, words_in_use)
    if has_slept[0]:
        waiter.fd = wake_fd
        waiter.events = POLLIN
        waiter.revents = 0
        limit.tv_sec = limit_ns // 1_000_000_000
        limit.tv_nsec = limit_ns % 1_000_000_000
        outcome = ppoll(&waiter, 1, &limit, NULL)
    store_seq_cst_u32(&dirty.engine_sleeping, 0)
    is_written[0] = outcome > 0
    return outcome
