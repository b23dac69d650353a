"""A connection against an exchange that refuses in its own ways: the innocent keep flowing."""

import asyncio
import logging

import orjson
import pytest

from spreadscan.feed.link import Link
from spreadscan.model import SlotFlag
from spreadscan.shm.counters import FeedCounter
from spreadscan.sim.tls import TlsFault, server_context

COINS = [f"C{number:02}USDT" for number in range(12)]


def bybit_snapshot(symbol, update_id=1, **changes):
    data = {"s": symbol, "b": [["1.5", "2"]], "a": [["1.6", "3"]], "u": update_id} | changes
    frame = {"topic": f"orderbook.1.{symbol}", "type": "snapshot", "data": data, "cts": 1}
    return orjson.dumps(frame).decode()


class Bybit:
    """Takes or refuses a request as a whole; names the first bad topic, or nobody."""

    def __init__(self, bad=(), *, names=True, echoes_id=True):
        self.bad = set(bad)
        self.names = names
        self.echoes_id = echoes_id
        self.held = set()

    def __call__(self, request):
        if request["op"] == "ping":
            return ['{"success":true,"ret_msg":"pong","op":"ping"}']
        symbols = [topic.removeprefix("orderbook.1.") for topic in request["args"]]
        request_id = request["req_id"] if self.echoes_id else ""
        texts = [text for text in map(self.refusal, symbols) if text]
        if texts:
            tree = {"success": False, "ret_msg": texts[0] if self.names else "no"}
            return [orjson.dumps(tree | {"req_id": request_id, "op": "subscribe"}).decode()]
        self.held |= set(symbols)
        ack = {"success": True, "ret_msg": "", "req_id": request["req_id"], "op": "subscribe"}
        return [orjson.dumps(ack).decode(), *map(bybit_snapshot, symbols)]

    def refusal(self, symbol):
        if symbol in self.bad:
            return f"error:handler not found,topic:orderbook.1.{symbol}"
        if symbol in self.held:
            return f"error:already subscribed,topic:orderbook.1.{symbol}"
        return None


def refused_count(feed):
    return feed.counter(FeedCounter.SUBSCRIBE_REFUSED)


def flags(feed, symbol):
    return feed.stored(symbol)["flags"]


def test_named_symbol_is_dropped_and_its_neighbours_flow(make_feed, loopback, caplog):
    feed = make_feed("bybit_futures", COINS)
    exchange = loopback(Bybit(bad=["C03USDT", "C07USDT"]))

    with caplog.at_level(logging.WARNING):
        feed.run(exchange, lambda: len(feed.live()) == 10 and refused_count(feed) == 2)

    assert [len(request["args"]) for request in exchange.requests] == [12, 11, 10]
    assert "C03USDT refused: error:handler not found" in caplog.text
    assert "C07USDT refused: error:handler not found" in caplog.text


def test_refused_symbol_is_marked_and_the_others_are_usable(make_feed, loopback):
    feed = make_feed("bybit_spot", COINS, topics_per_message=5)
    exchange = loopback(Bybit(bad=["C00USDT"], echoes_id=False))
    seen = {}

    def all_flow():
        seen.update({symbol: flags(feed, symbol) for symbol in COINS})
        return len(feed.live()) == 11

    feed.run(exchange, all_flow)

    assert seen.pop("C00USDT") & SlotFlag.UNSUBSCRIBED
    assert set(seen.values()) == {0}
    assert refused_count(feed) == 1


def test_request_refused_without_a_name_is_halved_until_the_bad_symbol_stands_alone(
    make_feed, loopback
):
    feed = make_feed("bybit_futures", COINS)
    exchange = loopback(Bybit(bad=["C05USDT"], names=False))

    feed.run(exchange, lambda: len(feed.live()) == 11 and refused_count(feed) == 1)

    sizes = [len(request["args"]) for request in exchange.requests]
    assert sizes[0] == 12
    assert len(sizes) <= 9


