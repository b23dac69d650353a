"""The connections of one source, and how they go over to other symbols without a restart."""

import asyncio
from collections.abc import Mapping, Sequence

from spreadscan.feed.connection import Connection
from spreadscan.feed.shared import Shared
from spreadscan.kernel.extract import Extractor
from spreadscan.manners.placement import Move, Placement
from spreadscan.model import SlotFlag
from spreadscan.runtime.plan_file import PlanRow
from spreadscan.shm.counters import FeedCounter

__all__ = ["Fleet"]

Legs = Sequence[tuple[str, int, float, float]]
"""As `Universe.legs` returns them: (exchange symbol, symbol id, price multiplier, factor)."""


class Fleet:
    """The connections of one source; none before the first ``adopt``.

    Args:
        shared: what its connections share.
        extractor: the one that the sink reads with.

    Concurrency: one event loop, the connections'; no frame is read in the middle of a call.
    """

    def __init__(self, shared: Shared, extractor: Extractor) -> None:
        self._shared = shared
        self._extractor = extractor
        self._legs: dict[str, tuple[int, float, float]] = {}
        self._placement = Placement(
            shared.market.topics_per_connection,
            shared.source.spec.topic,
            shared.source.spec.limits.topic_bytes_per_connection,
        )
        self._connections: dict[int, Connection] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def summary(self) -> str:
        """Return how many symbols are on how many connections."""
        return f"{len(self._legs)} symbols on {len(self._connections)} connections"

    def connections(self) -> list[Connection]:
        """Return the connections, in order of their numbers."""
        return [self._connections[number] for number in sorted(self._connections)]

    @property
    def is_at_work(self) -> bool:
        """Whether every connection flows or is tried for in due time."""
        return all(connection.is_at_work for connection in self._connections.values())

    def plan(self) -> list[PlanRow]:
        """Return who is on which connection, and how it is."""
        return [
            PlanRow(
                number=number,
                symbols=connection.symbols,
                state=connection.state,
                opened_ns=connection.opened_ns,
                messages=connection.listener.quotes if connection.listener else 0,
            )
            for number, connection in sorted(self._connections.items())
        ]

    def resubscribe(self, symbols: Sequence[str]) -> None:
        """Unsubscribe these exchange symbols and subscribe them anew, each where it is."""
        for connection in self._connections.values():
            carried = set(connection.symbols)
            if mine := [symbol for symbol in symbols if symbol in carried]:
                connection.resubscribe(mine)

    def adopt(self, legs: Legs, rates: Mapping[str, float] | None = None) -> None:
        """Go over to these instruments; only what differs is unsubscribed and subscribed.

        What is no longer quoted as before (removed, or under another id, multiplier or contract
        size) is unusable when this returns. A symbol whose id or factors alone changed keeps its
        subscription: its next frame goes to its new slot. What the exchange still sends of a
        removed symbol, until it has heard of it, counts as an unknown symbol.

        Args:
            legs: all of the source.
            rates: expected messages a second by exchange symbol, where they are known; new
                connections are balanced by them.

        Raises:
            ValueError: an instrument that the kernel refuses; everything is as it was.
        """
        self._extractor.set_legs(legs)
        shared = self._shared
        shared.extractor.set_legs(legs)
        before, self._legs = self._legs, {leg[0]: leg[1:] for leg in legs}
        for symbol, leg in before.items():
            if self._legs.get(symbol) != leg:
                shared.sink.mark(leg[0], SlotFlag.UNSUBSCRIBED)
        shared.ids = {symbol: symbol_id for symbol, symbol_id, _, _ in legs}
        shared.health.set(FeedCounter.SYMBOLS_EXPECTED, len(shared.ids))
        for move in self._placement.adopt(list(shared.ids.items()), rates):
            self._carry_out(move)

    def check(self) -> None:
        """Raise what has ended a connection's task; such a task never ends by itself."""
        for task in (*self._tasks.values(), *self._ending):
            if task.done() and not task.cancelled():
                task.result()
        self._ending = {task for task in self._ending if not task.done()}

    async def close(self) -> None:
        """End every connection."""
        tasks = (*self._tasks.values(), *self._ending)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _carry_out(self, move: Move) -> None:
        connection = self._connections.get(move.shard)
        if connection is None:
            connection = self._connections[move.shard] = Connection(self._shared, move.shard)
            self._tasks[move.shard] = asyncio.create_task(connection.keep())
        connection.change(move.removed, move.added)
        if move.is_end:
            del self._connections[move.shard]
            task = self._tasks.pop(move.shard)
            task.cancel()
            self._ending.add(task)
