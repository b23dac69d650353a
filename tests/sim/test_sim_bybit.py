"""Bybit's side of the conversation, without sockets: the recorded forms, word for word."""

import orjson
import pytest

from spreadscan.model import Market
from spreadscan.sim.manners import Ledger
from spreadscan.sim.market import Quote
from spreadscan.sim.universe import coins
from spreadscan.sim.venues import Client, Close, Listen, Moment, Send, Target, Unlisten, venues

CONNECTION = "d9tc7k421nl91l9k6obg-0007"


@pytest.fixture
def begin():
    def start(market=Market.FUTURES, count=10):
        venue = venues()["bybit"](market, coins(count))
        directory = {row.exchange_symbol: index for index, row in enumerate(venue.listings)}
        ledger = Ledger(venue.limits)
        return venue.session(Target("/", {}), Client(ledger, directory, 7, 0.0)), ledger

    return start


def subscribe(*symbols, request_id="r1"):
    topics = [f"orderbook.1.{symbol}" for symbol in symbols]
    return {"req_id": request_id, "op": "subscribe", "args": topics}


def asked(session, request, now_s=0.0):
    return session.received(orjson.dumps(request).decode(), now_s)


def reply(action):
    return orjson.loads(action.text)


@pytest.mark.parametrize(("market", "text"), [(Market.SPOT, "subscribe"), (Market.FUTURES, "")])
def test_a_request_is_acknowledged_once_and_answered_with_snapshots(begin, market, text):
    session, ledger = begin(market)

    ack, *listens = asked(session, subscribe("BTCUSDT", "ETHUSDT"))

    assert ack.text == (
        f'{{"success":true,"ret_msg":"{text}","conn_id":"{CONNECTION}",'
        '"req_id":"r1","op":"subscribe"}'
    )
    assert listens == [Listen(0, with_snapshot=True), Listen(1, with_snapshot=True)]
    assert (ledger.subscribes, ledger.most_topics, ledger.overruns) == (1, 2, {})


@pytest.mark.parametrize(
    ("market", "text"),
    [
        (Market.SPOT, "Invalid symbol :[orderbook.1.NOPEUSDT]"),
        (Market.FUTURES, "error:handler not found,topic:orderbook.1.NOPEUSDT"),
    ],
)
def test_one_unknown_topic_refuses_the_whole_request_and_only_the_first_is_named(
    begin, market, text
):
    session, _ = begin(market)

    (refusal,) = asked(session, subscribe("BTCUSDT", "NOPEUSDT", "NADAUSDT"))

    assert (reply(refusal)["success"], reply(refusal)["ret_msg"]) == (False, text)
    assert len(asked(session, subscribe("BTCUSDT"))) == 2, "nothing of it was subscribed"


def test_a_topic_that_is_held_refuses_the_whole_request(begin):
    session, _ = begin()
    asked(session, subscribe("BTCUSDT"))

    (refusal,) = asked(session, subscribe("ETHUSDT", "BTCUSDT"))

    assert reply(refusal)["ret_msg"] == "error:already subscribed,topic:orderbook.1.BTCUSDT"


def test_spot_takes_ten_topics_a_request_and_futures_more(begin):
    names = [coin.name + "USDT" for coin in coins(40)[20:31]]
    spot, ledger = begin(Market.SPOT, 40)
    futures, _ = begin(Market.FUTURES, 40)

    (refusal,) = asked(spot, subscribe(*names))

    assert reply(refusal)["ret_msg"] == "args size >10"
    assert ledger.overruns["topics_per_request"].worst == 11
    assert len(asked(futures, subscribe(*names))) == 12
    assert len(asked(spot, subscribe(*names[:10]))) == 11


def test_topics_beyond_21000_characters_are_refused_and_recorded(begin):
    session, ledger = begin(Market.FUTURES, 1000)
    names = [f"SIM{number:04d}USDT" for number in range(1, 901)]

    acks = [asked(session, subscribe(*names[n : n + 50]))[0] for n in range(0, 900, 50)]

    # "orderbook.1.SIM0001USDT" has 23 characters, and quotes and a comma around it.
    assert [reply(ack)["success"] for ack in acks].count(True) * 50 == 21_000 // 26 // 50 * 50
    assert ledger.overruns["topic_bytes_per_connection"].limit == 21_000


def test_heartbeats_are_answered_with_their_number(begin):
    session, _ = begin()

    assert asked(session, {"req_id": "p1", "op": "ping"}) == [
        Send(
            f'{{"success":true,"ret_msg":"pong","conn_id":"{CONNECTION}",'
            '"req_id":"p1","op":"ping"}'
        )
    ]


def test_a_silent_client_is_cut_off_after_ten_minutes(begin):
    session, _ = begin()
    asked(session, {"op": "ping"}, 100.0)

    assert session.tick(699.0) == []
    assert session.tick(701.0) == [Close(1000, "idle")]


def test_unsubscribing_is_acknowledged_and_a_topic_can_come_back(begin):
    session, _ = begin()
    asked(session, subscribe("BTCUSDT"))

    ack, unlisten = asked(session, subscribe("BTCUSDT") | {"op": "unsubscribe"})

    assert (reply(ack)["success"], unlisten) == (True, Unlisten(0))
    assert len(asked(session, subscribe("BTCUSDT"))) == 2


@pytest.mark.parametrize("request_", [[], {"op": "dance"}, {"op": "subscribe", "args": "BTCUSDT"}])
def test_what_is_no_request_is_refused(begin, request_):
    session, _ = begin()

    assert [reply(action)["success"] for action in asked(session, request_)] == [False]


def test_deltas_carry_the_changed_sides_and_an_id_of_one_is_always_a_snapshot():
    venue = venues()["bybit"](Market.FUTURES, coins(1))
    listing = venue.listings[0]  # tick 0.1, lot 0.001

    def push(quote, **moment):
        frame = orjson.loads(venue.encode(listing, Quote(0, *quote), "", Moment(5, **moment)))
        return frame["type"], frame["data"]["b"], frame["data"]["a"]

    first = push((1000, 5, 1001, 6, 1, 10), is_delta=True)
    size_alone = push((1000, 7, 1001, 6, 2, 11), is_delta=True)
    moved = push((999, 7, 1001, 6, 3, 12), is_delta=True)
    repeated = push((999, 7, 1001, 6, 3, 12), is_repeat=True)
    begun_anew = push((999, 8, 1001, 6, 4, 1), is_delta=True)

    assert first == ("snapshot", [["100.0", "0.005"]], [["100.1", "0.006"]])
    assert size_alone == ("delta", [["100.0", "0.007"]], [])
    assert moved == ("delta", [["100.0", "0"], ["99.9", "0.007"]], [])
    assert repeated == ("snapshot", [["99.9", "0.007"]], [["100.1", "0.006"]])
    assert begun_anew[0] == "snapshot"


def test_the_markets_differ_in_the_order_of_keys_as_recorded():
    quote, keys = Quote(0, 1000, 5, 1001, 6, 1, 10), []
    for market in Market:
        venue = venues()["bybit"](market, coins(1))
        keys.append(list(orjson.loads(venue.encode(venue.listings[0], quote, "", Moment(5)))))

    assert keys == [["topic", "ts", "type", "data", "cts"], ["topic", "type", "ts", "data", "cts"]]
