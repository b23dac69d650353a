"""MEXC's own ways: protobuf pushes, refusals that look like success, two names for a coin."""

import orjson
import pytest
from ticker_bodies import TICKERS

from spreadscan.errors import DiscoveryError, FeedError
from spreadscan.exchanges import source_named
from spreadscan.exchanges._adapter import Ack, Ignored, Notice, Pong, Refused
from spreadscan.kernel.extract import Extractor
from spreadscan.model import ContractKind, QuoteStatus, RawTicker

SPOT = source_named("mexc_spot")
FUTURES = source_named("mexc_futures")
CHANNEL = b"spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT"
DEPTH = (
    b'{"symbol":"BTC_USDT","data":{"cts":1789897581009,"asks":[[80468.7,3446,2],[80469.1,1239,1]],'
    b'"bids":[[80468.6,31288,7]],"version":41925002140},"channel":"push.depth.full",'
    b'"ts":1789897581013}'
)
LISTED = "spot@public.aggre.bookTicker.v3.api.pb@100ms@"
BLOCKED = f"Not Subscribed successfully! [{LISTED}NOPEUSDT].  Reason\uff1a Blocked! "
BLOCKED_TWO = (
    f"Not Subscribed successfully! [{LISTED}NOPEUSDT, {LISTED}NADAUSDT].  Reason\uff1a Blocked! "
)


def varint(number):
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])


def field(number, value):
    """One protobuf field: bytes as a string or message, a number as a varint."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def push(channel=CHANNEL, symbol=b"BTCUSDT", time=1736412092433, body=None, **texts):
    """A book ticker as the exchange's own schema writes it; a text of None is left out."""
    names = {"bid": 1, "bid_qty": 2, "ask": 3, "ask_qty": 4, "version": 5}
    values = {
        "bid": "93387.28", "bid_qty": "3.73485", "ask": "93387.29", "ask_qty": "7.669875",
        "version": "81721676217",
    } | texts  # fmt: skip
    ticker = b"".join(
        field(names[name], text.encode()) for name, text in values.items() if text is not None
    )
    ticker += field(6, 1736412092400)
    head = field(1, channel) + field(3, symbol) + field(6, time)
    return head + (field(315, ticker) if body is None else body)


def spot_row(**changes):
    row = {
        "symbol": "METALUSDT",
        "status": "1",
        "baseAsset": "METAL",
        "baseAssetPrecision": 2,
        "quoteAsset": "USDT",
        "quotePrecision": 5,
        "quoteAssetPrecision": 5,
        "isSpotTradingAllowed": True,
        "quoteAmountPrecision": "1",
        "baseSizePrecision": "0.1",
        "filters": [],
        "tradeSideType": 1,
    }
    return row | changes


def contract_row(**changes):
    row = {
        "symbol": "BTC_USDT",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "baseCoinName": "BTC",
        "futureType": 1,
        "settleCoin": "USDT",
        "contractSize": 0.0001,
        "priceUnit": 0.1,
        "volUnit": 2,
        "minVol": 3,
        "state": 0,
        "isHidden": False,
        "apiAllowed": True,
        "type": 1,
    }
    return row | changes


def parsed_spot(row):
    (instrument,) = SPOT.spec.parse_instruments(orjson.dumps({"symbols": [row]}))
    return instrument


def parsed_contract(row):
    body = {"success": True, "code": 0, "data": [row]}
    (instrument,) = FUTURES.spec.parse_instruments(orjson.dumps(body))
    return instrument


def spot_found(frame):
    return Extractor(SPOT.spec.plan, [("BTCUSDT", 6, 1.0, 1.0)]).decode(frame)


def futures_found(frame):
    return Extractor(FUTURES.spec.plan, [("BTC_USDT", 2, 1.0, 0.0001)]).decode(frame)


def test_push_is_read_whole_with_the_time_it_was_sent():
    found = spot_found(push())

    assert found.status == QuoteStatus.QUOTE
    assert (found.symbol_id, found.update_id) == (6, 81721676217)
    assert (found.bid, found.bid_qty) == (93387.28, 3.73485)
    assert (found.ask, found.ask_qty) == (93387.29, 7.669875)
    assert found.exchange_ns == 1736412092433 * 1_000_000


