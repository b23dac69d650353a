"""MEXC's side of the conversation, without sockets: the recorded forms, word for word."""

from decimal import Decimal

import orjson
import pytest

from spreadscan.model import Market
from spreadscan.sim.manners import Ledger
from spreadscan.sim.market import Quote
from spreadscan.sim.protobuf import fields
from spreadscan.sim.universe import coins
from spreadscan.sim.venues import Client, Close, Listen, Moment, Send, Target, Unlisten, venues

CHANNEL = "spot@public.aggre.bookTicker.v3.api.pb@100ms@"
# Seconds from monotonic zero to Unix time.
WALL_S = 1_790_000_000.0


@pytest.fixture
def begin():
    def start(market, count=40):
        venue = venues()["mexc"](market, coins(count))
        directory = {row.exchange_symbol: index for index, row in enumerate(venue.listings)}
        ledger = Ledger(venue.limits)
        client = Client(ledger, directory, 7, 0.0, WALL_S)
        return venue.session(Target("/", {}), client), ledger

    return start


def asked(session, request, now_s=0.0):
    return session.received(orjson.dumps(request).decode(), now_s)


def subscribe(*symbols, number=1):
    topics = [CHANNEL + symbol for symbol in symbols]
    return {"method": "SUBSCRIPTION", "params": topics, "id": number}


def sub_depth(symbol, **changes):
    return {"method": "sub.depth.full", "param": {"symbol": symbol, "limit": 5, **changes}}


def test_spot_acknowledges_topics_joined_by_commas(begin):
    session, _ = begin(Market.SPOT)

    ack, *listens = asked(session, subscribe("BTCUSDT", "ETHUSDT"))

    assert ack == Send(f'{{"id":1,"code":0,"msg":"{CHANNEL}BTCUSDT,{CHANNEL}ETHUSDT"}}')
    assert listens == [Listen(0, with_snapshot=True), Listen(1, with_snapshot=True)]


@pytest.mark.parametrize("topic", [CHANNEL + "NOPEUSDT", "spot@public.bookTicker.v3.api@BTCUSDT"])
def test_spot_refuses_with_code_zero_and_a_full_width_colon(begin, topic):
    session, _ = begin(Market.SPOT)

    refusal = asked(session, {"method": "SUBSCRIPTION", "params": [topic], "id": 3})

    text = f"Not Subscribed successfully! [{topic}].  Reason： Blocked! "  # noqa: RUF001
    assert [orjson.loads(action.text) for action in refusal] == [{"id": 3, "code": 0, "msg": text}]


def test_spot_keeps_the_good_topics_of_a_request_with_a_bad_one(begin):
    session, _ = begin(Market.SPOT)

    refusal, ack, listen = asked(session, subscribe("BTCUSDT", "NOPEUSDT"))

    assert "Not Subscribed" in refusal.text
    assert orjson.loads(ack.text)["msg"] == CHANNEL + "BTCUSDT"
    assert listen == Listen(0, with_snapshot=True)


def test_spot_acknowledges_the_thirty_first_topic_and_stays_silent_on_it(begin):
    session, ledger = begin(Market.SPOT)
    names = [coin.name + "USDT" for coin in coins(32)]

    actions = asked(session, subscribe(*names[:16])) + asked(session, subscribe(*names[16:]))

    assert sum(isinstance(action, Listen) for action in actions) == 30
    assert names[31] in [action for action in actions if isinstance(action, Send)][1].text
    assert ledger.overruns["topics_per_connection"].worst == 32


def test_spot_pongs_and_unsubscribes(begin):
    session, _ = begin(Market.SPOT)
    asked(session, subscribe("BTCUSDT"))

    assert asked(session, {"method": "PING"}) == [Send('{"id":0,"code":0,"msg":"PONG"}')]
    assert asked(session, subscribe("BTCUSDT") | {"method": "UNSUBSCRIPTION"}) == [
        Send(f'{{"id":1,"code":0,"msg":"{CHANNEL}BTCUSDT"}}'),
        Unlisten(0),
    ]


def test_spot_ends_a_connection_without_a_topic_and_one_without_data_or_ping(begin):
    idle, _ = begin(Market.SPOT)
    silent, _ = begin(Market.SPOT)
    asked(silent, subscribe("BTCUSDT"))

    assert idle.tick(30.0) == []
    assert idle.tick(30.5) == [Close(1000, "no valid subscription")]
    asked(silent, {"method": "PING"}, 50.0)
    assert silent.tick(110.0) == []
    assert silent.tick(110.5) == [Close(1000, "no data")]


