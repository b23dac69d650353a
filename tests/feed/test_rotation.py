"""A connection is replaced before it ends: its symbols stay usable, whatever crashes meanwhile."""

import itertools
import math
import time

import msgspec
import pytest
from exchange_cases import Exchange, legs
from hypothesis import given
from hypothesis import strategies as st

from spreadscan.feed.rotation import FIRST_SHARE, LAST_SHARE, rotation_age_s
from spreadscan.model import SlotFlag
from spreadscan.shm.counters import FeedCounter

SOON_S = 0.1
DAY_S = 86_400.0


@given(st.integers(2, 60))
def test_connections_opened_together_are_replaced_apart(count):
    ages_s = sorted(rotation_age_s(DAY_S, number) for number in range(count))

    gaps_s = [after - before for before, after in itertools.pairwise(ages_s)]
    assert min(gaps_s) > DAY_S * (LAST_SHARE - FIRST_SHARE) / count / 3
    assert ages_s[0] >= DAY_S * 0.90
    assert ages_s[-1] < DAY_S - 3000, "time is left for tries that fail"


class Once:
    """True the first time that somebody looks."""

    def __init__(self):
        self._looks = 0

    def __bool__(self):
        self._looks += 1
        return self._looks == 1


@pytest.fixture
def exchange():
    return Exchange()


@pytest.fixture
def feed(make_feed, monkeypatch):
    """A feed of A to D whose first connection, and no other, soon grows old."""

    def make(overlap_s=20.0):
        ages_s = iter([SOON_S])
        monkeypatch.setattr(
            "spreadscan.feed.rotation.rotation_age_s", lambda *_: next(ages_s, math.inf)
        )
        monkeypatch.setattr("spreadscan.feed.rotation.OVERLAP_S", overlap_s)
        feed = make_feed("bybit_futures", "ABCD", limits={"lifetime_s": DAY_S})
        feed.legs = legs("ABCD")
        return feed

    return make


def flags(feed):
    return {symbol: int(feed.stored(symbol)["flags"]) for symbol in "ABCD"}


def is_closed(exchange, number):
    return exchange.connections[number].close_code is not None


def silencing(exchange, symbols):
    """Quote these no more when they are subscribed."""
    return lambda: exchange.silent.update(symbols) or True


def following(exchange):
    """Whether the second connection has everything."""
    return lambda: len(exchange.held) == 2 and exchange.held[1] == set("ABCD")


def test_old_connection_is_closed_once_everybody_was_quoted_on_the_new_one(feed, exchange):
    feed = feed()
    seen = []

    feed.run(
        exchange,
        lambda: len(feed.live()) == 4,
        silencing(exchange, "D"),
        following(exchange),
        exchange.quoting(0, "D", 5),
        lambda: feed.stored("D")["update_id"] == 5,
        lambda: seen.append((feed.fleet.plan()[0].state, is_closed(exchange, 0))) or True,
        # An old one: the store has it from the first connection.
        exchange.quoting(1, "D", 4),
        lambda: is_closed(exchange, 0),
        lambda: feed.counter(FeedCounter.CONNECTIONS_OPEN) == 1,
        lambda: seen.append((feed.fleet.plan()[0].state, flags(feed))) or True,
    )

    assert seen == [("rotating", False), ("open", dict.fromkeys("ABCD", 0))]
    assert exchange.connections[0].close_code == 1000
    assert len(exchange.connections) == 2


def test_quiet_symbol_is_not_waited_for_without_end_and_not_believed_either(feed, exchange):
    feed = feed(overlap_s=0.2)

    feed.run(
        exchange,
        lambda: len(feed.live()) == 4,
        silencing(exchange, "D"),
        lambda: len(exchange.held) == 2,
        lambda: feed.live() == set("ABC"),
        exchange.quoting(1, "D", 2),
        lambda: feed.live() == set("ABCD"),
    )

    assert is_closed(exchange, 0)
    assert feed.counter(FeedCounter.CONNECTS) == 2


def test_crash_of_the_old_one_marks_what_the_new_one_has_not_quoted(feed, exchange):
    feed = feed()
    seen = []

    feed.run(
        exchange,
        lambda: len(feed.live()) == 4,
        silencing(exchange, "CD"),
        following(exchange),
        exchange.quoting(1, "B", 2),
        lambda: feed.stored("B")["update_id"] == 2,
        lambda: exchange.connections[0].transport.abort() or True,
        lambda: feed.counter(FeedCounter.DISCONNECTS) == 1,
        lambda: seen.append(flags(feed)) or True,
        exchange.quoting(1, "CD", 2),
        lambda: len(feed.live()) == 4,
    )

    down = SlotFlag.DISCONNECTED
    assert seen == [{"A": 0, "B": 0, "C": down, "D": down}]
    assert len(exchange.connections) == 2


def test_crash_of_the_new_one_marks_nobody_and_another_one_follows(feed, exchange):
    feed = feed()
    seen = []

    feed.run(
        exchange,
        lambda: len(feed.live()) == 4,
        silencing(exchange, "CD"),
        following(exchange),
        exchange.quoting(1, "B", 2),
        lambda: feed.stored("B")["update_id"] == 2,
        lambda: exchange.silent.clear() or exchange.connections[1].transport.abort() or True,
        lambda: feed.counter(FeedCounter.DISCONNECTS) == 1,
        lambda: seen.append(flags(feed)) or True,
        lambda: is_closed(exchange, 0),
        lambda: seen.append(flags(feed)) or True,
    )

    assert seen == [dict.fromkeys("ABCD", 0)] * 2
    assert len(exchange.connections) == 3


