"""The only place where the time is read; everything else is handed a clock."""

import time
from pathlib import Path
from typing import Protocol

from spreadscan.kernel.memory import monotonic_ns

__all__ = ["Clock", "SystemClock", "boot_id"]

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Two clocks: one for ages, one to show."""

    def monotonic_ns(self) -> int:
        """Return CLOCK_MONOTONIC, the clock of every age and duration."""
        ...

    def wall_ns(self) -> int:
        """Return Unix time; it may jump, so nothing is measured with it."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic_ns(self) -> int:
        """Return CLOCK_MONOTONIC in nanoseconds."""
        return monotonic_ns()

    def wall_ns(self) -> int:
        """Return Unix time in nanoseconds."""
        return time.time_ns()


def boot_id() -> str:
    """Return which boot of the machine the monotonic clock counts from."""
    return BOOT_ID_FILE.read_text(encoding="ascii").strip()
