"""OKX's own ways: contracts, empty fields, one refusal at a time."""

import orjson
import pytest
from ticker_bodies import OKX_ROW

from spreadscan.errors import DiscoveryError
from spreadscan.exchanges import source_named
from spreadscan.exchanges._adapter import Ack, Ignored, Notice, Pong, Refused
from spreadscan.kernel.extract import Extractor
from spreadscan.model import ContractKind, QuoteStatus, RawTicker

SPOT = source_named("okx_spot")
FUTURES = source_named("okx_futures")
BOOK = (
    b'{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"asks":[["74165.9","0.00001198",'
    b'"0","1"]],"bids":[["74037.2","4.22723227","0","4"]],"ts":"1730367981772","seqId":26213414}]}'
)
TICKER = (
    b'{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"instType":"SPOT","instId":'
    b'"BTC-USDT","last":"1","askPx":"5.142","askSz":"25","bidPx":"5.134","bidSz":"96","ts":'
    b'"1652459223143"}]}'
)
ACK = (
    b'{"id":"s1","event":"subscribe","arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"connId":"a"}'
)
REFUSAL = (
    b'{"event":"error","code":"60018","msg":"Wrong URL or channel:bbo-tbt,instId:ETH-USD-SWAP '
    b"doesn't exist. Please use the correct URL, channel and parameters referring to API document."
    b'","connId":"a4d3ae55"}'
)
NEWER_REFUSAL = (
    b'{"event":"error","code":"60018","msg":"Subscribe failed, wrong URL or channel:bbo-tbt,'
    b'instId:NOPE-USDT.","connId":"a4d3ae55"}'
)


def swap_row(**changes):
    row = {
        "instId": "BTC-USDT-SWAP",
        "instType": "SWAP",
        "instFamily": "BTC-USDT",
        "baseCcy": "",
        "quoteCcy": "",
        "ctType": "linear",
        "ctVal": "0.01",
        "ctValCcy": "BTC",
        "ctMult": "1",
        "settleCcy": "USDT",
        "tickSz": "0.1",
        "lotSz": "0.01",
        "minSz": "0.02",
        "state": "live",
        "expTime": "",
        "ruleType": "normal",
        "instIdCode": None,
    }
    return row | changes


def listing(*rows):
    return orjson.dumps({"code": "0", "msg": "", "data": list(rows)})


def parsed(row):
    (instrument,) = FUTURES.spec.parse_instruments(listing(row))
    return instrument


@pytest.fixture
def extractor():
    return Extractor(SPOT.spec.plan, [("BTC-USDT", 2, 1.0, 1.0)])


def test_first_level_of_the_book_is_the_quote(extractor):
    found = extractor.decode(BOOK)

    assert found.status == QuoteStatus.QUOTE
    assert (found.bid, found.bid_qty) == (float("74037.2"), float("4.22723227"))
    assert (found.ask, found.ask_qty) == (float("74165.9"), float("0.00001198"))
    assert (found.exchange_ns, found.update_id) == (1730367981772 * 1_000_000, 26213414)


def test_ticker_of_a_recording_is_a_quote_without_update_id(extractor):
    found = extractor.decode(TICKER)

    assert found.status == QuoteStatus.QUOTE
    assert (found.bid, found.bid_qty, found.ask, found.ask_qty) == (5.134, 96.0, 5.142, 25.0)
    assert found.update_id == -1


def test_contracts_become_coins():
    extractor = Extractor(FUTURES.spec.plan, [("BTC-USDT", 0, 1.0, 0.01)])

    found = extractor.decode(BOOK)

    assert found.bid == float("74037.2")
    assert found.bid_qty == float("4.22723227") * 0.01


@pytest.mark.parametrize("side", [b"asks", b"bids"])
def test_empty_side_is_one_sided(extractor, side):
    tree = orjson.loads(BOOK)
    tree["data"][0][side.decode()] = []

    assert extractor.decode(orjson.dumps(tree)).status == QuoteStatus.ONE_SIDED


