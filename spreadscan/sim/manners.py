"""The oracle of manners: what clients do to the simulated exchanges, held against their limits.

A limit is enforced where the exchange is known to enforce it (the session closes, the request or
the handshake is refused); every overrun is recorded, whether it was forgiven or not. One ledger per
source; times are handed in.
"""

import math
from collections import deque
from typing import Any

import msgspec

__all__ = ["Ledger", "Limits", "Overrun", "OverrunEvent", "SlidingCount"]

# From a client's decision to what it hears in answer, on a busy machine too.
UNDER_WAY_S = 0.3
# A client that floods for hours is told apart by the counts; the list stays readable.
MAX_EVENTS = 1000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one source allows; None where the exchange publishes nothing."""

    messages_per_s: float | None = None
    """Incoming frames on one connection, in any second."""
    counts_control_frames: bool = False
    """Whether WebSocket pings and pongs are among them."""
    messages_fatal: int | None = None
    """Incoming frames in one second that end the connection."""
    requests_per_hour: int | None = None
    """Incoming subscribe and unsubscribe frames on one connection."""
    topics_per_connection: int | None = None
    topics_per_request: int | None = None
    topic_bytes_per_connection: int | None = None
    """Characters of all topics that a connection holds."""
    message_bytes: int | None = None
    connects: int | None = None
    """Handshakes per connects_window_s, at one address."""
    connects_window_s: float = 300.0
    connects_status: int = 429
    """What a handshake beyond that is refused with."""
    rest_weight: int | None = None
    """Weight of all REST requests per rest_window_s; a request weighs what its endpoint says."""
    rest_per_path: bool = False
    """Whether every path has a window of its own."""
    rest_window_s: float = 60.0
    rest_status: int = 429
    """What a request beyond that is refused with."""
    lifetime_s: float | None = None
    """After this long a connection is closed, whatever it does."""


class SlidingCount:
    """Counts events, each with its weight, in a window that ends now."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._events: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, now_s: float, weight: int = 1) -> int:
        """Count one event and return the weight of all in the window, this one included."""
        self._events.append((now_s, weight))
        self._sum += weight
        while self._events[0][0] <= now_s - self._window_s:
            self._sum -= self._events.popleft()[1]
        return self._sum


class Overrun(msgspec.Struct):
    """One limit, broken at least once."""

    limit: float
    worst: float
    count: int


class OverrunEvent(msgspec.Struct, frozen=True):
    """One time that a limit was broken."""

    limit: str
    found: float
    allowed: float
    at_s: float
    """Seconds since the simulator began."""


class Ledger:
    """What happened at one source since the start.

    Args:
        limits: of the source.
        connects: the window of handshakes; handed in where sources share an address.
        started_s: monotonic time at which the simulator began.
    """

    def __init__(
        self, limits: Limits, connects: SlidingCount | None = None, started_s: float = 0.0
    ) -> None:
        self.limits = limits
        self.connections = 0
        self.open_connections = 0
        self.refused_connects = 0
        self.messages = 0
        self.subscribes = 0
        self.most_topics = 0
        self.frames_sent = 0
        self.rest_requests = 0
        self.refused_rest_requests = 0
        self.slow_readers = 0
        self.overruns: dict[str, Overrun] = {}
        self.events: list[OverrunEvent] = []
        self._started_s = started_s
        self._connects = connects or SlidingCount(limits.connects_window_s)
        self._rest: dict[str, SlidingCount] = {}
        self._asked: dict[str, SlidingCount] = {}
        # When clients of a door were told to stay away, and until when.
        self._banned_s: dict[str, tuple[float, float]] = {}

    def admits_connect(self, now_s: float) -> bool:
        """Count a handshake and return whether the limit lets it in."""
        found = self._connects.add(now_s)
        is_admitted = not self.check("connects", self.limits.connects, found, now_s)
        self.refused_connects += not is_admitted
        return is_admitted

    def admits_request(
        self,
        now_s: float,
        path: str = "",
        weight: int = 1,
        of_path: tuple[int, float] | None = None,
    ) -> bool:
        """Count a REST request and return whether the limits let it in; refused ones weigh too.

        Args:
            now_s: monotonic.
            path: what is asked; "" for what nobody serves.
            weight: of the budget that the source has, or each of its paths.
            of_path: requests and seconds, where the path has a limit of its own.
        """
        self.rest_requests += 1
        pool = path if self.limits.rest_per_path else ""
        window = self._rest.setdefault(pool, SlidingCount(self.limits.rest_window_s))
        found = window.add(now_s, weight)
        is_admitted = not self.check("rest_weight", self.limits.rest_weight, found, now_s)
        if of_path is not None:
            requests, seconds = of_path
            asked = self._asked.setdefault(path, SlidingCount(seconds)).add(now_s)
            is_admitted &= not self.check("rest_requests", requests, asked, now_s)
        self.refused_rest_requests += not is_admitted
        return is_admitted

    def turned_away(self, door: str, retry_after_s: float, now_s: float) -> None:
        """Record that a client was told to stay away; coming back earlier is an overrun.

        Not what was under way when it was told: of requests that were made together each one that
        comes hears it.

        Args:
            door: ``rest`` or ``websocket``: clients of one do not hear what the other is told.
            retry_after_s: what the client is told.
            now_s: monotonic.
        """
        told_s, until_s = self._banned_s.get(door, (-math.inf, -math.inf))
        if now_s >= until_s:
            self._banned_s[door] = now_s, now_s + retry_after_s
        elif now_s >= told_s + UNDER_WAY_S:
            self.check(f"{door}_while_banned_s", 0.0, round(until_s - now_s, 3), now_s)

    def opened(self) -> None:
        """Record a new connection."""
        self.connections += 1
        self.open_connections += 1

    def closed(self) -> None:
        """Record the end of a connection."""
        self.open_connections -= 1

    def check(self, name: str, limit: float | None, found: float, now_s: float) -> bool:
        """Hold a value against its limit, record an overrun; return whether it was one."""
        if limit is None or found <= limit:
            return False
        entry = self.overruns.setdefault(name, Overrun(limit, found, 0))
        entry.worst = max(entry.worst, found)
        entry.count += 1
        if len(self.events) < MAX_EVENTS:
            at_s = round(now_s - self._started_s, 3)
            self.events.append(OverrunEvent(name, found, limit, at_s))
        return True

    def report(self) -> dict[str, Any]:
        """Return everything but the single events as plain values for JSON."""
        return {
            "connections": self.connections,
            "open_connections": self.open_connections,
            "refused_connects": self.refused_connects,
            "messages": self.messages,
            "subscribes": self.subscribes,
            "most_topics_on_a_connection": self.most_topics,
            "frames_sent": self.frames_sent,
            "rest_requests": self.rest_requests,
            "refused_rest_requests": self.refused_rest_requests,
            "slow_readers": self.slow_readers,
            "overruns": {
                name: {"limit": entry.limit, "worst": entry.worst, "count": entry.count}
                for name, entry in self.overruns.items()
            },
        }
