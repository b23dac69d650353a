"""Which symbol is on which connection, and where a new one goes. Pure.

A symbol that stays in the source stays on its connection, however uneven the connections become:
evening them out would mean to subscribe anew, that is, to lose updates.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from spreadscan.manners.shards import SEPARATOR_BYTES, Leg, plan_shards

__all__ = ["Move", "Placement"]


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of the source's symbols means for one connection."""

    shard: int
    """Number of the connection; a new one has a number that none had before."""
    removed: tuple[str, ...] = ()
    """Exchange symbols to unsubscribe, before anything is subscribed."""
    added: tuple[str, ...] = ()
    """Exchange symbols to subscribe."""
    is_end: bool = False
    """Nothing is left on it, and its number is never used again."""


class Placement:
    """The connections of a source and the symbols on each.

    Args:
        topics_per_connection: at most so many symbols a connection.
        topic: exchange symbol to what subscribes it.
        topic_bytes_per_connection: at most so many bytes of topics; None for any number. A single
            topic beyond it gets a connection of its own.
    """

    def __init__(
        self,
        topics_per_connection: int,
        topic: Callable[[str], str] = str,
        topic_bytes_per_connection: int | None = None,
    ) -> None:
        self._most = topics_per_connection
        self._topic = topic
        self._most_bytes = topic_bytes_per_connection
        # Symbols in the order in which they came.
        self._shards: dict[int, dict[str, None]] = {}
        self._bytes: dict[int, int] = {}
        self._next_shard = 0
        # Of symbols that were removed: which connection had them.
        self._last_shard: dict[str, int] = {}

    @property
    def shards(self) -> dict[int, frozenset[str]]:
        """Exchange symbols by the number of their connection."""
        return {shard: frozenset(symbols) for shard, symbols in self._shards.items()}

    def adopt(self, legs: Sequence[Leg], rates: Mapping[str, float] | None = None) -> list[Move]:
        """Go over to these legs; return what changes, a move for each connection concerned.

        Added symbols go, in the order of their ids, to the connection with the fewest symbols that
        has room. One that comes back goes to the connection that had it, when there is room: what
        is still on its way from there and what comes anew then stand in one order. What finds no
        room gets connections that `plan_shards` balances by the rates.
        """
        wanted = dict(legs)
        removed = {
            shard: tuple(symbol for symbol in symbols if symbol not in wanted)
            for shard, symbols in self._shards.items()
        }
        for shard, symbols in removed.items():
            for symbol in symbols:
                self._take_off(shard, symbol)
        placed = {symbol for symbols in self._shards.values() for symbol in symbols}
        homeless = sorted((leg for leg in legs if leg[0] not in placed), key=lambda leg: leg[1])
        added, rest = self._fill(homeless)
        for row in plan_shards(rest, self._most, self._topic, self._most_bytes, rates):
            shard, self._next_shard = self._next_shard, self._next_shard + 1
            self._shards[shard], self._bytes[shard] = {}, 0
            added[shard] = [symbol for symbol, _ in row]
            for symbol in added[shard]:
                self._put_on(shard, symbol)
        moves = [
            Move(
                shard=shard,
                removed=removed.get(shard, ()),
                added=tuple(added.get(shard, ())),
                is_end=not symbols,
            )
            for shard, symbols in self._shards.items()
            if removed.get(shard) or added.get(shard)
        ]
        for move in moves:
            if move.is_end:
                self._forget(move.shard)
        return moves

    def _fill(self, homeless: Sequence[Leg]) -> tuple[dict[int, list[str]], list[Leg]]:
        """Put on the present connections what they have room for; return it, and what is left."""
        added: dict[int, list[str]] = {}
        rest = []
        for leg in homeless:
            shard = self._shard_for(leg[0])
            if shard is None:
                rest.append(leg)
                continue
            self._put_on(shard, leg[0])
            added.setdefault(shard, []).append(leg[0])
        return added, rest

    def _shard_for(self, symbol: str) -> int | None:
        last = self._last_shard.get(symbol)
        if last is not None and self._has_room(last, symbol):
            return last
        roomy = (shard for shard in self._shards if self._has_room(shard, symbol))
        return min(roomy, key=lambda shard: (len(self._shards[shard]), shard), default=None)

    def _has_room(self, shard: int, symbol: str) -> bool:
        if len(self._shards[shard]) >= self._most:
            return False
        if self._most_bytes is None:
            return True
        return self._bytes[shard] + self._cost_bytes(symbol) <= self._most_bytes

    def _cost_bytes(self, symbol: str) -> int:
        return len(self._topic(symbol).encode()) + SEPARATOR_BYTES

    def _put_on(self, shard: int, symbol: str) -> None:
        self._last_shard.pop(symbol, None)
        self._shards[shard][symbol] = None
        self._bytes[shard] += self._cost_bytes(symbol)

    def _take_off(self, shard: int, symbol: str) -> None:
        self._last_shard[symbol] = shard
        del self._shards[shard][symbol]
        self._bytes[shard] -= self._cost_bytes(symbol)

    def _forget(self, shard: int) -> None:
        del self._shards[shard], self._bytes[shard]
        self._last_shard = {
            symbol: last for symbol, last in self._last_shard.items() if last != shard
        }
