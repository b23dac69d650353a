"""MEXC: spot, and USDT-settled perpetuals on its contract platform.

Sources: github.com/mexcdevelop/apidocs and mexc.com/api-docs (spot-v3 and futures, read 2025-09 to
2026-08), github.com/mexcdevelop/websocket-proto (2026-06-17); behaviour marked *seen* was recorded
live by third parties from 2026-08 to 2026-09.

Spot quirks:

* Control frames are JSON text, data are binary: one protobuf ``PushDataV3ApiWrapper`` a frame,
  with channel (1), symbol (3), send time (6) and, in field 315, the book ticker: bid, its quantity,
  ask, its quantity (1 to 4) and version (5), all strings. A quiet symbol is pushed without a body.
* A push is the whole best bid and ask, sent again also when nothing changed; how often, and whether
  always, is not said, so no repetition is declared.
* Every answer carries code 0. A refusal is told by its text alone, names what it refuses and ends
  in a full-width colon and a reason (*seen*); an accepted request is answered by its own topics.
* ``quotePrecision`` and ``baseAssetPrecision`` count digits, while ``baseSizePrecision`` and
  ``quoteAmountPrecision`` are values: the least quantity and the least worth of an order.
* ``isSpotTradingAllowed`` is false for a sixth of the pairs, large ones among them, which are
  quoted but not tradable through the API. ``tradeSideType`` other than 1 bars a side.
* ``quoteVolume`` of a ticker may be null; ``volume`` is base coins. All tickers cost a weight of
  25 or 40 (their pages disagree) of 300 in 10 s, all best bids and asks 10.

Futures quirks:

* There is no channel for best bid and ask: ``sub.depth.full`` with five levels sends the whole top
  of the book about every 300 ms, quiet contracts less often (*seen*), so no repetition is declared.
  Rows are ``[price, contracts, orders]``, all numbers; ``cts`` is the engine's time.
* One symbol a subscribe frame, no request ids; the acknowledgement names no symbol, a refusal does
  in its text (*seen*). An unknown method is met with silence.
* ``baseCoin`` is a name of their own where tickers collide; ``baseCoinName`` is the coin
  (``FILECOIN`` is FIL, and ``TRUMP`` is MAGATRUMP).
* REST errors come with status 200 and ``success`` false. Stocks are contracts of ``type`` 2.
* Of a ticker ``amount24`` is quote currency, ``volume24`` contracts; ``maxBidPrice`` and
  ``minAskPrice`` are no book. Dead contracts stay with a last price of 0 (*seen*). 10 requests in
  2 s; renewed every 3 to 4 s. ``funding_rate``: 20 in 2 s, up to 15 s late after a settlement.

Limits: spot 30 subscriptions a connection (*seen*: the 31st is silent), 100 messages a second, 24 h
of life, closed after 30 s without a valid subscription and 60 s without data; request frames beyond
1,024 bytes are avoided by a client in wide use, so 15 topics a frame. Futures publish no numbers
but for one symbol a frame; the server closes after 60 s without our ping, data or not.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Generic, TypeVar

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
    Notice,
    Pong,
    ProtobufPlan,
    Refused,
    RestRequest,
)
from spreadscan.exchanges._funding import FundingFields, FundingRows, funding_request
from spreadscan.exchanges._wire import (
    TickerFields,
    TickerRows,
    instruments,
    listed_number,
    read_control,
    read_listing,
    ticker_request,
    ticker_rows,
)
from spreadscan.model import ContractKind, Market, RawInstrument

__all__ = ["ADAPTER"]

RowsT = TypeVar("RowsT")

SPOT_CHANNEL = "spot@public.aggre.bookTicker.v3.api.pb@100ms@"
FUTURES_CHANNEL = "depth.full"
SPOT_PREFIX = "spot@"
DEPTH_LEVELS = 5
DAY_S = 86_400.0

ONLINE = {"1", "ENABLED"}
BOTH_SIDES = 1
PERPETUAL, CRYPTO, ENABLED = 1, 1, 0
MOST_DIGITS = 30

NOT_SUBSCRIBED = "Not Subscribed"
REFUSED_TOPICS = re.compile(r"\[([^\]]*)\]")
REFUSED_CONTRACT = re.compile(r"Contract \[([^\]]+)\]")
CLOSING = "close the channel"

# Written out from a frame of 2026-09-20:
#   1: "spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT"   3: "BTCUSDT"   6: 1789897517479
#   315 {1: "80535.88"  2: "0.380497"  3: "80535.89"  4: "0.33336356"  5: "81721676217"
#        6: 1789897517454}
SPOT_PLAN = ProtobufPlan(
    symbol=("3",),
    bid=("315.1",),
    bid_qty=("315.2",),
    ask=("315.3",),
    ask_qty=("315.4",),
    exchange_ms=("6",),
    update_id=("315.5",),
    where=(("1", ("spot@public.aggre.bookTicker.*",)),),
)

# As documented, values of 2026-09-20:
#   {"symbol":"BTC_USDT","data":{"cts":1789897581009,"asks":[[80468.7,3446,2],[80469.1,1239,1]],
#    "bids":[[80468.6,31288,7]],"version":41925002140},"channel":"push.depth.full","ts":
#    1789897581013}
FUTURES_PLAN = JsonPlan(
    symbol=("symbol",),
    bid=("data.bids.0.0",),
    bid_qty=("data.bids.0.1",),
    ask=("data.asks.0.0",),
    ask_qty=("data.asks.0.1",),
    exchange_ms=("data.cts",),
    update_id=("data.version",),
    where=(("channel", (f"push.{FUTURES_CHANNEL}",)),),
)

# As documented (shortened):
#   [{"symbol":"BTCUSDT","lastPrice":"46263.71","bidPrice":"46260.38","askPrice":"46260.41",
#     "volume":"1732.461487","quoteVolume":null,"closeTime":1641349582808}]
SPOT_TICKER = TickerFields(
    bid="bidPrice", ask="askPrice", last="lastPrice", turnover="quoteVolume", volume="volume"
)
#   {"success":true,"code":0,"data":[{"symbol":"DOGE_USDT","lastPrice":0.2157,"bid1":0.2156,"ask1":
#    0.2158,"amount24":174920000.27,"indexPrice":0.2159,"fairPrice":0.2156}]}
FUTURES_TICKER = TickerFields(
    bid="bid1",
    ask="ask1",
    last="lastPrice",
    mark="fairPrice",
    index="indexPrice",
    turnover="amount24",
)
#   {"success":true,"code":0,"data":[{"symbol":"BTC_USDT","fundingRate":0.000018,"collectCycle":8,
#    "nextSettleTime":1761897600000,"timestamp":1761879755894}]}
FUNDING = FundingFields(rate="fundingRate", next_ms="nextSettleTime", hours="collectCycle")


class _SpotRow(msgspec.Struct):
    symbol: str
    status: str
    baseAsset: str
    quoteAsset: str
    baseAssetPrecision: int
    quotePrecision: int
    baseSizePrecision: str = ""
    quoteAmountPrecision: str = ""
    isSpotTradingAllowed: bool = True
    tradeSideType: int = BOTH_SIDES


class _SpotListing(msgspec.Struct):
    symbols: list[_SpotRow]


class _FuturesRow(msgspec.Struct):
    symbol: str
    baseCoin: str
    quoteCoin: str
    settleCoin: str
    contractSize: float
    priceUnit: float
    volUnit: float
    minVol: float
    state: int
    baseCoinName: str | None = None
    futureType: int = PERPETUAL
    type: int = CRYPTO
    isHidden: bool = False
    preMarket: bool | None = None
    apiAllowed: bool = True
    deliveryTime: int | None = None


class _FuturesAnswer(msgspec.Struct, Generic[RowsT]):
    success: bool
    code: int
    data: RowsT | None = None
    message: str = ""


def _data(body: bytes, shape: type[_FuturesAnswer[RowsT]]) -> RowsT:
    answer = read_listing(body, shape)
    if not answer.success or answer.code != 0 or answer.data is None:
        raise DiscoveryError(f"found code {answer.code} ({answer.message}), expected a listing")
    return answer.data


def parse_spot(body: bytes) -> list[RawInstrument]:
    """Return the rows of ``/api/v3/exchangeInfo``.

    Raises:
        DiscoveryError: the body is no such listing.
    """
    return instruments(read_listing(body, _SpotListing).symbols, _spot_instrument)


def _spot_instrument(row: _SpotRow) -> RawInstrument:
    return RawInstrument(
        exchange_symbol=row.symbol,
        base=row.baseAsset,
        quote=row.quoteAsset,
        settle="",
        kind=ContractKind.SPOT,
        status=row.status,
        is_trading=row.status in ONLINE,
        tick_size=_step_of(row.quotePrecision),
        qty_step=_step_of(row.baseAssetPrecision),
        min_qty=listed_number(row.baseSizePrecision),
        min_notional=listed_number(row.quoteAmountPrecision),
        tradable_via_api=row.isSpotTradingAllowed and row.tradeSideType == BOTH_SIDES,
    )


def _step_of(digits: int) -> float:
    """Return the step that a number of decimal digits allows."""
    if not 0 <= digits <= MOST_DIGITS:
        raise DiscoveryError(f"found {digits} digits in a listing, expected 0 to {MOST_DIGITS}")
    # The decimal text gives the nearest float; a power would be off in the last place.
    return float(f"1e-{digits}")


def parse_futures(body: bytes) -> list[RawInstrument]:
    """Return the rows of ``/api/v1/contract/detail``.

    Raises:
        DiscoveryError: the body is no such listing, or an error in the exchange's envelope.
    """
    return instruments(_data(body, _FuturesAnswer[list[_FuturesRow]]), _futures_instrument)


def _futures_instrument(row: _FuturesRow) -> RawInstrument:
    return RawInstrument(
        exchange_symbol=row.symbol,
        base=row.baseCoinName or row.baseCoin,
        quote=row.quoteCoin,
        settle=row.settleCoin,
        kind=_kind(row),
        status=str(row.state),
        is_trading=row.state == ENABLED and not row.isHidden,
        contract_size=listed_number(row.contractSize),
        tick_size=listed_number(row.priceUnit),
        qty_step=listed_number(row.volUnit),
        min_qty=listed_number(row.minVol),
        tradable_via_api=row.apiAllowed,
        # Rows of live perpetuals have none until their end is announced.
        delisting_ms=row.deliveryTime or None,
    )


def _kind(row: _FuturesRow) -> ContractKind:
    """Sort a contract by how it settles and by what it is written on."""
    if row.settleCoin == row.baseCoin:
        return ContractKind.INVERSE
    if row.futureType != PERPETUAL:
        return ContractKind.DATED
    if row.type != CRYPTO:
        return ContractKind.NOT_CRYPTO
    return ContractKind.PRE_MARKET if row.preMarket else ContractKind.LINEAR_PERPETUAL


_ticker_rows = partial(_data, shape=_FuturesAnswer[TickerRows])
_funding_rows = partial(_data, shape=_FuturesAnswer[FundingRows])


def _spot_topic(symbol: str) -> str:
    return SPOT_CHANNEL + symbol


def _futures_topic(symbol: str) -> str:
    return f"{FUTURES_CHANNEL}@{symbol}"


def _subscribe(topics: Sequence[str], request_id: int) -> str:
    if topics[0].startswith(SPOT_PREFIX):
        return _spot_request("SUBSCRIPTION", topics, request_id)
    (topic,) = topics
    param = {"symbol": _symbol_of(topic), "limit": DEPTH_LEVELS}
    return orjson.dumps({"method": f"sub.{FUTURES_CHANNEL}", "param": param}).decode()


def _unsubscribe(topics: Sequence[str], request_id: int) -> str:
    if topics[0].startswith(SPOT_PREFIX):
        return _spot_request("UNSUBSCRIPTION", topics, request_id)
    (topic,) = topics
    param = {"symbol": _symbol_of(topic)}
    return orjson.dumps({"method": f"unsub.{FUTURES_CHANNEL}", "param": param}).decode()


def _spot_request(method: str, topics: Sequence[str], request_id: int) -> str:
    return orjson.dumps({"method": method, "params": list(topics), "id": request_id}).decode()


def _symbol_of(topic: str) -> str:
    return topic.strip().rpartition("@")[2]


def classify(frame: bytes) -> Control:
    """Return the meaning of a frame that is no quote.

    Raises:
        FeedError: the frame is none of this exchange's.
    """
    if frame[:1] == b"\n":
        return _push(frame)
    tree = read_control(frame)
    if isinstance(tree.get("channel"), str):
        return _futures_control(tree["channel"], tree)
    if "code" in tree and isinstance(tree.get("msg"), str):
        return _spot_control(tree["code"], tree["msg"], tree.get("id"))
    raise FeedError(f"found an object with keys {sorted(tree)}, expected an answer or a channel")


def _push(frame: bytes) -> Ignored:
    """Return the channel of a binary push: field 1, a text below 128 bytes, always comes first."""
    size = frame[1] if len(frame) > 1 else 0
    channel = frame[2 : 2 + size].decode("ascii", errors="replace")
    if size >= 128 or len(channel) < size or not channel.startswith(SPOT_PREFIX):
        raise FeedError(f"found bytes that begin {frame[:16]!r}, expected a push with its channel")
    return Ignored(channel)


def _spot_control(code: Any, text: str, found_id: Any) -> Control:
    # {"id":1,"code":0,"msg":"spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT"}    accepted
    # {"id":1,"code":0,"msg":"Not Subscribed successfully! [spot@...@NOPEUSDT].  Reason... refused
    # {"id":0,"code":0,"msg":"PONG"}                                                    pong
    request_id = None if found_id is None else str(found_id)
    if code != 0:
        return Refused((), f"{code}: {text}", request_id, is_whole_request=True)
    if text == "PONG":
        return Pong()
    if NOT_SUBSCRIBED not in text:
        return Ack(request_id)
    topics = REFUSED_TOPICS.search(text)
    named = (_symbol_of(topic) for topic in topics[1].split(",")) if topics else ()
    symbols = tuple(symbol for symbol in named if symbol)
    return Refused(symbols, text.strip(), request_id, is_whole_request=not symbols)


def _futures_control(channel: str, tree: dict[str, Any]) -> Control:
    # {"channel":"rs.sub.depth.full","data":"success","ts":1789897581000}                 accepted
    # {"channel":"rs.error","data":"Contract [NOPE_USDT] not exists","ts":1790148334500}  refused
    # {"channel":"rs.error","data":"more than 60 seconds no response, close the channel","ts":1} end
    # {"channel":"pong","data":1789897545754,"ts":1789897545754}                          pong
    text = str(tree.get("data"))
    if channel == "rs.error":
        if CLOSING in text:
            return Notice(text)
        return Refused(tuple(REFUSED_CONTRACT.findall(text)), text)
    if channel.startswith(("rs.sub.", "rs.unsub.")):
        return Ack(is_leaving=channel.startswith("rs.unsub."))
    return Pong() if channel == "pong" else Ignored(channel)


ADAPTER = Adapter(
    name="mexc",
    venue_id=3,
    markets={
        Market.SPOT: MarketSpec(
            instruments=RestRequest(path="/api/v3/exchangeInfo"),
            parse_instruments=parse_spot,
            tickers=(ticker_request("/api/v3/ticker/24hr", ticker_rows, SPOT_TICKER),),
            book=ticker_request("/api/v3/ticker/bookTicker", ticker_rows, SPOT_TICKER),
            plan=SPOT_PLAN,
            limits=Limits(
                topics_per_connection=30,
                topics_per_message=15,
                messages_per_s=100.0,
                lifetime_s=DAY_S,
            ),
            topic=_spot_topic,
            heartbeat=Heartbeat(payload='{"method":"PING"}', interval_s=15.0),
        ),
        Market.FUTURES: MarketSpec(
            instruments=RestRequest(path="/api/v1/contract/detail"),
            parse_instruments=parse_futures,
            tickers=(ticker_request("/api/v1/contract/ticker", _ticker_rows, FUTURES_TICKER),),
            funding=funding_request("/api/v1/contract/funding_rate", _funding_rows, FUNDING),
            plan=FUTURES_PLAN,
            limits=Limits(topics_per_message=1),
            topic=_futures_topic,
            heartbeat=Heartbeat(payload='{"method":"ping"}', interval_s=15.0),
        ),
    },
    subscribe=_subscribe,
    unsubscribe=_unsubscribe,
    classify=classify,
)
