"""Which connections have been behind for too long to catch up. Pure.

A backlog that lasts is measured against itself in the end: after a minute its frames look timely.
A new connection begins with nothing to catch up on. But where the exchange's clock is what is
wrong, new connections look late too, so there is a pause between two such ends.
"""

from collections.abc import Iterable

__all__ = ["Backlog"]

PATIENCE_NS = 10_000_000_000
# Where all are behind it may be the exchange's clock: two half-windows of the lag's own measure, by
# then it has found that clock anew. Where one is timely the clock is right, and those that are not
# must be gone within such a half-window.
PAUSE_NS = 120_000_000_000
SHORT_PAUSE_NS = 5_000_000_000


class Backlog:
    """How long each connection of a source has been behind."""

    def __init__(self) -> None:
        self._since_ns: dict[int, int] = {}
        self._not_before_ns = 0

    def look(self, now_ns: int, behind: Iterable[int], *, are_all: bool) -> int | None:
        """Return the connection to be ended now, None for none.

        Args:
            now_ns: the present.
            behind: the connections that are behind now, by any number of theirs.
            are_all: whether these are all that the source has.
        """
        self._since_ns = {number: self._since_ns.get(number, now_ns) for number in behind}
        if not self._since_ns or now_ns < self._not_before_ns:
            return None
        number, since_ns = min(self._since_ns.items(), key=lambda item: item[1])
        if now_ns - since_ns < PATIENCE_NS:
            return None
        self._not_before_ns = now_ns + (PAUSE_NS if are_all else SHORT_PAUSE_NS)
        return number
