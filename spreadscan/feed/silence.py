"""Whose silence means something, and what follows: symbol, connection, source, exchange. Pure.

``Monitor.look`` is shown one turn and returns what is to be done; ``feed/watch.py`` looks and acts.
Each level has its own limit and its own answer:

* a symbol that misses a promised repetition, or that REST contradicts, is unusable and subscribed
  anew; one that is quiet and that REST agrees with stays as it is (``feed/doubt.py``);
* a connection that pauses for longer than it ever does (``feed/rhythm.py``) is dropped, it alone,
  unless REST has nothing that it did not tell: the market may have paused;
* so is one that is silent while REST shows that it misses something: the quiet ones are found so;
* a source without a quote on any connection drops them all, unless REST says the same for it;
* an exchange both of whose markets are silent, or whose REST fails as well, is down: nothing is
  done about single symbols until quotes are back.

Only quotes count: pongs and acknowledgements prove nothing about them.
"""

from collections.abc import Collection, Sequence
from enum import IntEnum

import msgspec

from spreadscan.feed.contradiction import Contradictions
from spreadscan.feed.doubt import Doubts
from spreadscan.feed.rhythm import Rhythm
from spreadscan.feed.seen import ConnectionSeen, Seen, SilenceLimits

__all__ = ["Decisions", "Level", "Monitor"]

S_TO_NS = 1_000_000_000
# One of them could be a mistake, or so a long silence has to say.
MISSED_ENOUGH = 2
# A turn that comes this many turns late tells of a pause of ours.
LATE_TURNS = 4


class Level(IntEnum):
    """How much is silent."""

    LIVE = 0
    SOURCE_SILENT = 1
    EXCHANGE_DOWN = 2


class Decisions(msgspec.Struct):
    """What one turn asks for."""

    level: Level
    drop: dict[int, str] = {}
    """Connections to end, with the reason."""
    unusable: list[str] = []
    """Symbols to mark."""
    resubscribe: list[str] = []
    must_ask: bool = False
    """REST is wanted."""


class _Line(msgspec.Struct):
    """What is remembered of a connection."""

    rhythm: Rhythm
    opened_ns: int = 0
    last_quote_ns: int = 0
    dropped_ns: int = 0
    """The life that was told to end."""
    is_by_rhythm: bool = False
    """Whether it was for its pause alone."""
    missed: int = 0
    """How often REST knew something that it did not tell, in its present silence."""


