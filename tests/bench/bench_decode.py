"""decode.<source>: frame bytes to values inside the kernel, against what Python has.

That is orjson, or the protobuf package, and float().
"""

import functools
import time
from collections.abc import Callable

import orjson
from protobuf_reference import Wrapper
from quote_frames import SHAPES, frames, legs

from spreadscan.exchanges import sources
from spreadscan.kernel.extract import Extractor
from spreadscan.ops.benchmark import Benchmark, Result, in_turns

FRAME_COUNT = 5_000
KERNEL_ROUNDS = 10
ROUNDS = 7

Values = tuple[str, float, float, float, float]


def orjson_binance(frame: bytes) -> Values:
    tree = orjson.loads(frame)
    quote = tree.get("data", tree)
    return (
        quote["s"], float(quote["b"]), float(quote["B"]), float(quote["a"]), float(quote["A"]),
    )  # fmt: skip


def orjson_okx(frame: bytes) -> Values:
    tree = orjson.loads(frame)
    quote = tree["data"][0]
    bid, ask = quote["bids"][0], quote["asks"][0]
    return tree["arg"]["instId"], float(bid[0]), float(bid[1]), float(ask[0]), float(ask[1])


def orjson_bybit(frame: bytes) -> Values:
    quote = orjson.loads(frame)["data"]
    bid, ask = quote["b"][0], quote["a"][0]
    return quote["s"], float(bid[0]), float(bid[1]), float(ask[0]), float(ask[1])


def orjson_mexc(frame: bytes) -> Values:
    tree = orjson.loads(frame)
    bid, ask = tree["data"]["bids"][0], tree["data"]["asks"][0]
    return tree["symbol"], float(bid[0]), float(bid[1]), float(ask[0]), float(ask[1])


def protobuf_mexc(frame: bytes) -> Values:
    wrapper = Wrapper.FromString(frame)
    quote = wrapper.publicAggreBookTicker
    return (
        wrapper.symbol, float(quote.bidPrice), float(quote.bidQuantity), float(quote.askPrice),
        float(quote.askQuantity),
    )  # fmt: skip


BASELINES: dict[str, Callable[[bytes], Values]] = {
    "binance_spot": orjson_binance,
    "binance_futures": orjson_binance,
    "bybit_spot": orjson_bybit,
    "bybit_futures": orjson_bybit,
    "okx_spot": orjson_okx,
    "okx_futures": orjson_okx,
    "mexc_spot": protobuf_mexc,
    "mexc_futures": orjson_mexc,
}


def measure(source: str) -> list[Result]:
    made = list(frames(source, FRAME_COUNT))
    extractor = Extractor(sources()[source].spec.plan, legs(source))
    slowly = BASELINES[source]
    for frame in made[:100]:
        # Both sides must do the same work before their times mean anything.
        found = extractor.decode(frame)
        values = (found.symbol, found.bid, found.bid_qty, found.ask, found.ask_qty)
        assert values == slowly(frame), frame

    def kernel() -> float:
        started_ns = time.perf_counter_ns()
        quotes = extractor.bench_decode(made, KERNEL_ROUNDS)
        elapsed_ns = time.perf_counter_ns() - started_ns
        assert quotes == FRAME_COUNT * KERNEL_ROUNDS, quotes
        return elapsed_ns / quotes

    def python() -> float:
        started_ns = time.perf_counter_ns()
        for frame in made:
            slowly(frame)
        return (time.perf_counter_ns() - started_ns) / FRAME_COUNT

    baseline = f"{slowly.__name__.partition('_')[0]} + float"
    ours_ns, theirs_ns = in_turns(ROUNDS, kernel, python)
    return [
        Result(name=f"decode.{source}", value=ours_ns, unit="ns/frame", baseline=baseline,
               ratio=theirs_ns / ours_ns)
    ]  # fmt: skip


BENCHMARKS = tuple(
    Benchmark((f"decode.{source}",), functools.partial(measure, source)) for source in SHAPES
)
