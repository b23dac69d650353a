"""What every exchange file must hold; a new one is tested by being there."""

import copy
import math
from pathlib import Path

import orjson
import pytest
from ticker_bodies import LISTINGS, TICKERS

from spreadscan.config import load_config
from spreadscan.errors import DiscoveryError, FeedError
from spreadscan.exchanges import adapters, source_named, sources
from spreadscan.kernel.extract import Extractor
from spreadscan.model import Market
from spreadscan.shm.layout import NUM_SOURCES

ADAPTERS = list(adapters().values())
SOURCES = list(sources().values())
SHIPPED = Path(__file__).parents[2] / "config" / "config.toml"


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def adapter(request):
    return request.param


@pytest.fixture(params=SOURCES, ids=lambda source: source.name)
def source(request):
    return request.param


def test_every_exchange_has_both_markets(adapter):
    assert set(adapter.markets) == set(Market)


def test_source_ids_are_the_ones_of_the_design():
    fixed = {
        "binance_spot": 0, "binance_futures": 1, "bybit_spot": 2, "bybit_futures": 3,
        "okx_spot": 4, "okx_futures": 5, "mexc_spot": 6, "mexc_futures": 7,
    }  # fmt: skip

    assert {name: source_named(name).source_id for name in fixed} == fixed
    assert all(0 <= source.source_id < NUM_SOURCES for source in SOURCES)


def test_plan_compiles_in_the_kernel(source):
    Extractor(source.spec.plan, [("ANY", 0, 1.0, 1.0)])


@pytest.mark.parametrize("request_id", [1, 999_999])
def test_subscription_is_one_json_object_that_names_every_symbol_and_the_request(
    source, request_id
):
    symbols = ("AAAUSDT", "BBBUSDT")[: source.spec.limits.topics_per_message]
    topics = [source.spec.topic(symbol) for symbol in symbols]

    texts = [
        source.adapter.subscribe(topics, request_id),
        source.adapter.unsubscribe(topics, request_id),
    ]

    assert texts[0] != texts[1]
    for text in texts:
        tree = orjson.loads(text)
        ids = [str(tree[key]) for key in ("id", "req_id") if key in tree]
        # Whoever takes one topic a message can do without.
        assert ids == [str(request_id)] or (not ids and len(symbols) == 1)
        assert all(name in text.upper() for name in symbols)


def test_topic_of_a_symbol_outside_ascii_survives_the_request(source):
    text = source.adapter.subscribe([source.spec.topic("币安人生USDT")], 1)

    assert "币安人生" in text


@pytest.mark.parametrize(
    "frame", [b"", b"{", b"[]", b"null", b"17", b'"text"', b"hello", b"\xff\xfe", b"{}"]
)
def test_frame_of_nobody_is_refused_as_such(adapter, frame):
    with pytest.raises(FeedError):
        adapter.classify(frame)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b"<html>", b"\xff"])
def test_body_that_is_no_listing_is_refused_as_such(source, body):
    with pytest.raises(DiscoveryError):
        source.spec.parse_instruments(body)


def test_heartbeat_comes_well_before_the_exchange_gives_up(source):
    heartbeat = source.spec.heartbeat

    assert heartbeat is None or 0 < heartbeat.interval_s < 30


def test_only_the_last_page_of_a_listing_has_none_behind_it(source):
    for body in (b"{}", b"[]", b"<html>"):
        try:
            following = source.spec.next_page(body)
        except DiscoveryError:
            continue
        assert following is None


def test_configured_limits_are_not_beyond_the_exchanges_own(source):
    config = load_config(SHIPPED)
    wanted, limits = config.market(source), source.spec.limits

    for key in ("topics_per_connection", "topics_per_message", "messages_per_s"):
        limit = getattr(limits, key)
        assert limit is None or getattr(wanted, key) <= limit


REQUESTS = [(source, ticker) for source in SOURCES for ticker in source.spec.tickers]
JUNK = (None, "", "0", 0, "-1", -1, "nan", "1e999", "x", "1e308", True, 10**400, [], {}, [["1"]])


@pytest.fixture(params=REQUESTS, ids=lambda pair: pair[0].name + pair[1].request.path)
def ticker(request):
    """(source, its request of tickers, the documented answer)."""
    source, ticker = request.param
    return source, ticker, TICKERS[source.name][ticker.request.path]


def own_rows(tree):
    """The rows of an answer, to be changed in place."""
    while not isinstance(tree, list):
        tree = next(tree[key] for key in ("result", "data", "list") if key in tree)
    return tree


def figures(row):
    return (row.price, row.index_price, row.turnover_usd)


def test_answer_names_what_the_listing_names(ticker):
    source, request, answer = ticker
    (listed,) = source.spec.parse_instruments(orjson.dumps(LISTINGS[source.name]))

    (row,) = request.parse(orjson.dumps(answer))

    assert row.exchange_symbol == listed.exchange_symbol
    assert any(value is not None for value in figures(row))


def test_every_source_tells_price_and_volume_and_a_perpetual_its_index(source):
    rows = [
        row
        for ticker in source.spec.tickers
        for row in ticker.parse(orjson.dumps(TICKERS[source.name][ticker.request.path]))
    ]
    prices, indices, turnovers = zip(*map(figures, rows), strict=True)
    assert any(prices)
    assert any(indices) is (source.market is Market.FUTURES)
    assert any(turnovers)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"{}", b"null", b"17", b"[1]", b"[{}]", b"<html>403 Forbidden</html>", b"\xff",
        b"[]", b'{"code":-1003,"msg":"Too many requests."}', b'[{"symbol":"BTCUSDT"}]',
        b'{"code":429,"msg":"Too Many Requests"}', b'[{"symbol":7,"lastPrice":"1"}]',
        b'{"retCode":10006,"retMsg":"Too many visits!","result":{},"time":1}',
        b'{"retCode":0,"retMsg":"OK","result":{"category":"spot","list":[]},"time":1}',
        b'{"code":"50011","msg":"Too Many Requests","data":[]}',
        b'{"code":"0","msg":"","data":[]}',
        b'{"success":false,"code":510,"message":"Requests are too frequent"}',
        b'{"success":true,"code":0,"data":[]}',
    ],
)  # fmt: skip
def test_body_that_is_no_answer_of_tickers_is_refused_as_such(ticker, body):
    _source, request, _answer = ticker

    with pytest.raises(DiscoveryError):
        request.parse(body)


def test_fields_unheard_of_change_nothing(ticker):
    _source, request, answer = ticker
    richer = copy.deepcopy(answer)
    own_rows(richer)[0] |= {"brandNew": {"bid": [1, 2]}, "another": None}

    assert request.parse(orjson.dumps(richer)) == request.parse(orjson.dumps(answer))


def test_bad_value_costs_no_more_than_itself_and_never_becomes_a_number(ticker):
    _source, request, answer = ticker
    (good,) = own_rows(answer)
    (expected,) = request.parse(orjson.dumps(answer))
    names = [name for name, value in good.items() if value != expected.exchange_symbol]

    for name in set(names) - {"instId"}:
        for junk in JUNK:
            spoilt = copy.deepcopy(answer)
            own_rows(spoilt).insert(0, good | {name: junk})
            text = str(junk) if junk == 10**400 else orjson.dumps(junk).decode()
            own_rows(spoilt)[0][name] = orjson.Fragment(text)

            first, second = request.parse(orjson.dumps(spoilt))

            assert second == expected
            for value in figures(first):
                assert value is None or (math.isfinite(value) and value >= 0), (name, junk)
            assert first.price != 0
            assert first.index_price != 0
