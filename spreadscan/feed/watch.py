"""Shows the monitor of silence what there is, and carries out what it decides.

Everything here runs between two turns of the feed's loop and waits for nothing: REST is asked by a
task of its own (``feed/spot_check.py``), connections are ended and made anew by theirs.
"""

import logging
import math
from collections.abc import Callable, Sequence

from spreadscan.config import FeedConfig
from spreadscan.exchanges import Source
from spreadscan.exchanges._adapter import MarketSpec
from spreadscan.feed.backlog import Backlog
from spreadscan.feed.connection import Connection
from spreadscan.feed.fleet import Fleet, Legs
from spreadscan.feed.legible import Legible
from spreadscan.feed.seen import Book, ConnectionSeen, Seen, SilenceLimits, SymbolSeen
from spreadscan.feed.silence import Decisions, Level, Monitor
from spreadscan.feed.spot_check import SpotCheck
from spreadscan.kernel.sink import FeedSink
from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.runtime.clock import Clock
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import ProcessState
from spreadscan.shm.price_store import PriceStore, slot_of

__all__ = ["Watch", "silence_limits"]

# Fine enough to tell the pauses of a busy connection, coarse enough to cost nothing.
TURNS_IN_LIMIT = 16
AWAY_TURNS = 2
SHOWN_SYMBOLS = 4
ILLEGIBLE = (QuoteStatus.MALFORMED, QuoteStatus.MISSING_FIELD, QuoteStatus.BAD_NUMBER)
UNREADABLE = "most frames cannot be read: their format may have changed"


def silence_limits(feed: FeedConfig, spec: MarketSpec) -> SilenceLimits:
    """Return how long each level of a source may be silent."""
    return SilenceLimits(
        turn_s=feed.connection_silence_s / TURNS_IN_LIMIT,
        symbol_s=feed.symbol_silence_s,
        repeats_every_s=spec.repeats_every_s,
        connection_s=feed.connection_silence_s,
        quiet_s=feed.silence_limit_s,
        source_s=feed.source_silence_s,
        exchange_s=feed.exchange_silence_s,
        first_data_s=feed.first_data_s if spec.has_snapshot else feed.first_change_s,
        max_jump=feed.max_jump_pct / 100 or math.inf,
    )


