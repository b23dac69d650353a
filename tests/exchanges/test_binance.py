"""Binance's own ways: filters, kinds of contracts, answers."""

import math

import orjson
import pytest
from ticker_bodies import TICKERS

from spreadscan.errors import DiscoveryError
from spreadscan.exchanges import source_named
from spreadscan.exchanges._adapter import Ack, Ignored, Notice, Refused
from spreadscan.kernel.extract import Extractor
from spreadscan.model import ContractKind, QuoteStatus, RawTicker

SPOT = source_named("binance_spot")
FUTURES = source_named("binance_futures")
BODY = b'{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21","a":"25.36520000","A":"40.66"}'
COMBINED = b'{"stream":"bnbusdt@bookTicker","data":' + BODY + b"}"
FUTURES_FRAME = (
    b'{"e":"bookTicker","u":11331904350110,"s":"BTCUSDT","ps":"BTCUSDT","b":"72009.00","B":"3.065",'
    b'"a":"72009.10","A":"2.180","T":1787231293915,"E":1787231293999,"st":1}'
)
FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "556.80", "tickSize": "0.10"},
    {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.002", "maxQty": "1000"},
]


def futures_row(**changes):
    row = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404802000,
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": 2,
        "underlyingType": "COIN",
        "filters": [*FILTERS, {"filterType": "MIN_NOTIONAL", "notional": "50"}],
    }
    return row | changes


def spot_row(**changes):
    row = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "isSpotTradingAllowed": True,
        "filters": [*FILTERS, {"filterType": "NOTIONAL", "minNotional": "5.00000000"}],
    }
    return row | changes


def parsed(source, row):
    (instrument,) = source.spec.parse_instruments(orjson.dumps({"symbols": [row]}))
    return instrument


@pytest.mark.parametrize("frame", [BODY, COMBINED], ids=["raw", "combined"])
def test_spot_quote_is_read_from_either_form_and_has_no_time(frame):
    found = Extractor(SPOT.spec.plan, [("BNBUSDT", 3, 1.0, 1.0)]).decode(frame)

    assert found.status == QuoteStatus.QUOTE
    assert found.symbol_id == 3
    assert (found.bid, found.bid_qty) == (float("25.35190000"), float("31.21"))
    assert (found.ask, found.ask_qty) == (float("25.36520000"), float("40.66"))
    assert found.exchange_ns == -1
    assert found.update_id == 400900217


def test_futures_quote_carries_the_matching_engines_time_not_the_senders():
    found = Extractor(FUTURES.spec.plan, [("BTCUSDT", 0, 1.0, 1.0)]).decode(FUTURES_FRAME)

    assert found.exchange_ns == 1787231293915 * 1_000_000
    assert found.update_id == 11331904350110


def test_scaled_contract_is_quoted_per_single_coin():
    frame = FUTURES_FRAME.replace(b"BTCUSDT", b"1000PEPEUSDT")

    found = Extractor(FUTURES.spec.plan, [("1000PEPEUSDT", 0, 1000.0, 1000.0)]).decode(frame)

    assert found.bid == float("72009.00") / 1000
    assert found.bid_qty == float("3.065") * 1000


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b'"25.35190000"', b'""', QuoteStatus.MISSING_FIELD),
        (b'"25.35190000"', b'"NaN"', QuoteStatus.BAD_NUMBER),
        (b'"25.35190000"', b'"-1"', QuoteStatus.NOT_POSITIVE),
        (b'"25.35190000"', b'"25.36520000"', QuoteStatus.CROSSED),
        (b'"25.35190000"', b'"0.00000000"', QuoteStatus.ONE_SIDED),
        (b'"25.36520000"', b'"1e300"', QuoteStatus.IMPLAUSIBLE),
        (b"BNBUSDT", b"XXXUSDT", QuoteStatus.UNKNOWN_SYMBOL),
    ],
)
def test_frame_with_an_unusable_value_is_refused_by_reason(old, new, status):
    extractor = Extractor(SPOT.spec.plan, [("BNBUSDT", 0, 1.0, 1.0)])

    assert extractor.decode(BODY.replace(old, new)).status == status


