"""Quartz, an exchange that does not exist: what a fifth one costs is this file and its settings.

Its ways are not those of any other: arrays in its frames, numbers with and without quotes, a bare
list as its listing, a heartbeat between pipes.
"""

from collections.abc import Sequence

import msgspec
import orjson

from spreadscan.errors import FeedError
from spreadscan.exchanges._adapter import (
    Ack,
    Adapter,
    Control,
    Heartbeat,
    JsonPlan,
    Limits,
    MarketSpec,
    Pong,
    Refused,
    RestRequest,
)
from spreadscan.exchanges._wire import listed_number, read_control, read_listing
from spreadscan.model import ContractKind, Market, RawInstrument

__all__ = ["ADAPTER"]

# A push: {"tick":["BTC/USDT",[61000.5,2],[61001,"3"]],"at":1750000000000,"n":7}
PLAN = JsonPlan(
    symbol=("tick.0",),
    bid=("tick.1.0",),
    bid_qty=("tick.1.1",),
    ask=("tick.2.0",),
    ask_qty=("tick.2.1",),
    exchange_ms=("at",),
    update_id=("n",),
)


class _Row(msgspec.Struct):
    pair: str
    open: bool
    step: str
    lot: str


def _parse(body: bytes, kind: ContractKind) -> list[RawInstrument]:
    rows = read_listing(body, list[_Row])
    return [
        RawInstrument(
            exchange_symbol=row.pair,
            base=row.pair.partition("/")[0],
            quote=row.pair.partition("/")[2],
            settle="" if kind is ContractKind.SPOT else "USDT",
            kind=kind,
            status="open" if row.open else "shut",
            is_trading=row.open,
            tick_size=listed_number(row.step),
            qty_step=listed_number(row.lot),
        )
        for row in rows
    ]


def _parse_spot(body: bytes) -> list[RawInstrument]:
    return _parse(body, ContractKind.SPOT)


def _parse_futures(body: bytes) -> list[RawInstrument]:
    return _parse(body, ContractKind.LINEAR_PERPETUAL)


def _subscribe(topics: Sequence[str], request_id: int) -> str:
    return orjson.dumps({"id": request_id, "watch": topics}).decode()


def _unsubscribe(topics: Sequence[str], request_id: int) -> str:
    return orjson.dumps({"id": request_id, "leave": topics}).decode()


def _classify(frame: bytes) -> Control:
    if frame == b"|beat|":
        return Pong()
    tree = read_control(frame)
    if "sorry" in tree:
        return Refused(tuple(tree["sorry"]), "sorry", str(tree.get("id")))
    if tree.get("ok") is True:
        return Ack(str(tree["id"]))
    raise FeedError(f"found an object with keys {sorted(tree)}, expected ok or sorry")


def _market(market: Market) -> MarketSpec:
    return MarketSpec(
        instruments=RestRequest(path=f"/{market.value}/pairs"),
        parse_instruments=_parse_spot if market is Market.SPOT else _parse_futures,
        plan=PLAN,
        limits=Limits(topics_per_connection=100),
        topic=str.lower,
        heartbeat=Heartbeat(payload="|beat|", interval_s=10.0),
    )


ADAPTER = Adapter(
    name="quartz",
    venue_id=3,
    markets={market: _market(market) for market in Market},
    subscribe=_subscribe,
    unsubscribe=_unsubscribe,
    classify=_classify,
)
