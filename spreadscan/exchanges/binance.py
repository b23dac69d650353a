"""Binance: spot and USD-M perpetuals.

Sources: github.com/binance/binance-spot-api-docs (rest-api.md, web-socket-streams.md, read
2026-07-21); developers.binance.com/docs/derivatives/usds-margined-futures, with its notice on the
split of WebSocket addresses (2026-03-06); behaviour marked *seen* was recorded live by third
parties on 2026-10-07.

Quirks:

* A ``bookTicker`` frame is always the whole best bid and ask; there is no snapshot after a
  subscription: a quiet symbol stays silent until its next change.
* Spot frames carry no time at all. Futures frames carry ``T``, the matching engine's time, and
  ``E``, the time of sending; ``T`` is the quote's age.
* ``u`` grows for each symbol and is never reused; an older ``u`` is an old quote, and the same one
  is a copy: only a change is sent. A socket that repeats its last data for hours has been reported.
* An unknown symbol is acknowledged and then stays silent (*seen* on futures), so a listing is no
  proof of data.
* Futures quotes live on ``/public``; the same stream on ``/market`` is acknowledged and silent.
* Stream names are lower case, everything else upper case. Symbols may hold non-ASCII letters.
* Delisted rows stay in the listings for ever: futures as SETTLING, spot as BREAK.
* A contract is always one unit of ``baseAsset``; scaled coins carry the factor in that very name
  (``1000PEPE``). ``pricePrecision`` disagrees with ``tickSize``; only the filters are right.
* ``contractType`` may carry two words (``CURRENT_QUARTER DELIVERING``), and is empty on rows that
  are not yet listed.
* 24-hour tickers: all of spot cost weight 80 of 6,000 a minute, delisted rows with them (book of
  zeros, last price left standing); all of futures cost 40 of 2,400, have no bid and ask, and only
  rows that trade (*seen*). ``premiumIndex`` (mark and index price, funding) costs 10. Best bids
  and asks alone (``bookTicker``, the same names on both markets) cost 4 on spot, 5 on futures.
* ``lastFundingRate`` is the rate of the settlement to come. ``fundingInfo`` (no weight; 500 in five
  minutes) tells intervals, and only of contracts whose terms were changed: 8 h is what the rest
  have. A settled contract keeps a row without a next settlement.

Limits: 1,024 streams a connection (documented; the 1,025th is refused and closes the connection,
*seen*); incoming messages 5/s spot, 10/s futures, pings and pongs included; spot 300 connects in
five minutes for one address, futures publish none; 24 h of life. The server pings; the client only
answers, so no heartbeat is declared.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import orjson

from spreadscan.errors import DiscoveryError, FeedError
from spreadscan.exchanges._adapter import (
    Ack,
    Adapter,
    Control,
    FundingRefused,
    FundingRequest,
    Ignored,
    JsonPlan,
    Limits,
    MarketSpec,
    Notice,
    Refused,
    RestRequest,
)
from spreadscan.exchanges._funding import (
    FundingFields,
    FundingRows,
    interval_s,
    read_funding,
)
from spreadscan.exchanges._wire import (
    TickerFields,
    instruments,
    listed_number,
    read_control,
    read_listing,
    ticker_request,
    ticker_rows,
)
from spreadscan.model import ContractKind, Market, RawFunding, RawInstrument

__all__ = ["ADAPTER"]

DAY_S = 86_400.0

# Perpetuals carry a delivery date in 2100 (several, a few thousand seconds apart); an earlier one
# is the announced end of trading.
NO_DELIVERY_MS = 4_133_404_800_000

# Recorded 2024-08-09 (combined stream); the raw form is the inner object alone.
#   {"stream":"btcusdt@bookTicker","data":{"u":50093421613,"s":"BTCUSDT","b":"61685.99000000",
#    "B":"1.25869000","a":"61686.00000000","A":"2.44816000"}}
SPOT_PLAN = JsonPlan(
    symbol=("data.s", "s"),
    bid=("data.b", "b"),
    bid_qty=("data.B", "B"),
    ask=("data.a", "a"),
    ask_qty=("data.A", "A"),
    update_id=("data.u", "u"),
)

# Recorded 2026-08-20 (raw); older frames lack "ps" and "st".
#   {"e":"bookTicker","u":11331904350110,"s":"BTCUSDT","ps":"BTCUSDT","b":"72009.00","B":"3.065",
#    "a":"72009.10","A":"2.180","T":1787231293915,"E":1787231293915,"st":1}
FUTURES_PLAN = msgspec.structs.replace(SPOT_PLAN, exchange_ms=("data.T", "T"))

# As documented (shortened):
#   [{"symbol":"BNBBTC","lastPrice":"4.00000200","bidPrice":"4.00000000","askPrice":"4.00000200",
#     "volume":"8913.30000000","quoteVolume":"15.30000000","closeTime":1499869899040}]
SPOT_TICKER = TickerFields(bid="bidPrice", ask="askPrice", last="lastPrice", turnover="quoteVolume")
#   [{"symbol":"BTCUSDT","markPrice":"11793.63104562","indexPrice":"11781.80495970",
#     "lastFundingRate":"0.00038246","time":1597370495002}]
FUTURES_MARK = TickerFields(mark="markPrice", index="indexPrice")
FUTURES_TICKER = TickerFields(last="lastPrice", turnover="quoteVolume")

# Recorded 2024-11-27:
#   [{"symbol":"UXLINKUSDT","markPrice":"0.55630000","indexPrice":"0.55594286",
#     "estimatedSettlePrice":"0.55586379","lastFundingRate":"0.00005000","interestRate":
#     "0.00005000","nextFundingTime":1732723200000,"time":1732715655000}]
FUNDING = FundingFields(rate="lastFundingRate", next_ms="nextFundingTime")
# As documented:
#   [{"symbol":"BLZUSDT","adjustedFundingRateCap":"0.02500000","adjustedFundingRateFloor":
#     "-0.02500000","fundingIntervalHours":8,"disclaimer":false}]
USUAL_INTERVAL_S = 8 * 3600.0


class _Filter(msgspec.Struct):
    filterType: str
    tickSize: str = ""
    stepSize: str = ""
    minQty: str = ""
    minNotional: str = ""
    notional: str = ""


class _SpotRow(msgspec.Struct):
    symbol: str
    status: str
    baseAsset: str
    quoteAsset: str
    filters: list[_Filter]
    isSpotTradingAllowed: bool = True


class _SpotListing(msgspec.Struct):
    symbols: list[_SpotRow]


class _FuturesRow(msgspec.Struct):
    symbol: str
    status: str
    contractType: str
    baseAsset: str
    quoteAsset: str
    marginAsset: str
    filters: list[_Filter]
    deliveryDate: int = NO_DELIVERY_MS
    underlyingType: str = "COIN"


class _FuturesListing(msgspec.Struct):
    symbols: list[_FuturesRow]


class _Rules(msgspec.Struct, frozen=True):
    """Trading rules of one row, out of its filters."""

    tick_size: float = 0.0
    qty_step: float = 0.0
    min_qty: float = 0.0
    min_notional: float = 0.0


def _rules(filters: list[_Filter]) -> _Rules:
    found = {row.filterType: row for row in filters}
    price, lot = found.get("PRICE_FILTER"), found.get("LOT_SIZE")
    # NOTIONAL replaced MIN_NOTIONAL on spot; futures kept the old name with another key.
    notional = found.get("NOTIONAL") or found.get("MIN_NOTIONAL")
    return _Rules(
        tick_size=listed_number(price.tickSize) if price else 0.0,
        qty_step=listed_number(lot.stepSize) if lot else 0.0,
        min_qty=listed_number(lot.minQty) if lot else 0.0,
        min_notional=listed_number(notional.minNotional or notional.notional) if notional else 0.0,
    )


def parse_spot(body: bytes) -> list[RawInstrument]:
    """Return the rows of ``/api/v3/exchangeInfo``.

    Raises:
        DiscoveryError: the body is no such listing.
    """
    return instruments(read_listing(body, _SpotListing).symbols, _spot_instrument)


def _spot_instrument(row: _SpotRow) -> RawInstrument:
    rules = _rules(row.filters)
    return RawInstrument(
        exchange_symbol=row.symbol,
        base=row.baseAsset,
        quote=row.quoteAsset,
        settle="",
        kind=ContractKind.SPOT,
        status=row.status,
        is_trading=row.status == "TRADING" and row.isSpotTradingAllowed,
        tick_size=rules.tick_size,
        qty_step=rules.qty_step,
        min_qty=rules.min_qty,
        min_notional=rules.min_notional,
    )


def parse_futures(body: bytes) -> list[RawInstrument]:
    """Return the rows of ``/fapi/v1/exchangeInfo``.

    Raises:
        DiscoveryError: the body is no such listing.
    """
    return instruments(read_listing(body, _FuturesListing).symbols, _futures_instrument)


def _futures_instrument(row: _FuturesRow) -> RawInstrument:
    rules = _rules(row.filters)
    kind = _kind(row)
    is_ending = kind is ContractKind.LINEAR_PERPETUAL and row.deliveryDate < NO_DELIVERY_MS
    return RawInstrument(
        exchange_symbol=row.symbol,
        base=row.baseAsset,
        quote=row.quoteAsset,
        settle=row.marginAsset,
        kind=kind,
        status=row.status,
        is_trading=row.status == "TRADING",
        tick_size=rules.tick_size,
        qty_step=rules.qty_step,
        min_qty=rules.min_qty,
        min_notional=rules.min_notional,
        delisting_ms=row.deliveryDate if is_ending else None,
    )


def _kind(row: _FuturesRow) -> ContractKind:
    """Sort a futures row by contract and by what it is written on."""
    if row.marginAsset == row.baseAsset:
        return ContractKind.INVERSE
    if row.contractType == "TRADIFI_PERPETUAL":
        return ContractKind.NOT_CRYPTO
    if row.contractType == "" or row.underlyingType == "PREMARKET":
        return ContractKind.PRE_MARKET
    if row.contractType not in {"PERPETUAL", "PERPETUAL_DELIVERING"}:
        return ContractKind.DATED
    # INDEX (a basket) and every kind of security: no coin that a spot market could deliver.
    return (
        ContractKind.LINEAR_PERPETUAL if row.underlyingType == "COIN" else ContractKind.NOT_CRYPTO
    )


class _FundingInfo(msgspec.Struct):
    symbol: str
    fundingIntervalHours: Any = None


def parse_funding(bodies: Sequence[bytes]) -> Iterator[RawFunding | FundingRefused]:
    """Yield the rows of ``/fapi/v1/premiumIndex`` with the intervals of ``/fapi/v1/fundingInfo``.

    Raises:
        DiscoveryError: a body is none of the two, or no row can be used.
    """
    rates, changed = bodies
    hours = _hours(changed)

    def complete(row: RawFunding) -> RawFunding:
        if row.exchange_symbol in hours:
            told_s = interval_s(hours[row.exchange_symbol])
            return msgspec.structs.replace(row, interval_s=told_s)
        # Without a next settlement, or with one at another hour, it is not the usual one either.
        if row.next_settlement_ms == 0 or row.next_settlement_ms % (USUAL_INTERVAL_S * 1000):
            return row
        return msgspec.structs.replace(row, interval_s=USUAL_INTERVAL_S, is_interval_assumed=True)

    yield from read_funding(read_listing(rates, FundingRows), FUNDING, complete)


def _hours(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for raw in read_listing(body, FundingRows):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            row = msgspec.json.decode(raw, type=_FundingInfo)
            found[row.symbol] = row.fundingIntervalHours
    if not found:
        # Hundreds of contracts were changed; without the list all would seem to be usual.
        raise DiscoveryError("found no contract in the list of intervals, expected some")
    return found


def _topic(symbol: str) -> str:
    return f"{symbol.lower()}@bookTicker"


def _request(method: str, topics: Sequence[str], request_id: int) -> str:
    return orjson.dumps({"method": method, "params": list(topics), "id": request_id}).decode()


def _subscribe(topics: Sequence[str], request_id: int) -> str:
    return _request("SUBSCRIBE", topics, request_id)


def _unsubscribe(topics: Sequence[str], request_id: int) -> str:
    return _request("UNSUBSCRIBE", topics, request_id)


def classify(frame: bytes) -> Control:
    """Return the meaning of a frame that is no quote; an error is about a request as a whole.

    Raises:
        FeedError: the frame is none of this exchange's.
    """
    # {"result":null,"id":1}                                              acknowledged
    # {"code":2,"msg":"Invalid request: unknown variant","id":1}          refused, spot
    # {"error":{"code":4,"msg":"Too many subscriptions"},"id":6}          refused, seen on futures
    # {"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}   closing soon
    tree = read_control(frame)
    inner = tree.get("data")
    event = (inner if isinstance(inner, dict) else tree).get("e")
    if event == "serverShutdown":
        return Notice("serverShutdown")
    error = tree.get("error", tree)
    if isinstance(error, dict) and "code" in error and "msg" in error:
        return Refused((), f"{error['code']}: {error['msg']}", _id_of(tree), is_whole_request=True)
    if "result" in tree:
        return Ack(_id_of(tree))
    if isinstance(tree.get("stream"), str):
        return Ignored(tree["stream"])
    if isinstance(event, str):
        return Ignored(event)
    raise FeedError(f"found an object with keys {sorted(tree)}, expected an answer or a stream")


def _id_of(tree: dict[str, Any]) -> str | None:
    found = tree.get("id")
    return None if found is None else str(found)


ADAPTER = Adapter(
    name="binance",
    venue_id=0,
    markets={
        Market.SPOT: MarketSpec(
            # Permission sets are a third of the body and say nothing that is used.
            instruments=RestRequest(
                path="/api/v3/exchangeInfo", query=(("showPermissionSets", "false"),)
            ),
            parse_instruments=parse_spot,
            tickers=(ticker_request("/api/v3/ticker/24hr", ticker_rows, SPOT_TICKER),),
            book=ticker_request("/api/v3/ticker/bookTicker", ticker_rows, SPOT_TICKER),
            plan=SPOT_PLAN,
            limits=Limits(
                topics_per_connection=1024,
                messages_per_s=5.0,
                connects_per_window=300,
                connects_window_s=300.0,
                lifetime_s=DAY_S,
            ),
            topic=_topic,
            sends_unchanged=False,
            has_snapshot=False,
        ),
        Market.FUTURES: MarketSpec(
            instruments=RestRequest(path="/fapi/v1/exchangeInfo"),
            parse_instruments=parse_futures,
            # The mark price comes first: the last one may be old.
            tickers=(
                ticker_request("/fapi/v1/premiumIndex", ticker_rows, FUTURES_MARK),
                ticker_request("/fapi/v1/ticker/24hr", ticker_rows, FUTURES_TICKER),
            ),
            book=ticker_request("/fapi/v1/ticker/bookTicker", ticker_rows, SPOT_TICKER),
            funding=FundingRequest(
                requests=(
                    RestRequest(path="/fapi/v1/premiumIndex"),
                    RestRequest(path="/fapi/v1/fundingInfo"),
                ),
                parse=parse_funding,
            ),
            plan=FUTURES_PLAN,
            limits=Limits(topics_per_connection=1024, messages_per_s=10.0, lifetime_s=DAY_S),
            topic=_topic,
            sends_unchanged=False,
            has_snapshot=False,
        ),
    },
    subscribe=_subscribe,
    unsubscribe=_unsubscribe,
    classify=classify,
)
