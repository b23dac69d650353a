"""Every source goes over to other symbols at its simulated exchange, within all limits."""

import pytest
from simulated_cases import Simulated

from spreadscan.exchanges import sources
from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.shm.counters import FeedCounter

UNKNOWN = FeedCounter.REFUSED + QuoteStatus.UNKNOWN_SYMBOL
# Late is what a busy machine makes of any quote.
REFUSALS = [
    FeedCounter.REFUSED + status
    for status in QuoteStatus
    if status not in {QuoteStatus.QUOTE, QuoteStatus.UNKNOWN_SYMBOL, QuoteStatus.LATE}
]


@pytest.mark.parametrize("name", sorted(sources()))
def test_source_goes_over_to_other_symbols_within_the_limits(make_feed, name):
    feed = make_feed(name, [], keeps_the_pace=True)
    exchange = Simulated(feed.source, symbols=9)
    seen = []

    def adopt(first, last):
        return feed.adopt(exchange.legs(first, last))

    def is_quiet():
        """Whether a few more quotes came since the last look and no unknown one."""
        seen.append((feed.counter(FeedCounter.QUOTES), feed.counter(UNKNOWN)))
        quotes, unknown = seen[0]
        if seen[-1][1] != unknown:
            seen.clear()
            return False
        return seen[-1][0] > quotes + 20

    def is_changed():
        heard = {symbol for symbol in exchange.listings() if exchange.is_heard(symbol)}
        return heard == feed.live() == {leg[0] for leg in feed.legs}

    feed.run(
        exchange,
        # All of them, without the first three, all but the last three: under other ids each time.
        lambda: adopt(0, 6),
        is_changed,
        lambda: adopt(3, 9),
        is_changed,
        is_quiet,
        lambda: adopt(0, 6),
        is_changed,
        is_quiet,
        lambda: adopt(0, 0),
        lambda: exchange.ledger().open_connections == 0,
    )

    assert exchange.simulation.report()["overruns"] == 0
    assert exchange.ledger().connections == feed.counter(FeedCounter.CONNECTS)
    assert [feed.counter(counter) for counter in REFUSALS] == [0] * len(REFUSALS)
    assert feed.counter(FeedCounter.SUBSCRIBE_REFUSED) == 0
    assert feed.slot(100)["flags"] & SlotFlag.UNSUBSCRIBED


def test_full_connection_changes_half_its_symbols_without_a_topic_too_many_or_a_frame_lost(
    make_feed,
):
    feed = make_feed("mexc_spot", [], keeps_the_pace=True)
    exchange = Simulated(feed.source, symbols=45)

    def is_changed():
        heard = {symbol for symbol in exchange.listings() if exchange.is_heard(symbol)}
        return heard == feed.live() == {leg[0] for leg in feed.legs}

    def has_everything():
        # Each request has one answer.
        found = exchange.ledger()
        return feed.counter(FeedCounter.FRAMES) == found.frames_sent + found.subscribes

    feed.run(
        exchange,
        lambda: feed.adopt(exchange.legs(0, 30)),
        is_changed,
        lambda: feed.adopt(exchange.legs(15, 45)),
        is_changed,
        lambda: feed.adopt(exchange.legs(5, 35)),
        is_changed,
        lambda: exchange.is_still.set() or True,
        has_everything,
    )

    found = exchange.ledger()
    assert found.most_topics == 30
    assert found.connections == 1
    assert exchange.simulation.report()["overruns"] == 0
    assert found.subscribes == 2 + 4
