"""Bybit's own ways: whole requests refused, deltas that may come back, pages, zones."""

import orjson
import pytest
from ticker_bodies import BYBIT_ROW

from spreadscan.errors import DiscoveryError, FeedError
from spreadscan.exchanges import source_named
from spreadscan.exchanges._adapter import Ack, Ignored, PartialQuote, Pong, Refused
from spreadscan.kernel.extract import Extractor
from spreadscan.model import ContractKind, QuoteStatus, RawTicker

SPOT = source_named("bybit_spot")
FUTURES = source_named("bybit_futures")
# Spot puts the time before the type.
SPOT_FRAME = (
    b'{"topic":"orderbook.1.BTCUSDT","ts":1786639170499,"type":"snapshot","data":{"s":"BTCUSDT",'
    b'"b":[["63040.8","3.323"]],"a":[["63040.9","4.686"]],"u":31071061,"seq":763537012912},'
    b'"cts":1786639170498}'
)
LINEAR_FRAME = (
    b'{"topic":"orderbook.1.1000PEPEUSDT","type":"snapshot","ts":1786639170499,"data":{"s":'
    b'"1000PEPEUSDT","b":[["0.0070110","52000"]],"a":[["0.0070120","100"]],"u":1,"seq":7},'
    b'"cts":1786639170498}'
)
DELTA = (
    b'{"topic":"orderbook.1.BTCUSDT","type":"delta","ts":1682092584425,"data":{"s":"BTCUSDT","b":'
    b'[["27994.60","0"],["27991.70","0.777"]],"a":[["27994.40","0.058"],["27994.80","0"]],'
    b'"u":1188472,"seq":11155892580}}'
)
NOT_FOUND = "error:handler not found,topic:orderbook.1.NOPEUSDT"
HELD = "error:already subscribed,topic:orderbook.1.BTCUSDT"


def spot_row(**changes):
    row = {
        "symbol": "BTCUSDT",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "status": "Trading",
        "stTag": "0",
        "lotSizeFilter": {
            "basePrecision": "0.000001", "minOrderQty": "0.000011", "minOrderAmt": "5",
        },
        "priceFilter": {"tickSize": "0.1"},
        "symbolType": "",
    }  # fmt: skip
    return row | changes


def linear_row(**changes):
    row = {
        "symbol": "BTCUSDT",
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "priceFilter": {"tickSize": "0.10"},
        "lotSizeFilter": {
            "minOrderQty": "0.002", "qtyStep": "0.001", "minNotionalValue": "5",
        },
        "isPreListing": False,
        "preListingInfo": None,
        "symbolType": "",
    }  # fmt: skip
    return row | changes


def listing(*rows, cursor="", **changes):
    result = {"category": "any", "list": rows, "nextPageCursor": cursor}
    return orjson.dumps({"retCode": 0, "retMsg": "OK", "result": result} | changes)


def parsed(source, row):
    (instrument,) = source.spec.parse_instruments(listing(row))
    return instrument


def refusal(text, request_id="lin-7"):
    tree = {"success": False, "ret_msg": text, "conn_id": "d9", "req_id": request_id}
    return orjson.dumps(tree | {"op": "subscribe"})


def test_snapshot_is_read_whole_with_the_engines_time():
    found = Extractor(SPOT.spec.plan, [("BTCUSDT", 4, 1.0, 1.0)]).decode(SPOT_FRAME)

    assert found.status == QuoteStatus.QUOTE
    assert (found.symbol_id, found.update_id) == (4, 31071061)
    assert (found.bid, found.bid_qty, found.ask, found.ask_qty) == (63040.8, 3.323, 63040.9, 4.686)
    assert found.exchange_ns == 1786639170498 * 1_000_000


