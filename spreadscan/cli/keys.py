"""Keys of a terminal, one at a time and without waiting."""

import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Any, Self

__all__ = ["Keys"]

# What arrow keys and others send (console_codes(4), xterm's application mode too).
NAMES = {
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"\x1b": "escape",
    b"\r": "enter",
    b"\n": "enter",
    b"\x7f": "backspace",
    b"\x08": "backspace",
}


class Keys:
    """Standard input, a key at a time while this is entered.

    Concurrency: one thread.
    """

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno()
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._descriptor)
        tty.setcbreak(self._descriptor)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def within(self, seconds: float) -> str | None:
        """Return the next key: a character, or a name such as "up"; None when none came in time."""
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, seconds))
        if not ready:
            return None
        data = os.read(self._descriptor, 1)
        if not data:
            return "escape"
        if data == b"\x1b":
            # The rest of a sequence comes with its beginning; a lone escape has none.
            while len(data) < 3 and select.select([self._descriptor], [], [], 0.01)[0]:
                data += os.read(self._descriptor, 1)
        return NAMES.get(data) or data.decode(errors="ignore") or None
