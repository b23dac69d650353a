"""What the simulated exchanges answer, without sockets: the documented forms, word for word."""

import orjson
import pytest

from spreadscan.model import Market
from spreadscan.sim.manners import Ledger
from spreadscan.sim.universe import coins
from spreadscan.sim.venues import (
    Client,
    Close,
    Listen,
    Ping,
    Send,
    Target,
    Unlisten,
    venues,
)


@pytest.fixture
def begin():
    """Begin a session on one source; returns it with its ledger."""

    def start(exchange, market, path="/", query=None):
        venue = venues()[exchange](market, coins(10))
        directory = {row.exchange_symbol: index for index, row in enumerate(venue.listings)}
        ledger = Ledger(venue.limits)
        client = Client(ledger, directory, 7, 0.0)
        return venue.session(Target(path, query or {}), client), ledger

    return start


def asked(session, request, now_s=0.0):
    return session.received(orjson.dumps(request).decode(), now_s)


def sent(actions):
    return [orjson.loads(action.text) for action in actions if isinstance(action, Send)]


def subscribe(*streams, request_id=1):
    return {"method": "SUBSCRIBE", "params": list(streams), "id": request_id}


def test_binance_acknowledges_and_sends_no_snapshot(begin):
    session, _ = begin("binance", Market.SPOT)

    actions = asked(session, subscribe("btcusdt@bookTicker"))

    assert actions == [Send('{"result":null,"id":1}'), Listen(0, with_snapshot=False)]


@pytest.mark.parametrize(
    "stream", ["nosuchusdt@bookTicker", "BTCUSDT@bookTicker", "btcusdt@aggTrade", "btcusdt"]
)
def test_binance_acknowledges_what_it_does_not_know_and_stays_silent(begin, stream):
    session, _ = begin("binance", Market.FUTURES, "/public/stream")

    assert asked(session, subscribe(stream)) == [Send('{"result":null,"id":1}')]


@pytest.mark.parametrize("path", ["/market/stream", "/private/ws"])
def test_binance_futures_on_the_wrong_route_acknowledges_and_stays_silent(begin, path):
    session, _ = begin("binance", Market.FUTURES, path)

    assert asked(session, subscribe("btcusdt@bookTicker")) == [Send('{"result":null,"id":1}')]


@pytest.mark.parametrize(
    ("path", "query", "form"),
    [
        ("/ws/btcusdt@bookTicker/ethusdt@bookTicker", {}, "raw"),
        ("/stream", {"streams": "btcusdt@bookTicker/ethusdt@bookTicker"}, "combined"),
    ],
)
def test_binance_subscribes_the_streams_of_the_url(begin, path, query, form):
    session, _ = begin("binance", Market.SPOT, path, query)

    assert session.form == form
    assert session.opened() == [Listen(0, with_snapshot=False), Listen(1, with_snapshot=False)]


@pytest.mark.parametrize("path", ["/nothing", "/market/stream", "/ws2"])
def test_binance_spot_serves_no_socket_at_another_path(begin, path):
    session, _ = begin("binance", Market.SPOT, path)

    assert session is None


def test_binance_lists_and_drops_subscriptions(begin):
    session, _ = begin("binance", Market.SPOT)
    asked(session, subscribe("btcusdt@bookTicker", "xusdt@bookTicker"))

    listed = asked(session, {"method": "LIST_SUBSCRIPTIONS", "id": "a"})
    dropped = asked(
        session, {"method": "UNSUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": None}
    )

    assert sent(listed) == [{"result": ["btcusdt@bookTicker", "xusdt@bookTicker"], "id": "a"}]
    assert dropped == [Send('{"result":null,"id":null}'), Unlisten(0)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", 3),
        ("[]", 2),
        ('{"method":"DANCE","id":4}', 2),
        ('{"method":"SUBSCRIBE","params":"btcusdt@bookTicker","id":4}', 2),
        ('{"method":"SUBSCRIBE","params":[1],"id":4}', 2),
    ],
)
def test_binance_refuses_what_is_no_request_and_keeps_the_connection(begin, text, code):
    spot, _ = begin("binance", Market.SPOT)
    futures, _ = begin("binance", Market.FUTURES)

    (flat,) = sent(spot.received(text, 0.0))
    (wrapped,) = sent(futures.received(text, 0.0))

    assert flat["code"] == code
    assert wrapped["error"]["code"] == code


def test_binance_ends_a_connection_with_more_than_1024_streams(begin):
    session, ledger = begin("binance", Market.FUTURES)

    fits = asked(session, subscribe(*(f"s{n}usdt@bookTicker" for n in range(1024))))
    breaks = asked(session, subscribe("btcusdt@bookTicker", request_id=2))

    assert fits == [Send('{"result":null,"id":1}')]
    assert sent(breaks) == [{"error": {"code": 4, "msg": "Too many subscriptions"}, "id": 2}]
    assert breaks[-1] == Close(1008, "Too many subscriptions")
    assert ledger.most_topics == 1025
    assert ledger.overruns["topics_per_connection"].limit == 1024


