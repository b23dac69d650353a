"""How much may still be asked of an exchange's address, shared by all processes of this host.

Each allowance is one word, the *turn*: when it would be whole again if nothing more were taken (the
theoretical arrival time of the generic cell rate algorithm). Taking moves it by one compare and
swap, so a process that is killed in the middle leaves nothing locked and nothing half done.

With a budget of N in W seconds, a burst of b and a spacing of T = W / (N - b + 1), any half-open
window of W holds at most b + floor(W / T) - 1 <= N requests: the exchange's sliding windows are
kept however they lie.

That counts from when a request is sent. A connect takes long and is counted by the exchange at any
moment of it, so connects have turns instead, see `Turns` and ADR 0010.
"""

import math
import mmap
from enum import IntEnum
from typing import NamedTuple

import msgspec

from spreadscan.kernel.memory import Mapping
from spreadscan.shm.layout import Governor

__all__ = ["Allowance", "Budget", "RequestKind", "Row", "Turn", "Turns", "private_words"]

TURN_WORDS = (Governor.ROW_BYTES - Governor.TURNS) // 8
# BANS is the lower half of its word, BANS_IN_A_ROW the upper one: both change at once.
assert Governor.BANS_IN_A_ROW == Governor.BANS + 4
ONE_IN_A_ROW = 1 << 32
COUNT_MASK = ONE_IN_A_ROW - 1


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


class Row:
    """What is common to all that is counted: the ban, and what happened.

    Args:
        words: the governor region's, or a process's own, see `private_words`.
        row: `row_of`.

    Times are CLOCK_MONOTONIC. Concurrency: any number of processes.
    """

    def __init__(self, words: Mapping, row: int) -> None:
        assert 0 <= row < Governor.CAPACITY, row
        self._words = words
        self._at = Governor.ROWS + row * Governor.ROW_BYTES

    @staticmethod
    def row_of(source_id: int, kind: RequestKind) -> int:
        """Return the row of an address, known by the lowest source id that it serves."""
        return source_id * 4 + kind

    def ban(self, now_ns: int, until_ns: int) -> None:
        """Let nobody ask before a time; an earlier end never shortens a later one.

        One that comes while another holds is the same, told to somebody who was on the way: it is
        no further one in a row.
        """
        offset = self._at + Governor.BANNED_UNTIL_NS
        while (held_ns := self._words.load_word(offset)) < until_ns:
            if self._words.swap_word(offset, held_ns, until_ns):
                self._add(Governor.BANS, 1 if now_ns < held_ns else 1 + ONE_IN_A_ROW)
                return

    def forgive(self) -> bool:
        """Let the next ban be the first in a row: the exchange let somebody in.

        Returns whether it was not so before.
        """
        offset = self._at + Governor.BANS
        while (found := self._words.load_word(offset)) > COUNT_MASK:
            if self._words.swap_word(offset, found, found & COUNT_MASK):
                return True
        return False

    def restore(self, until_ns: int, in_a_row: int) -> None:
        """Let a ban hold that these words have forgotten; what they know of a longer one stays.

        It was counted when it came, and is not counted anew.
        """
        offset = self._at + Governor.BANNED_UNTIL_NS
        while (held_ns := self._words.load_word(offset)) < until_ns:
            if self._words.swap_word(offset, held_ns, until_ns):
                break
        offset = self._at + Governor.BANS
        while (found := self._words.load_word(offset)) // ONE_IN_A_ROW < in_a_row:
            row = in_a_row * ONE_IN_A_ROW + (found & COUNT_MASK)
            if self._words.swap_word(offset, found, row):
                break

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
        return self._words.load_word(self._at + Governor.BANS) & COUNT_MASK

    @property
    def bans_in_a_row(self) -> int:
        """Bans, whoever was told, since the exchange last let somebody in."""
        return self._words.load_word(self._at + Governor.BANS) // ONE_IN_A_ROW

    def _add(self, word: int, amount: int) -> None:
        offset = self._at + word
        while not self._words.swap_word(
            offset, found := self._words.load_word(offset), found + amount
        ):
            pass