def test_every_symbol_refused_ends_in_a_bounded_number_of_requests(make_feed, loopback):
    feed = make_feed("bybit_futures", COINS)
    exchange = loopback(Bybit(bad=COINS, names=False))

    feed.run(exchange, lambda: refused_count(feed) == 12)

    assert len(exchange.requests) == 23


def test_symbol_that_is_held_already_keeps_flowing(make_feed, loopback):
    feed = make_feed("bybit_futures", COINS)
    behaviour = Bybit()
    behaviour.held = {"C01USDT"}
    exchange = loopback(behaviour)

    feed.run(
        exchange,
        lambda: len(feed.live()) == 11,
        lambda: exchange.connections[0].send(bybit_snapshot("C01USDT")),
        lambda: len(feed.live()) == 12,
    )

    assert refused_count(feed) == 0
    assert len(exchange.requests) == 2


def test_refusal_of_one_argument_leaves_the_rest_of_its_request_alone(make_feed, loopback):
    symbols = ["BTC-USDT", "NOPE-USDT", "ETH-USDT"]
    feed = make_feed("okx_spot", symbols)

    def okx(request):
        for arg in request["args"]:
            if arg["instId"].startswith("NOPE"):
                text = f"Wrong URL or channel:bbo-tbt,instId:{arg['instId']} doesn't exist."
                yield orjson.dumps({"event": "error", "code": "60018", "msg": text}).decode()
                continue
            yield orjson.dumps({"id": request["id"], "event": "subscribe", "arg": arg}).decode()
            book = {"asks": [["2", "1", "0", "1"]], "bids": [["1", "1", "0", "1"]], "ts": "1"}
            yield orjson.dumps({"arg": arg, "data": [book]}).decode()

    exchange = loopback(okx)
    feed.run(exchange, lambda: len(feed.live()) == 2 and refused_count(feed) == 1)

    assert len(exchange.requests) == 1


def test_refusal_that_looks_like_success_drops_the_symbol(make_feed, loopback):
    feed = make_feed("mexc_spot", ["BTCUSDT", "NOPEUSDT"])

    def mexc(request):
        if request["method"] == "PING":
            return ['{"id":0,"code":0,"msg":"PONG"}']
        bad = request["params"][1]
        text = f"Not Subscribed successfully! [{bad}].  Reason\uff1a Blocked! "
        return [orjson.dumps({"id": request["id"], "code": 0, "msg": text}).decode()]

    exchange = loopback(mexc)
    feed.run(exchange, lambda: refused_count(feed) == 1)

    assert flags(feed, "NOPEUSDT") & SlotFlag.UNSUBSCRIBED
    assert not flags(feed, "BTCUSDT") & SlotFlag.UNSUBSCRIBED
    assert len(exchange.requests) == 1


def test_deltas_are_merged_counted_as_quotes_and_keep_the_connection_healthy(make_feed, loopback):
    feed = make_feed("bybit_futures", ["BTCUSDT"])
    exchange = loopback(Bybit())
    books = []

    def delta(update_id, **sides):
        data = {"s": "BTCUSDT", "u": update_id} | sides
        frame = {"topic": "orderbook.1.BTCUSDT", "type": "delta", "data": data, "cts": 2}
        return orjson.dumps(frame).decode()

    async def send_deltas():
        await exchange.connections[0].send(delta(2, b=[["1.55", "9"]]))
        await exchange.connections[0].send(delta(3, a=[["1.6", "0"], ["1.58", "4"]]))

    def is_merged():
        row = feed.stored("BTCUSDT")
        books.append([row[name] for name in ("bid", "bid_qty", "ask", "ask_qty")])
        return row["update_id"] == 3

    feed.run(exchange, feed.live, send_deltas, is_merged)

    assert books[-1] == [1.55, 9.0, 1.58, 4.0]
    assert feed.counter(FeedCounter.QUOTES) == 3
    assert feed.counter(FeedCounter.CONTROL_FRAMES) == 1


