"""Whether what comes can be read at all: exchanges change their formats overnight. Pure.

A frame that cannot be read is counted and forgotten. When most of them cannot for some seconds,
it is no frame that is broken, and somebody must look: reconnecting will not help.
"""

from collections import deque

__all__ = ["Legible"]

WINDOW_NS = 5_000_000_000
# So few frames prove nothing.
ENOUGH = 10
MOST = 0.5


class Legible:
    """Watches two counters of one source."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int, int]] = deque()

    def look(self, now_ns: int, frames: int, illegible: int) -> bool:
        """Return whether most frames of the last seconds could not be read.

        Args:
            now_ns: monotonic.
            frames: that came so far.
            illegible: how many of them could not be read.
        """
        self._seen.append((now_ns, frames, illegible))
        # The newest of those that are old enough is what the present is compared with.
        while len(self._seen) > 1 and self._seen[1][0] <= now_ns - WINDOW_NS:
            self._seen.popleft()
        since_ns, frames_before, illegible_before = self._seen[0]
        came = frames - frames_before
        return (
            now_ns - since_ns >= WINDOW_NS
            and came >= ENOUGH
            and illegible - illegible_before > MOST * came
        )
