"""Single symbols: which silence is doubtful, what REST makes of the doubt, what follows. Pure.

A symbol is in doubt when it misses its first quote, a promised repetition, or any quote for
``symbol_s``. Only the second is proof by itself; a coin may be as quiet as it likes while REST
knows no other price (``feed/contradiction.py``; where it tells no bid and ask, no price that is a
jump away). What is subscribed anew and still not quoted is missing.
"""

from collections.abc import Iterable
from enum import IntEnum

import msgspec

from spreadscan.feed.contradiction import Contradictions
from spreadscan.feed.seen import ConnectionSeen, Seen, SilenceLimits, SpotAnswer, SymbolSeen

__all__ = ["Doubts", "Findings"]

S_TO_NS = 1_000_000_000
# A missing symbol is subscribed again only this seldom, in deadlines of first data.
MISSING_DEADLINES = 10


class Findings(msgspec.Struct):
    """What is found on one connection."""

    dead: list[str] = []
    """Symbols whose stored quote must not be believed any more."""
    unheard: list[str] = []
    """Symbols that were asked for in vain."""
    must_ask: bool = False
    """REST is wanted."""


class _Verdict(IntEnum):
    PENDING = 0
    FINE = 1
    """REST agrees, or knows nothing against it."""
    DIFFERS = 2
    NOT_TRADING = 3


class _Memory(msgspec.Struct):
    """What is remembered of a symbol since its last quote."""

    last_ns: int
    agreed_ns: int = 0
    """When REST was asked whose answer let it be."""
    attempts: int = 0
    """How often it was to be asked for anew, and when that was said last."""
    asked_ns: int = 0


