"""Which of the operator's kills the tracker has followed.

A kill may be lifted before anybody looked: between two turns of the loop, or while no tracker ran.
What was open ended by it all the same, so kills are counted, and the ledger keeps the number.
"""

from spreadscan.runtime.process import Context
from spreadscan.tracker.store import KillsFollowed

__all__ = ["KillWatch"]


class KillWatch:
    """Tells of every kill once.

    Args:
        context: whose control block.
        followed: by the trackers before this one; None when nobody wrote that down.

    Concurrency: none; it belongs to the tracker's loop.
    """

    def __init__(self, context: Context, followed: KillsFollowed | None) -> None:
        self._context = context
        created_ns = context.regions.control.created_ns
        number = context.control.kills
        if followed is not None:
            # Of a new control block nobody has followed any.
            number = followed.number if followed.control_created_ns == created_ns else 0
        self.followed = KillsFollowed(created_ns, number)

    def follow(self) -> bool:
        """Tell whether there was a kill since the last call."""
        number = self._context.control.kills
        is_news = number != self.followed.number
        self.followed = self.followed._replace(number=number)
        return is_news
