"""What shared memory holds of a source's funding, and how the feed that keeps it fares."""

from collections import Counter

import msgspec
import numpy as np
import numpy.typing as npt

from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthSnapshot
from spreadscan.shm.layout import MAX_SYMBOLS
from spreadscan.shm.record_table import FundingTable

__all__ = ["FundingNow", "funding_now"]


class FundingNow(msgspec.Struct, frozen=True, kw_only=True):
    """The funding of one source; what a dead feed left is still there, and its age says so."""

    known: int
    """Perpetuals with a record."""
    missing: int
    """Those that the last answer did not tell of."""
    newest_age_s: float | None
    """None while nothing is known."""
    oldest_age_s: float | None
    intervals: dict[str, int]
    """How many have which time between two settlements, in hours; ``"?"`` for unknown."""
    next_settlement_ms: int | None
    """The first to come, Unix milliseconds."""
    answers: int
    """Since the feed's start, as everything below; 0 while no feed runs."""
    failures: int
    """Questions without a usable answer."""
    rows_refused: int
    """Rows of ours that could not be used."""


def funding_now(
    table: FundingTable, source_id: int, slot: HealthSnapshot | None, now_ns: int, now_ms: int
) -> FundingNow:
    """Return how one source's funding is.

    Args:
        table: the records.
        source_id: whose.
        slot: its feed's health; None while none runs.
        now_ns: CLOCK_MONOTONIC.
        now_ms: Unix milliseconds.
    """
    found = _records(table, source_id)
    ages_s = (now_ns - found["received_ns"]) / 1e9
    coming = found["next_settlement_ms"][found["next_settlement_ms"] > now_ms]
    hours = Counter(f"{value / 3600:g}" if value else "?" for value in found["interval_s"])

    def count(counter: FeedCounter) -> int:
        return 0 if slot is None else slot.counters[counter]

    return FundingNow(
        known=len(found),
        missing=count(FeedCounter.FUNDING_MISSING),
        newest_age_s=float(ages_s.min()) if len(found) else None,
        oldest_age_s=float(ages_s.max()) if len(found) else None,
        intervals=dict(sorted(hours.items(), key=lambda row: (len(row[0]), row[0]))),
        next_settlement_ms=int(coming.min()) if len(coming) else None,
        answers=count(FeedCounter.FUNDING_ANSWERS),
        failures=count(FeedCounter.FUNDING_FAILURES),
        rows_refused=count(FeedCounter.FUNDING_ROWS_REFUSED),
    )


def _records(table: FundingTable, source_id: int) -> npt.NDArray[np.void]:
    records, stable = table.read_all()
    first = source_id * MAX_SYMBOLS
    own = slice(first, first + MAX_SYMBOLS)
    found: npt.NDArray[np.void] = records[own][stable[own] & (records[own]["received_ns"] > 0)]
    return found
