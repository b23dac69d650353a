"""Stay below a rate that somebody else enforces. Pure."""

from collections import deque

__all__ = ["Pace"]


class Pace:
    """At most *count* events in any window of *window_s* seconds.

    Times come from the caller and must not run backwards.
    """

    def __init__(self, count: int, window_s: float) -> None:
        assert count > 0, count
        self._count = count
        self._window_s = window_s
        self._taken_s: deque[float] = deque(maxlen=count)

    def take(self, now_s: float) -> float:
        """Book the next event and return how long to wait for its turn, in seconds."""
        turn_s = now_s
        if len(self._taken_s) == self._count:
            turn_s = max(now_s, self._taken_s[0] + self._window_s)
        self._taken_s.append(turn_s)
        return turn_s - now_s
