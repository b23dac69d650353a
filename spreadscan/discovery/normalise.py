"""Listing rows to legs: which rows take part, under which name, in which units. Pure.

Every row that takes no part is counted by its reason; nothing disappears without a number.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import msgspec

from spreadscan.discovery.multiplier import split_multiplier
from spreadscan.model import ContractKind, Instrument, Market, RawInstrument

__all__ = ["Legs", "normalise", "spot_bases_of"]

QUOTE = "USDT"
# The kernel's table of instruments holds names of this many bytes.
SYMBOL_BYTES = 48
WANTED_KIND = {Market.SPOT: ContractKind.SPOT, Market.FUTURES: ContractKind.LINEAR_PERPETUAL}


class Legs(msgspec.Struct, frozen=True, kw_only=True):
    """What one source offers to the scanner."""

    by_name: dict[str, Instrument]
    """``BTC-USDT`` to its leg."""
    listed_count: int
    excluded: dict[str, int]
    """Reason to how many rows."""
    scaled: tuple[str, ...] = ()
    """Names whose multiplier was taken from the exchange's name alone."""


def spot_bases_of(listings: Iterable[Sequence[RawInstrument]]) -> frozenset[str]:
    """Return every base on spot, in any quote and state: a halted coin still owns its name."""
    return frozenset(
        row.base for rows in listings for row in rows if row.kind is ContractKind.SPOT and row.base
    )


def normalise(rows: Sequence[RawInstrument], market: Market, spot_bases: AbstractSet[str]) -> Legs:
    """Return the legs of one source.

    Args:
        rows: all rows of its listing.
        market: what the source trades.
        spot_bases: see `spot_bases_of`, over all sources.
    """
    excluded: Counter[str] = Counter()
    by_name: dict[str, Instrument] = {}
    for row in rows:
        reason = _exclusion(row, market)
        if reason:
            excluded[reason] += 1
            continue
        coin, multiplier = split_multiplier(row.base, spot_bases)
        name = f"{coin}-{QUOTE}"
        leg = _instrument(row, multiplier)
        held = by_name.setdefault(name, leg)
        if held is not leg:
            # A source that lists both PEPE and 1000PEPE: the plain one needs no belief in a factor.
            excluded["duplicate"] += 1
            by_name[name] = min(held, leg, key=_preference)
    scaled = sorted(name for name, leg in by_name.items() if leg.price_multiplier != 1)
    return Legs(
        by_name=by_name, listed_count=len(rows), excluded=dict(excluded), scaled=tuple(scaled)
    )


def _preference(leg: Instrument) -> tuple[float, str]:
    return leg.price_multiplier, leg.exchange_symbol


def _exclusion(row: RawInstrument, market: Market) -> str | None:
    """Return why a row takes no part, None when it does."""
    reasons: Mapping[str, bool] = {
        f"kind_{row.kind.value}": row.kind is not WANTED_KIND[market],
        "other_quote": row.quote != QUOTE,
        "other_settlement": market is Market.FUTURES and row.settle != QUOTE,
        "not_trading": not row.is_trading,
        "no_base": not row.base,
        "name_too_long": len(row.exchange_symbol.encode()) > SYMBOL_BYTES,
        "no_contract_size": not (math.isfinite(row.contract_size) and row.contract_size > 0),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def _instrument(row: RawInstrument, multiplier: float) -> Instrument:
    coins = row.contract_size * multiplier
    return Instrument(
        exchange_symbol=row.exchange_symbol,
        price_multiplier=multiplier,
        contract_size=row.contract_size,
        tick_size=row.tick_size / multiplier,
        qty_step=row.qty_step * coins,
        min_qty=row.min_qty * coins,
        min_notional=row.min_notional,
        tradable_via_api=row.tradable_via_api,
    )