def test_other_channel_is_no_quote(extractor):
    frame = BOOK.replace(b"bbo-tbt", b"books")

    assert extractor.decode(frame).status == QuoteStatus.NOT_A_QUOTE


def test_acknowledgement_is_no_quote_though_it_names_a_symbol(extractor):
    unknown = ACK.replace(b"BTC-USDT", b"NOPE-USDT")

    assert extractor.decode(ACK).status == QuoteStatus.NOT_A_QUOTE
    assert extractor.decode(unknown).status == QuoteStatus.NOT_A_QUOTE


def test_every_truncation_of_a_frame_is_no_quote(extractor):
    statuses = {extractor.decode(BOOK[:cut]).status for cut in range(len(BOOK))}

    assert QuoteStatus.QUOTE not in statuses


def test_contract_size_is_value_times_multiplier():
    row = parsed(swap_row(ctVal="10", ctMult="100"))

    assert row.contract_size == 1000.0
    assert (row.base, row.quote, row.settle) == ("BTC", "USDT", "USDT")
    assert (row.tick_size, row.qty_step, row.min_qty, row.min_notional) == (0.1, 0.01, 0.02, 0.0)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, ContractKind.LINEAR_PERPETUAL),
        ({"instCategory": "1"}, ContractKind.LINEAR_PERPETUAL),
        ({"instCategory": "3"}, ContractKind.NOT_CRYPTO),
        ({"instCategory": "4"}, ContractKind.NOT_CRYPTO),
        ({"ruleType": "pre_market"}, ContractKind.PRE_MARKET),
        ({"ruleType": "rebase_contract"}, ContractKind.PRE_MARKET),
        ({"state": "preopen"}, ContractKind.PRE_MARKET),
        ({"state": "test"}, ContractKind.TEST),
        ({"ctType": "inverse", "ctValCcy": "USD"}, ContractKind.INVERSE),
    ],
)
def test_kind_of_contract_is_told_from_the_row(changes, kind):
    assert parsed(swap_row(**changes)).kind is kind


@pytest.mark.parametrize("state", ["suspend", "post_only", "rebase", "preopen", "test"])
def test_only_a_live_row_trades(state):
    assert parsed(swap_row()).is_trading
    assert not parsed(swap_row(state=state)).is_trading


def test_announced_row_with_empty_fields_is_read():
    row = parsed({"instId": "2Z-USDT-SWAP", "state": "preopen", "ctVal": "", "lotSz": ""})

    assert (row.kind, row.is_trading, row.contract_size) == (ContractKind.PRE_MARKET, False, 0.0)


def test_expiry_is_the_announced_end():
    assert parsed(swap_row(expTime="1791532800000")).delisting_ms == 1791532800000
    assert parsed(swap_row()).delisting_ms is None


def test_reply_with_an_error_code_is_no_listing():
    with pytest.raises(DiscoveryError, match="50011"):
        SPOT.spec.parse_instruments(b'{"code":"50011","msg":"Too Many Requests","data":[]}')


def test_subscription_names_channel_and_instrument():
    text = SPOT.adapter.subscribe([SPOT.spec.topic("BTC-USDT")], 3)

    assert orjson.loads(text) == {
        "id": "3",
        "op": "subscribe",
        "args": [{"channel": "bbo-tbt", "instId": "BTC-USDT"}],
    }


@pytest.mark.parametrize(
    ("frame", "control"),
    [
        (b"pong", Pong()),
        (ACK, Ack("s1")),
        (ACK.replace(b'"subscribe"', b'"unsubscribe"'), Ack("s1")),
        (
            b'{"event":"notice","code":"64008","msg":"soon","connId":"a"}',
            Notice("64008: soon"),
        ),
        (b'{"event":"channel-conn-count","channel":"orders"}', Ignored("channel-conn-count")),
        (b'{"arg":{"channel":"trades","instId":"BTC-USDT"},"data":[]}', Ignored("trades")),
    ],
)
def test_frame_that_is_no_quote_is_understood(frame, control):
    assert SPOT.adapter.classify(frame) == control