@pytest.mark.parametrize(
    ("frame", "status"),
    [
        (push(body=b""), QuoteStatus.NOT_A_QUOTE),
        (push(channel=CHANNEL.replace(b"bookTicker", b"deals")), QuoteStatus.NOT_A_QUOTE),
        (push(bid=None, bid_qty=None), QuoteStatus.ONE_SIDED),
        (push(ask="", ask_qty=""), QuoteStatus.ONE_SIDED),
        (push(bid="0"), QuoteStatus.ONE_SIDED),
        (push(bid="93387.29"), QuoteStatus.CROSSED),
        (push(bid="NaN"), QuoteStatus.BAD_NUMBER),
        (push(symbol=b"NOPEUSDT"), QuoteStatus.UNKNOWN_SYMBOL),
        (push()[:-1], QuoteStatus.MALFORMED),
        (push() + b"\x0b", QuoteStatus.MALFORMED),
    ],
)
def test_push_that_is_no_usable_quote_is_told_by_reason(frame, status):
    assert spot_found(frame).status == status


def test_ten_millisecond_channel_is_the_same_quote():
    assert spot_found(push(channel=CHANNEL.replace(b"100ms", b"10ms"))).status == QuoteStatus.QUOTE


def test_push_without_a_body_is_understood_as_its_channel():
    assert SPOT.adapter.classify(push(body=b"")) == Ignored(CHANNEL.decode())


@pytest.mark.parametrize(
    "frame",
    [
        b"\n", b"\n\x05spot", b"\n\x04kind", b"\n\x00", b"\n\xff" + CHANNEL, push(b"\xff" * 20),
        b"\x0b\x0c",
    ],
)  # fmt: skip
def test_bytes_that_name_no_channel_are_no_frame_of_theirs(frame):
    with pytest.raises(FeedError):
        SPOT.adapter.classify(frame)


def test_best_of_five_levels_is_the_quote_and_contracts_become_coins():
    found = futures_found(DEPTH)

    assert found.status == QuoteStatus.QUOTE
    assert (found.bid, found.bid_qty) == (80468.6, 31288 * 0.0001)
    assert (found.ask, found.ask_qty) == (80468.7, 3446 * 0.0001)
    assert (found.exchange_ns, found.update_id) == (1789897581009 * 1_000_000, 41925002140)


def test_numbers_in_exponent_form_are_read():
    frame = DEPTH.replace(b"80468.6", b"8.04686E4").replace(b"31288", b"3.1288e+4")

    found = futures_found(frame)

    assert (found.bid, found.bid_qty) == (80468.6, 31288 * 0.0001)


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"[[80468.6,31288,7]]", b"[]", QuoteStatus.ONE_SIDED),
        (b"push.depth.full", b"push.depth", QuoteStatus.NOT_A_QUOTE),
        (b"80468.6", b"80468.7", QuoteStatus.CROSSED),
        (b"80468.6", b"null", QuoteStatus.BAD_NUMBER),
        (b"BTC_USDT", b"XXX_USDT", QuoteStatus.UNKNOWN_SYMBOL),
    ],
)
def test_depth_that_is_no_usable_quote_is_told_by_reason(old, new, status):
    assert futures_found(DEPTH.replace(old, new)).status == status


@pytest.mark.parametrize(
    ("frame", "control"),
    [
        ({"id": 1, "code": 0, "msg": f"{LISTED}BTCUSDT"}, Ack("1")),
        ({"id": 2, "code": 0, "msg": f"{LISTED}BTCUSDT,{LISTED}ETHUSDT"}, Ack("2")),
        ({"id": 0, "code": 0, "msg": "PONG"}, Pong()),
        ({"id": 3, "code": 0, "msg": BLOCKED}, Refused(("NOPEUSDT",), BLOCKED.strip(), "3")),
        (
            {"id": 3, "code": 0, "msg": BLOCKED_TWO},
            Refused(("NOPEUSDT", "NADAUSDT"), BLOCKED_TWO.strip(), "3"),
        ),
        (
            {"id": 4, "code": 0, "msg": "Not Subscribed successfully!"},
            Refused((), "Not Subscribed successfully!", "4", is_whole_request=True),
        ),
        (
            {"id": 5, "code": 2, "msg": "wrong param"},
            Refused((), "2: wrong param", "5", is_whole_request=True),
        ),
        ({"channel": "rs.sub.depth.full", "data": "success", "ts": 1}, Ack(is_leaving=False)),
        ({"channel": "rs.unsub.depth.full", "data": "success", "ts": 1}, Ack(is_leaving=True)),
        ({"channel": "pong", "data": 1789897545754, "ts": 1789897545754}, Pong()),
        (
            {"channel": "rs.error", "data": "Contract [NOPE_USDT] not exists", "ts": 1},
            Refused(("NOPE_USDT",), "Contract [NOPE_USDT] not exists"),
        ),
        ({"channel": "rs.error", "data": "busy", "ts": 1}, Refused((), "busy")),
        (
            {
                "channel": "rs.error",
                "data": "more than 60 seconds no response, close the channel",
                "ts": 1,
            },
            Notice("more than 60 seconds no response, close the channel"),
        ),
        ({"symbol": "BTC_USDT", "channel": "push.ticker", "data": {}}, Ignored("push.ticker")),
    ],
)
def test_frame_that_is_no_quote_is_understood(frame, control):
    assert SPOT.adapter.classify(orjson.dumps(frame)) == control


