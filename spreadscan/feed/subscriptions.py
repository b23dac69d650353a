"""What one connection is to carry, and what of it the exchange has been asked for. Pure.

Not a list of orders but a difference: the next request is made, at the moment it may be sent, from
what is wanted and what was asked for on this connection. A symbol that is removed and added again
before its turn is never touched; one that is removed while its request is refused is not asked for
again.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import msgspec

from spreadscan.exchanges._adapter import Ack, Refused
from spreadscan.manners.requests import Requests, Verdict

__all__ = ["Request", "Subscriptions"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One message to the exchange."""

    symbols: tuple[str, ...]
    """In the exchange's spelling."""
    is_leaving: bool
    """To unsubscribe them."""


class Subscriptions:
    """The symbols of one connection, through all its lives.

    Call ``begin`` when a connection stands, then send what ``take`` returns as long as
    ``has_request`` holds, at the pace that is allowed.

    Args:
        cut: splits exchange symbols into what one message may hold.

    Unsubscribing goes first, so that the exchange never counts more topics than are wanted here.
    """

    def __init__(self, cut: Callable[[Sequence[str]], Iterable[Sequence[str]]]) -> None:
        self._cut = cut
        # In the order in which they came.
        self._wanted: dict[str, None] = {}
        # of the present connection
        self._asked: set[str] = set()
        self._left: set[str] = set()
        self._refused: set[str] = set()
        self._renewed: set[str] = set()
        self._requests = Requests()
        # Messages to come; what is true of their symbols is looked at when their turn comes.
        self._to_leave: deque[Sequence[str]] = deque()
        self._to_ask: deque[Sequence[str]] = deque()

    @property
    def carried(self) -> frozenset[str]:
        """Exchange symbols that are to come, or still come, on the present connection."""
        return frozenset((*self._wanted, *self._asked))

    def subscribe(self, symbols: Sequence[str]) -> None:
        """Want these too; one that was refused is tried again."""
        self._wanted.update(dict.fromkeys(symbols))
        self._refused.difference_update(symbols)
        self._to_ask.extend(self._cut(symbols))

    def unsubscribe(self, symbols: Sequence[str]) -> None:
        """Want these no more."""
        for symbol in symbols:
            self._wanted.pop(symbol, None)
        self._to_leave.extend(self._cut([symbol for symbol in symbols if symbol in self._asked]))

    def renew(self, symbols: Sequence[str]) -> None:
        """Unsubscribe these and subscribe them anew, as far as they are wanted."""
        asked = [symbol for symbol in symbols if symbol in self._asked and symbol in self._wanted]
        self._renewed.update(asked)
        self._refused.difference_update(symbols)
        self._to_leave.extend(self._cut(asked))
        self._to_ask.extend(self._cut([symbol for symbol in symbols if symbol in self._wanted]))

    def begin(self) -> None:
        """Start on a new connection, where nothing is subscribed; open questions went with it."""
        self._asked.clear()
        self._left.clear()
        self._refused.clear()
        self._renewed.clear()
        self._requests = Requests()
        self._to_leave.clear()
        self._to_ask = deque(self._cut(list(self._wanted)))

    @property
    def has_request(self) -> bool:
        """Whether there is something to send."""
        return self._next() is not None

    def take(self, request_id: int) -> Request | None:
        """Return what to send now under this id, None when nothing is left to send."""
        request = self._next()
        if request is None:
            return None
        if request.is_leaving:
            self._to_leave.popleft()
            self._asked.difference_update(request.symbols)
            self._renewed.difference_update(request.symbols)
            self._left.update(request.symbols)
        else:
            self._to_ask.popleft()
            self._asked.update(request.symbols)
        self._requests.sent(request_id, request.symbols, is_leaving=request.is_leaving)
        return request

    def acknowledged(self, ack: Ack) -> None:
        """Note that a request was taken."""
        self._requests.acknowledged(ack)

    def refused(self, refusal: Refused) -> Verdict:
        """Draw the consequences of a refusal and return them; what is to be asked again will be.

        ``dropped`` are the wanted symbols that will not come on this connection; where no wanted
        one is among them, whatever the exchange named.
        """
        verdict = self._requests.refused(refusal)
        if verdict.is_leaving:
            self._asked.update(symbol for symbols in verdict.again for symbol in symbols)
            self._to_leave.extend(verdict.again)
            return verdict
        for symbols in (verdict.dropped, *verdict.again):
            self._asked.difference_update(symbols)
        self._refused.update(verdict.dropped)
        self._to_ask.extend(verdict.again)
        # An answer about what was unsubscribed since, where answers carry no id.
        is_past = bool(verdict.dropped) and self._left.issuperset(verdict.dropped)
        wanted = tuple(symbol for symbol in verdict.dropped if symbol in self._wanted)
        return msgspec.structs.replace(
            verdict, dropped=wanted or verdict.dropped, is_leaving=is_past and not wanted
        )

    def _next(self) -> Request | None:
        """Return the request whose turn it is; drop those that have become void."""
        while self._to_leave:
            symbols = tuple(filter(self._is_to_leave, self._to_leave[0]))
            if symbols:
                return Request(symbols=symbols, is_leaving=True)
            self._to_leave.popleft()
        while self._to_ask:
            symbols = tuple(filter(self._is_to_ask, self._to_ask[0]))
            if symbols:
                return Request(symbols=symbols, is_leaving=False)
            self._to_ask.popleft()
        return None

    def _is_to_leave(self, symbol: str) -> bool:
        is_needless = symbol not in self._wanted or symbol in self._renewed
        return symbol in self._asked and is_needless

    def _is_to_ask(self, symbol: str) -> bool:
        return symbol in self._wanted and symbol not in self._asked and symbol not in self._refused
