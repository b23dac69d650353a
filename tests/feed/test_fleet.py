"""A source goes over to other symbols on real sockets: who stays loses nothing."""

import asyncio
import itertools
import json
import logging

import pytest
from exchange_cases import Exchange, legs

from spreadscan.feed import connection
from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.shm.counters import FeedCounter

UNKNOWN = FeedCounter.REFUSED + QuoteStatus.UNKNOWN_SYMBOL


@pytest.fixture
def exchange():
    return Exchange()


@pytest.fixture
def feed(make_feed):
    """A feed of A to F, four to a connection when it matters."""

    def make(symbols="ABCDEF", **overrides):
        feed = make_feed("bybit_futures", symbols, **overrides)
        feed.legs = legs(symbols)
        return feed

    return make


def live(feed, symbols):
    return lambda: feed.live() == set(symbols)


def test_only_the_difference_is_sent_and_added_symbols_come_alive(feed, exchange):
    feed = feed()
    feed.run(
        exchange,
        live(feed, "ABCDEF"),
        lambda: feed.adopt(legs("ACDEFXY")),
        live(feed, "ACDEFXY"),
        lambda: feed.counter(FeedCounter.SYMBOLS_LIVE) == 7,
    )

    assert exchange.log == [
        (0, "subscribe", "ABCDEF"),
        (0, "unsubscribe", "B"),
        (0, "subscribe", "XY"),
    ]
    assert feed.counter(FeedCounter.SYMBOLS_EXPECTED) == 7
    assert feed.counter(FeedCounter.CONNECTS) == 1


def test_same_symbols_again_change_nothing(feed, exchange):
    feed = feed()
    feed.run(
        exchange,
        live(feed, "ABCDEF"),
        lambda: feed.adopt(legs("FEDCBA")),
        exchange.quoting(0, "A", 2),
        lambda: feed.stored("A")["update_id"] == 2,
    )

    assert exchange.asked() == []
    assert feed.counter(FeedCounter.QUOTES) == 7


def test_removed_symbol_is_unusable_at_once_and_stays_so_while_its_frames_still_come(
    feed, exchange
):
    feed = feed()
    exchange_is_late = exchange.quoting(0, "BBBA", 2)
    seen = []

    def remove():
        exchange.may_answer.clear()
        feed.adopt(legs("ACDEF"))
        seen.append((feed.slot(1)["flags"], feed.sink.live_count))
        return True

    feed.run(
        exchange,
        live(feed, "ABCDEF"),
        remove,
        exchange_is_late,
        lambda: feed.stored("A")["update_id"] == 2,
        lambda: seen.append((feed.slot(1)["flags"], feed.sink.live_count)) or True,
        lambda: exchange.may_answer.set() or True,
        lambda: "B" not in exchange.held[0],
    )

    assert seen == [(SlotFlag.UNSUBSCRIBED, 5)] * 2
    assert feed.counter(UNKNOWN) == 3


def test_unchanged_symbols_lose_no_update_while_others_come_and_go(feed, exchange):
    feed = feed(messages_per_s=1000.0)
    kept, others = "ABCDEF", ["GHI", "", "HIJ", "J", "GJ"]
    exchange.silent = set("GHIJ")
    done = asyncio.Event()
    last = 0

    async def publish():
        nonlocal last
        for last in itertools.count(2):
            for symbol in kept:
                await exchange.quote(0, symbol, last)
            if done.is_set():
                return
            await asyncio.sleep(0)

    async def publish_and_adopt():
        publishing = asyncio.create_task(publish())
        for number in range(40):
            wanted = kept + others[number % 5]
            feed.adopt(legs(wanted))
            await exchange.holds(0, wanted)
        done.set()
        await publishing

    feed.run(
        exchange,
        live(feed, kept),
        publish_and_adopt,
        lambda: all(feed.stored(symbol)["update_id"] == last for symbol in kept),
        lambda: feed.counter(FeedCounter.QUOTES) == exchange.sent,
    )

    assert last > 40
    assert feed.counter(UNKNOWN) == 0
    assert feed.counter(FeedCounter.CONNECTS) == 1
    assert not any(set(symbols) & set(kept) for _, _, symbols in exchange.asked())