def test_spot_subscription_lists_its_channels():
    topics = [SPOT.spec.topic("BTCUSDT"), SPOT.spec.topic("ETHUSDT")]

    assert orjson.loads(SPOT.adapter.subscribe(topics, 7)) == {
        "method": "SUBSCRIPTION", "params": [f"{LISTED}BTCUSDT", f"{LISTED}ETHUSDT"], "id": 7,
    }  # fmt: skip
    assert orjson.loads(SPOT.adapter.unsubscribe(topics, 8))["method"] == "UNSUBSCRIPTION"


def test_contract_is_subscribed_alone_with_five_levels():
    topic = FUTURES.spec.topic("BTC_USDT")

    assert orjson.loads(FUTURES.adapter.subscribe([topic], 7)) == {
        "method": "sub.depth.full", "param": {"symbol": "BTC_USDT", "limit": 5},
    }  # fmt: skip
    assert orjson.loads(FUTURES.adapter.unsubscribe([topic], 8)) == {
        "method": "unsub.depth.full", "param": {"symbol": "BTC_USDT"},
    }  # fmt: skip
    with pytest.raises(ValueError, match="too many values"):
        FUTURES.adapter.subscribe([topic, topic], 9)


def test_heartbeats_differ_in_case():
    assert orjson.loads(SPOT.spec.heartbeat.payload) == {"method": "PING"}
    assert orjson.loads(FUTURES.spec.heartbeat.payload) == {"method": "ping"}


def test_digits_become_steps_and_values_stay_values():
    row = parsed_spot(spot_row())

    assert (row.tick_size, row.qty_step, row.min_qty, row.min_notional) == (1e-5, 0.01, 0.1, 1.0)
    assert (row.base, row.quote, row.kind) == ("METAL", "USDT", ContractKind.SPOT)


@pytest.mark.parametrize("digits", [-1, 31])
def test_impossible_number_of_digits_is_refused(digits):
    with pytest.raises(DiscoveryError, match="digits"):
        parsed_spot(spot_row(quotePrecision=digits))


@pytest.mark.parametrize(
    ("changes", "is_trading", "tradable"),
    [
        ({}, True, True),
        ({"status": "ENABLED"}, True, True),
        ({"status": "2"}, False, True),
        ({"status": "3"}, False, True),
        ({"isSpotTradingAllowed": False}, True, False),
        ({"tradeSideType": 2}, True, False),
        ({"tradeSideType": 4}, True, False),
    ],
)
def test_pair_that_may_not_be_traded_by_api_is_still_quoted(changes, is_trading, tradable):
    row = parsed_spot(spot_row(**changes))

    assert (row.is_trading, row.tradable_via_api) == (is_trading, tradable)


def test_rules_of_a_contract_are_in_contracts():
    row = parsed_contract(contract_row())

    assert (row.contract_size, row.tick_size) == (0.0001, 0.1)
    assert (row.qty_step, row.min_qty, row.min_notional) == (2.0, 3.0, 0.0)
    assert (row.base, row.quote, row.settle) == ("BTC", "USDT", "USDT")
    assert row.delisting_ms is None