def test_scaled_coin_is_quoted_per_single_coin():
    found = Extractor(FUTURES.spec.plan, [("1000PEPEUSDT", 0, 1000.0, 1000.0)]).decode(LINEAR_FRAME)

    assert (found.bid, found.bid_qty) == (0.0070110 / 1000, 52_000_000.0)
    assert (found.ask, found.ask_qty) == (0.0070120 / 1000, 100_000.0)


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b'[["63040.8","3.323"]]', b"[]", QuoteStatus.ONE_SIDED),
        (b'[["63040.9","4.686"]]', b"[]", QuoteStatus.ONE_SIDED),
        (b'"3.323"', b'"0"', QuoteStatus.ONE_SIDED),
        (b'"63040.8"', b'"63040.9"', QuoteStatus.CROSSED),
        (b'"63040.8"', b'"NaN"', QuoteStatus.BAD_NUMBER),
        (b'"snapshot"', b'"delta"', QuoteStatus.NOT_A_QUOTE),
        (b"orderbook.1.", b"orderbook.50.", QuoteStatus.NOT_A_QUOTE),
        (b'"s":"BTC', b'"s":"XXX', QuoteStatus.UNKNOWN_SYMBOL),
    ],
)
def test_frame_that_is_no_usable_snapshot_is_told_by_reason(old, new, status):
    extractor = Extractor(SPOT.spec.plan, [("BTCUSDT", 0, 1.0, 1.0)])

    assert extractor.decode(SPOT_FRAME.replace(old, new)).status == status


def test_restart_of_the_service_begins_ids_at_one():
    assert SPOT.spec.restart_update_id == FUTURES.spec.restart_update_id == 1


def test_delta_names_the_level_that_came_and_not_the_one_that_went():
    assert SPOT.adapter.classify(DELTA) == PartialQuote(
        symbol="BTCUSDT", bid=(27991.7, 0.777), ask=(27994.4, 0.058), update_id=1188472
    )


@pytest.mark.parametrize(
    ("bids", "asks", "expected"),
    [
        ([], [["5", "1"]], {"bid": None, "ask": (5.0, 1.0)}),
        ([["4", "0"]], [], {"bid": None, "ask": None, "removed_bid": True}),
        ([], [["4", "0"]], {"bid": None, "ask": None, "removed_ask": True}),
        (
            [["3", "1"], ["4", "2"]],
            [["6", "1"], ["5", "2"]],
            {"bid": (4.0, 2.0), "ask": (5.0, 2.0)},
        ),
        ([], [], {"bid": None, "ask": None}),
    ],
)
def test_side_of_a_delta_is_unchanged_replaced_or_removed(bids, asks, expected):
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": 8}
    frame = {"topic": "orderbook.1.BTCUSDT", "type": "delta", "data": data, "cts": 99}

    assert FUTURES.adapter.classify(orjson.dumps(frame)) == PartialQuote(
        symbol="BTCUSDT", exchange_ms=99, update_id=8, **expected
    )


@pytest.mark.parametrize(
    "data",
    [
        None, 5, [], {}, {"s": "BTCUSDT"}, {"s": "BTCUSDT", "u": 1, "b": 5},
        {"s": "BTCUSDT", "u": 1, "b": [["1"]]}, {"s": "BTCUSDT", "u": 1, "b": [["x", "1"]]},
        {"s": "BTCUSDT", "u": 1, "b": [["NaN", "1"]]}, {"s": "BTCUSDT", "u": 1, "a": [["-1", "1"]]},
        {"s": "BTCUSDT", "u": 1, "a": [["1e999", "1"]]}, {"s": "BTCUSDT", "u": "x"},
    ],
)  # fmt: skip
def test_delta_of_another_shape_is_no_frame_of_theirs(data):
    frame = {"topic": "orderbook.1.BTCUSDT", "type": "delta", "data": data}

    with pytest.raises(FeedError, match="no delta"):
        SPOT.adapter.classify(orjson.dumps(frame))


@pytest.mark.parametrize(
    ("frame", "control"),
    [
        (
            b'{"success":true,"ret_msg":"subscribe","conn_id":"d9","req_id":"7","op":"subscribe"}',
            Ack("7"),
        ),
        (b'{"success":true,"ret_msg":"","conn_id":"d9","req_id":"7","op":"subscribe"}', Ack("7")),
        (b'{"success":true,"ret_msg":"","conn_id":"d9","req_id":"","op":"unsubscribe"}', Ack(None)),
        (b'{"success":true,"ret_msg":"pong","conn_id":"d9","req_id":"","op":"ping"}', Pong()),
        (b'{"req_id":"x","op":"pong","args":["1672916271846"],"conn_id":"d9"}', Pong()),
        (b'{"topic":"tickers.BTCUSDT","type":"delta","data":{}}', Ignored("tickers.BTCUSDT")),
        (b'{"topic":"orderbook.50.BTCUSDT","type":"delta"}', Ignored("orderbook.50.BTCUSDT")),
    ],
)
def test_frame_that_is_no_quote_is_understood(frame, control):
    assert SPOT.adapter.classify(frame) == control


