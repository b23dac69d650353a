"""How fast one connection may speak: by second, by hour, and with all others to its address."""

import asyncio

from spreadscan.config import MarketConfig
from spreadscan.exchanges._adapter import Limits
from spreadscan.manners.pace import Pace
from spreadscan.runtime.clock import Clock
from spreadscan.shm.governor import Allowance

__all__ = ["MessagePace"]

HOUR_S = 3600.0
HOURLY_SHARE = 0.9
"""How much of an exchange's hourly budget is used: its hour and ours do not begin together."""


class MessagePace:
    """The pace of one connection; a new connection has a new one.

    Args:
        market: the operating limits.
        limits: the exchange's own; of them the hourly one is kept here.
        address: shared with all connections to the address.
        clock: monotonic.

    Messages go evenly, not in bursts: two bursts that the network pushes together are twice the
    rate. Concurrency: one event loop; first come, first served.
    """

    def __init__(
        self, market: MarketConfig, limits: Limits, address: Allowance, clock: Clock
    ) -> None:
        self._per_s = market.messages_per_s
        self._by_second = Pace(1, 1 / market.messages_per_s)
        limit = limits.requests_per_hour
        self._hourly = max(1, int(limit * HOURLY_SHARE)) if limit else None
        self._by_hour = Pace(self._hourly, HOUR_S) if self._hourly else None
        self._address = address
        self._clock = clock
        self._queue = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until one more message may be sent; send it without waiting again."""
        async with self._queue:
            await asyncio.sleep(self._address.take(self._clock.monotonic_ns()) / 1e9)
            # Last, and booked at the moment it is sent: this one is what exchanges enforce.
            await asyncio.sleep(self._by_second.take(self._now_s()))

    async def request_turn(self) -> None:
        """Do the same for a request to subscribe or unsubscribe, which some count by the hour.

        Heartbeats do not wait behind the hour.
        """
        if self._by_hour:
            await asyncio.sleep(self._by_hour.take(self._now_s()))
        await self.turn()

    def duration_s(self, requests: int) -> float:
        """Return about how long so many requests take."""
        seconds = requests / self._per_s
        return seconds + (requests // self._hourly * HOUR_S if self._hourly else 0.0)

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