@pytest.mark.parametrize(
    ("coin", "name", "base"),
    [("FILECOIN", "FIL", "FIL"), ("TRUMP", "MAGATRUMP", "MAGATRUMP"), ("BTC", None, "BTC")],
)
def test_coin_of_a_contract_is_its_usual_name(coin, name, base):
    assert parsed_contract(contract_row(baseCoin=coin, baseCoinName=name)).base == base


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, ContractKind.LINEAR_PERPETUAL),
        ({"settleCoin": "BTC", "quoteCoin": "USD"}, ContractKind.INVERSE),
        ({"futureType": 2}, ContractKind.DATED),
        ({"type": 2}, ContractKind.NOT_CRYPTO),
        ({"preMarket": True}, ContractKind.PRE_MARKET),
        ({"preMarket": None}, ContractKind.LINEAR_PERPETUAL),
    ],
)
def test_kind_of_contract_is_told_from_its_types(changes, kind):
    assert parsed_contract(contract_row(**changes)).kind is kind


@pytest.mark.parametrize(
    ("changes", "is_trading"),
    [({}, True), ({"state": 4}, False), ({"isHidden": True}, False), ({"apiAllowed": False}, True)],
)
def test_contract_trades_when_it_is_enabled_and_shown(changes, is_trading):
    row = parsed_contract(contract_row(**changes))

    assert row.is_trading is is_trading
    assert row.tradable_via_api is changes.get("apiAllowed", True)


def test_delivery_of_a_perpetual_is_its_announced_end():
    assert parsed_contract(contract_row(deliveryTime=1753275600449)).delisting_ms == 1753275600449
    assert parsed_contract(contract_row(deliveryTime=0)).delisting_ms is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"success":false,"code":510,"message":"too frequent"}',
        b'{"success":true,"code":0}',
        b'{"success":true,"code":1001,"data":[]}',
    ],
)
def test_error_in_the_envelope_is_no_listing(body):
    with pytest.raises(DiscoveryError, match="expected a listing"):
        FUTURES.spec.parse_instruments(body)


def test_contract_of_an_impossible_size_is_refused():
    with pytest.raises(DiscoveryError, match="expected a number"):
        parsed_contract(contract_row(contractSize=-1.0))


def spot_tickers(*rows):
    (request,) = SPOT.spec.tickers
    return request.parse(orjson.dumps([*TICKERS[SPOT.name][request.request.path], *rows]))


def futures_tickers(*rows):
    (request,) = FUTURES.spec.tickers
    answer = TICKERS[FUTURES.name][request.request.path]
    return request.parse(orjson.dumps(answer | {"data": [*answer["data"], *rows]}))


def test_turnover_that_is_null_is_the_volume_at_the_last_price():
    (row,) = spot_tickers()

    assert row.price == pytest.approx(46260.395)
    assert row.turnover_usd == 1732.461487 * 46263.71


def test_pair_whose_numbers_are_all_null_has_no_price():
    names = ("lastPrice", "bidPrice", "askPrice", "volume", "quoteVolume")

    assert spot_tickers({"symbol": "AUSDT"} | dict.fromkeys(names))[1] == RawTicker(
        exchange_symbol="AUSDT"
    )


def test_contract_costs_the_middle_of_its_book_and_tells_its_index():
    (row,) = futures_tickers()

    assert row == RawTicker(
        exchange_symbol="BTC_USDT",
        price=29019.25,
        book=(29019.0, 29019.5),
        index_price=29006.2,
        turnover_usd=1105314649.44675,
    )


def test_contract_without_a_book_costs_its_fair_price():
    row = futures_tickers({"symbol": "A_USDT", "lastPrice": 2.5, "bid1": 0, "fairPrice": 2.4})[1]

    assert row.price == 2.4


def test_dead_contract_has_no_price_although_a_fair_one_is_left_standing():
    dead = {"symbol": "A_USDT", "lastPrice": 0, "bid1": 0, "ask1": 0, "fairPrice": 2.4}

    row = futures_tickers(dead | {"amount24": 0, "maxBidPrice": 2.6, "minAskPrice": 2.2})[1]

    assert row == RawTicker(exchange_symbol="A_USDT", turnover_usd=0.0)


@pytest.mark.parametrize(("success", "code"), [(False, 510), (False, 0), (True, 510)])
def test_tickers_refused_with_status_200_are_none(success, code):
    (request,) = FUTURES.spec.tickers
    answer = TICKERS[FUTURES.name][request.request.path]
    refusal = answer | {"success": success, "code": code, "message": "too frequent"}

    with pytest.raises(DiscoveryError, match=rf"{code} \(too frequent\)"):
        request.parse(orjson.dumps(refusal))
