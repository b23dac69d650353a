"""Keeps what the exchange says of its perpetuals' funding in shared memory, off the quotes' path.

All perpetuals are asked for at once, about once a minute and soon after each settlement. Whatever
goes wrong leaves the records as they are: each carries its age, and so does a dead feed's.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping

from spreadscan.errors import DiscoveryError
from spreadscan.exchanges import Source
from spreadscan.exchanges._adapter import FundingRefused, FundingRequest
from spreadscan.feed.funding_book import SOON_S, FundingBook, FundingPace, Known
from spreadscan.feed.rest import Barred, RestDoor
from spreadscan.model import RawFunding
from spreadscan.rawlog import FundingRow
from spreadscan.runtime.clock import Clock
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import MAX_SYMBOLS
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.record_table import FundingTable

__all__ = ["FundingRefresh"]

SHOWN_CHARACTERS = 80
# Some 10 us each: quotes wait no longer for a slice than for a burst of their own.
SLICE_ROWS = 32


class FundingRefresh:
    """The funding of one source.

    Args:
        source: whose; nothing is asked where it declares no funding.
        pace: how often to ask.
        door: the way to its REST.
        table: where records go; what an earlier feed left of this source is taken back, because
            its numbers may have been other symbols'.
        health: the feed's slot.
        note: is told, with the time of asking, what goes into the table.
        clock: monotonic time for ages, wall time for settlements.
        chance: a number from 0 to 1, new at each call.
        log: the feed's logger.

    Concurrency: one event loop; at most one question at a time.
    """

    def __init__(  # noqa: PLR0913 - the parts of the feed that it works with
        self,
        *,
        source: Source,
        pace: FundingPace,
        door: RestDoor,
        table: FundingTable,
        health: HealthWriter,
        note: Callable[[list[FundingRow], int], None],
        clock: Clock,
        chance: Callable[[], float],
        log: logging.Logger,
    ) -> None:
        self._request = source.spec.funding
        self._source_id = source.source_id
        self._door = door
        self._table = table
        self._health = health
        self._note = note
        self._clock = clock
        self._chance = chance
        self._log = log
        self._book = FundingBook(pace)
        self._ids: Mapping[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._next_ns = 0
        self._failure = ""
        if self._request is not None:
            for symbol_id in range(MAX_SYMBOLS):
                self._take_back(symbol_id)

    @property
    def trouble(self) -> str:
        """Say why the last question had no answer; empty when it had."""
        return self._failure and f"funding: {self._failure[:SHOWN_CHARACTERS]}"

    def adopt(self, ids: Mapping[str, int]) -> None:
        """Go over to these symbols: records of others are taken back, new ones asked for soon.

        Args:
            ids: symbol id by exchange symbol.
        """
        if self._request is None:
            return
        stay = {name for name, symbol_id in self._ids.items() if ids.get(name) == symbol_id}
        for name in self._ids.keys() - stay:
            self._take_back(self._ids[name])
        self._ids = dict(ids)
        if self._book.adopt(ids, stay):
            soon_ns = self._clock.monotonic_ns() + round(SOON_S * self._chance() * 1e9)
            self._next_ns = min(self._next_ns or soon_ns, soon_ns)
        self._count()

    def turn(self) -> None:
        """Ask when it is time to; call it often.

        Raises whatever a question ended with; only a mistake of ours ends one with an error.
        """
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            task.result()
        is_due = self._ids and self._clock.monotonic_ns() >= self._next_ns
        if self._request is None or not is_due or self._task is not None:
            return
        if self._door.banned_s == 0:
            self._task = asyncio.create_task(self._ask(self._request))

    async def close(self) -> None:
        """Give up the question that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _ask(self, request: FundingRequest) -> None:
        ids = self._ids
        try:
            bodies, asked_ns = [], 0
            for part in request.requests:
                body, at_ns = await self._door.get(part)
                bodies.append(body)
                # All of it is at least as new as the oldest part.
                asked_ns = asked_ns or at_ns
            await self._publish(request.parse(bodies), asked_ns)
        except (Barred, OSError, DiscoveryError) as error:
            # TimeoutError is an OSError, and says nothing.
            self._failed(str(error) or type(error).__name__)
        now_ms = self._clock.wall_ns() // 1_000_000
        # Symbols that came while rows were read may have been missed.
        is_whole = self._ids is ids
        wait_s = self._book.wait_s(now_ms, self._chance()) if is_whole else SOON_S
        self._next_ns = self._clock.monotonic_ns() + round(wait_s * 1e9)

    async def _publish(self, rows: Iterator[RawFunding | FundingRefused], asked_ns: int) -> None:
        now_ms = self._clock.wall_ns() // 1_000_000
        told: dict[str, FundingRow] = {}
        refused: list[FundingRefused] = []
        for number, row in enumerate(rows, start=1):
            if isinstance(row, FundingRefused):
                # One without a symbol may be about any.
                if not row.exchange_symbol or row.exchange_symbol in self._ids:
                    refused.append(row)
            elif (known := self._book.take(row, now_ms)) is not None:
                told[row.exchange_symbol] = self._row(row.exchange_symbol, known)
                self._write(told[row.exchange_symbol], asked_ns)
            if number % SLICE_ROWS == 0:
                # Quotes have come meanwhile, and another universe may have.
                await asyncio.sleep(0)
        self._book.end_answer(told)
        rows_now = [row for name, row in told.items() if self._ids.get(name) == row.symbol_id]
        self._note(rows_now, asked_ns)
        if refused:
            first = refused[0]
            self._log.debug(
                "funding: %d rows left out, %s: %s",
                len(refused), first.exchange_symbol, first.reason,
            )  # fmt: skip
        self._health.add(FeedCounter.FUNDING_ANSWERS)
        self._health.add(FeedCounter.FUNDING_ROWS_REFUSED, len(refused))
        self._count()
        if self._failure:
            self._log.warning("funding: answers are back")
        self._failure = ""

    def _failed(self, reason: str) -> None:
        self._health.add(FeedCounter.FUNDING_FAILURES)
        if not self._failure:
            # Once, not every minute of a night.
            self._log.warning("funding: %s", reason)
        self._failure = reason

    def _count(self) -> None:
        self._health.set(FeedCounter.FUNDING_KNOWN, len(self._book.known))
        self._health.set(FeedCounter.FUNDING_MISSING, len(self._book.missing))

    def _row(self, symbol: str, known: Known) -> FundingRow:
        return FundingRow(
            symbol_id=self._ids[symbol],
            rate=known.rate,
            interval_s=known.interval_s,
            next_settlement_ms=known.next_settlement_ms,
        )

    def _take_back(self, symbol_id: int) -> None:
        self._write(FundingRow(symbol_id=symbol_id), 0)

    def _write(self, row: FundingRow, asked_ns: int) -> None:
        self._table.write(
            slot_of(self._source_id, row.symbol_id),
            rate=row.rate,
            interval_s=row.interval_s,
            next_settlement_ms=row.next_settlement_ms,
            received_ns=asked_ns,
        )
