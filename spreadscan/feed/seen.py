"""What the monitor of silence is shown, turn by turn, and the limits it judges by. Pure.

Times are monotonic nanoseconds, 0 for "not yet"; symbols are in the exchange's spelling.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import msgspec

__all__ = [
    "SUSPECT_SHARE",
    "Book",
    "ConnectionSeen",
    "Seen",
    "SilenceLimits",
    "SpotAnswer",
    "SymbolSeen",
]

# REST is asked often enough after it to find what a stall hides before connection_s is over.
SUSPECT_SHARE = 3 / 8
# An answer that agrees holds until the next one could have come and settled, and no longer: where
# REST falls silent too, a stall must still be noticed in time.
EXCUSE_SHARE = 3 / 4

Book = tuple[float, float]
"""Best bid and best ask."""

# A promised repetition may be late, by the network's doing and by ours.
REPEATS_MISSED = 2.5


class SilenceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long each level may be silent."""

    turn_s: float
    symbol_s: float
    repeats_every_s: float | None
    connection_s: float
    quiet_s: float
    """Connections whose usual pauses would allow for more are not judged by their quotes."""
    source_s: float
    exchange_s: float
    first_data_s: float
    rest_lag_s: float = 4.0
    """How old a REST answer may be when it is given: some are made anew only every 3 to 4 s."""
    settle_s: float = 1.0
    """How much later than REST a stream may tell the same."""
    max_jump: float
    """A price that REST contradicts by a larger share is not believed any more."""

    @property
    def repeat_s(self) -> float | None:
        """Return how long a symbol of a repeating source may be silent."""
        if self.repeats_every_s is None:
            return None
        return max(REPEATS_MISSED * self.repeats_every_s, self.symbol_s / 4)

    @property
    def suspect_s(self) -> float:
        """Return how long a connection may be silent before REST is asked what it misses."""
        return self.connection_s * SUSPECT_SHARE

    @property
    def excuse_s(self) -> float:
        """Return for how long a silent connection is excused by an answer, since it was asked."""
        return self.connection_s * EXCUSE_SHARE

    @property
    def doubt_s(self) -> float:
        """Return how long a usable symbol may be silent before anything is asked about it."""
        return min(self.symbol_s, self.repeat_s or self.symbol_s)


class SymbolSeen(NamedTuple):
    """One symbol of a connection."""

    symbol: str
    subscribed_ns: int
    """When it was asked for on the present connection; 0 also where it was refused."""
    last_ns: int
    """When its last quote came, on whatever connection."""
    is_usable: bool


class ConnectionSeen(NamedTuple):
    """One connection; it has symbols, or it would not be there."""

    number: int
    """The same in all its lives."""
    opened_ns: int
    """Beginning of its present life; 0 while there is none."""
    last_quote_ns: int
    """In its present life."""
    asked_ns: int
    """Since when something is asked for on it; its opening will do once it has quoted."""
    carried: Sequence[str]
    """All of its symbols."""
    symbols: Sequence[SymbolSeen]
    """Those that are not usable or were silent for ``SilenceLimits.doubt_s``; the others too, or
    not: nobody doubts them."""


class SpotAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What REST said of all symbols of the source, or that it could not be had."""

    asked_ns: int
    answered_ns: int = 0
    prices: dict[str, float] = {}
    """In the exchange's units."""
    books: dict[str, Book] = {}
    """Best bid and ask in the exchange's units, where it tells them."""
    trading: frozenset[str] | None = None
    """Those that trade; None: not known."""
    failure: str | None = None
    """Why nothing came; never that we asked too often."""


class Seen(NamedTuple):
    """One turn."""

    now_ns: int
    connections: Sequence[ConnectionSeen]
    answer: SpotAnswer | None
    """The latest."""
    sibling_quotes: int | None
    """Quotes of the exchange's other market so far; None where no feed of it lives."""
    book: Callable[[str], Book]
    """Bid and ask of a symbol's stored quote, in the exchange's units; zeros: none."""
    silent: Callable[[int], Collection[str]]
    """Usable symbols whose last quote came before a time."""