def test_every_truncation_of_a_frame_is_no_quote():
    extractor = Extractor(SPOT.spec.plan, [("BNBUSDT", 0, 1.0, 1.0)])

    statuses = {extractor.decode(COMBINED[:cut]).status for cut in range(len(COMBINED))}

    assert QuoteStatus.QUOTE not in statuses


def test_rules_come_from_the_filters_of_either_name():
    spot, futures = parsed(SPOT, spot_row()), parsed(FUTURES, futures_row())

    for row in (spot, futures):
        assert (row.tick_size, row.qty_step, row.min_qty) == (0.1, 0.001, 0.002)
    assert (spot.min_notional, futures.min_notional) == (5.0, 50.0)


def test_row_without_filters_states_no_rules():
    row = parsed(SPOT, spot_row(filters=[]))

    assert (row.tick_size, row.qty_step, row.min_qty, row.min_notional) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, ContractKind.LINEAR_PERPETUAL),
        (
            {"contractType": "TRADIFI_PERPETUAL", "underlyingType": "EQUITY"},
            ContractKind.NOT_CRYPTO,
        ),
        ({"underlyingType": "INDEX"}, ContractKind.NOT_CRYPTO),
        ({"underlyingType": "COMMODITY"}, ContractKind.NOT_CRYPTO),
        ({"underlyingType": "PREMARKET"}, ContractKind.PRE_MARKET),
        ({"contractType": ""}, ContractKind.PRE_MARKET),
        ({"contractType": "CURRENT_QUARTER"}, ContractKind.DATED),
        ({"contractType": "CURRENT_QUARTER DELIVERING"}, ContractKind.DATED),
        ({"marginAsset": "BTC"}, ContractKind.INVERSE),
    ],
)
def test_kind_of_contract_is_told_from_contract_and_underlying(changes, kind):
    assert parsed(FUTURES, futures_row(**changes)).kind is kind


def test_early_delivery_of_a_perpetual_is_its_announced_end():
    ending = parsed(FUTURES, futures_row(deliveryDate=1759914000000))
    endless = parsed(FUTURES, futures_row())

    assert ending.delisting_ms == 1759914000000
    assert endless.delisting_ms is None


@pytest.mark.parametrize(
    ("changes", "is_trading"),
    [({}, True), ({"status": "BREAK"}, False), ({"isSpotTradingAllowed": False}, False)],
)
def test_spot_row_trades_when_status_and_permission_say_so(changes, is_trading):
    assert parsed(SPOT, spot_row(**changes)).is_trading is is_trading


@pytest.mark.parametrize("tick", ["abc", "-1", "nan", "1e999"])
def test_listing_with_an_impossible_rule_is_refused(tick):
    row = spot_row(filters=[{"filterType": "PRICE_FILTER", "tickSize": tick}])

    with pytest.raises(DiscoveryError, match="expected a number"):
        parsed(SPOT, row)


def test_listing_of_another_shape_names_the_place():
    row = spot_row()
    del row["baseAsset"]

    with pytest.raises(DiscoveryError, match=r"baseAsset.*symbols"):
        parsed(SPOT, row)


def test_stream_names_are_lower_case():
    text = SPOT.adapter.subscribe([SPOT.spec.topic("1INCHUSDT")], 7)

    assert orjson.loads(text) == {
        "method": "SUBSCRIBE",
        "params": ["1inchusdt@bookTicker"],
        "id": 7,
    }


