"""The terminal a command was started from, and what to do when it goes away.

SIGHUP has two meanings: the terminal is gone, and "read your files again". The kernel takes the
controlling terminal away from a session whose terminal hangs up, so that ``/dev/tty`` tells which.
"""

import errno
import os

__all__ = ["Terminal", "is_hang_up"]

STANDARD_STREAMS = (0, 1, 2)


class Terminal:
    """What the process had of a terminal when this was made.

    Concurrency: one thread.
    """

    def __init__(self) -> None:
        self.is_controlling = _has_controlling_terminal()
        """Whether a SIGHUP may mean that it is gone."""
        self._streams = [stream for stream in STANDARD_STREAMS if os.isatty(stream)]

    @property
    def is_gone(self) -> bool:
        """Whether the controlling terminal that was there is not there any more."""
        return self.is_controlling and not _has_controlling_terminal()

    def let_go(self) -> None:
        """Send to nowhere what is still written to it: each write would be an error from now on."""
        if not self._streams:
            return
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for stream in self._streams:
            os.dup2(nowhere, stream)
        os.close(nowhere)
        self._streams = []


def is_hang_up(error: OSError) -> bool:
    """Tell whether a write failed because its terminal is gone (tty_ioctl(4), EIO)."""
    return error.errno == errno.EIO


def _has_controlling_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        # ENXIO: the session has none.
        return False
    return True
