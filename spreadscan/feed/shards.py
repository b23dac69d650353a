"""Which symbols share a connection, and which share a subscribe message. Pure."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

__all__ = ["Leg", "batches", "plan_shards"]

Leg = tuple[str, int]
"""(exchange symbol, symbol id)"""

Item = TypeVar("Item")


def plan_shards(legs: Sequence[Leg], topics_per_connection: int) -> list[list[Leg]]:
    """Split a source's legs over as few connections as the limit allows.

    The split depends on the legs alone, and sizes differ by one at most: symbol ids are dealt out
    in turn, so that the liquid coins, which have low ids, do not all share one socket.
    """
    if not legs:
        return []
    count = -(-len(legs) // topics_per_connection)
    ordered = sorted(legs, key=lambda leg: leg[1])
    return [ordered[shard::count] for shard in range(count)]


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield *items* in order, *size* at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
