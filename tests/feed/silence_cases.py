"""A source's connections as the monitor of silence sees them, in a time that a test moves."""

from spreadscan.feed.seen import ConnectionSeen, Seen, SilenceLimits, SpotAnswer, SymbolSeen
from spreadscan.feed.silence import Level, Monitor

S = 1_000_000_000
REST_EVERY_S = 3.0
STORED = (99.0, 101.0)
START_NS = 1_000 * S


def limits(**changes):
    values = {
        "turn_s": 0.5,
        "symbol_s": 20.0,
        "repeats_every_s": None,
        "connection_s": 8.0,
        "quiet_s": 45.0,
        "source_s": 9.0,
        "exchange_s": 15.0,
        "first_data_s": 30.0,
        "max_jump": 0.1,
    }
    return SilenceLimits(**values | changes)


class Line:
    """One connection of the world."""

    def __init__(self, number, symbols, now_ns):
        self.number = number
        self.opened_ns = now_ns
        self.last_quote_ns = 0
        self.symbols = dict.fromkeys(symbols, now_ns)
        """When each was asked for."""


class World:
    """A source's connections as the monitor sees them; obeys it like the feed would."""

    def __init__(self, shards=(("A", "B"),), **changes):
        self.limits = limits(**changes)
        self.now_ns = START_NS
        self.monitor = Monitor(self.limits, START_NS)
        self.lines = [Line(number, shard, START_NS) for number, shard in enumerate(shards)]
        self.last_ns = {symbol: 0 for shard in shards for symbol in shard}
        self.marked = set()
        self.rest = {}
        """Prices that REST has; the stored mid is always 100."""
        self.books = {}
        """The same with both sides, where it has them."""
        self.stored = {}
        """What is not stored at 99 and 101."""
        self.trading = None
        self.rest_failure = None
        self.answers_rest = True
        self.answer = None
        self.sibling_quotes = None
        self.level = Level.LIVE
        self.log = []
        """(seconds since the beginning, what, about whom)"""

    @property
    def elapsed_s(self):
        return (self.now_ns - START_NS) / S

    def told(self, what):
        """When the monitor said something, and about whom."""
        return [(when, who) for when, said, who in self.log if said == what]

    def quote(self, *symbols):
        for line in self.lines:
            for symbol in set(symbols) & line.symbols.keys():
                line.last_quote_ns = self.last_ns[symbol] = self.now_ns
                self.marked.discard(symbol)

    def turn(self, *quoted, late_s=0.0):
        self.now_ns += round((self.limits.turn_s + late_s) * S)
        self.quote(*quoted)
        decisions = self.monitor.look(
            Seen(
                now_ns=self.now_ns,
                connections=[self._seen(line) for line in self.lines],
                answer=self.answer,
                sibling_quotes=self.sibling_quotes,
                book=lambda symbol: self.stored.get(symbol, STORED),
                silent=self._silent,
            )
        )
        self._obey(decisions)
        return decisions

    def turns(self, seconds, *quoted):
        for _ in range(round(seconds / self.limits.turn_s)):
            self.turn(*quoted)

    def _seen(self, line):
        rows = [
            SymbolSeen(
                symbol, asked_ns, self.last_ns[symbol],
                self.last_ns[symbol] > 0 and symbol not in self.marked,
            )
            for symbol, asked_ns in line.symbols.items()
        ]  # fmt: skip
        doubt_ns = self.now_ns - round(self.limits.doubt_s * S)
        doubtful = [row for row in rows if not row.is_usable or row.last_ns < doubt_ns]
        asked_ns = min(filter(None, line.symbols.values()), default=0)
        return ConnectionSeen(
            line.number, line.opened_ns, line.last_quote_ns, asked_ns, list(line.symbols), doubtful
        )

    def _silent(self, since_ns):
        return {s for s, last_ns in self.last_ns.items() if 0 < last_ns < since_ns} - self.marked

    def _obey(self, decisions):
        if decisions.level is not self.level:
            self.level = decisions.level
            self.log.append((self.elapsed_s, "level", decisions.level))
        for number in decisions.drop:
            self.log.append((self.elapsed_s, "drop", number))
            line = self.lines[number]
            self.marked |= line.symbols.keys()
            self.lines[number] = Line(number, line.symbols, self.now_ns + S // 10)
        for symbol in decisions.unusable:
            self.log.append((self.elapsed_s, "unusable", symbol))
            self.marked.add(symbol)
        for symbol in decisions.resubscribe:
            self.log.append((self.elapsed_s, "resubscribe", symbol))
            for line in self.lines:
                if symbol in line.symbols:
                    line.symbols[symbol] = self.now_ns
        asked_ns = self.answer.asked_ns if self.answer else 0
        is_soon = self.now_ns - asked_ns < REST_EVERY_S * S
        if decisions.must_ask and self.answers_rest and not is_soon:
            self.log.append((self.elapsed_s, "ask", None))
            self.answer = SpotAnswer(
                asked_ns=self.now_ns + 1,
                answered_ns=self.now_ns + 1,
                prices=self.rest,
                books=self.books,
                trading=self.trading,
                failure=self.rest_failure,
            )
