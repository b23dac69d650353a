"""What was asked for on one connection, and what to do when an exchange says no. Pure.

Some exchanges refuse a whole request for one bad symbol and name that one alone, or nobody. Its
innocent neighbours are asked for again: without those that are named, or else in halves until the
bad symbol stands alone. Every request that is sent again is smaller than the one that was refused,
so that n symbols end within 2n - 1 requests. It is the same for requests to unsubscribe.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from spreadscan.exchanges._adapter import Ack, Refused

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

    def acknowledged(self, ack: Ack) -> None:
        """Note that a request was taken.

        Without an id it is the oldest of those that the answer can be about; where it does not tell
        its kind it could be any, and says nothing.
        """
        if ack.request_id is not None:
            self._open.pop(ack.request_id, None)
        elif ack.is_leaving is not None:
            same = (key for key, row in self._open.items() if row.is_leaving == ack.is_leaving)
            self._open.pop(next(same, ""), None)

    def refused(self, refusal: Refused) -> Verdict:
        """Return what follows from a refusal; its request, refused as a whole, is closed."""
        held = frozenset(refusal.symbols) if refusal.are_held else frozenset()
        named = tuple(symbol for symbol in refusal.symbols if symbol not in held)
        if not refusal.is_whole_request:
            return Verdict(dropped=named, is_leaving=self._is_leaving_without(refusal))
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

    def _is_leaving_without(self, refusal: Refused) -> bool:
        """Take the symbols named out of their request; return whether it was to unsubscribe.

        A request that is refused symbol by symbol is closed with the last one.
        """
        request_id = refusal.request_id or self._first_with(refusal.symbols)
        request = self._open.get(request_id or "")
        if request is None or request_id is None:
            return False
        rest = tuple(symbol for symbol in request.symbols if symbol not in refusal.symbols)
        if rest:
            self._open[request_id] = request._replace(symbols=rest)
        else:
            del self._open[request_id]
        return request.is_leaving

    def _request_meant(self, refusal: Refused) -> str | None:
        """Return the id of the open request that was refused; None when there is none.

        Without an id it is the first that holds a symbol named, else the oldest: exchanges answer
        in order.
        """
        if refusal.request_id in self._open:
            return refusal.request_id
        if refusal.request_id is not None:
            return None
        return self._first_with(refusal.symbols) or next(iter(self._open), None)

    def _first_with(self, symbols: Sequence[str]) -> str | None:
        """Return the id of the oldest open request that holds one of these; None: none does."""
        named = frozenset(symbols)
        naming = (key for key, row in self._open.items() if not named.isdisjoint(row.symbols))
        return next(naming, None)
