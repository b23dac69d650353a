"""Bybit v5: spot and USDT-settled linear perpetuals.

Sources: bybit-exchange.github.io/docs/v5 (market/instrument, websocket/public/orderbook,
websocket/wss-authentication, rate-limit, enum; read 2026-07-24); behaviour marked *seen* was
recorded live by third parties from 2026-08 to 2026-10.

Quirks:

* Spot and perpetual spell a symbol alike (``BTCUSDT``); only the address tells them apart. Spot
  ``tickers`` carry no bid and ask at all, so both markets are read from ``orderbook.1``.
* ``orderbook.1`` sends the whole first level, and repeats it after 3 s without a change with the
  same ``u`` (*seen*: snapshots only). Until 2024 it sent deltas, one side at a time (recorded
  2023); they are merged in case they come back. An empty side of a snapshot has no quote, an empty
  side of a delta is unchanged, a size of zero removes the level.
* ``u == 1`` is a restart of the exchange's service: it replaces what is there, although lower.
* ``cts`` is the matching engine's time, ``ts`` the sender's. Sizes are base coins on both markets,
  of the coin as listed: ``1000PEPEUSDT`` counts thousands. Some scaled coins have a suffix
  (``SHIB1000``).
* A request is answered as a whole. One bad topic refuses all of a linear request (*seen*), and so
  does one that is subscribed already; only the first offender is named. Spot is treated alike. The
  request's id is sometimes empty in a refusal.
* A perpetual whose ``deliveryTime`` is not ``"0"`` is to be delisted then.
* Linear lists 500 rows unless asked for 1,000; the cursor to the next page comes percent-encoded
  and must not be encoded again. The list also holds dated and USDC contracts, and stocks,
  commodities and currencies, told apart by ``symbolType``.
* ``minOrderQty`` of spot is deprecated and not enforced, so spot states no least quantity.
* Tickers of linear tell funding, too; dated contracts have an empty rate. Intervals differ (1, 2, 4
  and 8 h, 2025-09) and stand in each row.
* REST tickers come on one page, and those of spot do have bid and ask. ``turnover24h`` is quote
  currency, mark and index price are linear's alone. No weights: 600 requests in 5 s an address.

Limits: 10 topics a request on spot, no documented number on linear; 21,000 characters of topics a
connection; 500 connects in five minutes for one address and domain. The client sends a JSON ping
every 20 s; the server gives up after about 10 minutes.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import orjson

from spreadscan.errors import DiscoveryError, FeedError
from spreadscan.exchanges._adapter import (
    Ack,
    Adapter,
    Control,
    Heartbeat,
    Ignored,
    JsonPlan,
    Limits,
    MarketSpec,
    PartialQuote,
    Pong,
    Refused,
    RestRequest,
)
from spreadscan.exchanges._funding import FundingFields, FundingRows, funding_request
from spreadscan.exchanges._wire import (
    TickerFields,
    TickerRows,
    instruments,
    level_of,
    listed_number,
    read_control,
    read_listing,
    ticker_request,
)
from spreadscan.model import ContractKind, Market, RawInstrument

__all__ = ["ADAPTER"]

ResultT = TypeVar("ResultT")

CHANNEL = "orderbook.1."
INSTRUMENTS_PATH = "/v5/market/instruments-info"
TICKERS_PATH = "/v5/market/tickers"

# Zones of crypto; stocks, commodities, currencies and whatever comes next are none.
CRYPTO_TYPES = {"", "innovation", "adventure"}
KINDS = {
    "LinearPerpetual": ContractKind.LINEAR_PERPETUAL,
    "LinearFutures": ContractKind.DATED,
    "InversePerpetual": ContractKind.INVERSE,
    "InverseFutures": ContractKind.DATED,
}

# The wire's own words before the topics inside the text of a refusal.
NAMED_TOPIC = ",topic:"
INVALID_SYMBOL = "Invalid symbol :["
ALREADY_HELD = "already subscribed"

# Recorded 2026-08-13:
#   {"topic":"orderbook.1.BTCUSDT","ts":1786659828109,"type":"snapshot","data":{"s":
#    "BTCUSDT","b":[["63561.5","1.776"]],"a":[["63561.6","4.848"]],"u":31398762,"seq":
#    764144453970},"cts":1786659828107}
PLAN = JsonPlan(
    symbol=("data.s",),
    bid=("data.b.0.0",),
    bid_qty=("data.b.0.1",),
    ask=("data.a.0.0",),
    ask_qty=("data.a.0.1",),
    exchange_ms=("cts",),
    update_id=("data.u",),
    where=(("topic", (CHANNEL + "*",)), ("type", ("snapshot",))),
)

# As documented (shortened); linear adds "markPrice" and "indexPrice":
#   {"retCode":0,"retMsg":"OK","result":{"category":"spot","list":[{"symbol":"BTCUSDT","bid1Price":
#    "20517.96","ask1Price":"20527.77","lastPrice":"20533.13","turnover24h":"243765620.65899866",
#    "volume24h":"11801.27771"}]},"retExtInfo":{},"time":1673859087947}
TICKER = TickerFields(
    bid="bid1Price",
    ask="ask1Price",
    last="lastPrice",
    mark="markPrice",
    index="indexPrice",
    turnover="turnover24h",
)

# Of the same rows, recorded 2026-08-13 (shortened):
#   {"symbol":"BTCUSDT","fundingIntervalHour":"8","fundingCap":"0.005","nextFundingTime":
#    "1786665600000","fundingRate":"0.00005013"}
FUNDING = FundingFields(rate="fundingRate", next_ms="nextFundingTime", hours="fundingIntervalHour")

HEARTBEAT = Heartbeat(payload='{"req_id":"heartbeat","op":"ping"}', interval_s=20.0)


class _Lot(msgspec.Struct):
    basePrecision: str = ""
    qtyStep: str = ""
    minOrderQty: str = ""
    minOrderAmt: str = ""
    minNotionalValue: str = ""


class _Price(msgspec.Struct):
    tickSize: str = ""


class _Row(msgspec.Struct):
    symbol: str
    status: str
    baseCoin: str
    quoteCoin: str
    lotSizeFilter: _Lot = msgspec.field(default_factory=_Lot)
    priceFilter: _Price = msgspec.field(default_factory=_Price)
    symbolType: str = ""
    settleCoin: str = ""
    contractType: str = ""
    deliveryTime: str = ""
    isPreListing: bool | None = None


class _Page(msgspec.Struct):
    list: list[_Row]
    nextPageCursor: str | None = None


class _TickerPage(msgspec.Struct):
    list: TickerRows


class _FundingPage(msgspec.Struct):
    list: FundingRows


class _Answer(msgspec.Struct):
    retCode: int
    retMsg: str
    result: msgspec.Raw


def _result(body: bytes, shape: type[ResultT]) -> ResultT:
    # An error's result is an empty object, which is no page: look at the code first.
    answer = read_listing(body, _Answer)
    if answer.retCode != 0:
        raise DiscoveryError(f"found code {answer.retCode} ({answer.retMsg}), expected code 0")
    return read_listing(bytes(answer.result), shape)


def parse_spot(body: bytes) -> list[RawInstrument]:
    """Return the rows of ``/v5/market/instruments-info?category=spot``.

    Raises:
        DiscoveryError: the body is no such listing.
    """
    return instruments(_result(body, _Page).list, _spot_instrument)


def _spot_instrument(row: _Row) -> RawInstrument:
    lot = row.lotSizeFilter
    is_crypto = row.symbolType in CRYPTO_TYPES
    return RawInstrument(
        exchange_symbol=row.symbol,
        base=row.baseCoin,
        quote=row.quoteCoin,
        settle="",
        kind=ContractKind.SPOT if is_crypto else ContractKind.NOT_CRYPTO,
        status=row.status,
        is_trading=row.status == "Trading",
        tick_size=listed_number(row.priceFilter.tickSize),
        qty_step=listed_number(lot.basePrecision),
        min_notional=listed_number(lot.minOrderAmt),
    )


def parse_futures(body: bytes) -> list[RawInstrument]:
    """Return the rows of ``/v5/market/instruments-info?category=linear``.

    Raises:
        DiscoveryError: the body is no such listing.
    """
    return instruments(_result(body, _Page).list, _futures_instrument)


def _futures_instrument(row: _Row) -> RawInstrument:
    lot = row.lotSizeFilter
    kind = _kind(row)
    # A dated contract has a delivery anyway; only on a perpetual it is news.
    ends_ms = int(listed_number(row.deliveryTime)) or None
    return RawInstrument(
        exchange_symbol=row.symbol,
        base=row.baseCoin,
        quote=row.quoteCoin,
        settle=row.settleCoin,
        kind=kind,
        status=row.status,
        is_trading=row.status == "Trading",
        tick_size=listed_number(row.priceFilter.tickSize),
        qty_step=listed_number(lot.qtyStep),
        min_qty=listed_number(lot.minOrderQty),
        min_notional=listed_number(lot.minNotionalValue),
        delisting_ms=None if kind is ContractKind.DATED else ends_ms,
    )


def _kind(row: _Row) -> ContractKind:
    """Sort a linear row by contract and by what it is written on."""
    # A contract of a kind yet to come takes no part, like one that ends.
    kind = KINDS.get(row.contractType, ContractKind.DATED)
    if kind is not ContractKind.LINEAR_PERPETUAL:
        return kind
    if row.symbolType not in CRYPTO_TYPES:
        return ContractKind.NOT_CRYPTO
    if row.isPreListing or row.status == "PreLaunch":
        return ContractKind.PRE_MARKET
    return kind


def _instruments(category: str, encoded_query: str = "") -> RestRequest:
    return RestRequest(
        path=INSTRUMENTS_PATH,
        query=(("category", category), ("limit", "1000")),
        encoded_query=encoded_query,
    )


def next_page(body: bytes) -> RestRequest | None:
    """Return the request for the page behind a linear one; spot has a single page.

    Raises:
        DiscoveryError: the body is no such listing.
    """
    cursor = _result(body, _Page).nextPageCursor
    return _instruments("linear", f"cursor={cursor}") if cursor else None


def _ticker_rows(body: bytes) -> TickerRows:
    return _result(body, _TickerPage).list


def _funding_rows(body: bytes) -> FundingRows:
    return _result(body, _FundingPage).list


def _topic(symbol: str) -> str:
    return CHANNEL + symbol


def _request(operation: str, topics: Sequence[str], request_id: int) -> str:
    return orjson.dumps({"req_id": str(request_id), "op": operation, "args": topics}).decode()


def _subscribe(topics: Sequence[str], request_id: int) -> str:
    return _request("subscribe", topics, request_id)


def _unsubscribe(topics: Sequence[str], request_id: int) -> str:
    return _request("unsubscribe", topics, request_id)


def classify(frame: bytes) -> Control:
    """Return the meaning of a frame that is no snapshot.

    Raises:
        FeedError: the frame is none of this exchange's.
    """
    # {"success":true,"ret_msg":"","conn_id":"db292md","req_id":"7","op":"subscribe"}    ack, linear
    # {"success":true,"ret_msg":"subscribe","conn_id":"d9avt","req_id":"7","op":"subscribe"}    spot
    # {"success":true,"ret_msg":"pong","conn_id":"d9tc7","req_id":"p1","op":"ping"}      pong
    tree = read_control(frame)
    if isinstance(tree.get("success"), bool):
        operation, text = tree.get("op"), str(tree.get("ret_msg", ""))
        request_id = str(tree.get("req_id") or "") or None
        if tree["success"]:
            return Pong() if operation == "ping" else Ack(request_id)
        return _refused(text, request_id)
    if tree.get("op") == "pong":
        return Pong()
    topic = tree.get("topic")
    if not isinstance(topic, str):
        raise FeedError(f"found an object with keys {sorted(tree)}, expected an answer or a topic")
    if topic.startswith(CHANNEL) and tree.get("type") == "delta":
        return _delta(tree)
    return Ignored(topic)


def _refused(text: str, request_id: str | None) -> Refused:
    # error:handler not found,topic:orderbook.1.NOPEUSDT                   linear, unknown
    # error:already subscribed,topic:orderbook.1.BTCUSDT                   linear, held
    # Invalid symbol :[orderbook.1.NOPE]                                   spot, unknown
    # args size >10                                                        spot, too many
    topics: list[str] = []
    if NAMED_TOPIC in text:
        topics = [text.partition(NAMED_TOPIC)[2]]
    elif text.startswith(INVALID_SYMBOL):
        topics = text.removeprefix(INVALID_SYMBOL).rstrip("] ").split(",")
    symbols = (topic.strip().removeprefix(CHANNEL) for topic in topics)
    return Refused(
        tuple(symbol for symbol in symbols if symbol),
        text,
        request_id,
        is_whole_request=True,
        are_held=ALREADY_HELD in text,
    )


def _delta(tree: dict[str, Any]) -> PartialQuote:
    # Recorded 2023-04-21:
    #   {"topic":"orderbook.1.BTCUSDT","type":"delta","ts":1682092584425,"data":{"s":"BTCUSDT","b":
    #    [["27994.60","0"],["27991.70","0.777"]],"a":[["27994.40","0.058"],["27994.80","0"]],"u":
    #    1188472,"seq":11155892580}}
    try:
        data = tree["data"]
        bids, asks = ([level_of(row) for row in data.get(side, ())] for side in "ba")
        bid = max((level for level in bids if level[1]), default=None)
        ask = min((level for level in asks if level[1]), default=None)
        time = tree.get("cts")
        return PartialQuote(
            symbol=str(data["s"]),
            bid=bid,
            ask=ask,
            removed_bid=bool(bids) and bid is None,
            removed_ask=bool(asks) and ask is None,
            exchange_ms=None if time is None else int(time),
            update_id=int(data["u"]),
        )
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise FeedError(f"no delta of a book: {error!r}") from None


def _market(category: str, market: Market) -> MarketSpec:
    is_spot = market is Market.SPOT
    query = (("category", category),)
    return MarketSpec(
        instruments=_instruments(category),
        parse_instruments=parse_spot if is_spot else parse_futures,
        next_page=(lambda _body: None) if is_spot else next_page,
        tickers=(ticker_request(TICKERS_PATH, _ticker_rows, TICKER, query),),
        funding=None if is_spot else funding_request(TICKERS_PATH, _funding_rows, FUNDING, query),
        plan=PLAN,
        limits=Limits(
            topics_per_message=10 if is_spot else None,
            topic_bytes_per_connection=21_000,
            connects_per_window=500,
            connects_window_s=300.0,
        ),
        topic=_topic,
        heartbeat=HEARTBEAT,
        repeats_every_s=3.0,
        restart_update_id=1,
    )


ADAPTER = Adapter(
    name="bybit",
    venue_id=1,
    markets={
        Market.SPOT: _market("spot", Market.SPOT),
        Market.FUTURES: _market("linear", Market.FUTURES),
    },
    subscribe=_subscribe,
    unsubscribe=_unsubscribe,
    classify=classify,
)
