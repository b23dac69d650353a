"""What REST knows of silent symbols and their stream did not tell. Pure.

Silence alone proves nothing about a quiet symbol. But when REST, asked well after its last quote,
has another bid or ask, and no quote comes for a while after the answer either, then a change was
missed. Such an answer is weighed once, when it has settled.

Some things only look like it, and are no contradictions: an exchange whose REST and stream do not
mean the same by a best price (they disagree about symbols of lively connections all the time), and
single symbols of that kind (a fresh quote is what the one before was, and REST still disagrees).
"""

from collections.abc import Iterable

from spreadscan.feed.seen import Book, ConnectionSeen, Seen, SilenceLimits, SpotAnswer

__all__ = ["Contradictions"]

S_TO_NS = 1_000_000_000
SAME = 1e-9
# What is accepted of disagreement on lively connections, and how much of it is remembered.
USUAL_SHARE, USUAL_COUNT = 0.2, 3
FADING = 0.9
ENOUGH = 20.0


class Contradictions:
    """Weighs one source's REST answers."""

    def __init__(self, limits: SilenceLimits) -> None:
        self._lag_ns = round(limits.rest_lag_s * S_TO_NS)
        self._settle_ns = round(limits.settle_s * S_TO_NS)
        # On lively connections, lately.
        self._agreed = self._differed = 0.0
        self._acted: dict[str, Book] = {}
        """What those stored that were acted upon."""
        self.settled: SpotAnswer | None = None
        """The latest answer that may be judged by."""
        self.agreeing: frozenset[str] = frozenset()
        self.symbols: frozenset[str] = frozenset()
        """Silent since well before the settled answer, which contradicts them."""

    def weigh(self, seen: Seen) -> bool:
        """Weigh the present answer when it has settled; return whether that is now."""
        answer = seen.answer
        if answer is None or answer is self.settled:
            return False
        if answer.failure is None and seen.now_ns < answer.answered_ns + self._settle_ns:
            return False
        self.settled = answer
        silent = frozenset(seen.silent(answer.asked_ns - self._lag_ns)) & answer.books.keys()
        self.agreeing = frozenset(
            symbol for symbol in silent if _is_same(answer.books[symbol], seen.book(symbol))
        )
        differing = silent - self.agreeing
        self._acted = {
            symbol: book for symbol, book in self._acted.items() if symbol not in self.agreeing
        }
        lively = frozenset(
            symbol
            for row in seen.connections
            if row.last_quote_ns > answer.answered_ns
            for symbol in row.carried
        )
        is_comparable = self._is_comparable(len(lively & self.agreeing), len(lively & differing))
        self.symbols = frozenset(
            symbol
            for symbol in (differing if is_comparable else ())
            if self._acted.get(symbol) != seen.book(symbol)
        )
        return True

    def missed(self, connection: ConnectionSeen) -> int:
        """Return of how many symbols of a silent connection the settled answer knows more."""
        assert self.settled is not None
        if connection.last_quote_ns >= self.settled.asked_ns:
            return 0
        return len(self.symbols.intersection(connection.carried))

    def acted(self, symbols: Iterable[str], seen: Seen) -> None:
        """Note that something is done about these: what they store then is no news again."""
        self._acted.update((symbol, seen.book(symbol)) for symbol in symbols)

    def _is_comparable(self, agreeing: int, differing: int) -> bool:
        """Return whether REST and stream usually agree, and remember how it was now."""
        was_agreed, was_differed = self._agreed, self._differed
        self._agreed = was_agreed * FADING + agreeing
        self._differed = was_differed * FADING + differing
        if was_agreed + was_differed < ENOUGH:
            was_agreed, was_differed = self._agreed, self._differed
        return was_differed <= USUAL_SHARE * (was_agreed + was_differed) + USUAL_COUNT


def _is_same(one: Book, other: Book) -> bool:
    return all(abs(a - b) <= SAME * abs(a) for a, b in zip(one, other, strict=True))
