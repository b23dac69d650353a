"""What the connections of one source share."""

import logging

from spreadscan.config import FeedConfig, MarketConfig
from spreadscan.exchanges import Source
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.listener import QuoteListener
from spreadscan.kernel.sink import FeedSink
from spreadscan.manners.allowances import Allowances, own_allowances
from spreadscan.model import SlotFlag
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.trust import Trust
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthWriter

__all__ = ["Shared"]


class Shared:
    """What the connections of one source share.

    Args:
        source: the source with its adapter.
        market: its address and operating limits.
        feed: retry and silence settings.
        sink: where quotes go.
        health: the feed's slot.
        trust: whose certificates are believed.
        clock: monotonic time.
        log: the feed's logger.
        allowances: of the source's addresses; None for its own, which no other process knows of.
    """

    def __init__(  # noqa: PLR0913 - a plain record of the feed's parts
        self,
        *,
        source: Source,
        market: MarketConfig,
        feed: FeedConfig,
        sink: FeedSink,
        health: HealthWriter,
        trust: Trust,
        clock: Clock,
        log: logging.Logger,
        allowances: Allowances | None = None,
    ) -> None:
        self.source = source
        self.market = market
        self.feed = feed
        self.sink = sink
        self.health = health
        self.trust = trust
        self.clock = clock
        self.log = log
        self.allowances = allowances or own_allowances(source, market, feed.connect_timeout_s)
        self.connects = self.allowances.connect_gate(clock)
        self.open_listeners: set[QuoteListener] = set()
        self.ids: dict[str, int] = {}
        """Symbol id by exchange symbol: everything that the source has at present."""
        self.extractor = Extractor(source.spec.plan, [])
        """Reads frames a second time where it matters who sent them; has the same instruments as
        the sink's, which may be in the middle of a frame."""
        self.is_answering = False
        """Whether the exchange is known to answer who asks for a sign of life."""
        self._request_number = 0

    def now_s(self) -> float:
        """Return monotonic seconds."""
        return self.clock.monotonic_ns() / 1e9

    def next_request_number(self) -> int:
        """Return a number that no request of this source had before."""
        self._request_number += 1
        return self._request_number

    def is_live(self, symbol: str) -> bool:
        """Whether a symbol is usable."""
        return symbol in self.ids and self.sink.is_live(self.ids[symbol])

    def mark(self, symbol: str, flag: SlotFlag) -> None:
        """Make a symbol unusable until its next fresh quote; one that is gone already is so."""
        if symbol in self.ids:
            self.sink.mark(self.ids[symbol], flag)

    def opened(self, listener: QuoteListener) -> None:
        """Count a connection."""
        self.open_listeners.add(listener)
        self.health.add(FeedCounter.CONNECTS)
        self.health.set(FeedCounter.CONNECTIONS_OPEN, len(self.open_listeners))

    def ended(self, listener: QuoteListener) -> None:
        """Uncount it; one that ended before it was counted is not known here."""
        self.open_listeners.discard(listener)
        self.health.add(FeedCounter.DISCONNECTS)
        self.health.set(FeedCounter.CONNECTIONS_OPEN, len(self.open_listeners))
