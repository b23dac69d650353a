"""OKX v5: spot and USDT-margined perpetual swaps.

Sources: www.okx.com/docs-v5/en (public data, order-book channel, WebSocket overview and errors;
read 2026-07-02 to 2026-07-22) and its change log; behaviour marked *seen* was recorded live by
third parties in 2026-08 and 2026-09.

Quirks:

* ``bbo-tbt`` sends the whole first level at most every 10 ms, and again after about 60 s without a
  change, with the same ``seqId``. ``ts`` is the matching engine's time. ``seqId`` may restart
  lower after maintenance, without a word; the later ``ts`` tells it from an old quote.
* A row of a book is ``[price, quantity, "0", orders]``; the third is not a quantity. Quantities
  are base coins on spot and *contracts* on swaps, which are ``ctVal * ctMult`` coins each and may
  be traded in fractions (``lotSz`` 0.01).
* Prices are always per one coin: there are no ``1000...`` names, the factor sits in ``ctVal``.
* Swaps have empty ``baseCcy`` and ``quoteCcy``; the pair stands in ``instFamily``.
* An acknowledgement carries the same ``arg`` as data does, so only ``data`` makes a quote.
* A bad symbol refuses only itself, in an error frame whose text alone names it (*seen*). A request
  of another shape, or too many of them (60014), is refused as a whole and names nobody.
* Announced listings come with nearly all fields empty; every number is a string, ``""`` is null.
* Stocks, commodities and currencies are swaps too, told apart by ``instCategory``.
* ``volCcy24h`` of a ticker is quote currency on spot and *base coins* on swaps. Before the opening
  auction a best ask may stand below the best bid. Tickers carry no index price: that is a list of
  its own (``index-tickers``, read 2026-06-29), by pair, and a swap's index is that of its pair.
  Each of the two: 20 requests in 2 s for one address.
* ``funding-rate`` with ``ANY`` tells all swaps at once (10 requests in 2 s), dated contracts of the
  kind with funding among them. ``fundingTime`` is the settlement to come, ``nextFundingTime`` the
  one after it, and only what is between the two tells the interval; ``nextFundingRate`` is empty.

Limits: three connects a second for one address; 480 requests an hour on one connection, so
subscriptions are batched; all arguments of subscriptions within 64 KiB (a longer frame closes the
connection with 1009); channels on one connection are capped by an unpublished number (close code
4009). A connection on which nothing was pushed for 30 s is closed: the client sends the text
``ping`` and gets the text ``pong``.
"""

import re
from collections.abc import Sequence
from typing import Generic, TypeVar

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
    Refused,
    RestRequest,
    TickerRequest,
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
    tickers_of,
)
from spreadscan.model import ContractKind, Market, RawInstrument, RawTicker

__all__ = ["ADAPTER"]

RowsT = TypeVar("RowsT")

CHANNEL = "bbo-tbt"

# The wire's own names of instrument symbols inside an error text.
REFUSED_SYMBOL = re.compile(r"instId:([^\s,]*[^\s,.])")
CRYPTO_CATEGORIES = {"", "1"}
UNKNOWN_INSTRUMENT = "60018"

# Recorded 2024-10-31:
#   {"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"asks":[["74165.9","0.00001198","0",
#    "1"]],"bids":[["74037.2","4.22723227","0","4"]],"ts":"1730367981772","seqId":26213414}]}
# Recorded 2022-05-13, the slower channel that recordings hold (shortened):
#   {"arg":{"channel":"tickers","instId":"UNI-USD-SWAP"},"data":[{"instType":"SWAP","instId":
#    "UNI-USD-SWAP","last":"5.123","askPx":"5.142","askSz":"25","bidPx":"5.134","bidSz":"96",
#    "ts":"1652459223143"}]}
# An acknowledgement holds an arg too: {"event":"subscribe","arg":{"channel":"bbo-tbt","instId":
# "BTC-USDT"},"connId":"a4d3ae55"}. With no field of a quote in it, it is no quote.
PLAN = JsonPlan(
    symbol=("arg.instId",),
    bid=("data.0.bids.0.0", "data.0.bidPx"),
    bid_qty=("data.0.bids.0.1", "data.0.bidSz"),
    ask=("data.0.asks.0.0", "data.0.askPx"),
    ask_qty=("data.0.asks.0.1", "data.0.askSz"),
    exchange_ms=("data.0.ts",),
    update_id=("data.0.seqId",),
    where=(("arg.channel", (CHANNEL, "tickers")),),
)

