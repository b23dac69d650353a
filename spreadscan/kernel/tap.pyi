"""Copies of a feed's frames on their way to the recorder."""

from spreadscan.kernel.memory import Buffer

FRAME: int
"""A received message: any bytes."""
MARK: int
"""A symbol that became unusable: u16 symbol id, u16 flag, little-endian."""
NOTE: int
"""Something for the recorder itself; it is taken in its place among the others."""
CAPACITY_BYTES: int
"""Room for frames and what describes them."""

class Tap:
    """What a feed received and its recorder has not written yet: 8 MiB of this process.

    A line is ``<time in ns> <payload>``; a payload with control characters, with blanks at its ends
    or that looks like hex stands in hex. Marks and losses are lines of JSON (`spreadscan.rawlog`).

    Concurrency: one producer thread (put, and the listener's own copies) and one consumer thread
    (drain, take_note); neither waits for the other.
    """

    taken_count: int
    """Entries put in so far."""
    lost_count: int
    """Entries that found no room so far; the next one that does tells how many."""
    waiting_bytes: int
    """How much waits to be written."""
    def put(self, kind: int, time_ns: int, payload: Buffer) -> bool:
        """Put one entry in; False, counted, when there is no room.

        Args:
            kind: FRAME, MARK or NOTE; marks and notes may use 64 KiB that frames may not.
            time_ns: CLOCK_MONOTONIC.
            payload: any bytes.

        Raises:
            ValueError: no such kind, or a mark of another size.
        """

    def drain(self, offset_ns: int) -> bytes:
        """Take entries up to the next note, some 256 KiB at most; return them as lines.

        Args:
            offset_ns: added to every time.
        """

    def take_note(self) -> tuple[int, bytes] | None:
        """Take the note that stands next, with its time; None when something else does."""
