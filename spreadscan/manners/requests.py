"""What was asked for on one connection, and what to do when an exchange says no. Pure.

Some exchanges refuse a whole request for one bad symbol and name that one alone, or nobody. Its
innocent neighbours are asked for again: without those that are named, or else in halves until the
bad symbol stands alone. Every request that is sent again is smaller than the one that was refused,
so that n symbols end within 2n - 1 requests. It is the same for requests to unsubscribe.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from spreadscan.exchanges._adapter import Refused

__all__ = ["Requests", "Verdict"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a refusal."""

    dropped: tuple[str, ...] = ()
    """Exchange symbols that will not be quoted on this connection."""
    again: tuple[tuple[str, ...], ...] = ()
    """Exchange symbols to ask for again, a tuple a request."""
    is_leaving: bool = False
    """The request was to unsubscribe, so that those dropped are gone, and nothing is lost."""


class _Request(NamedTuple):
    symbols: tuple[str, ...]
    is_leaving: bool


class Requests:
    """The requests of one connection that have not been answered."""

    def __init__(self) -> None:
        self._open: dict[str, _Request] = {}

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._open)

    def sent(self, request_id: int, symbols: Sequence[str], *, is_leaving: bool = False) -> None:
        """Note a request that is about to be sent, to unsubscribe when *is_leaving*."""
        self._open[str(request_id)] = _Request(tuple(symbols), is_leaving)

    def acknowledged(self, request_id: str | None) -> None:
        """Note that a request was taken; without an id it could be any and says nothing."""
        if request_id is not None:
            self._open.pop(request_id, None)

    def refused(self, refusal: Refused) -> Verdict:
        """Return what follows from a refusal; its request, refused as a whole, is closed."""
        held = frozenset(refusal.symbols) if refusal.are_held else frozenset()
        named = tuple(symbol for symbol in refusal.symbols if symbol not in held)
        if not refusal.is_whole_request:
            meant = self._open.get(refusal.request_id or "")
            return Verdict(dropped=named, is_leaving=meant is not None and meant.is_leaving)
        request_id = self._request_meant(refusal)
        if request_id is None:
            return Verdict(dropped=named)
        asked, is_leaving = self._open.pop(request_id)
        rest = tuple(symbol for symbol in asked if symbol not in refusal.symbols)
        if len(rest) < len(asked):
            again = (rest,) if rest else ()
            return Verdict(dropped=named, again=again, is_leaving=is_leaving)
        if len(asked) == 1:
            return Verdict(dropped=asked, is_leaving=is_leaving)
        middle = len(asked) // 2
        return Verdict(again=(asked[:middle], asked[middle:]), is_leaving=is_leaving)

    def _request_meant(self, refusal: Refused) -> str | None:
        """Return the id of the open request that was refused; None when there is none.

        Without an id it is the first that holds a symbol named, else the oldest: exchanges answer
        in order.
        """
        if refusal.request_id in self._open:
            return refusal.request_id
        if refusal.request_id is not None:
            return None
        named = set(refusal.symbols)
        naming = (key for key, request in self._open.items() if named & set(request.symbols))
        return next(naming, next(iter(self._open), None))
