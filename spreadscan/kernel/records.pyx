# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True, freethreading_compatible=False
"""Tables of records that guard themselves: funding, baselines, states of routes.

The seqlock stands in records.pxd, where the engine's pass inlines it; here is the object through
which Python reads and writes such a table. Layouts: layout.h and shm/layout.py.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

cdef enum:
    MAX_RECORD_WORDS = 8


cdef class RecordTable:
    """A table of seqlocked records somewhere in a region.

    Args:
        mapping: the region.
        offset: where the first record stands.
        record_bytes: of one record, at most 64; its first word is its sequence word.
        count: how many there are.

    Concurrency: one writer a record, any number of readers, nobody blocks.
    """

    def __init__(self, Mapping mapping, size_t offset, int record_bytes, int count) -> None:
        if record_bytes % 8 or not 16 <= record_bytes <= 8 * MAX_RECORD_WORDS or offset % 8:
            raise ValueError(f"records of {record_bytes} bytes at {offset}")
        mapping.check_span(offset, <size_t>record_bytes * count)
        self.mapping = mapping
        self.records = mapping.base + offset
        self.record_words = record_bytes // 8
        self.count = count

    def write(self, int index, const uint8_t[::1] record) -> None:
        """Publish one record; its first eight bytes are not looked at.

        Concurrency: the record's one writer; readers see the old record or this one.
        """
        cdef uint64_t value[MAX_RECORD_WORDS]
        self.mapping.writable_base()
        self._check(index, record.shape[0])
        memcpy(value, &record[0], record.shape[0])
        record_write(self.records + index * 8 * self.record_words, value, self.record_words)

    def read(self, int index, uint8_t[::1] record) -> bool:
        """Copy one record out; False when it kept changing or its writer died in the middle.

        Concurrency: any number of readers; at most four tries.
        """
        cdef uint64_t value[MAX_RECORD_WORDS]
        self._check(index, record.shape[0])
        if not record_read(
            self.records + index * 8 * self.record_words, value, self.record_words
        ):
            return False
        memcpy(&record[0], value, record.shape[0])
        return True

    def read_all(self, uint8_t[::1] records, uint8_t[::1] stable) -> None:
        """Copy every record out, one that is not stable as zeros; stable[i] = 1 or 0.

        Concurrency: as read, one record at a time; records are not from one instant.
        """
        cdef uint64_t value[MAX_RECORD_WORDS]
        cdef Py_ssize_t index, size = 8 * self.record_words
        if records.shape[0] != self.count * size or stable.shape[0] != self.count:
            raise ValueError(
                f"{records.shape[0]} and {stable.shape[0]} bytes, expected {self.count * size} "
                f"and {self.count}"
            )
        with nogil:
            for index in range(self.count):
                stable[index] = record_read(
                    self.records + index * size, value, self.record_words
                )
                if stable[index]:
                    memcpy(&records[index * size], value, size)
                else:
                    memset(&records[index * size], 0, size)

    def _check(self, int index, Py_ssize_t size) -> None:
        if not 0 <= index < self.count:
            raise IndexError(f"record {index}, expected 0 to {self.count - 1}")
        if size != 8 * self.record_words:
            raise ValueError(f"{size} bytes, expected {8 * self.record_words}")
