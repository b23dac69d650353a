"""The oracle of manners: what clients do to the simulated exchanges, held against their limits.

A limit is enforced where the exchange is known to enforce it (the session closes); every overrun
is recorded, whether it was forgiven or not. One ledger per source; times are handed in.
"""

from collections import deque
from typing import Any

import msgspec

__all__ = ["Ledger", "Limits", "Overrun", "SlidingCount"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one source allows; None where the exchange publishes nothing."""

    messages_per_s: float | None = None
    """Incoming data frames on one connection, in any second."""
    messages_fatal: int | None = None
    """Incoming data frames in one second that end the connection."""
    requests_per_hour: int | None = None
    """Incoming subscribe and unsubscribe frames on one connection."""
    topics_per_connection: int | None = None
    message_bytes: int | None = None
    connects: int | None = None
    """New connections per connects_window_s."""
    connects_window_s: float = 300.0


class SlidingCount:
    """Counts events in a window that ends now."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._times: deque[float] = deque()

    def add(self, now_s: float) -> int:
        """Count one event and return how many are in the window, this one included."""
        self._times.append(now_s)
        while self._times[0] <= now_s - self._window_s:
            self._times.popleft()
        return len(self._times)


class Overrun(msgspec.Struct):
    """One limit, broken at least once."""

    limit: float
    worst: float
    count: int


class Ledger:
    """What happened at one source since the start."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.connections = 0
        self.open_connections = 0
        self.messages = 0
        self.subscribes = 0
        self.most_topics = 0
        self.frames_sent = 0
        self.rest_requests = 0
        self.slow_readers = 0
        self.overruns: dict[str, Overrun] = {}
        self._connects = SlidingCount(limits.connects_window_s)

    def opened(self, now_s: float) -> None:
        """Record a new connection."""
        self.connections += 1
        self.open_connections += 1
        self.check("connects", self.limits.connects, self._connects.add(now_s))

    def closed(self) -> None:
        """Record the end of a connection."""
        self.open_connections -= 1

    def check(self, name: str, limit: float | None, found: float) -> bool:
        """Hold a value against its limit, record an overrun; return whether it was one."""
        if limit is None or found <= limit:
            return False
        entry = self.overruns.setdefault(name, Overrun(limit, found, 0))
        entry.worst = max(entry.worst, found)
        entry.count += 1
        return True

    def report(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "connections": self.connections,
            "open_connections": self.open_connections,
            "messages": self.messages,
            "subscribes": self.subscribes,
            "most_topics_on_a_connection": self.most_topics,
            "frames_sent": self.frames_sent,
            "rest_requests": self.rest_requests,
            "slow_readers": self.slow_readers,
            "overruns": {
                name: {"limit": entry.limit, "worst": entry.worst, "count": entry.count}
                for name, entry in self.overruns.items()
            },
        }
