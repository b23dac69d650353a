"""How often quotes usually come, and how long a pause means that they stopped. Pure.

Time is cut into turns; what counts is the share of turns in which something came, not how much: the
burst of snapshots after a subscription weighs no more than the turns it takes. Where a share p of
the turns has quotes, n empty ones in a row have a chance of (1 - p) ** n. A pause of twenty mean
ones has a chance of e ** -20, whatever the rate; that is the limit of those who are not busy.

The busy have a fixed one, far above what the chance says: what they quote comes in bursts, and a
lost packet holds everything behind it back until it is sent again, for 3 to 6 s when several are.
"""

import math

__all__ = ["Rhythm"]

MEAN_PAUSES = 20.0
MEMORY_TURNS = 120.0
# Turns without a quote that are taken for granted: one who is known little is given more time.
PRIOR_TURNS = 10.0
BUSY_SHARE = 0.6


class Rhythm:
    """The usual pauses of a connection, or of a source.

    Args:
        turn_s: length of a turn; ``count`` is called once in each.
        limit_s: how long a pause the busy are allowed.
        quiet_s: a usual limit beyond this tells nothing any more.
    """

    def __init__(self, turn_s: float, limit_s: float, quiet_s: float) -> None:
        self._turn_s = turn_s
        self._limit_s = limit_s
        self._quiet_s = quiet_s
        self._turns = 0.0
        self._with_quotes = 0.0
        self._empty = 0

    def count(self, *, has_quotes: bool) -> None:
        """Note one more turn."""
        if not has_quotes:
            # Counted when the pause is over: one that never ends must not stretch its own limit.
            self._empty += 1
            return
        fading = math.exp(-(self._empty + 1) / MEMORY_TURNS)
        self._turns = self._turns * fading + min(self._empty + 1, MEMORY_TURNS)
        self._with_quotes = self._with_quotes * fading + 1
        self._empty = 0

    def begin(self) -> None:
        """Forget a pause that has another cause: the connection was gone, or we were."""
        self._empty = 0

    def accept(self) -> None:
        """Count a pause that was taken for an end: it may have been a usual one."""
        self._turns = self._turns * math.exp(-self._empty / MEMORY_TURNS) + self._empty
        self._with_quotes *= math.exp(-self._empty / MEMORY_TURNS)
        self._empty = 0

    @property
    def is_known(self) -> bool:
        """Whether anything ever came."""
        return self._turns > 0

    @property
    def longest_pause_s(self) -> float | None:
        """Return how long a pause may be; None where quotes are too rare to tell by them."""
        share = self._with_quotes / (self._turns + PRIOR_TURNS)
        if share == 0:
            return None
        if share >= BUSY_SHARE:
            return self._limit_s
        usual_s = max(-MEAN_PAUSES * self._turn_s / math.log1p(-share), self._limit_s)
        return usual_s if usual_s <= self._quiet_s else None
