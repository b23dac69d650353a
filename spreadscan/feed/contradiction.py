"""What REST knows of silent symbols and their stream did not tell. Pure.

Silence alone proves nothing about a quiet symbol. But when REST, asked well after its last quote,
has another bid or ask, and no quote comes for a while after the answer either, then a change was
missed. Such an answer is weighed once, when it has settled.

Some things only look like it, and are no contradictions: an exchange whose REST and stream do not
mean the same by a best price (they disagree about symbols of lively connections all the time), and
single symbols of that kind. A symbol therefore has to earn its word: REST must have agreed with it
before it speaks against its connection alone, and each time it was acted upon it owes twice as many
agreements, about different quotes, before it is evidence again.
"""

from collections.abc import Iterable

import msgspec

from spreadscan.feed.seen import Book, ConnectionSeen, Seen, SilenceLimits, SpotAnswer

__all__ = ["Contradictions"]

S_TO_NS = 1_000_000_000
SAME = 1e-9
# What is accepted of disagreement on lively connections, and how much of it is remembered.
USUAL_SHARE, USUAL_COUNT = 0.2, 3
FADING = 0.9
ENOUGH = 20.0
MOST_OWED = 64
# So many symbols that REST never agreed with are believed together.
STRANGERS_BELIEVED = 2


class _Standing(msgspec.Struct):
    """What a symbol's word is worth."""

    owed: int = 1
    """Quotes that REST has to agree with before its word counts alone."""
    acted: int = 0
    """How often something was done about it."""
    agreed: Book | None = None
    """The quote that REST agreed with last."""


class Contradictions:
    """Weighs one source's REST answers."""

    def __init__(self, limits: SilenceLimits) -> None:
        self._lag_ns = round(limits.rest_lag_s * S_TO_NS)
        self._settle_ns = round(limits.settle_s * S_TO_NS)
        # On lively connections, lately.
        self._agreed = self._differed = 0.0
        self._is_comparable = False
        self._standings: dict[str, _Standing] = {}
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
        for symbol in self.agreeing:
            self._agree(symbol, seen.book(symbol))
        lively = frozenset(
            symbol
            for row in seen.connections
            if row.last_quote_ns > answer.answered_ns
            for symbol in row.carried
        )
        self._is_comparable = self._compare(len(lively & self.agreeing), len(lively & differing))
        self.symbols = frozenset(
            symbol
            for symbol in (differing if self._is_comparable else ())
            if not (self._standing(symbol).acted and self._standing(symbol).owed)
        )
        return True

    def missed(self, connection: ConnectionSeen) -> int:
        """Return of how many symbols of a silent connection the settled answer knows more."""
        assert self.settled is not None
        if connection.last_quote_ns >= self.settled.asked_ns:
            return 0
        differing = self.symbols.intersection(connection.carried)
        known = sum(self._standing(symbol).owed == 0 for symbol in differing)
        return len(differing) if len(differing) - known >= STRANGERS_BELIEVED else known

    def speaks_for(self, symbols: Iterable[str], since_ns: int) -> bool:
        """Return whether REST, asked after a time, agrees with symbols that were silent since."""
        answer = self.settled
        return (
            answer is not None
            and answer.failure is None
            and answer.asked_ns >= since_ns
            and self._is_comparable
            and not self.agreeing.isdisjoint(symbols)
            and self.symbols.isdisjoint(symbols)
        )

    def acted(self, symbols: Iterable[str]) -> None:
        """Note that something is done about these: they have to earn their word anew."""
        for symbol in symbols:
            standing = self._standings.setdefault(symbol, _Standing())
            standing.owed = min(2**standing.acted, MOST_OWED)
            standing.acted += 1

    def _agree(self, symbol: str, book: Book) -> None:
        standing = self._standings.setdefault(symbol, _Standing())
        if standing.agreed != book:
            standing.agreed = book
            standing.owed = max(0, standing.owed - 1)

    def _standing(self, symbol: str) -> _Standing:
        return self._standings.get(symbol) or _Standing()

    def _compare(self, agreeing: int, differing: int) -> bool:
        """Return whether REST and stream usually agree, and remember how it was now."""
        was_agreed, was_differed = self._agreed, self._differed
        self._agreed = was_agreed * FADING + agreeing
        self._differed = was_differed * FADING + differing
        if was_agreed + was_differed < ENOUGH:
            was_agreed, was_differed = self._agreed, self._differed
        return was_differed <= USUAL_SHARE * (was_agreed + was_differed) + USUAL_COUNT


def _is_same(one: Book, other: Book) -> bool:
    return all(abs(a - b) <= SAME * abs(a) for a, b in zip(one, other, strict=True))