class Monitor:
    """Watches one source.

    Args:
        limits: see there.
        now_ns: the beginning.

    After a pause of our own (a busy machine, SIGSTOP) all silence is counted anew: what the
    exchange sent meanwhile is still to be read.
    """

    def __init__(self, limits: SilenceLimits, now_ns: int) -> None:
        self._limits = limits
        self._awake_ns = self._turn_ns = now_ns
        self._lines: dict[int, _Line] = {}
        self._source = Rhythm(limits.turn_s, limits.source_s, limits.quiet_s)
        self._last_quote_ns = 0
        self._sibling_quotes: int | None = None
        self._sibling_moved_ns = now_ns
        self._contradictions = Contradictions(limits)
        self.doubts = Doubts(limits, self._contradictions)

    def look(self, seen: Seen) -> Decisions:
        """Judge one turn; call it every ``turn_s``."""
        if seen.now_ns - self._turn_ns > LATE_TURNS * self._limits.turn_s * S_TO_NS:
            self._awake_ns = seen.now_ns
            for rhythm in (self._source, *(line.rhythm for line in self._lines.values())):
                rhythm.begin()
        self._turn_ns = seen.now_ns
        self._follow(seen.connections)
        self.doubts.follow(symbol for row in seen.connections for symbol in row.symbols)
        self._weigh(seen)
        decisions = Decisions(level=self._level(seen))
        living = [row for row in seen.connections if row.opened_ns]
        if decisions.level is not Level.LIVE:
            decisions.must_ask = True
            for row in living:
                if self._is_overdue(row, seen.now_ns):
                    self._drop(row, "no quote on any connection", decisions)
            return decisions
        for row in living:
            if reason := self._missing(row, seen, decisions):
                self._drop(row, reason, decisions)
            elif reason := self._stalled(row, seen.now_ns):
                self._lines[row.number].is_by_rhythm = True
                self._drop(row, reason, decisions)
            else:
                self._judge_symbols(row, seen, decisions)
        return decisions

    def _follow(self, connections: Sequence[ConnectionSeen]) -> None:
        """Take down which connections there are, and which of them quoted."""
        lines = {}
        has_quotes = False
        for row in connections:
            line = lines[row.number] = self._lines.get(row.number) or self._new_line()
            if line.opened_ns != row.opened_ns:
                # Without proof the pause may have been a usual one, and is learnt.
                if line.is_by_rhythm:
                    line.rhythm.accept()
                else:
                    line.rhythm.begin()
                line.opened_ns, line.is_by_rhythm = row.opened_ns, False
            if row.opened_ns and row.last_quote_ns:
                has_new = row.last_quote_ns > line.last_quote_ns
                line.missed = 0 if has_new else line.missed
                line.rhythm.count(has_quotes=has_new)
                line.last_quote_ns = row.last_quote_ns
                has_quotes |= has_new
                self._last_quote_ns = max(self._last_quote_ns, row.last_quote_ns)
        self._lines = lines
        if not any(row.opened_ns for row in connections):
            self._source.begin()
        elif has_quotes or self._source.is_known:
            self._source.count(has_quotes=has_quotes)

    def _weigh(self, seen: Seen) -> None:
        """Let a new answer of REST speak for and against what is silent."""
        if self._contradictions.weigh(seen):
            self.doubts.hear()
            for row in seen.connections:
                self._lines[row.number].missed += self._contradictions.missed(row)

    def _new_line(self) -> _Line:
        limits = self._limits
        return _Line(rhythm=Rhythm(limits.turn_s, limits.connection_s, limits.quiet_s))

    def _level(self, seen: Seen) -> Level:
        """Return how much is silent as a whole."""
        limits = self._limits
        if seen.sibling_quotes != self._sibling_quotes:
            self._sibling_quotes = seen.sibling_quotes
            self._sibling_moved_ns = seen.now_ns
        if not seen.connections:
            return Level.LIVE
        since_ns = max(self._last_quote_ns, self._awake_ns)
        silent_s = (seen.now_ns - since_ns) / S_TO_NS
        is_connected = any(row.opened_ns for row in seen.connections)
        limit_s = self._source_limit_s() if is_connected else limits.source_s
        if limit_s is None or silent_s <= limit_s:
            return Level.LIVE
        carried = [symbol for row in seen.connections for symbol in row.carried]
        if is_connected and self._is_excused(carried, since_ns, seen.now_ns):
            return Level.LIVE
        answer = seen.answer
        if answer is not None and answer.failure is not None and answer.asked_ns > since_ns:
            return Level.EXCHANGE_DOWN
        sibling_silent_s = (seen.now_ns - max(self._sibling_moved_ns, self._awake_ns)) / S_TO_NS
        has_sibling = seen.sibling_quotes is not None
        if has_sibling and min(silent_s, sibling_silent_s) > limits.exchange_s:
            return Level.EXCHANGE_DOWN
        return Level.SOURCE_SILENT

    def _source_limit_s(self) -> float | None:
        if not self._source.is_known:
            return self._limits.first_data_s
        return self._source.longest_pause_s

    def _is_overdue(self, connection: ConnectionSeen, now_ns: int) -> bool:
        """Return whether a connection of a silent source had its time; a new life gets it too."""
        limit_s = self._source_limit_s()
        since_ns = max(connection.asked_ns, self._awake_ns)
        return (
            connection.asked_ns > 0
            and limit_s is not None
            and now_ns - since_ns > limit_s * S_TO_NS
        )

    def _stalled(self, connection: ConnectionSeen, now_ns: int) -> str | None:
        """Return why a connection cannot be alive, None when it may be."""
        since_ns = connection.last_quote_ns or connection.asked_ns
        if not since_ns:
            return None
        limit_s = self._lines[connection.number].rhythm.longest_pause_s
        repeat_s = self._limits.repeat_s
        if repeat_s is not None and connection.last_quote_ns:
            limit_s = min(repeat_s, limit_s or repeat_s)
        silent_s = (now_ns - max(since_ns, self._awake_ns)) / S_TO_NS
        if limit_s is None or silent_s <= limit_s:
            return None
        if connection.last_quote_ns and self._is_excused(connection.carried, since_ns, now_ns):
            return None
        return f"no quote for {silent_s:.1f} s, more than its {limit_s:.1f} s"

    def _is_excused(self, symbols: Collection[str], since_ns: int, now_ns: int) -> bool:
        """Return whether REST, asked lately and well within the silence, knows nothing more.

        A promised repetition that is missed is proof whatever REST says.
        """
        limits = self._limits
        if limits.repeat_s is not None and now_ns - since_ns > limits.repeat_s * S_TO_NS:
            return False
        asked_ns = max(
            since_ns + round(limits.suspect_s * S_TO_NS),
            now_ns - round(limits.excuse_s * S_TO_NS),
        )
        return self._contradictions.speaks_for(symbols, asked_ns)

    def _missing(self, connection: ConnectionSeen, seen: Seen, decisions: Decisions) -> str | None:
        """Return why a connection that may be a quiet one is none; have REST asked about it."""
        limits = self._limits
        is_told_anyway = limits.repeat_s is not None and limits.repeat_s <= limits.connection_s
        if is_told_anyway or not connection.last_quote_ns:
            return None
        silent_ns = seen.now_ns - max(connection.last_quote_ns, self._awake_ns)
        if silent_ns <= limits.suspect_s * S_TO_NS:
            return None
        decisions.must_ask = True
        missed = self._lines[connection.number].missed
        if missed < (1 if silent_ns > limits.connection_s * S_TO_NS else MISSED_ENOUGH):
            return None
        known = self._contradictions.symbols.intersection(connection.carried)
        self._contradictions.acted(known)
        return f"no quote for {silent_ns / S_TO_NS:.1f} s, but REST has others, {missed} times"

    def _judge_symbols(self, connection: ConnectionSeen, seen: Seen, decisions: Decisions) -> None:
        found = self.doubts.judge(connection, seen, self._awake_ns)
        decisions.must_ask |= found.must_ask
        in_vain = found.dead + found.unheard
        silent_ns = seen.now_ns - max(connection.last_quote_ns, self._awake_ns)
        if len(in_vain) > 1 and silent_ns > self._limits.symbol_s * S_TO_NS:
            # Nothing else speaks for the connection either.
            self._drop(connection, f"{len(in_vain)} of its symbols are silent", decisions)
            return
        self._contradictions.acted(self._contradictions.symbols.intersection(found.dead))
        decisions.unusable += found.dead
        decisions.resubscribe += in_vain

    def _drop(self, connection: ConnectionSeen, reason: str, decisions: Decisions) -> None:
        line = self._lines[connection.number]
        if line.dropped_ns != connection.opened_ns:
            line.dropped_ns = connection.opened_ns
            decisions.drop[connection.number] = reason
