"""The ways to one address: for connects, for REST. Whoever is told to stay away stays away.

A ban stands in the shared words, so that it holds for every process of the host at once, and so
does how many there were in a row: the next one is longer, whoever is told. A ban is looked at after
every wait: also who was in the queue when it came does not go.
"""

import asyncio
import math

from spreadscan.manners.bans import ban_s
from spreadscan.manners.kept_bans import KeptBan
from spreadscan.runtime.clock import Clock
from spreadscan.shm.governor import Allowance, Row, Turn, Turns

__all__ = ["ConnectGate", "RestGate"]

POLL_S = 0.05
"""Turns are given back by other processes, which wake nobody here."""


class _Gate:
    def __init__(self, row: Row, clock: Clock, kept: KeptBan | None) -> None:
        self._row = row
        self._clock = clock
        self._kept = kept

    @property
    def banned_s(self) -> float:
        """Return for how long nobody may ask."""
        return max(0.0, (self._row.banned_until_ns - self._clock.monotonic_ns()) / 1e9)

    def refused(self, status: int, retry_after: str) -> float | None:
        """Stay away as long as an answer says; return for how long, None where it forbids nothing.

        Args:
            status: of the HTTP answer.
            retry_after: that header, ``""`` when it is missing.
        """
        now_ns = self._clock.monotonic_ns()
        # Who was on the way when another one was banned hears of the same ban.
        is_same = now_ns < self._row.banned_until_ns
        seconds = ban_s(status, retry_after, max(0, self._row.bans_in_a_row - is_same))
        if seconds is not None:
            self._row.ban(now_ns, now_ns + math.ceil(seconds * 1e9))
            if self._kept:
                self._kept.keep()
        return seconds

    def admitted(self) -> None:
        """Note that the exchange let somebody in: the next ban is a first one.

        Not while a ban holds: who is let in then had asked before it.
        """
        if self.banned_s == 0 and self._row.forgive() and self._kept:
            self._kept.forget()

    async def _is_allowed_within(self, patience_s: float) -> bool:
        """Wait for the end of a ban; return False at once when it is further away than that."""
        while (left_s := self.banned_s) > 0:
            if left_s > patience_s:
                return False
            await asyncio.sleep(left_s)
        return True


class ConnectGate(_Gate):
    """Whose turn it is to connect.

    Args:
        turns: of the address.
        clock: monotonic.
        kept: where its bans outlive the shared words; None for nowhere.

    Concurrency: one event loop; first come, first served within it.
    """

    def __init__(self, turns: Turns, clock: Clock, kept: KeptBan | None = None) -> None:
        super().__init__(turns, clock, kept)
        self._turns = turns
        self._queue = asyncio.Lock()

    async def turn(self, patience_s: float = math.inf) -> Turn | None:
        """Wait until one more connection may be opened; None when a ban lasts too long.

        Whoever gets a turn begins at once, is done or gives up within the longest time that the
        turns allow for, and gives it back.

        Args:
            patience_s: no ban longer than this is waited for.
        """
        async with self._queue:
            while await self._is_allowed_within(patience_s):
                now_ns = self._clock.monotonic_ns()
                turn = self._turns.take(now_ns)
                if turn is not None:
                    return turn
                await asyncio.sleep(min(self._turns.free_ns(now_ns) / 1e9, POLL_S))
        return None

    def give_back(self, turn: Turn) -> None:
        """End an attempt, however it went: the exchange has counted it by now, or never will."""
        self._turns.give_back(turn, self._clock.monotonic_ns())


class RestGate(_Gate):
    """Whose turn it is to ask over REST.

    Args:
        allowance: of the address.
        clock: monotonic.
        kept: where its bans outlive the shared words; None for nowhere.

    Concurrency: one event loop.
    """

    def __init__(self, allowance: Allowance, clock: Clock, kept: KeptBan | None = None) -> None:
        super().__init__(allowance, clock, kept)
        self._allowance = allowance

    async def turn(self, patience_s: float = math.inf) -> bool:
        """Wait until one more request may be made; False when a ban lasts too long.

        Args:
            patience_s: no ban longer than this is waited for.
        """
        while await self._is_allowed_within(patience_s):
            await asyncio.sleep(self._allowance.take(self._clock.monotonic_ns()) / 1e9)
            if self.banned_s == 0:
                return True
        return False
