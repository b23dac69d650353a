"""Standard output of a command: what it says goes on also when nobody reads it any more.

``pause … | head -1`` must be as obeyed, and exit as, ``pause …``; so a closed pipe swallows what is
still written, and a command that would go on for ever asks ``is_reader_gone``. Everything else that
a write meets, a full disk most of all, is one line and exit status 1.
"""

import io
import os
import select
import sys

from spreadscan.errors import SpreadscanError

__all__ = ["OutputRefused", "is_reader_gone", "take_standard_output"]


class OutputRefused(SpreadscanError):  # noqa: N818 - named for what happened, as in errors.py
    """Standard output takes no writes."""

    def __init__(self, found: str) -> None:
        super().__init__(f"standard output: found {found}, expected to be able to write")


class _Output(io.RawIOBase):
    """A descriptor that is written to until it refuses, and then no more.

    Concurrency: one thread.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._is_over = False

    def fileno(self) -> int:  # type: ignore[explicit-override] # typing has it from 3.12
        return self._descriptor

    def isatty(self) -> bool:  # type: ignore[explicit-override]
        return os.isatty(self._descriptor)

    def writable(self) -> bool:  # type: ignore[explicit-override]
        return True

    def write(self, data: "bytes | memoryview", /) -> int:  # type: ignore[override, explicit-override]
        if self._is_over:
            return len(data)
        try:
            return self._written(data)
        except BrokenPipeError:
            self._is_over = True
            return len(data)
        except OSError as error:
            # The text that was refused must not be offered again by a flush at the end.
            self._is_over = True
            raise OutputRefused(os.strerror(error.errno or 0)) from None

    def _written(self, data: "bytes | memoryview") -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                # Whoever shares the pipe has made it one that does not wait; here nothing is lost.
                select.select([], [self._descriptor], [])


def take_standard_output() -> None:
    """Let everything that this process prints go this way from now on."""
    before = sys.stdout
    if not isinstance(before, io.TextIOWrapper):
        return
    raw = _Output(before.fileno())
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=raw.isatty(),
    )


def is_reader_gone() -> bool:
    """Tell whether nobody can read any more what this process prints."""
    poll = select.poll()
    try:
        # Errors are reported unasked: the other end of a pipe is closed, a terminal is gone.
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