class Watch:
    """The watch over one source's silence.

    Args:
        source: whose.
        limits: `silence_limits`.
        fleet: its connections.
        sink: where its quotes go.
        spot_check: asks its REST.
        confirm: symbol id and price in USDT a coin: releases a held quote that agrees.
        prices: what its quotes are at present.
        health: for the feed of the exchange's other market.
        clock: monotonic time.
        log: the feed's logger.

    Concurrency: one event loop, the connections'.
    """

    def __init__(  # noqa: PLR0913 - the parts of the feed that it works with
        self,
        *,
        source: Source,
        limits: SilenceLimits,
        fleet: Fleet,
        sink: FeedSink,
        spot_check: SpotCheck,
        confirm: Callable[[int, float], bool],
        prices: PriceStore,
        health: HealthReader,
        clock: Clock,
        log: logging.Logger,
    ) -> None:
        self._source_id = source.source_id
        # Spot and perpetuals of an exchange are neighbours, see model.source_id_of.
        self._sibling_id = source.source_id ^ 1
        self._turn_ns = round(limits.turn_s * 1e9)
        self._doubt_ns = round(limits.doubt_s * 1e9)
        self._fleet = fleet
        self._sink = sink
        self._spot_check = spot_check
        self._release = confirm
        self._prices = prices
        self._health = health
        self._clock = clock
        self._log = log
        self._backlog = Backlog()
        self._legible = Legible()
        self._is_illegible = False
        self._monitor = Monitor(limits, clock.monotonic_ns())
        self._legs: dict[str, tuple[int, float]] = {}
        self._symbols: dict[int, str] = {}
        self._next_ns = 0
        self._halted: set[str] = set()
        self._level = Level.LIVE
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Say what is silent, or cannot be read; empty while nothing is."""
        parts = (UNREADABLE if self._is_illegible else "", self._trouble)
        return "; ".join(part for part in parts if part)

    @property
    def missing_count(self) -> int:
        """How many symbols trade and send no quote, resubscribed or not."""
        return len(self._monitor.doubts.missing)

    def adopt(self, legs: Legs) -> None:
        """Watch over these symbols from now on; the fleet has them already."""
        self._legs = {symbol: (symbol_id, multiplier) for symbol, symbol_id, multiplier, _ in legs}
        self._symbols = {symbol_id: symbol for symbol, (symbol_id, _) in self._legs.items()}

    def turn(self) -> None:
        """Look, when it is time to; call it often."""
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._next_ns:
            return
        was_away = now_ns - self._next_ns > AWAY_TURNS * self._turn_ns
        self._next_ns = now_ns + self._turn_ns
        if was_away:
            # The loop read nothing meanwhile, so silence is its own: judge by the next turn.
            return
        self._spot_check.check()
        connections = {id(connection): connection for connection in self._fleet.connections()}
        doubtful = self._doubtful(now_ns)
        decisions = self._monitor.look(
            Seen(
                now_ns=now_ns,
                connections=[
                    self._seen(connection, doubtful) for connection in connections.values()
                ],
                answer=self._spot_check.answer,
                sibling_quotes=self._sibling_quotes(),
                book=self._book,
                silent=self._silent,
            )
        )
        for number, reason in decisions.drop.items():
            connections[number].drop(reason)
        behind = [n for n, row in connections.items() if row.listener and row.listener.behind_ns]
        late = self._backlog.look(now_ns, behind, are_all=len(behind) == len(connections))
        if late is not None:
            connections[late].drop("its quotes have been late for long")
        self._act(decisions)
        self._read(now_ns)
        self._confirm()

    def _doubtful(self, now_ns: int) -> set[str]:
        """Return the symbols that are worth a look; of hundreds they are few."""
        silent = self._sink.silent(now_ns - self._doubt_ns)
        return {self._symbols[symbol_id] for symbol_id in silent if symbol_id in self._symbols} | {
            symbol for symbol, (symbol_id, _) in self._legs.items()
            if not self._sink.is_live(symbol_id)
        }  # fmt: skip

    def _seen(self, connection: Connection, doubtful: set[str]) -> ConnectionSeen:
        listener = connection.listener
        last_quote_ns = listener.last_quote_ns if listener is not None else 0
        asked_ns = connection.opened_ns
        if not last_quote_ns:
            times = map(connection.subscribed_ns, connection.symbols)
            asked_ns = min(filter(None, times), default=0)
        return ConnectionSeen(
            number=id(connection),
            opened_ns=connection.opened_ns if listener is not None else 0,
            last_quote_ns=last_quote_ns,
            asked_ns=asked_ns,
            carried=connection.symbols,
            symbols=[
                SymbolSeen(
                    symbol,
                    connection.subscribed_ns(symbol) or 0,
                    self._sink.last_ns(self._legs[symbol][0]),
                    self._sink.is_live(self._legs[symbol][0]),
                )
                for symbol in connection.symbols
                if symbol in doubtful
            ],
        )

    def _sibling_quotes(self) -> int | None:
        sibling = self._health.slot(self._sibling_id)
        is_at_work = sibling.is_alive and sibling.state is ProcessState.RUNNING
        has_symbols = sibling.counters[FeedCounter.SYMBOLS_EXPECTED] > 0
        return sibling.counters[FeedCounter.QUOTES] if is_at_work and has_symbols else None

    def _book(self, symbol: str) -> Book:
        symbol_id, multiplier = self._legs[symbol]
        record = self._prices.read(slot_of(self._source_id, symbol_id))
        if record is None:
            return 0.0, 0.0
        return float(record["bid"]) * multiplier, float(record["ask"]) * multiplier

    def _silent(self, since_ns: int) -> list[str]:
        return [
            self._symbols[symbol_id]
            for symbol_id in self._sink.silent(since_ns)
            if symbol_id in self._symbols and self._sink.is_live(symbol_id)
        ]

    def _act(self, decisions: Decisions) -> None:
        if decisions.must_ask:
            self._spot_check.want()
        halted = set(self._monitor.doubts.halted)
        for symbol in {*decisions.unusable, *(halted - self._halted)}:
            # As after a connection that ended: the next quote is a first one, however old its book.
            flag = SlotFlag.HALTED if symbol in halted else SlotFlag.DISCONNECTED
            self._sink.mark(self._legs[symbol][0], flag)
        self._halted = halted
        if decisions.resubscribe:
            self._log.warning("silent, subscribing anew: %s", _named(decisions.resubscribe))
            self._fleet.resubscribe(decisions.resubscribe)
        if decisions.level is not self._level:
            self._level = decisions.level
            self._log.warning("%s", _LEVELS[self._level] or "quotes are back")
        doubts = self._monitor.doubts
        found = (
            _LEVELS[self._level],
            doubts.missing and f"{len(doubts.missing)} missing: {_named(sorted(doubts.missing))}",
            doubts.halted and f"{len(doubts.halted)} not trading: {_named(sorted(doubts.halted))}",
        )
        self._trouble = "; ".join(part for part in found if part)

    def _read(self, now_ns: int) -> None:
        """Say it when what comes cannot be read any more."""
        counters = self._health.slot(self._source_id).counters
        illegible = sum(counters[FeedCounter.REFUSED + status] for status in ILLEGIBLE)
        is_illegible = self._legible.look(now_ns, counters[FeedCounter.FRAMES], illegible)
        if is_illegible and not self._is_illegible:
            self._log.error("%s", UNREADABLE)
        self._is_illegible = is_illegible

    def _confirm(self) -> None:
        """Let REST speak for quotes that are held because the price jumped."""
        for symbol_id, since_ns in self._sink.held().items():
            answer, symbol = self._spot_check.answer, self._symbols.get(symbol_id)
            if symbol is None:
                continue
            is_confirmed = (
                answer is not None
                and answer.asked_ns >= since_ns
                and symbol in answer.prices
                and self._release(symbol_id, answer.prices[symbol] / self._legs[symbol][1])
            )
            if not is_confirmed:
                self._spot_check.want()


_LEVELS = {
    Level.LIVE: "",
    Level.SOURCE_SILENT: "no quote on any connection",
    Level.EXCHANGE_DOWN: "exchange down",
}


def _named(symbols: Sequence[str]) -> str:
    more = len(symbols) - SHOWN_SYMBOLS
    return ", ".join(symbols[:SHOWN_SYMBOLS]) + (f" and {more} more" if more > 0 else "")
