"""The real tracker process on a wall clock that the test shifts while it runs.

Every duration stays on CLOCK_MONOTONIC, as in life; what is shifted are days.
"""

import mmap
import os
import sys
from pathlib import Path

from spreadscan.runtime import process
from spreadscan.runtime.clock import SystemClock
from spreadscan.tracker.process import main

SHIFT_VARIABLE = "WALL_SHIFT_FILE"


class WallShift:
    """Eight bytes that two processes share: nanoseconds added to the wall clock."""

    def __init__(self, file):
        with Path(file).open("r+b") as shared:
            self._word = memoryview(mmap.mmap(shared.fileno(), 8)).cast("q")

    @classmethod
    def made(cls, file):
        file.write_bytes(bytes(8))
        return cls(file)

    @property
    def ns(self):
        return self._word[0]

    @ns.setter
    def ns(self, value):
        self._word[0] = value


class ShiftedClock(SystemClock):
    def __init__(self):
        self._shift = WallShift(os.environ[SHIFT_VARIABLE])

    def wall_ns(self):
        return super().wall_ns() + self._shift.ns


if __name__ == "__main__":
    process.SystemClock = ShiftedClock
    sys.exit(process.run("spread-tracker", main, sys.argv[1:]))
