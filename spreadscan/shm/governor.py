"""How much may still be asked of an exchange's address, shared by all processes of this host.

Each allowance is one word, the *turn*: when it would be whole again if nothing more were taken (the
theoretical arrival time of the generic cell rate algorithm). Taking moves it by one compare and
swap, so a process that is killed in the middle leaves nothing locked and nothing half done.

With a budget of N in W seconds, a burst of b and a spacing of T = W / (N - b + 1), any half-open
window of W holds at most b + floor(W / T) - 1 <= N requests: the exchange's sliding windows are
kept however they lie.
"""

import mmap
from enum import IntEnum

import msgspec

from spreadscan.kernel.memory import Mapping
from spreadscan.shm.layout import Governor

__all__ = ["Allowance", "Budget", "RequestKind", "private_words"]


class RequestKind(IntEnum):
    """What is counted apart."""

    CONNECT = 0
    MESSAGE = 1
    """Frames sent on all connections to one address together."""
    REST = 2


def private_words() -> Mapping:
    """Return words of this process alone, for a program that runs without the regions."""
    return Mapping(mmap.mmap(-1, Governor.BYTES), Governor.BYTES)


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """At most ``count`` requests in any ``window_s`` seconds."""

    count: int
    window_s: float

    @property
    def burst(self) -> int:
        """How many may go at once: half, so that the other half can follow without a gap."""
        return max(1, self.count // 2)

    @property
    def spacing_ns(self) -> int:
        """What one request moves the turn by."""
        # Rounded up: a nanosecond less, and a window could hold one too many.
        return -int(-self.window_s * 1e9 // (self.count - self.burst + 1))


class Allowance:
    """One kind of request to one address.

    Args:
        words: the governor region's, or a process's own, see `private_words`.
        row: `row_of`.
        budget: the same for all who share the row.

    Times are CLOCK_MONOTONIC. Concurrency: any number of processes.
    """

    def __init__(self, words: Mapping, row: int, budget: Budget) -> None:
        assert 0 <= row < Governor.CAPACITY, row
        self._words = words
        self._at = Governor.ROWS + row * Governor.ROW_BYTES
        self._spacing_ns = budget.spacing_ns
        self._burst_ns = budget.burst * budget.spacing_ns

    @staticmethod
    def row_of(source_id: int, kind: RequestKind) -> int:
        """Return the row of an address, known by the lowest source id that it serves."""
        return source_id * 4 + kind

    def take(self, now_ns: int, cost: int = 1) -> int:
        """Book a request and return how long to wait for its turn, in nanoseconds.

        Args:
            now_ns: the present.
            cost: how many requests it counts as.
        """
        offset = self._at + Governor.TURN_NS
        cost_ns = cost * self._spacing_ns
        while True:
            turn_ns = self._words.load_word(offset)
            granted_ns = max(now_ns, turn_ns + cost_ns - self._burst_ns, self.banned_until_ns)
            if self._words.swap_word(offset, turn_ns, max(turn_ns, granted_ns) + cost_ns):
                self._add(Governor.TAKEN, cost)
                return granted_ns - now_ns

    def ban(self, until_ns: int) -> None:
        """Let nobody ask before a time; an earlier end never shortens a later one."""
        offset = self._at + Governor.BANNED_UNTIL_NS
        while (held_ns := self._words.load_word(offset)) < until_ns:
            if self._words.swap_word(offset, held_ns, until_ns):
                self._add(Governor.BANS, 1)
                return

    @property
    def banned_until_ns(self) -> int:
        """When requests may be made again; 0 or in the past: now."""
        return self._words.load_word(self._at + Governor.BANNED_UNTIL_NS)

    @property
    def taken(self) -> int:
        """Requests granted to all processes since the regions were made."""
        return self._words.load_word(self._at + Governor.TAKEN)

    @property
    def bans(self) -> int:
        """Times that the exchange told somebody to stop."""
        return self._words.load_word(self._at + Governor.BANS)

    def _add(self, word: int, amount: int) -> None:
        offset = self._at + word
        while not self._words.swap_word(
            offset, found := self._words.load_word(offset), found + amount
        ):
            pass
