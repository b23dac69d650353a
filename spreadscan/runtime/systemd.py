"""What a process tells systemd: ready, alive, how it is, stopping. Nothing where nobody listens.

sd_notify(3) by ``sdnotify``; the watchdog's interval is systemd's word (sd_watchdog_enabled(3)).
"""

import os
from collections.abc import Mapping

import sdnotify

__all__ = ["Systemd"]

# Fed this often within one watchdog interval, so that a busy machine misses none.
FEEDS_PER_WATCHDOG = 4


class Systemd:
    """The way to the service manager.

    Args:
        environment: holds NOTIFY_SOCKET and, where there is a watchdog, its interval.

    Concurrency: one thread.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._notifier = sdnotify.SystemdNotifier()
        self._interval_ns = _watchdog_ns(environment) // FEEDS_PER_WATCHDOG
        self._due_ns = 0

    def ready(self, status: str) -> None:
        """Say that useful work has begun."""
        self._notifier.notify(f"READY=1\nSTATUS={_line(status)}")

    def status(self, status: str) -> None:
        """Say how it is."""
        self._notifier.notify(f"STATUS={_line(status)}")

    def feed_watchdog(self, now_ns: int) -> bool:
        """Say that work went on, when it is due to be said; False when it was not.

        Args:
            now_ns: CLOCK_MONOTONIC.
        """
        if self._interval_ns == 0 or now_ns < self._due_ns:
            return False
        self._due_ns = now_ns + self._interval_ns
        self._notifier.notify("WATCHDOG=1")
        return True

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._notifier.notify("STOPPING=1")


def _watchdog_ns(environment: Mapping[str, str]) -> int:
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0
    try:
        return int(environment.get("WATCHDOG_USEC", "0")) * 1000
    except ValueError:
        return 0


def _line(text: str) -> str:
    # A line break would begin another assignment.
    return text.replace("\n", " ")
