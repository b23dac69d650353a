"""Whether a connection on which nothing comes still answers. Pure.

A stream that is silent may be a quiet one; a socket that does not answer is dead, and to tell that
needs neither a usual rate of quotes nor REST. It is asked once nothing at all came for a while, and
is dead when nothing came for longer, unless nobody knows yet that the exchange answers.
"""

from enum import IntEnum

__all__ = ["LOOK_S", "SignOfLife", "Step"]

LOOK_S = 0.5
"""How often to look."""
# Looks that come later than this tell of a pause of ours: what came meanwhile is still unread.
LATE_S = 3 * LOOK_S


class Step(IntEnum):
    """What is to be done now."""

    WAIT = 0
    ASK = 1
    GIVE_UP = 2


class SignOfLife:
    """Watches one connection; times are monotonic seconds.

    Args:
        now_s: the beginning.
        ask_after_s: it is asked when nothing came for this long.
        dead_after_s: it is dead when nothing came for this long, and it was asked.
    """

    def __init__(self, now_s: float, ask_after_s: float, dead_after_s: float) -> None:
        self._ask_after_s = ask_after_s
        self._dead_after_s = dead_after_s
        self._looked_s = self._awake_s = now_s
        self._asked_s = 0.0

    def look(self, now_s: float, last_frame_s: float, *, is_answering: bool) -> Step:
        """Return what to do; call it every ``LOOK_S``.

        Args:
            now_s: the present.
            last_frame_s: when anything came last.
            is_answering: the exchange is known to answer.
        """
        if now_s - self._looked_s > LATE_S:
            self._awake_s = now_s
        self._looked_s = now_s
        since_s = max(last_frame_s, self._awake_s)
        if now_s - since_s < self._ask_after_s:
            return Step.WAIT
        if self._asked_s <= since_s:
            return Step.ASK
        is_dead = is_answering and now_s - since_s >= self._dead_after_s
        # The question may have had to wait for its turn.
        has_had_time = now_s - self._asked_s >= self._dead_after_s - self._ask_after_s - LATE_S
        return Step.GIVE_UP if is_dead and has_had_time else Step.WAIT

    def asked(self, now_s: float) -> None:
        """Note that the question was sent; that nobody looked while it waited is no pause."""
        self._asked_s = self._looked_s = now_s