def test_symbols_are_asked_for_anew_on_the_next_connection(make_feed, loopback):
    feed = make_feed("bybit_futures", COINS)
    exchange = loopback(Bybit(bad=["C03USDT"]))

    async def cut():
        exchange.answer.held.clear()
        exchange.connections[-1].transport.abort()

    feed.run(
        exchange,
        lambda: len(feed.live()) == 11,
        cut,
        lambda: len(exchange.connections) == 2 and len(feed.live()) == 11,
        lambda: refused_count(feed) == 2,
    )

    assert [len(request["args"]) for request in exchange.requests] == [12, 11, 12, 11]


@pytest.mark.parametrize("goes_on_with", ["quotes", "pings"])
def test_waits_between_lives_start_anew_only_after_data_has_flowed(
    make_feed, loopback, caplog, goes_on_with
):
    feed = make_feed("bybit_futures", ["BTCUSDT"], settings={"feed.healthy_after_s": 0.2})
    exchange = loopback(Bybit())

    async def live_and_end():
        """Go on for twice as long as a healthy life, which begins with a quote in either case."""
        connection = exchange.connections[-1]
        for number in range(2, 22):
            if goes_on_with == "pings":
                await connection.ping()
            else:
                await connection.send(bybit_snapshot("BTCUSDT", number))
            await asyncio.sleep(0.02)
        exchange.answer.held.clear()
        connection.transport.abort()

    def begun(number):
        return lambda: len(exchange.connections) == number and feed.live()

    with caplog.at_level(logging.WARNING):
        feed.run(exchange, begun(1), live_and_end, begun(2), live_and_end, begun(3))

    ends = [row.args for row in caplog.records if row.msg == "%s; next try in %.1f s"]
    assert [delay_s == 0.0 for _, delay_s in ends] == [True, goes_on_with == "quotes"]


def test_requests_keep_to_the_hourly_budget_with_a_margin(make_feed, loopback, monkeypatch):
    feed = make_feed("okx_spot", [f"C{number}-USDT" for number in range(6)], topics_per_message=1)
    taken = []

    class Spy:
        def __init__(self, count, window_s):
            self.rule = (count, window_s)

        def take(self, now_s):
            taken.append(self.rule)
            return 0.0

    monkeypatch.setattr("spreadscan.manners.messages.Pace", Spy)

    feed.run(loopback(lambda _request: []), lambda: taken.count((432, 3600.0)) == 6)

    assert feed.source.spec.limits.requests_per_hour == 480


def test_failure_while_subscribing_ends_the_connection_at_once(make_feed, loopback, monkeypatch):
    feed = make_feed("bybit_futures", COINS)
    monkeypatch.setattr(Link, "_text", lambda *_args, **_options: 1 / 0)

    with pytest.raises(ExceptionGroup) as caught:
        feed.run(loopback(Bybit()), lambda: False)

    assert caught.group_contains(ZeroDivisionError)


def test_connection_over_tls_is_made_with_an_authority_that_is_believed(
    make_feed, loopback, tmp_path
):
    file = tmp_path / "ca.pem"
    feed = make_feed("bybit_futures", COINS, ca_file=file)

    feed.run(loopback(Bybit()), lambda: len(feed.live()) == 12, tls=server_context(file))

    assert feed.counter(FeedCounter.CONNECTS) == 1


def test_connection_to_a_server_of_another_name_is_never_made(make_feed, loopback, tmp_path):
    file = tmp_path / "ca.pem"
    feed = make_feed("bybit_futures", COINS, ca_file=file)
    exchange = loopback(Bybit())

    feed.run(
        exchange,
        lambda: feed.counter(FeedCounter.CONNECT_FAILURES) >= 2,
        tls=server_context(file, TlsFault.WRONG_HOST),
    )

    assert exchange.requests == []
    assert feed.counter(FeedCounter.CONNECTS) == 0