@pytest.mark.parametrize(
    ("text", "symbols", "are_held"),
    [
        (NOT_FOUND, ("NOPEUSDT",), False),
        ("Invalid symbol :[orderbook.1.NOPE]", ("NOPE",), False),
        ("Invalid symbol :[orderbook.1.NOPE,orderbook.1.NADA]", ("NOPE", "NADA"), False),
        (HELD, ("BTCUSDT",), True),
        ("args size >10", (), False),
        ("Invalid symbol :[]", (), False),
    ],
)
def test_refusal_is_of_the_whole_request_and_names_the_offender(text, symbols, are_held):
    expected = Refused(symbols, text, "lin-7", is_whole_request=True, are_held=are_held)

    assert FUTURES.adapter.classify(refusal(text)) == expected


def test_empty_request_id_in_a_refusal_is_none():
    assert SPOT.adapter.classify(refusal("args size >10", "")).request_id is None
    assert SPOT.adapter.classify(b'{"success":false,"op":"subscribe"}').request_id is None


def test_subscription_is_a_list_of_topics_with_the_requests_id():
    text = SPOT.adapter.subscribe([SPOT.spec.topic("BTCUSDT"), SPOT.spec.topic("ETHUSDT")], 7)

    assert orjson.loads(text) == {
        "req_id": "7", "op": "subscribe", "args": ["orderbook.1.BTCUSDT", "orderbook.1.ETHUSDT"],
    }  # fmt: skip


def test_heartbeat_is_a_json_ping():
    heartbeat = FUTURES.spec.heartbeat

    assert orjson.loads(heartbeat.payload)["op"] == "ping"
    assert heartbeat.interval_s == 20.0


def test_rules_of_spot_leave_out_the_quantity_that_is_not_enforced():
    row = parsed(SPOT, spot_row())

    assert (row.tick_size, row.qty_step, row.min_qty, row.min_notional) == (0.1, 1e-6, 0.0, 5.0)
    assert (row.base, row.quote, row.settle, row.kind) == ("BTC", "USDT", "", ContractKind.SPOT)


def test_rules_of_a_perpetual():
    row = parsed(FUTURES, linear_row())

    assert (row.tick_size, row.qty_step, row.min_qty, row.min_notional) == (0.1, 0.001, 0.002, 5.0)
    assert (row.base, row.quote, row.settle) == ("BTC", "USDT", "USDT")
    assert (row.contract_size, row.delisting_ms) == (1.0, None)
    assert row.is_trading


def test_row_with_the_leanest_fields_states_no_rules():
    row = linear_row()
    for key in ("lotSizeFilter", "priceFilter", "symbolType", "isPreListing"):
        del row[key]

    found = parsed(FUTURES, row)

    assert (found.tick_size, found.qty_step, found.min_qty) == (0.0, 0.0, 0.0)
    assert found.kind is ContractKind.LINEAR_PERPETUAL


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, ContractKind.LINEAR_PERPETUAL),
        ({"symbolType": "innovation"}, ContractKind.LINEAR_PERPETUAL),
        ({"contractType": "LinearFutures", "deliveryTime": "1791532800000"}, ContractKind.DATED),
        ({"contractType": "InversePerpetual"}, ContractKind.INVERSE),
        ({"contractType": "InverseFutures"}, ContractKind.DATED),
        ({"contractType": "SomethingNew"}, ContractKind.DATED),
        ({"symbolType": "stock"}, ContractKind.NOT_CRYPTO),
        ({"symbolType": "commodity"}, ContractKind.NOT_CRYPTO),
        ({"symbolType": "forex"}, ContractKind.NOT_CRYPTO),
        ({"isPreListing": True}, ContractKind.PRE_MARKET),
        ({"status": "PreLaunch"}, ContractKind.PRE_MARKET),
    ],
)
def test_kind_of_contract_is_told_from_contract_zone_and_listing(changes, kind):
    assert parsed(FUTURES, linear_row(**changes)).kind is kind