def test_symbol_whose_id_changes_keeps_its_subscription_and_leaves_its_old_slot(feed, exchange):
    feed = feed()
    seen = []

    def move():
        feed.adopt(legs("ABCDEF", B=("B", 50, 1.0, 1.0), C=("C", 3, 1.0, 1.0), D=("D", 2, 1, 1)))
        seen.append([feed.slot(number)["flags"] for number in (0, 1, 2, 3, 50)])
        return True

    feed.run(
        exchange,
        live(feed, "ABCDEF"),
        exchange.quoting(0, "BCD", 7),
        lambda: feed.stored("D")["update_id"] == 7,
        move,
        # Another id begins another series: a lower update id is not an old one.
        exchange.quoting(0, "BCD", 5),
        live(feed, "ABCDEF"),
    )

    gone, never = SlotFlag.UNSUBSCRIBED, SlotFlag.NEVER_WRITTEN
    assert seen == [[0, gone, gone, gone, never]]
    assert feed.slot(1)["flags"] == gone
    assert [feed.slot(number)["update_id"] for number in (50, 3, 2)] == [5, 5, 5]
    assert exchange.asked() == []


def test_symbol_whose_factors_change_is_unusable_until_its_next_quote(feed, exchange):
    feed = feed()
    seen = []

    def rescale():
        feed.adopt(legs("ABCDEF", B=("B", 1, 1000.0, 10.0)))
        seen.append(feed.stored("B")["flags"])
        return True

    feed.run(
        exchange,
        live(feed, "ABCDEF"),
        rescale,
        exchange.quoting(0, "B", 1),
        live(feed, "ABCDEF"),
    )

    assert seen == [SlotFlag.UNSUBSCRIBED]
    assert (feed.stored("B")["bid"], feed.stored("B")["bid_qty"]) == (0.0015, 20.0)
    assert exchange.asked() == []


def test_source_loses_all_its_symbols_and_gets_others(feed, exchange):
    feed = feed("")
    feed.run(
        exchange,
        lambda: feed.adopt(legs("AB")),
        live(feed, "AB"),
        lambda: feed.adopt([]),
        lambda: exchange.connections[0].close_code is not None,
        lambda: feed.counter(FeedCounter.CONNECTIONS_OPEN) == 0,
        lambda: feed.adopt(legs("BC")),
        live(feed, "BC"),
    )

    assert exchange.log == [(0, "subscribe", "AB"), (1, "subscribe", "BC")]
    assert feed.slot(0)["flags"] & SlotFlag.UNSUBSCRIBED
    assert feed.counter(FeedCounter.SYMBOLS_EXPECTED) == 2
    assert feed.counter(FeedCounter.CONNECTS) == 2


def test_source_without_symbols_makes_no_connection(feed, exchange):
    feed = feed("")
    turns = iter(range(20))

    feed.run(exchange, lambda: next(turns) == 19)

    assert exchange.connections == []
    assert feed.counter(FeedCounter.SYMBOLS_EXPECTED) == 0


def test_connection_that_nobody_keeps_is_not_at_work(feed, exchange, monkeypatch):
    monkeypatch.setattr(connection, "OVERDUE_S", 0.2)
    feed = feed()
    seen = []

    def lose_its_task():
        seen.append(feed.fleet.is_at_work)
        (task,) = feed.fleet._tasks.values()
        return task.cancel()

    feed.run(
        exchange, live(feed, "ABCDEF"), lose_its_task, lambda: not feed.live(),
        lambda: not feed.fleet.is_at_work,
    )  # fmt: skip

    assert seen == [True]


