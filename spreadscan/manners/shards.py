"""Which symbols share a connection, and which share a subscribe message. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

__all__ = ["SEPARATOR_BYTES", "Leg", "batches", "expected_rates", "plan_shards"]

Leg = tuple[str, int]
"""(exchange symbol, symbol id)"""

Item = TypeVar("Item")

SEPARATOR_BYTES = 3
"""What a topic costs beside itself in a JSON array: two quotes and a comma."""


def expected_rates(turnover_usd: Mapping[str, float]) -> dict[str, float]:
    """Return how often symbols may be expected to quote, relative to each other.

    Quotes grow slower than trading: a coin with a hundred times the turnover of another changes
    its book some ten times as often. The bound keeps a dead coin from counting as nothing.

    Args:
        turnover_usd: of a day, by exchange symbol.
    """
    return {symbol: max(1.0, usd) ** 0.5 for symbol, usd in turnover_usd.items()}


def plan_shards(
    legs: Sequence[Leg],
    topics_per_connection: int,
    topic: Callable[[str], str] = str,
    topic_bytes_per_connection: int | None = None,
    rates: Mapping[str, float] | None = None,
) -> list[list[Leg]]:
    """Split a source's legs over as few connections as the limits allow.

    The split depends on the legs and rates alone. Each leg, the busiest first, goes to the
    connection with the least to do so far. Without rates that deals symbol ids out in turn, so that
    the liquid coins, which have low ids, do not all share one socket, and sizes differ by one at
    most.

    Args:
        legs: all of a source.
        topics_per_connection: at most so many legs a connection.
        topic: exchange symbol to what subscribes it.
        topic_bytes_per_connection: at most so many bytes of topics; None for any number. A single
            topic beyond it gets a connection of its own.
        rates: expected messages a second by exchange symbol; one that is missing counts as the mean
            of the others.
    """
    load = _loads(legs, rates or {})
    ordered = sorted(legs, key=lambda leg: (-load[leg], leg[1]))
    if topic_bytes_per_connection is None:
        return _dealt(ordered, topics_per_connection, load)
    cost = {leg: len(topic(leg[0]).encode()) + SEPARATOR_BYTES for leg in ordered}
    most = topics_per_connection
    while True:
        shards = _dealt(ordered, most, load)
        fits = all(sum(map(cost.__getitem__, row)) <= topic_bytes_per_connection for row in shards)
        if fits or most == 1:
            return shards
        most = min(most, max(map(len, shards))) - 1 or 1


def _loads(legs: Sequence[Leg], rates: Mapping[str, float]) -> dict[Leg, float]:
    known = [rates[symbol] for symbol, _ in legs if symbol in rates]
    usual = sum(known) / len(known) if known else 1.0
    return {leg: rates.get(leg[0], usual) for leg in legs}


def _dealt(ordered: Sequence[Leg], most: int, load: Mapping[Leg, float]) -> list[list[Leg]]:
    shards: list[list[Leg]] = [[] for _ in range(-(-len(ordered) // most))]
    loads = [0.0] * len(shards)
    for leg in ordered:
        roomy = (number for number, shard in enumerate(shards) if len(shard) < most)
        number = min(roomy, key=lambda number: (loads[number], len(shards[number]), number))
        shards[number].append(leg)
        loads[number] += load[leg]
    return shards


def batches(
    items: Sequence[Item],
    size: int,
    fits: Callable[[Sequence[Item]], bool] = lambda _items: True,
) -> Iterator[Sequence[Item]]:
    """Yield *items* in order, at most *size* at a time, in halves of those that do not fit.

    A single item is yielded whether it fits or not: it cannot be made smaller.
    """
    for start in range(0, len(items), size):
        yield from _fitting(items[start : start + size], fits)


def _fitting(
    items: Sequence[Item], fits: Callable[[Sequence[Item]], bool]
) -> Iterator[Sequence[Item]]:
    if len(items) == 1 or fits(items):
        yield items
        return
    middle = len(items) // 2
    yield from _fitting(items[:middle], fits)
    yield from _fitting(items[middle:], fits)