# As documented (shortened):
#   {"code":"0","msg":"","data":[{"instType":"SWAP","instId":"LTC-USD-SWAP","last":"9999.99",
#    "askPx":"9999.99","bidPx":"8888.88","volCcy24h":"2222","vol24h":"2222","ts":"1597026383085"}]}
SPOT_TICKER = TickerFields(
    symbol="instId", bid="bidPx", ask="askPx", last="last", turnover="volCcy24h"
)
SWAP_TICKER = msgspec.structs.replace(SPOT_TICKER, turnover="", volume="volCcy24h")
# As documented (shortened), by pair and not by swap:
#   {"code":"0","msg":"","data":[{"instId":"BTC-USDT","idxPx":"43350","high24h":"43649.7","ts":
#    "1649419644492"}]}
INDEX_TICKER = TickerFields(symbol="instId", index="idxPx")
SWAP_OF_INDEX = "-SWAP"
# As documented (shortened):
#   {"code":"0","msg":"","data":[{"instId":"BTC-USDT-SWAP","instType":"SWAP","fundingRate":
#    "0.0000182221218054","fundingTime":"1743609600000","nextFundingRate":"","nextFundingTime":
#    "1743638400000","settState":"settled","ts":"1743588686291"}]}
FUNDING = FundingFields(
    symbol="instId", rate="fundingRate", next_ms="fundingTime", following_ms="nextFundingTime"
)

LIMITS = Limits(
    topic_bytes_per_connection=65_536,
    message_bytes=65_536,
    requests_per_hour=480,
    connects_per_window=3,
    connects_window_s=1.0,
)
# Below the 30 s of silence after which the server closes, with room for a late answer.
HEARTBEAT = Heartbeat(payload="ping", interval_s=20.0)


class _Row(msgspec.Struct):
    instId: str
    state: str
    baseCcy: str = ""
    quoteCcy: str = ""
    settleCcy: str = ""
    instFamily: str = ""
    ctType: str = ""
    ctVal: str = ""
    ctMult: str = ""
    ctValCcy: str = ""
    tickSz: str = ""
    lotSz: str = ""
    minSz: str = ""
    expTime: str = ""
    ruleType: str = ""
    instCategory: str = ""


class _Answer(msgspec.Struct, Generic[RowsT]):
    code: str
    msg: str
    data: RowsT


def _rows(body: bytes, shape: type[_Answer[RowsT]]) -> RowsT:
    answer = read_listing(body, shape)
    if answer.code != "0":
        raise DiscoveryError(f"found code {answer.code} ({answer.msg}), expected code 0")
    return answer.data


def parse_spot(body: bytes) -> list[RawInstrument]:
    """Return the rows of ``/api/v5/public/instruments?instType=SPOT``.

    Raises:
        DiscoveryError: the body is no such listing.
    """
    return instruments(_rows(body, _Answer[list[_Row]]), _spot_instrument, "instId")


def _spot_instrument(row: _Row) -> RawInstrument:
    return RawInstrument(
        exchange_symbol=row.instId,
        base=row.baseCcy,
        quote=row.quoteCcy,
        settle="",
        kind=_special_kind(row) or ContractKind.SPOT,
        status=row.state,
        is_trading=row.state == "live",
        tick_size=listed_number(row.tickSz),
        qty_step=listed_number(row.lotSz),
        min_qty=listed_number(row.minSz),
        delisting_ms=int(listed_number(row.expTime)) or None,
    )


def parse_futures(body: bytes) -> list[RawInstrument]:
    """Return the rows of ``/api/v5/public/instruments?instType=SWAP``.

    Raises:
        DiscoveryError: the body is no such listing.
    """
    return instruments(_rows(body, _Answer[list[_Row]]), _futures_instrument, "instId")


def _futures_instrument(row: _Row) -> RawInstrument:
    family_base, _, family_quote = row.instFamily.partition("-")
    kind = _special_kind(row) or (
        ContractKind.LINEAR_PERPETUAL if row.ctType == "linear" else ContractKind.INVERSE
    )
    # ctValCcy is the coin of a linear contract, but "USD" on an inverse one.
    base = row.ctValCcy if kind is ContractKind.LINEAR_PERPETUAL else family_base
    return RawInstrument(
        exchange_symbol=row.instId,
        base=base or family_base,
        quote=family_quote,
        settle=row.settleCcy,
        kind=kind,
        status=row.state,
        is_trading=row.state == "live",
        contract_size=listed_number(row.ctVal) * listed_number(row.ctMult),
        tick_size=listed_number(row.tickSz),
        qty_step=listed_number(row.lotSz),
        min_qty=listed_number(row.minSz),
        delisting_ms=int(listed_number(row.expTime)) or None,
    )


