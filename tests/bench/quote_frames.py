"""Frames in the exchanges' own shapes, with prices that move; the same seed, the same frames.

Lengths of numbers differ from frame to frame as they do in recordings: that is what a parser's
branches stumble over, so one frame repeated would flatter every reader.
"""

import random
from collections.abc import Callable, Iterator

SYMBOL_COUNT = 600
SEED = 20240809

Frame = Callable[[str, float, random.Random, int], bytes]


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


SHAPES: dict[str, tuple[Frame, str]] = {
    "binance_spot": (_binance_spot, "{}USDT"),
    "binance_futures": (_binance_futures, "{}USDT"),
    "okx_spot": (_okx_spot, "{}-USDT"),
    "okx_futures": (_okx_futures, "{}-USDT-SWAP"),
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
