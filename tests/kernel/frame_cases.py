"""Plans, instruments and frames for the kernel's tests."""

import json

from spreadscan.exchanges._adapter import JsonPlan, ProtobufPlan

FLAT = JsonPlan(
    symbol=("data.s", "s"),
    bid=("data.b", "b"),
    bid_qty=("data.B", "B"),
    ask=("data.a", "a"),
    ask_qty=("data.A", "A"),
    exchange_ms=("data.T", "T"),
    update_id=("data.u", "u"),
)
NESTED = JsonPlan(
    symbol=("arg.instId",),
    bid=("data.0.bids.0.0",),
    bid_qty=("data.0.bids.0.1",),
    ask=("data.0.asks.0.0",),
    ask_qty=("data.0.asks.0.1",),
    exchange_ms=("data.0.ts",),
    update_id=("data.0.seqId",),
    where=(("arg.channel", ("bbo-tbt", "books*")),),
)
TICKER = ProtobufPlan(
    symbol=("3",),
    bid=("315.1",),
    bid_qty=("315.2",),
    ask=("315.3",),
    ask_qty=("315.4",),
    exchange_ms=("6",),
    update_id=("315.5",),
    where=(("1", ("spot@public.aggre.bookTicker.*",)),),
)
LEGS = [
    ("BTCUSDT", 7, 1.0, 1.0),
    ("1000PEPEUSDT", 8, 1000.0, 1000.0),
    ("BTC-USDT-SWAP", 9, 1.0, 0.01),
    ("币安人生USDT", 10, 1.0, 1.0),
    ("A", 11, 1.0, 1.0),
]


def json_plan(**changes):
    """A plan of the shortest paths, but for what is changed."""
    paths = {"symbol": ("s",), "bid": ("b",), "bid_qty": ("B",), "ask": ("a",), "ask_qty": ("A",)}
    return JsonPlan(**(paths | changes))


def protobuf_plan(**changes):
    paths = {"symbol": ("3",), "bid": ("5",), "bid_qty": ("6",), "ask": ("7",), "ask_qty": ("8",)}
    return ProtobufPlan(**(paths | changes))


def flat(**values):
    """A frame of the flat plan; a value of None leaves its key out."""
    fields = {
        "u": 100, "s": "BTCUSDT", "b": "100.5", "B": "2", "a": "100.6", "A": "3", "T": 1_700_000,
    } | values  # fmt: skip
    kept = {name: value for name, value in fields.items() if value is not None}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode()


def nested(bids=(("100.5", "2", "0", "1"),), asks=(("100.6", "3", "0", "4"),), **values):
    arg = {
        "channel": values.pop("channel", "bbo-tbt"),
        "instId": values.pop("symbol", "BTC-USDT-SWAP"),
    }
    book = {"asks": asks, "bids": bids, "ts": "1700000", "seqId": 100} | values
    return json.dumps({"arg": arg, "data": [book]}, separators=(",", ":")).encode()