@pytest.mark.parametrize(
    ("zone", "kind"),
    [("adventure", ContractKind.SPOT), ("xstocks", ContractKind.NOT_CRYPTO)],
)
def test_kind_of_a_spot_pair_is_told_from_its_zone(zone, kind):
    assert parsed(SPOT, spot_row(symbolType=zone)).kind is kind


def test_delivery_of_a_perpetual_is_its_announced_end_and_of_a_dated_one_is_not():
    ending = parsed(FUTURES, linear_row(deliveryTime="1791532800000"))
    dated = parsed(FUTURES, linear_row(contractType="LinearFutures", deliveryTime="1791532800000"))

    assert ending.delisting_ms == 1791532800000
    assert dated.delisting_ms is None


@pytest.mark.parametrize("status", ["PreLaunch", "Delivering", "Closed"])
def test_only_a_trading_row_trades(status):
    assert not parsed(FUTURES, linear_row(status=status)).is_trading


def test_cursor_to_the_next_page_is_handed_on_as_it_came():
    cursor = "first%3DBIOUSDT%26last%3DBIOUSDT"

    following = FUTURES.spec.next_page(listing(linear_row(), cursor=cursor))

    assert following.encoded_query == f"cursor={cursor}"
    assert following.path == FUTURES.spec.instruments.path
    assert following.query == FUTURES.spec.instruments.query
    assert dict(following.query) == {"category": "linear", "limit": "1000"}


@pytest.mark.parametrize("cursor", ["", None])
def test_page_without_a_cursor_is_the_last(cursor):
    assert FUTURES.spec.next_page(listing(linear_row(), cursor=cursor)) is None
    assert SPOT.spec.next_page(listing(spot_row(), cursor="anything")) is None


def test_reply_with_an_error_code_is_no_listing():
    body = listing(retCode=10001, retMsg="params error", result={})

    with pytest.raises(DiscoveryError, match=r"10001 \(params error\)"):
        FUTURES.spec.parse_instruments(body)
    with pytest.raises(DiscoveryError, match="10001"):
        FUTURES.spec.next_page(body)


def tickers(source, *rows, **changes):
    (request,) = source.spec.tickers
    return request.parse(listing(*rows, **changes))


@pytest.mark.parametrize(("source", "category"), [(SPOT, "spot"), (FUTURES, "linear")])
def test_tickers_are_asked_for_by_category(source, category):
    (request,) = source.spec.tickers

    assert dict(request.request.query) == {"category": category}


def test_ticker_costs_the_middle_of_its_book():
    (row,) = tickers(SPOT, BYBIT_ROW)

    assert row == RawTicker(
        exchange_symbol="BTCUSDT",
        price=(20517.96 + 20527.77) / 2,
        book=(20517.96, 20527.77),
        turnover_usd=243765620.65899866,
    )


@pytest.mark.parametrize("side", ["bid1Price", "ask1Price"])
@pytest.mark.parametrize("empty", ["", "0", None])
def test_perpetual_with_one_side_costs_its_mark_price(side, empty):
    (row,) = tickers(
        FUTURES, BYBIT_ROW | {"markPrice": "20530.1", "indexPrice": "20529.5", side: empty}
    )

    assert (row.price, row.index_price) == (20530.1, 20529.5)


def test_contract_before_its_first_trade_has_no_price():
    waiting = dict.fromkeys(BYBIT_ROW, "") | {"symbol": "NEWUSDT", "turnover24h": "0"}

    row = tickers(FUTURES, BYBIT_ROW, waiting)[1]

    assert row == RawTicker(exchange_symbol="NEWUSDT", turnover_usd=0.0)


def test_tickers_with_an_error_code_are_none():
    with pytest.raises(DiscoveryError, match=r"10006 \(Too many visits!\)"):
        tickers(SPOT, BYBIT_ROW, retCode=10006, retMsg="Too many visits!")