def _special_kind(row: _Row) -> ContractKind | None:
    """Return why a row can take no part whatever its contract, None when it can."""
    if row.state == "test":
        return ContractKind.TEST
    # Before the opening auction a book may be crossed and the fields of the contract are empty.
    if row.state == "preopen" or row.ruleType not in {"", "normal"}:
        return ContractKind.PRE_MARKET
    if row.instCategory not in CRYPTO_CATEGORIES:
        return ContractKind.NOT_CRYPTO
    return None


def _ticker_rows(body: bytes) -> TickerRows:
    return _rows(body, _Answer[TickerRows])


def _swap_indices(body: bytes) -> list[RawTicker]:
    """Return the index of every pair under the name that its swap would have."""
    return [
        msgspec.structs.replace(row, exchange_symbol=row.exchange_symbol + SWAP_OF_INDEX)
        for row in tickers_of(_ticker_rows(body), INDEX_TICKER)
    ]


def _topic(symbol: str) -> str:
    # The argument as it is sent: the limit of bytes is on these.
    return orjson.dumps({"channel": CHANNEL, "instId": symbol}).decode()


def _request(operation: str, topics: Sequence[str], request_id: int) -> str:
    args = [orjson.Fragment(topic) for topic in topics]
    return orjson.dumps({"id": str(request_id), "op": operation, "args": args}).decode()


def _subscribe(topics: Sequence[str], request_id: int) -> str:
    return _request("subscribe", topics, request_id)


def _unsubscribe(topics: Sequence[str], request_id: int) -> str:
    return _request("unsubscribe", topics, request_id)


def classify(frame: bytes) -> Control:
    """Return the meaning of a frame that is no quote.

    Raises:
        FeedError: the frame is none of this exchange's.
    """
    # {"event":"error","code":"60018","msg":"Wrong URL or channel:bbo-tbt,instId:ETH-USD-SWAP
    #  doesn't exist. Please use the correct URL, ...","connId":"a4d3ae55"}
    # {"event":"notice","code":"64008","msg":"The connection will soon be closed ...","connId":
    #  "a4d3ae55"}
    if frame == b"pong":
        return Pong()
    tree = read_control(frame)
    event = tree.get("event")
    request_id = None if tree.get("id") is None else str(tree["id"])
    if event in {"subscribe", "unsubscribe"}:
        return Ack(request_id)
    if event == "error":
        message = str(tree.get("msg", ""))
        is_about_one = tree.get("code") == UNKNOWN_INSTRUMENT
        return Refused(
            tuple(REFUSED_SYMBOL.findall(message)) if is_about_one else (),
            f"{tree.get('code')}: {message}",
            request_id,
            is_whole_request=not is_about_one,
        )
    if event == "notice":
        return Notice(f"{tree.get('code')}: {tree.get('msg')}")
    if isinstance(event, str):
        return Ignored(event)
    arg = tree.get("arg")
    if isinstance(arg, dict) and isinstance(arg.get("channel"), str):
        return Ignored(arg["channel"])
    raise FeedError(f"found an object with keys {sorted(tree)}, expected an event or a channel")


SWAP_INDICES = TickerRequest(
    request=RestRequest(path="/api/v5/market/index-tickers", query=(("quoteCcy", "USDT"),)),
    parse=_swap_indices,
)


FUNDING_REQUEST = funding_request(
    "/api/v5/public/funding-rate",
    lambda body: _rows(body, _Answer[FundingRows]),
    FUNDING,
    (("instId", "ANY"),),
)


def _market(kind: str, market: Market) -> MarketSpec:
    is_spot = market is Market.SPOT
    tickers = ticker_request(
        "/api/v5/market/tickers",
        _ticker_rows,
        SPOT_TICKER if is_spot else SWAP_TICKER,
        (("instType", kind),),
    )
    return MarketSpec(
        instruments=RestRequest(path="/api/v5/public/instruments", query=(("instType", kind),)),
        parse_instruments=parse_spot if is_spot else parse_futures,
        tickers=(tickers,) if is_spot else (tickers, SWAP_INDICES),
        funding=None if is_spot else FUNDING_REQUEST,
        plan=PLAN,
        limits=LIMITS,
        topic=_topic,
        heartbeat=HEARTBEAT,
        repeats_every_s=60.0,
        is_restart_told_by_time=True,
    )


ADAPTER = Adapter(
    name="okx",
    venue_id=2,
    markets={
        Market.SPOT: _market("SPOT", Market.SPOT),
        Market.FUTURES: _market("SWAP", Market.FUTURES),
    },
    subscribe=_subscribe,
    unsubscribe=_unsubscribe,
    classify=classify,
)