def test_symbol_that_only_the_new_one_quoted_goes_with_it(feed, exchange):
    feed = feed()
    exchange.silent.add("D")
    seen = []

    feed.run(
        exchange,
        lambda: len(feed.live()) == 3,
        silencing(exchange, "C"),
        following(exchange),
        exchange.quoting(1, "D", 2),
        lambda: len(feed.live()) == 4,
        lambda: exchange.connections[1].transport.abort() or True,
        lambda: feed.counter(FeedCounter.DISCONNECTS) == 1,
        lambda: seen.append(flags(feed)) or True,
    )

    down = SlotFlag.DISCONNECTED
    assert seen == [{"A": 0, "B": 0, "C": 0, "D": down}]


def test_replacement_that_cannot_be_had_leaves_the_old_one_until_it_ends(feed, exchange):
    feed = feed()
    seen = []

    feed.run(
        exchange,
        lambda: len(feed.live()) == 4 and len(exchange.held[0]) == 4,
        lambda: setattr(exchange, "is_shut", True) or True,
        lambda: feed.counter(FeedCounter.CONNECT_FAILURES) >= 2,
        lambda: seen.append(flags(feed)) or True,
        lambda: exchange.connections[0].transport.abort() or True,
        lambda: not feed.live(),
        lambda: setattr(exchange, "is_shut", False) or True,
        lambda: len(feed.live()) == 4,
    )

    assert seen == [dict.fromkeys("ABCD", 0)]
    assert len(exchange.connections) == 2


def test_replacements_that_are_due_at_once_again_and_again_are_paced(feed, exchange, monkeypatch):
    feed = feed()
    # As on a machine that is being shut down and announces it to everybody who connects.
    monkeypatch.setattr("spreadscan.feed.rotation.rotation_age_s", lambda *_: 0.0)
    monkeypatch.setattr("random.random", lambda: 1.0)
    shared = feed.fleet._shared
    shared.feed = msgspec.structs.replace(shared.feed, retry_base_ms=50, retry_cap_s=0.2)
    opened_s = []
    exchange.on_connect = lambda: opened_s.append(time.monotonic())

    feed.run(exchange, lambda: len(opened_s) >= 7, lambda: len(feed.live()) == 4)

    gaps_s = [after - before for before, after in itertools.pairwise(opened_s)]
    # The first is replaced at once.
    bounds_s = (0.05, 0.1, 0.2, 0.2, 0.2)
    assert all(gap_s > bound_s for gap_s, bound_s in zip(gaps_s[1:6], bounds_s, strict=True))


def test_old_one_that_ends_while_its_replacement_fails_is_one_failure(feed, exchange, caplog):
    feed = feed()
    exchange.on_connect = exchange.may_connect.clear

    feed.run(
        exchange,
        lambda: len(feed.live()) == 4,
        # The handshake of the second one is under way.
        lambda: feed.fleet.plan()[0].state == "open" and feed.fleet.connections()[0]._opening,
        lambda: exchange.connections[0].transport.abort() or True,
        lambda: not feed.live(),
        lambda: setattr(exchange, "is_shut", Once()) or exchange.may_connect.set() or True,
        lambda: len(feed.live()) == 4,
    )

    assert feed.counter(FeedCounter.CONNECT_FAILURES) == 1
    pauses = [line for line in caplog.messages if "next try" in line]
    assert pauses == ["connection ended; next try in 0.0 s"]


def test_symbols_may_change_while_both_are_open(feed, exchange):
    feed = feed()

    feed.run(
        exchange,
        lambda: len(feed.live()) == 4,
        silencing(exchange, "D"),
        following(exchange),
        lambda: feed.adopt(legs("ABCX")),
        lambda: is_closed(exchange, 0),
        lambda: feed.live() == set("ABCX"),
    )

    assert exchange.held[1] == set("ABCX")


def test_resubscribing_leaves_and_asks_again_on_the_same_connection(feed, exchange, monkeypatch):
    feed = feed()
    monkeypatch.setattr("spreadscan.feed.rotation.rotation_age_s", lambda *_: math.inf)
    since = []

    def is_subscribed():
        found = feed.fleet.connections()[0].subscribed_ns("B")
        return found and since.append(found) is None

    feed.run(
        exchange,
        lambda: len(feed.live()) == 4,
        is_subscribed,
        lambda: feed.fleet.resubscribe(["B", "nobody"]) or True,
        lambda: exchange.asked() == [(0, "unsubscribe", "B"), (0, "subscribe", "B")],
        is_subscribed,
    )

    assert since[1] > since[0]
    assert len(exchange.connections) == 1


def test_dropped_connection_is_made_anew(feed, exchange, monkeypatch):
    feed = feed()
    monkeypatch.setattr("spreadscan.feed.rotation.rotation_age_s", lambda *_: math.inf)

    feed.run(
        exchange,
        lambda: len(feed.live()) == 4,
        lambda: feed.fleet.connections()[0].drop("no quotes") or True,
        lambda: len(exchange.connections) == 2 and len(feed.live()) == 4,
    )

    assert feed.counter(FeedCounter.CONNECTS) == 2
