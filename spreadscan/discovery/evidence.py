"""What the frames of a source prove about its symbols. Pure.

A symbol is proven by one quote with two sides that the feeds' gate would let through. Everything
else is only a reason why it was not proven.
"""

import math
from collections.abc import Sequence

from spreadscan.errors import FeedError
from spreadscan.exchanges import Source
from spreadscan.exchanges._adapter import Control, PartialQuote
from spreadscan.kernel.extract import Extractor
from spreadscan.model import QuoteStatus

__all__ = ["SILENT", "Evidence", "Leg", "shown"]

Leg = tuple[str, int, float, float]
"""(exchange symbol, symbol id, price multiplier, quantity factor), as `Universe.legs` gives it."""

ONE_SIDED = "one_sided"
SILENT = "silent"
SHOWN_CHARACTERS = 160


class Evidence:
    """What is known of some symbols of one source.

    Args:
        source: whose parser and adapter read the frames.
        legs: the symbols; their ids are not looked at.
    """

    def __init__(self, source: Source, legs: Sequence[Leg]) -> None:
        self.received: set[str] = set()
        """Exchange symbols that sent a usable quote."""
        self.refused: dict[str, str] = {}
        """Those that the exchange refused to subscribe, with its words."""
        self.waiting = {symbol for symbol, *_ in legs}
        """Those that may still send one."""
        self._adapter = source.adapter
        self._symbols = [symbol for symbol, *_ in legs]
        self._extractor = Extractor(
            source.spec.plan,
            [(symbol, row, scale, factor) for row, (symbol, _, scale, factor) in enumerate(legs)],
        )
        self._doubts: dict[str, str] = {}
        self._sides: dict[str, dict[str, float]] = {}

    def begin_connection(self) -> None:
        """Forget half-known books: what comes on a new connection does not go on from them."""
        self._sides.clear()

    def take(self, frame: bytes) -> Control | None:
        """Note what a frame proves; return its meaning where it is an answer or a notice."""
        found = self._extractor.decode(frame)
        if found.status == QuoteStatus.NOT_A_QUOTE:
            return self._classified(frame)
        # A frame without a known symbol is noise: of nobody, or of somebody who was not asked.
        if found.symbol_id >= 0:
            self._judge(self._symbols[found.symbol_id], QuoteStatus(found.status))
        return None

    def refuse(self, symbol: str, words: str) -> None:
        """Note that the exchange will not send a symbol."""
        if symbol in self.waiting:
            self.waiting.discard(symbol)
            self.refused[symbol] = f"refused: {shown(words)}"

    def reasons(self, otherwise: str = SILENT) -> dict[str, str]:
        """Return why each symbol that did not quote did not.

        Args:
            otherwise: what is said of those about which nothing came.
        """
        return {
            symbol: self.refused.get(symbol) or self._doubts.get(symbol, otherwise)
            for symbol in self._symbols
            if symbol not in self.received
        }

    def _classified(self, frame: bytes) -> Control | None:
        try:
            control = self._adapter.classify(frame)
        except FeedError:
            return None  # no frame of theirs, and proof of nothing
        if isinstance(control, PartialQuote):
            self._merge(control)
            return None
        return control

    def _judge(self, symbol: str, status: QuoteStatus) -> None:
        if status is QuoteStatus.QUOTE:
            self.received.add(symbol)
            self.waiting.discard(symbol)
            return
        self._sides.pop(symbol, None)
        is_one_sided = status is QuoteStatus.ONE_SIDED
        self._doubts[symbol] = (
            ONE_SIDED if is_one_sided else f"refused quote: {status.name.lower()}"
        )

    def _merge(self, partial: PartialQuote) -> None:
        """Put changed sides together; together they are judged like a whole quote."""
        symbol = partial.symbol
        if symbol not in self.waiting:
            return
        sides = self._sides.setdefault(symbol, {})
        came = {}
        for side, level, is_removed in (
            ("bid", partial.bid, partial.removed_bid),
            ("ask", partial.ask, partial.removed_ask),
        ):
            if level is not None or is_removed:
                sides.pop(side, None)
            if level is not None and all(0 < number < math.inf for number in level):
                came[side] = level[0]
        sides |= came
        if len(sides) < 2:
            self._doubts[symbol] = ONE_SIDED
        elif sides["bid"] < sides["ask"]:
            self._judge(symbol, QuoteStatus.QUOTE)
        else:
            self._judge(symbol, QuoteStatus.CROSSED)
            # The side that came alone is the present one: the other must be outdated.
            self._sides[symbol] = came if len(came) == 1 else {}


def shown(words: str) -> str:
    """Return an exchange's words as one short line that no terminal can trip over."""
    line = "".join(letter if letter.isprintable() else " " for letter in words)
    return " ".join(line.split())[:SHOWN_CHARACTERS]