def test_binance_forgives_a_few_messages_too_many_but_records_them(begin):
    session, ledger = begin("binance", Market.FUTURES)

    answers = [asked(session, subscribe("btcusdt@bookTicker"), n * 0.01) for n in range(15)]

    assert all(sent(answer) for answer in answers)
    assert ledger.overruns["messages_per_s"].worst == 15


def test_binance_ends_a_connection_that_floods(begin):
    session, _ = begin("binance", Market.FUTURES)

    answers = [asked(session, subscribe("btcusdt@bookTicker")) for _ in range(40)]

    assert answers[38] != answers[39] == [Close(1008, "Too many requests")]


def test_binance_pings_and_gives_up_on_a_client_without_pongs(begin):
    session, _ = begin("binance", Market.SPOT)

    assert session.tick(19.0) == []
    assert session.tick(20.5) == [Ping("20500")]
    session.ponged(20.6)
    assert session.tick(30.0) == []
    assert session.tick(41.0) == [Ping("41000")]
    assert session.tick(100.0) == []
    assert session.tick(101.5) == [Close(1008, "Pong timeout")]


def arg(instrument, channel="bbo-tbt"):
    return {"channel": channel, "instId": instrument}


def test_okx_acknowledges_each_argument_and_sends_the_book_at_once(begin):
    session, ledger = begin("okx", Market.SPOT)

    actions = asked(
        session, {"id": "s1", "op": "subscribe", "args": [arg("BTC-USDT"), arg("ETH-USDT")]}
    )

    assert [type(action) for action in actions] == [Send, Listen, Send, Listen]
    assert sent(actions)[1] == {
        "id": "s1",
        "event": "subscribe",
        "arg": arg("ETH-USDT"),
        "connId": "a4d30007",
    }
    assert actions[3] == Listen(1, with_snapshot=True)
    assert (ledger.subscribes, ledger.most_topics) == (1, 2)


@pytest.mark.parametrize("bad", [arg("NOPE-USDT"), arg("BTC-USDT", "trades-all"), {}])
def test_okx_refuses_one_argument_and_serves_the_others(begin, bad):
    session, _ = begin("okx", Market.SPOT)

    actions = asked(session, {"op": "subscribe", "args": [bad, arg("BTC-USDT")]})

    refused, accepted = sent(actions)
    assert (refused["event"], refused["code"]) == ("error", "60018")
    assert "arg" not in refused
    assert f"instId:{bad.get('instId')} doesn't exist" in refused["msg"]
    assert accepted["event"] == "subscribe"
    assert Listen(0, with_snapshot=True) in actions


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"op":"dance","args":[]}', '{"op":"subscribe","args":["x"]}', "hello"]
)
def test_okx_refuses_a_malformed_request_as_a_whole(begin, text):
    session, _ = begin("okx", Market.FUTURES)

    (error,) = sent(session.received(text, 0.0))

    assert (error["event"], error["code"]) == ("error", "60012")
    assert text in error["msg"]


def test_okx_answers_the_plain_text_ping(begin):
    session, _ = begin("okx", Market.SPOT)

    assert session.received("ping", 1.0) == [Send("pong")]


def test_okx_unsubscribes(begin):
    session, _ = begin("okx", Market.SPOT)
    asked(session, {"op": "subscribe", "args": [arg("BTC-USDT")]})

    actions = asked(session, {"op": "unsubscribe", "args": [arg("BTC-USDT")]})

    assert sent(actions)[0]["event"] == "unsubscribe"
    assert actions[1:] == [Unlisten(0)]


def test_okx_closes_an_idle_connection_unless_it_pings(begin):
    idle, _ = begin("okx", Market.SPOT)
    polite, _ = begin("okx", Market.SPOT)

    polite.received("ping", 25.0)

    assert idle.tick(29.0) == []
    assert idle.tick(31.0) == [Close(4004, "No data received in 30s.")]
    assert polite.tick(31.0) == []
    assert polite.tick(56.0) == [Close(4004, "No data received in 30s.")]


def test_okx_closes_on_an_oversized_request(begin):
    session, ledger = begin("okx", Market.SPOT)

    actions = asked(session, {"op": "subscribe", "args": [arg("X" * 70_000)]})

    assert actions == [Close(1009, "message too big")]
    assert ledger.overruns["message_bytes"].limit == 65_536


def test_okx_counts_requests_an_hour(begin):
    session, ledger = begin("okx", Market.SPOT)

    for number in range(481):
        asked(session, {"op": "subscribe", "args": []}, number * 7.0)

    assert ledger.overruns["requests_per_hour"].worst == 481