@pytest.mark.parametrize(
    ("frame", "control"),
    [
        (b'{"result":null,"id":1}', Ack("1")),
        (b'{"result":["a@bookTicker"],"id":"x"}', Ack("x")),
        (
            b'{"code":2,"msg":"Invalid request","id":1}',
            Refused((), "2: Invalid request", "1", is_whole_request=True),
        ),
        (
            b'{"error":{"code":4,"msg":"Too many subscriptions"},"id":6}',
            Refused((), "4: Too many subscriptions", "6", is_whole_request=True),
        ),
        (b'{"e":"serverShutdown","E":1770123456789}', Notice("serverShutdown")),
        (
            b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}',
            Notice("serverShutdown"),
        ),
        (b'{"stream":"a@aggTrade","data":{"e":"aggTrade"}}', Ignored("a@aggTrade")),
        (b'{"e":"aggTrade","p":"1"}', Ignored("aggTrade")),
    ],
)
def test_frame_that_is_no_quote_is_understood(frame, control):
    assert SPOT.adapter.classify(frame) == control


def test_numbers_of_a_listing_are_finite():
    row = parsed(FUTURES, futures_row())

    assert all(math.isfinite(value) for value in (row.tick_size, row.qty_step, row.contract_size))


def tickers(source, path, *rows):
    """Rows behind the documented one, which is left out of what is returned."""
    (request,) = [each for each in source.spec.tickers if each.request.path == path]
    return request.parse(orjson.dumps([*TICKERS[source.name][path], *rows]))


def test_spot_costs_the_middle_of_its_book():
    (row,) = tickers(SPOT, "/api/v3/ticker/24hr")

    assert row == RawTicker(
        exchange_symbol="BTCUSDT", price=4.000001, book=(4.0, 4.000002), turnover_usd=15.3
    )


@pytest.mark.parametrize("source", [SPOT, FUTURES])
def test_books_alone_are_cheaper(source):
    row = {"symbol": "LTCUSDT", "bidPrice": "4.1", "bidQty": "431", "askPrice": "4.2"}

    (found,) = source.spec.book.parse(orjson.dumps([row]))

    assert source.spec.book.request.path.endswith("/ticker/bookTicker")
    assert found == RawTicker(exchange_symbol="LTCUSDT", price=4.15, book=(4.1, 4.2))


def test_spot_row_that_was_delisted_has_no_book():
    zero = "0.00000000"
    dead = {"symbol": "BCCUSDT", "bidPrice": zero, "askPrice": zero, "quoteVolume": zero}

    rows = tickers(
        SPOT, "/api/v3/ticker/24hr", dead | {"lastPrice": zero}, dead | {"lastPrice": "420.1"}
    )

    assert [row.price for row in rows[1:]] == [None, 420.1]
    assert [row.turnover_usd for row in rows[1:]] == [0.0, 0.0]


def test_perpetual_costs_its_mark_price_and_tells_its_index():
    (row,) = tickers(FUTURES, "/fapi/v1/premiumIndex")

    assert row == RawTicker(
        exchange_symbol="BTCUSDT", price=11793.63104562, index_price=11781.8049597
    )


def test_perpetual_without_a_mark_price_falls_back_to_its_last_one():
    nothing = {"symbol": "NEWUSDT", "markPrice": "0.00000000", "indexPrice": "0.00000000"}
    traded = {"symbol": "NEWUSDT", "lastPrice": "2.5", "quoteVolume": "1000"}

    first = tickers(FUTURES, "/fapi/v1/premiumIndex", nothing)[1]
    second = tickers(FUTURES, "/fapi/v1/ticker/24hr", traded)[1]

    assert first == RawTicker(exchange_symbol="NEWUSDT")
    assert second == RawTicker(exchange_symbol="NEWUSDT", price=2.5, turnover_usd=1000.0)


def test_mark_price_is_asked_for_before_the_last_one():
    assert [each.request.path for each in FUTURES.spec.tickers] == [
        "/fapi/v1/premiumIndex", "/fapi/v1/ticker/24hr",
    ]  # fmt: skip