def test_spot_frames_hold_the_fields_of_the_published_schema():
    venue = venues()["mexc"](Market.SPOT, coins(1))
    quote = Quote(0, 642_500, 12, 642_501, 34, 1_790_000_000_001, 99)

    wrapper = dict(
        fields(venue.encode(venue.listings[0], quote, "10ms", Moment(1_790_000_000_005)))
    )

    assert wrapper[1] == b"spot@public.aggre.bookTicker.v3.api.pb@10ms@BTCUSDT"
    assert (wrapper[3], wrapper[6]) == (b"BTCUSDT", 1_790_000_000_005)
    assert dict(fields(wrapper[315])) == {
        1: b"64250.0",
        2: b"0.000012",
        3: b"64250.1",
        4: b"0.000034",
        5: b"99",
        6: 1_790_000_000_001,
    }


def test_spot_repeats_come_without_a_body_now_and_then():
    venue = venues()["mexc"](Market.SPOT, coins(1))
    quote = Quote(0, 642_500, 12, 642_501, 34, 1_790_000_000_001, 99)

    repeats = [
        venue.encode(venue.listings[0], quote, "100ms", Moment(n * 100, is_repeat=True))
        for n in range(16)
    ]

    assert [315 in dict(fields(frame)) for frame in repeats].count(False) == 2


def test_spot_frames_can_be_read_back_and_other_bytes_are_no_quote():
    venue = venues()["mexc"](Market.SPOT, coins(1))
    frame = venue.encode(
        venue.listings[0], Quote(0, 642_500, 12, 642_502, 34, 1, 99), "100ms", Moment(5)
    )

    assert venue.read(frame) == ("BTCUSDT", pytest.approx(64250.1))
    assert all(venue.read(frame[:length]) is None for length in range(len(frame)))


def test_futures_acknowledges_without_a_name_and_refuses_with_one(begin):
    session, _ = begin(Market.FUTURES)

    assert asked(session, sub_depth("BTC_USDT"), 1.5) == [
        Send('{"channel":"rs.sub.depth.full","data":"success","ts":1790000001500}'),
        Listen(0, with_snapshot=True),
    ]
    assert asked(session, sub_depth("NOPE_USDT"), 1.5) == [
        Send('{"channel":"rs.error","data":"Contract [NOPE_USDT] not exists","ts":1790000001500}')
    ]


@pytest.mark.parametrize("request_", [{"method": "sub.nothing", "param": {}}, [], "text", {}])
def test_futures_says_nothing_to_what_it_does_not_know(begin, request_):
    session, _ = begin(Market.FUTURES)

    assert asked(session, request_) == []


def test_futures_closes_a_client_that_does_not_ping_even_while_data_flow(begin):
    session, _ = begin(Market.FUTURES)
    asked(session, sub_depth("BTC_USDT"))
    pong = asked(session, {"method": "ping"}, 40.0)
    session.last_push_s = 99.0

    assert pong == [Send('{"channel":"pong","data":1790000040000,"ts":1790000040000}')]
    assert session.tick(100.0) == []
    notice, close = session.tick(100.5)
    assert "more than 60 seconds no response, close the channel" in notice.text
    assert close == Close(1000, "")


def test_futures_names_some_contracts_otherwise_than_their_coin():
    names = {row.coin.name: row for row in venues()["mexc"](Market.FUTURES, coins(64)).listings}

    assert names["TON"].exchange_symbol == "TONCOIN_USDT"
    assert (names["BONK"].exchange_symbol, names["BONK"].price_coins) == ("1000BONK_USDT", 1000)
    assert (names["PEPE"].exchange_symbol, names["PEPE"].price_coins) == ("PEPE_USDT", 1)


@pytest.mark.parametrize("coin", coins(64), ids=lambda coin: coin.name)
def test_futures_numbers_are_exact_and_sorted(coin):
    venue = venues()["mexc"](Market.FUTURES, [coin])
    (listing,) = venue.listings
    tick = Decimal(10) ** listing.tick_exponent
    bid = round(coin.price_usd * listing.price_coins / float(tick))
    frame = venue.encode(listing, Quote(0, bid, 7, bid + 3, 9, 1, 99), "", Moment(5))

    book = orjson.loads(frame)["data"]
    # The text, not the float: what stands in the frame is what the grid says.
    text = frame[frame.index("[[") + 2 : frame.index(",", frame.index("[["))]
    assert Decimal(text) == (bid + 3) * tick
    assert book["bids"][0] == [float(bid * tick), 7, 1]
    assert book["asks"] == sorted(book["asks"])
    assert book["bids"] == sorted(book["bids"], reverse=True)
    assert book["version"] == 99