def test_full_connections_get_company_and_an_empty_one_is_closed_for_good(feed, exchange):
    feed = feed("ABC", topics_per_connection=4)
    feed.run(
        exchange,
        live(feed, "ABC"),
        lambda: feed.adopt(legs("ABCDEF")),
        live(feed, "ABCDEF"),
        lambda: feed.adopt(legs("ABCD")),
        lambda: exchange.connections[1].close_code is not None,
        lambda: feed.adopt(legs("ABC")),
        lambda: exchange.log[-1] == (0, "unsubscribe", "D"),
    )

    # The two connections do not wait for each other.
    assert [row for row in exchange.log if row[0] == 0] == [
        (0, "subscribe", "ABC"),
        (0, "subscribe", "D"),
        (0, "unsubscribe", "D"),
    ]
    assert [row for row in exchange.log if row[0] == 1] == [(1, "subscribe", "EF")]
    assert len(exchange.connections) == 2


def test_connection_that_is_down_subscribes_the_set_of_the_moment_it_is_up(feed, exchange):
    feed = feed()
    seen = []

    def cut():
        exchange.may_connect.clear()
        exchange.connections[0].transport.abort()
        return True

    def adopt():
        if feed.counter(FeedCounter.CONNECTIONS_OPEN):
            return False
        feed.adopt(legs("ABEX"))
        seen.append([feed.slot(number)["flags"] for number in range(4)])
        exchange.may_connect.set()
        return True

    feed.run(exchange, live(feed, "ABCDEF"), cut, adopt, live(feed, "ABEX"))

    down = SlotFlag.DISCONNECTED
    assert seen == [[down, down, down | SlotFlag.UNSUBSCRIBED, down | SlotFlag.UNSUBSCRIBED]]
    assert exchange.log == [(0, "subscribe", "ABCDEF"), (1, "subscribe", "ABEX")]


def test_change_between_connecting_and_subscribing_is_in_the_first_request(feed, exchange):
    feed = feed()
    # The client has not seen the handshake's end yet.
    exchange.on_connect = lambda: feed.adopt(legs("ABX"))

    feed.run(exchange, live(feed, "ABX"))

    assert exchange.log == [(0, "subscribe", "ABX")]


def test_end_of_a_connection_marks_what_it_carries_now(feed, exchange):
    feed = feed("ABCDEFGH", topics_per_connection=4)
    seen = {}

    def cut():
        # Nobody may be back before the flags are looked at.
        exchange.is_shut = True
        exchange.connections[_holding(exchange, "C")].transport.abort()
        return True

    def is_cut():
        seen.update({symbol: feed.slot(ord(symbol) - ord("A"))["flags"] for symbol in "ACEGHZ"})
        return feed.counter(FeedCounter.DISCONNECTS) == 1

    feed.run(
        exchange,
        live(feed, "ABCDEFGH"),
        lambda: feed.adopt(legs("CEGH")),
        lambda: sorted(map(len, exchange.held)) == [1, 3],
        lambda: feed.adopt(legs("CEGHZ")),
        live(feed, "CEGHZ"),
        cut,
        is_cut,
    )

    down = SlotFlag.DISCONNECTED
    assert seen == {"A": SlotFlag.UNSUBSCRIBED, "C": down, "E": down, "G": down, "H": 0, "Z": 0}


def _holding(exchange, symbol):
    return next(number for number, held in enumerate(exchange.held) if symbol in held)


def test_symbol_that_comes_back_before_the_exchange_heard_of_it_is_not_touched(feed, exchange):
    feed = feed()
    seen = []

    def there_and_back():
        feed.adopt(legs("ACDEF"))
        feed.adopt(legs("ABCDEF"))
        seen.append(feed.stored("B")["flags"])
        return True

    feed.run(
        exchange,
        live(feed, "ABCDEF"),
        there_and_back,
        exchange.quoting(0, "B", 1),
        live(feed, "ABCDEF"),
    )

    assert seen == [SlotFlag.UNSUBSCRIBED]
    assert exchange.asked() == []


def test_symbol_that_comes_back_afterwards_is_asked_for_where_it_was_and_in_order(feed, exchange):
    feed = feed("ABCE", topics_per_connection=3)
    first = []

    feed.run(
        exchange,
        live(feed, "ABCE"),
        lambda: first.append(_holding(exchange, "C")) or exchange.may_answer.clear() or True,
        lambda: feed.adopt(legs("ABE")),
        exchange.asked,
        lambda: feed.adopt(legs("ABCE")),
        lambda: exchange.may_answer.set() or True,
        live(feed, "ABCE"),
    )

    assert exchange.asked() == [(first[0], "unsubscribe", "C"), (first[0], "subscribe", "C")]


