"""What one source may do at its addresses, out of the budgets that all processes share."""

import logging
from collections.abc import Iterable

import msgspec

from spreadscan.config import Config, MarketConfig
from spreadscan.errors import RegionError
from spreadscan.exchanges import Source
from spreadscan.kernel.memory import Mapping
from spreadscan.manners.gates import ConnectGate, RestGate
from spreadscan.manners.kept_bans import KeptBan, kept_bans_of, restore_bans
from spreadscan.runtime.clock import Clock, SystemClock
from spreadscan.shm.governor import Allowance, Budget, RequestKind, Row, Turns, private_words
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions

__all__ = ["Allowances", "allowances_of", "governor_words", "own_allowances"]

log = logging.getLogger("spreadscan")


class Allowances(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one source, each shared with whoever has the same host."""

    connects: Turns
    messages: Allowance
    rest: Allowance
    kept_connects: KeptBan | None = None
    """Where bans outlive the rows; None for nowhere."""
    kept_rest: KeptBan | None = None

    def connect_gate(self, clock: Clock) -> ConnectGate:
        """Return a way to connect."""
        return ConnectGate(self.connects, clock, self.kept_connects)

    def rest_gate(self, clock: Clock) -> RestGate:
        """Return a way to ask over REST."""
        return RestGate(self.rest, clock, self.kept_rest)


def allowances_of(config: Config, source: Source, words: Mapping) -> Allowances:
    """Return the allowances of a source.

    An address is known by the lowest source id among the enabled markets at its host; its budget is
    the sum of theirs.

    Args:
        config: the markets of all sources.
        source: whose.
        words: the governor region's, or a process's own.
    """
    mine = config.market(source)
    others = [(other.source_id, config.market(other)) for other in config.active_sources()]
    sockets = [(row, market) for row, market in others if market.ws_host == mine.ws_host]
    rests = [(row, market) for row, market in others if market.rest_host == mine.rest_host]
    kept = kept_bans_of(config, words, SystemClock())
    return msgspec.structs.replace(
        _allowances(sockets, rests, words, config.feed.connect_timeout_s),
        kept_connects=kept[Row.row_of(min(sockets)[0], RequestKind.CONNECT)],
        kept_rest=kept[Row.row_of(min(rests)[0], RequestKind.REST)],
    )


def own_allowances(source: Source, market: MarketConfig, connect_timeout_s: float) -> Allowances:
    """Return allowances that nobody else knows of: for a program that is alone on its host.

    Args:
        source: whose.
        market: its budgets.
        connect_timeout_s: a handshake is given up after this long.
    """
    rows = [(source.source_id, market)]
    return _allowances(rows, rows, private_words(), connect_timeout_s)


def governor_words(config: Config) -> Mapping:
    """Return the words that all processes share, or own ones where there are no regions.

    For a program that may run before shm-init; whoever holds regions takes ``regions.governor``.
    Own ones know the bans that were kept.
    """
    try:
        regions = attach_regions(config.shm, reads=(), writes=[RegionKind.GOVERNOR], timeout_s=0.0)
    except RegionError:
        words = private_words()
        for line in restore_bans(config, words, SystemClock()):
            log.warning("%s", line)
        return words
    return regions.governor.mapping


Rows = Iterable[tuple[int, MarketConfig]]


def _allowances(at_ws: Rows, at_rest: Rows, words: Mapping, connect_timeout_s: float) -> Allowances:
    sockets = dict(at_ws)
    rests = dict(at_rest)
    connects = Budget(
        count=sum(market.connects_per_window for market in sockets.values()),
        window_s=max(market.connects_window_s for market in sockets.values()),
    )
    messages = sum(market.address_messages_per_s for market in sockets.values())
    requests = sum(market.rest_requests_per_s for market in rests.values())
    return Allowances(
        connects=Turns(
            words, Row.row_of(min(sockets), RequestKind.CONNECT), connects, connect_timeout_s
        ),
        messages=Allowance(
            words,
            Row.row_of(min(sockets), RequestKind.MESSAGE),
            Budget(count=messages, window_s=1.0),
        ),
        rest=Allowance(
            words,
            Row.row_of(min(rests), RequestKind.REST),
            Budget(count=requests, window_s=1.0),
        ),
    )