@pytest.mark.parametrize(
    ("frame", "symbol"), [(REFUSAL, "ETH-USD-SWAP"), (NEWER_REFUSAL, "NOPE-USDT")]
)
def test_refused_symbol_is_taken_from_the_text_of_the_error(frame, symbol):
    control = SPOT.adapter.classify(frame)

    assert isinstance(control, Refused)
    assert control.symbols == (symbol,)
    assert not control.is_whole_request


def test_refusal_of_a_whole_request_names_no_symbol():
    frame = b'{"id":"4","event":"error","code":"60012","msg":"Invalid request: {\\"op\\"}"}'

    control = SPOT.adapter.classify(frame)

    assert control == Refused((), '60012: Invalid request: {"op"}', "4", is_whole_request=True)


def test_restart_of_sequence_ids_is_told_by_the_time():
    assert SPOT.spec.is_restart_told_by_time
    assert FUTURES.spec.is_restart_told_by_time


def tickers(source, *rows):
    return source.spec.tickers[0].parse(listing(*rows))


@pytest.mark.parametrize(("source", "kind"), [(SPOT, "SPOT"), (FUTURES, "SWAP")])
def test_tickers_are_asked_for_by_type(source, kind):
    assert dict(source.spec.tickers[0].request.query) == {"instType": kind}


def test_volume_in_currency_is_quote_on_spot_and_coins_on_a_swap():
    (spot,) = tickers(SPOT, OKX_ROW | {"instId": "BTC-USDT"})
    (swap,) = tickers(FUTURES, OKX_ROW | {"instId": "BTC-USDT-SWAP"})

    book = {"price": 43351.1, "book": (43351.0, 43351.2)}
    assert spot == RawTicker(exchange_symbol="BTC-USDT", turnover_usd=2222.0, **book)
    assert swap == RawTicker(exchange_symbol="BTC-USDT-SWAP", turnover_usd=2222 * 43351.1, **book)


def test_documented_book_twelve_percent_wide_gives_way_to_the_last_price():
    wide = {"instId": "LTC-USD-SWAP", "last": "9999.99", "askPx": "9999.99", "bidPx": "8888.88"}

    (row,) = tickers(FUTURES, wide)

    assert row.price == 9999.99


def test_book_crossed_before_the_opening_gives_way_to_the_last_price():
    crossed = {"instId": "NEW-USDT", "last": "1.5", "askPx": "1.4", "bidPx": "1.6"}

    assert tickers(SPOT, crossed)[0].price == 1.5


def test_swap_that_is_announced_has_no_price():
    waiting = dict.fromkeys(OKX_ROW, "") | {"instId": "NEW-USDT-SWAP"}

    rows = tickers(FUTURES, OKX_ROW | {"instId": "BTC-USDT-SWAP"}, waiting)

    assert rows[1] == RawTicker(exchange_symbol="NEW-USDT-SWAP")


def test_index_of_a_pair_is_that_of_its_swap():
    _tickers, indices = FUTURES.spec.tickers

    rows = indices.parse(
        listing({"instId": "BTC-USDT", "idxPx": "43350"}, {"instId": "X-USDT", "idxPx": ""})
    )

    assert dict(indices.request.query) == {"quoteCcy": "USDT"}
    assert rows == [
        RawTicker(exchange_symbol="BTC-USDT-SWAP", index_price=43350.0),
        RawTicker(exchange_symbol="X-USDT-SWAP"),
    ]


def test_tickers_with_an_error_code_are_none():
    for request in FUTURES.spec.tickers:
        with pytest.raises(DiscoveryError, match="50011"):
            request.parse(b'{"code":"50011","msg":"Too Many Requests","data":[]}')