def test_symbol_removed_while_its_request_is_refused_is_not_asked_for_again(feed, exchange):
    feed = feed("ABCD")

    def refuse(_operation, symbols):
        if symbols == list("ABCD"):
            # The refusal is on its way when the symbols go.
            feed.adopt(legs("AD"))
            return "no"
        return None

    exchange.refusal = refuse
    feed.run(exchange, live(feed, "AD"))

    asked = [symbols for _, op, symbols in exchange.log if op == "subscribe"]
    assert asked == ["ABCD", "A", "D"]
    assert feed.counter(FeedCounter.SUBSCRIBE_REFUSED) == 0
    assert feed.slot(1)["flags"] & SlotFlag.UNSUBSCRIBED


def test_refused_unsubscribing_is_repeated_in_halves_and_is_no_refused_symbol(
    feed, exchange, caplog
):
    feed = feed()

    def refuse(operation, symbols):
        return "no" if operation == "unsubscribe" and "B" in symbols else None

    exchange.refusal = refuse
    with caplog.at_level(logging.INFO):
        feed.run(
            exchange,
            live(feed, "ABCDEF"),
            lambda: feed.adopt(legs("EF")),
            lambda: exchange.held == [set("BEF")] and (0, "unsubscribe", "B") in exchange.log,
        )

    gone = [sorted(symbols) for _, op, symbols in exchange.log if op == "unsubscribe"]
    assert gone == [list("ABCD"), list("AB"), list("CD"), ["A"], ["B"]]
    assert feed.counter(FeedCounter.SUBSCRIBE_REFUSED) == 0
    assert "unsubscribing refused: no" in caplog.text


def test_unsubscribing_keeps_to_the_batch_and_to_the_hourly_budget(
    make_feed, exchange, monkeypatch
):
    taken = []

    class Spy:
        def __init__(self, count, window_s):
            self.rule = (count, window_s)

        def take(self, now_s):
            taken.append(self.rule)
            return 0.0

    monkeypatch.setattr("spreadscan.manners.messages.Pace", Spy)
    feed = make_feed("okx_spot", "ABCDEFG", topics_per_message=2)
    feed.legs = legs("ABCDEFG")
    asked = []

    async def serve(connection):
        async for message in connection:
            request = json.loads(message)
            asked.append((request["op"], len(request["args"])))

    exchange._serve = serve
    feed.run(
        exchange,
        lambda: len(asked) == 4,
        lambda: feed.adopt(legs("FG")),
        lambda: len(asked) == 7,
    )

    assert asked[4:] == [("unsubscribe", 2), ("unsubscribe", 2), ("unsubscribe", 1)]
    assert taken.count((432, 3600.0)) == 7
    assert len(taken) == 14


@pytest.mark.parametrize(
    "bad", [("X" * 49, 9, 1.0, 1.0), ("Z", 0, 1.0, 1.0), ("A", 9, 1.0, 1.0), ("Z", 9, 0.0, 1.0)]
)
def test_universe_with_an_instrument_that_is_refused_changes_nothing(feed, exchange, bad):
    feed = feed()

    def refuse():
        with pytest.raises(ValueError, match=r"symbol|listed|positive"):
            feed.fleet.adopt([*legs("AX"), bad])
        return True

    feed.run(
        exchange,
        live(feed, "ABCDEF"),
        refuse,
        exchange.quoting(0, "B", 2),
        lambda: feed.stored("B")["update_id"] == 2,
        live(feed, "ABCDEF"),
        lambda: not exchange.asked() and feed.counter(FeedCounter.SYMBOLS_EXPECTED) == 6,
        lambda: feed.adopt(legs("ACDEF")),
        exchange.asked,
        live(feed, "ACDEF"),
    )

    assert exchange.asked() == [(0, "unsubscribe", "B")]
    assert feed.slot(1)["flags"] == SlotFlag.UNSUBSCRIBED
