"""What is known of a source's funding, and when to ask again. Pure."""

from collections.abc import Collection, Iterable

import msgspec

from spreadscan.model import RawFunding

__all__ = ["FundingBook", "FundingPace", "Known"]

# Drawn at random around the interval, so that feeds that began together do not ask together.
JITTER = 0.1
SOON_S = 2.0
# The exchange's clock is not ours.
CLOCK_SLACK_MS = 60_000


class FundingPace(msgspec.Struct, frozen=True, kw_only=True):
    """How often to ask."""

    interval_s: float
    settle_delay_s: float
    """After a settlement; up to twice this, at random."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One perpetual's funding."""

    rate: float
    """Fraction of the notional per interval; positive: longs pay shorts."""
    interval_s: float
    """0: unknown."""
    is_interval_told: bool
    """The exchange named it, now or before; otherwise it is assumed, or unknown."""
    next_settlement_ms: int
    """Unix milliseconds, the exchange's; 0: unknown."""


class FundingBook:
    """What is known of one source.

    Args:
        pace: see there.
    """

    def __init__(self, pace: FundingPace) -> None:
        self._pace = pace
        self.known: dict[str, Known] = {}
        """By exchange symbol."""
        self.symbols: frozenset[str] = frozenset()
        """Those that matter."""
        self.missing: frozenset[str] = frozenset()
        """Of these, those that the last answer did not tell of; what was known of them stays."""

    def adopt(self, symbols: Iterable[str], stay: Collection[str]) -> bool:
        """Go over to these symbols; return whether nothing is known of some of them.

        Args:
            symbols: those that matter from now on.
            stay: of the former ones, those of which everything known is still true.
        """
        self.symbols = frozenset(symbols)
        self.known = {name: row for name, row in self.known.items() if name in stay}
        self.missing &= self.symbols
        return bool(self.symbols - self.known.keys())

    def take(self, row: RawFunding, now_ms: int) -> Known | None:
        """Enter one row of an answer; return what is known now, None when it does not matter.

        Args:
            row: as the exchange tells it.
            now_ms: Unix milliseconds.
        """
        if row.exchange_symbol not in self.symbols:
            return None
        known = self.known[row.exchange_symbol] = self._known(row, now_ms)
        return known

    def end_answer(self, told: Collection[str]) -> None:
        """Note which symbols an answer told of, now that it is at its end."""
        self.missing = self.symbols.difference(told)

    def wait_s(self, now_ms: int, chance: float) -> float:
        """Return for how long the next question has time.

        It comes after the next settlement rather than before it, because everything changes then.

        Args:
            now_ms: Unix milliseconds.
            chance: from 0 to 1.
        """
        pace = self._pace
        usual_s = pace.interval_s * (1 + JITTER * (2 * chance - 1))
        coming_ms = [
            row.next_settlement_ms - now_ms
            for row in self.known.values()
            if row.next_settlement_ms > now_ms
        ]
        if not coming_ms:
            return usual_s
        return min(usual_s, min(coming_ms) / 1000 + pace.settle_delay_s * (1 + chance))

    def _known(self, row: RawFunding, now_ms: int) -> Known:
        interval_s, is_told = row.interval_s, bool(row.interval_s) and not row.is_interval_assumed
        held = self.known.get(row.exchange_symbol)
        if not is_told and held is not None and held.is_interval_told:
            # A list of the unusual that lacks it may be half a list: what was named before stands
            # until the next settlement is further away than that.
            to_next_ms = row.next_settlement_ms - now_ms
            if to_next_ms <= held.interval_s * 1000 + CLOCK_SLACK_MS:
                interval_s, is_told = held.interval_s, True
        return Known(
            rate=row.rate,
            interval_s=interval_s,
            is_interval_told=is_told,
            next_settlement_ms=row.next_settlement_ms,
        )