class Allowance(Row):
    """One kind of request to one address.

    Args:
        words: see `Row`.
        row: see `Row`.
        budget: the same for all who share the row.
    """

    def __init__(self, words: Mapping, row: int, budget: Budget) -> None:
        super().__init__(words, row)
        self._spacing_ns = budget.spacing_ns
        self._burst_ns = budget.burst * budget.spacing_ns

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


class Turn(NamedTuple):
    """A turn that was taken."""

    offset: int | None
    """Of its word; None where it has none and needs not be given back."""
    until_ns: int
    """When its word is free again if nobody gives it back."""


class Turns(Row):
    """Turns at a door, for requests that are counted at an unknown moment between begin and end.

    A small budget has a word for each of its N requests. One that is given back is free again a
    window after, so that two uses of it are counted at least a window apart, wherever in each of
    them the exchange counts; one that is never given back, because its process was killed, is free
    a window after the longest that its request could have lasted.

    For a larger budget that longest time is added to the window instead: what an exchange counts
    within W was granted within W and that time.

    Args:
        words: see `Row`.
        row: see `Row`.
        budget: the same for all who share the row.
        longest_s: a request is given up after this long; the same for all, too.
    """

    def __init__(self, words: Mapping, row: int, budget: Budget, longest_s: float) -> None:
        super().__init__(words, row)
        first = self._at + Governor.TURNS
        self._offsets = (
            range(first, first + 8 * budget.count, 8) if budget.count <= TURN_WORDS else range(0)
        )
        # Rounded up: a nanosecond less, and a window could hold one too many.
        self._window_ns = math.ceil(budget.window_s * 1e9)
        self._longest_ns = math.ceil(longest_s * 1e9)
        even = Budget(count=budget.count, window_s=budget.window_s + longest_s)
        self._spacing_ns = even.spacing_ns
        self._burst_ns = even.burst * even.spacing_ns

    def take(self, now_ns: int) -> Turn | None:
        """Take a turn; None while there is none, or nobody may ask.

        Whoever gets one begins at once and gives it back at the end.
        """
        if now_ns < self.banned_until_ns:
            return None
        turn = self._with_word(now_ns) if self._offsets else self._without(now_ns)
        if turn is not None:
            self._add(Governor.TAKEN, 1)
        return turn

    def give_back(self, turn: Turn, now_ns: int) -> None:
        """End a request, however it went; a turn whose time is over is somebody else's by now."""
        if turn.offset is not None:
            self._words.swap_word(turn.offset, turn.until_ns, now_ns + self._window_ns)

    def free_ns(self, now_ns: int) -> int:
        """Return how long until there is a turn at the latest, if nobody else takes it."""
        if self._offsets:
            free_ns = min(map(self._words.load_word, self._offsets))
        else:
            free_ns = self._words.load_word(self._at + Governor.TURN_NS)
            free_ns += self._spacing_ns - self._burst_ns
        return max(0, free_ns - now_ns, self.banned_until_ns - now_ns)

    def _with_word(self, now_ns: int) -> Turn | None:
        until_ns = now_ns + self._longest_ns + self._window_ns
        for offset in self._offsets:
            held_ns = self._words.load_word(offset)
            if held_ns <= now_ns and self._words.swap_word(offset, held_ns, until_ns):
                return Turn(offset, until_ns)
        return None

    def _without(self, now_ns: int) -> Turn | None:
        offset = self._at + Governor.TURN_NS
        while (
            turn_ns := self._words.load_word(offset)
        ) + self._spacing_ns - self._burst_ns <= now_ns:
            next_ns = max(turn_ns, now_ns) + self._spacing_ns
            if self._words.swap_word(offset, turn_ns, next_ns):
                return Turn(None, next_ns)
        return None
