"""How long to wait before the next try to connect. Pure."""

from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Immediate first retry, then doubling to a cap with full jitter.

    Full jitter (a uniform draw from zero to the bound) spreads connections that were cut together.

    Args:
        base_s: bound of the second retry.
        cap_s: bound of any retry.
        random: draws uniformly from [0, 1).
    """

    def __init__(self, base_s: float, cap_s: float, random: Callable[[], float]) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._random = random
        self.failures = 0

    def next_delay_s(self) -> float:
        """Count a failure and return how long to wait, 0 to cap_s."""
        self.failures += 1
        if self.failures == 1:
            return 0.0
        # 2 ** 64 is beyond any cap; the exponent is bounded so that the float never overflows.
        bound_s = min(self._cap_s, self._base_s * 2.0 ** min(self.failures - 2, 64))
        return bound_s * self._random()

    def reset(self) -> None:
        """Start anew: call it once data has flowed, not when a socket merely opened."""
        self.failures = 0