class Doubts:
    """The doubts about one source's symbols."""

    def __init__(self, limits: SilenceLimits, contradictions: Contradictions) -> None:
        self._limits = limits
        self._contradictions = contradictions
        self._memories: dict[str, _Memory] = {}
        self.missing: set[str] = set()
        """Asked for twice and not quoted."""
        self.halted: set[str] = set()
        """Silent, and not trading says REST."""

    def follow(self, symbols: Iterable[SymbolSeen]) -> None:
        """Take down which symbols there are; a quote ends every doubt about its symbol."""
        memories = {}
        for name, _, last_ns, _ in symbols:
            memory = self._memories.get(name)
            # What is marked may lose its last quote; that is none.
            if memory is None or last_ns > memory.last_ns:
                memory = _Memory(last_ns=last_ns)
                self.missing.discard(name)
                self.halted.discard(name)
            memories[name] = memory
        self._memories = memories
        self.missing &= memories.keys()
        self.halted &= memories.keys()

    def hear(self) -> None:
        """Take down whom the settled answer agrees with, also those whom nobody asked about."""
        answer = self._contradictions.settled
        assert answer is not None
        agreeing = self._contradictions.agreeing & self._memories.keys()
        for name in agreeing if answer.trading is None else agreeing & answer.trading:
            self._memories[name].agreed_ns = max(self._memories[name].agreed_ns, answer.asked_ns)

    def judge(self, connection: ConnectionSeen, seen: Seen, awake_ns: int) -> Findings:
        """Judge the symbols of a connection that is alive, as far as is known.

        Args:
            connection: whose symbols.
            seen: the turn.
            awake_ns: silence before it is not counted.
        """
        findings = Findings()
        for symbol in connection.symbols:
            if symbol.subscribed_ns == 0:
                continue
            # A usable one may have been quoted on the connection that this one follows.
            if not symbol.is_usable and symbol.last_ns < symbol.subscribed_ns:
                asked_ns = max(symbol.subscribed_ns, self._memories[symbol.symbol].asked_ns)
                age_s = (seen.now_ns - max(asked_ns, awake_ns)) / S_TO_NS
                if self._is_unheard(symbol, age_s, seen, findings):
                    findings.unheard.append(symbol.symbol)
            else:
                age_s = (seen.now_ns - max(symbol.last_ns, awake_ns)) / S_TO_NS
                if self._is_dead(symbol, age_s, seen, findings):
                    findings.dead.append(symbol.symbol)
        for name in (*findings.dead, *findings.unheard):
            memory = self._memories[name]
            memory.attempts += 1
            memory.asked_ns = seen.now_ns
        return findings

    def _is_unheard(self, symbol: SymbolSeen, age_s: float, seen: Seen, findings: Findings) -> bool:
        """Return whether one that was not quoted since it was asked for is to be asked for anew."""
        name, limit_s = symbol.symbol, self._limits.first_data_s
        memory = self._memories[name]
        if memory.attempts == 0 and age_s <= limit_s:
            return False
        seldom_ns = round(MISSING_DEADLINES * limit_s * S_TO_NS)
        asked_ns = max(symbol.subscribed_ns, memory.asked_ns)
        verdict = self._verdict(symbol, max(asked_ns, seen.now_ns - seldom_ns), seen)
        if verdict is _Verdict.PENDING:
            findings.must_ask = True
        elif verdict is _Verdict.NOT_TRADING:
            self.halted.add(name)
            self.missing.discard(name)
            return False
        else:
            self.halted.discard(name)
        if age_s <= limit_s:
            return False
        if memory.attempts > 0:
            self.missing.add(name)
            return age_s > MISSING_DEADLINES * limit_s
        # REST may be barred; then it goes without.
        return verdict is not _Verdict.PENDING or age_s > limit_s + self._limits.symbol_s

    def _is_dead(self, symbol: SymbolSeen, age_s: float, seen: Seen, findings: Findings) -> bool:
        """Return whether one that was quoted is not to be believed any more."""
        limits, memory = self._limits, self._memories[symbol.symbol]
        if memory.attempts > 0:
            # It is being asked for anew.
            return False
        if limits.repeat_s is not None and age_s > limits.repeat_s:
            findings.must_ask = True
            return True
        in_doubt_ns = max(symbol.last_ns, memory.agreed_ns) + round(limits.symbol_s * S_TO_NS)
        if age_s <= limits.symbol_s or seen.now_ns <= in_doubt_ns:
            return False
        # An answer from the second half of the silence will do.
        after_ns = in_doubt_ns - round(limits.symbol_s / 2 * S_TO_NS)
        verdict = self._verdict(symbol, after_ns, seen)
        if verdict is _Verdict.PENDING:
            findings.must_ask = True
        elif verdict is _Verdict.NOT_TRADING:
            self.halted.add(symbol.symbol)
        elif verdict is _Verdict.FINE:
            memory.agreed_ns = seen.now_ns
        return verdict in (_Verdict.DIFFERS, _Verdict.NOT_TRADING)

    def _verdict(self, symbol: SymbolSeen, after_ns: int, seen: Seen) -> _Verdict:
        """Return what REST, asked after a time, says about a symbol."""
        answer = self._contradictions.settled
        if answer is None or answer.asked_ns < after_ns:
            return _Verdict.PENDING
        if answer.failure is not None:
            return _Verdict.FINE
        if answer.trading is not None and symbol.symbol not in answer.trading:
            return _Verdict.NOT_TRADING
        return _Verdict.DIFFERS if self._differs(symbol, answer, seen) else _Verdict.FINE

    def _differs(self, symbol: SymbolSeen, answer: SpotAnswer, seen: Seen) -> bool:
        """Return whether a trading symbol is not as the answer has it."""
        if not symbol.is_usable:
            # Refused, one-sided or late for that long, while REST has a book to show.
            return symbol.symbol in answer.books
        if symbol.symbol in self._contradictions.symbols:
            return True
        price, mid = answer.prices.get(symbol.symbol), sum(seen.book(symbol.symbol)) / 2
        if price is None or mid <= 0:
            return False
        return abs(price / mid - 1) > self._limits.max_jump
