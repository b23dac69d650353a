"""Frames in the exchanges' own shapes, with prices that move; the same seed, the same frames.

Lengths of numbers differ from frame to frame as they do in recordings: that is what a parser's
branches stumble over, so one frame repeated would flatter every reader.
"""

import functools
import random
from collections.abc import Callable, Iterator

from protobuf_reference import ticker_frame

SYMBOL_COUNT = 600
SEED = 20240809

Frame = Callable[[str, float, random.Random, int], bytes]


@functools.cache
def coins() -> list[str]:
    """SYMBOL_COUNT distinct coin names of two to eight letters."""
    randomness = random.Random(SEED)
    names: dict[str, None] = {"BTC": None, "ETH": None}
    while len(names) < SYMBOL_COUNT:
        length = randomness.choice((2, 3, 3, 3, 4, 4, 4, 5, 5, 6, 7, 8))
        names["".join(randomness.choices("ABCDEFGHIKLMNOPRSTUVWXYZ", k=length))] = None
    return list(names)


def _price(value: float, decimals: int) -> tuple[str, str]:
    tick = 10.0**-decimals
    return f"{value:.{decimals}f}", f"{value + tick:.{decimals}f}"


def _decimals(value: float) -> int:
    return 2 if value >= 1000 else 4 if value >= 1 else 6


def _qty(randomness: random.Random, decimals: int) -> str:
    return f"{randomness.lognormvariate(2.0, 2.0) + 10.0**-decimals:.{decimals}f}"


def _binance_spot(coin: str, value: float, randomness: random.Random, number: int) -> bytes:
    # Eight decimals always; no time.
    bid, ask = _price(value, _decimals(value))
    padding = "0" * (8 - _decimals(value))
    return (
        f'{{"stream":"{coin.lower()}usdt@bookTicker","data":{{"u":{50_093_421_613 + number},'
        f'"s":"{coin}USDT","b":"{bid}{padding}","B":"{_qty(randomness, 8)}",'
        f'"a":"{ask}{padding}","A":"{_qty(randomness, 8)}"}}}}'
    ).encode()


def _binance_futures(coin: str, value: float, randomness: random.Random, number: int) -> bytes:
    bid, ask = _price(value, _decimals(value))
    sent_ms = 1_787_231_293_915 + number
    return (
        f'{{"e":"bookTicker","u":{11_331_904_350_110 + number},"s":"{coin}USDT",'
        f'"ps":"{coin}USDT","b":"{bid}","B":"{_qty(randomness, 3)}","a":"{ask}",'
        f'"A":"{_qty(randomness, 3)}","T":{sent_ms},"E":{sent_ms},"st":1}}'
    ).encode()


def _okx(instrument: str, quantities: tuple[str, str], value: float, number: int) -> bytes:
    bid, ask = _price(value, _decimals(value))
    sent_ms, sequence = 1_730_367_981_772 + number, 26_213_414 + number
    return (
        f'{{"arg":{{"channel":"bbo-tbt","instId":"{instrument}"}},"data":[{{"asks":[["{ask}",'
        f'"{quantities[0]}","0","{number % 40 + 1}"]],"bids":[["{bid}","{quantities[1]}","0",'
        f'"{number % 23 + 1}"]],"ts":"{sent_ms}","seqId":{sequence}}}]}}'
    ).encode()


def _okx_spot(coin: str, value: float, randomness: random.Random, number: int) -> bytes:
    quantities = _qty(randomness, 8), _qty(randomness, 6)
    return _okx(f"{coin}-USDT", quantities, value, number)


def _okx_futures(coin: str, value: float, randomness: random.Random, number: int) -> bytes:
    quantities = _qty(randomness, 2), _qty(randomness, 2)
    return _okx(f"{coin}-USDT-SWAP", quantities, value, number)


def _bybit(coin: str, value: float, quantities: tuple[str, str], number: int) -> bytes:
    bid, ask = _price(value, _decimals(value))
    sent_ms, update = 1_786_659_828_109 + number, 31_398_762 + number
    return (
        f'{{"topic":"orderbook.1.{coin}USDT","ts":{sent_ms},"type":"snapshot","data":{{'
        f'"s":"{coin}USDT","b":[["{bid}","{quantities[0]}"]],"a":[["{ask}","{quantities[1]}"]],'
        f'"u":{update},"seq":{764_144_453_970 + number}}},"cts":{sent_ms - 2}}}'
    ).encode()


def _bybit_spot(coin: str, value: float, randomness: random.Random, number: int) -> bytes:
    quantities = _qty(randomness, 6), _qty(randomness, 6)
    return _bybit(coin, value, quantities, number)


def _bybit_futures(coin: str, value: float, randomness: random.Random, number: int) -> bytes:
    quantities = _qty(randomness, 3), _qty(randomness, 3)
    return _bybit(coin, value, quantities, number)


def _mexc_spot(coin: str, value: float, randomness: random.Random, number: int) -> bytes:
    bid, ask = _price(value, _decimals(value))
    sent_ms = 1_789_897_517_479 + number
    return ticker_frame(
        f"{coin}USDT", bid, _qty(randomness, 6), ask, _qty(randomness, 8),
        version=str(81_721_676_217 + number), sent_ms=sent_ms, created_ms=sent_ms - 25,
    )  # fmt: skip


def _levels(value: float, step: float, randomness: random.Random) -> str:
    """Five levels of a book as JSON numbers: price, contracts, orders."""
    decimals = _decimals(value)
    rows = (
        f"[{value + step * level:.{decimals}f},{randomness.randint(1, 90_000)},{level + 1}]"
        for level in range(5)
    )
    return ",".join(rows)


def _mexc_futures(coin: str, value: float, randomness: random.Random, number: int) -> bytes:
    tick = 10.0 ** -_decimals(value)
    sent_ms = 1_789_897_581_009 + number
    return (
        f'{{"symbol":"{coin}_USDT","data":{{"cts":{sent_ms},'
        f'"asks":[{_levels(value + tick, tick, randomness)}],'
        f'"bids":[{_levels(value, -tick, randomness)}],"version":{41_925_002_140 + number}}},'
        f'"channel":"push.depth.full","ts":{sent_ms + 4}}}'
    ).encode()


SHAPES: dict[str, tuple[Frame, str]] = {
    "binance_spot": (_binance_spot, "{}USDT"),
    "binance_futures": (_binance_futures, "{}USDT"),
    "bybit_spot": (_bybit_spot, "{}USDT"),
    "bybit_futures": (_bybit_futures, "{}USDT"),
    "okx_spot": (_okx_spot, "{}-USDT"),
    "okx_futures": (_okx_futures, "{}-USDT-SWAP"),
    "mexc_spot": (_mexc_spot, "{}USDT"),
    "mexc_futures": (_mexc_futures, "{}_USDT"),
}


def legs(source: str) -> list[tuple[str, int, float, float]]:
    """The instruments of a source, as Extractor wants them."""
    spelling = SHAPES[source][1]
    return [(spelling.format(coin), number, 1.0, 1.0) for number, coin in enumerate(coins())]


def frames(source: str, count: int) -> Iterator[bytes]:
    """Yield *count* frames; update ids rise, symbols come in random order."""
    shape = SHAPES[source][0]
    randomness = random.Random(SEED)
    names = coins()
    values = [10 ** randomness.uniform(-3, 3) for _ in names]
    values[0] = 61_685.99
    for number in range(count):
        symbol = randomness.randrange(len(names))
        values[symbol] *= 1 + randomness.gauss(0.0, 0.0003)
        yield shape(names[symbol], values[symbol], randomness, number)
