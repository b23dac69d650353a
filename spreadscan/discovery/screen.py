"""Which rows of a listing may take part. Pure.

Every row that takes no part is counted by its reason; nothing disappears without a number.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from spreadscan.config import ListingWord
from spreadscan.exchanges import Source
from spreadscan.model import ContractKind, Market, RawInstrument

__all__ = ["QUOTE", "Screened", "screen"]

QUOTE = "USDT"
# The kernel's table of instruments holds names of this many bytes.
SYMBOL_BYTES = 48
WANTED_KIND = {Market.SPOT: ContractKind.SPOT, Market.FUTURES: ContractKind.LINEAR_PERPETUAL}
REJECTED = "rejected"
DEFECTIVE = "defective"


class Screened(msgspec.Struct, frozen=True, kw_only=True):
    """One source's listing, sorted."""

    rows: tuple[RawInstrument, ...]
    """Those that may take part."""
    listed_count: int
    excluded: dict[str, int]
    """Reason to how many rows."""
    reasons: dict[str, str]
    """Exchange symbol to reason, of the excluded rows."""
    defects: dict[str, str]
    """Exchange symbol to what is wrong with a row that could not be read."""


def screen(
    rows: Sequence[RawInstrument],
    source: Source,
    words: Mapping[str, ListingWord],
    ends_before_ms: int,
) -> Screened:
    """Sort a source's rows.

    Args:
        rows: all rows of its listing.
        source: whose.
        words: the operator's word by exchange symbol.
        ends_before_ms: Unix milliseconds; a listing whose announced end is earlier is left out.
    """
    reasons: dict[str, str] = {}
    kept = []
    counted: Counter[str] = Counter()
    for row in rows:
        reason = _exclusion(row, source.market, ends_before_ms)
        word = words.get(row.exchange_symbol)
        if reason is None and word is not None and word.verdict == "reject":
            reason = REJECTED
        if reason is None:
            kept.append(row)
        else:
            reasons[row.exchange_symbol] = reason
            counted[reason] += 1
    return Screened(
        rows=tuple(kept),
        listed_count=len(rows),
        excluded=dict(counted),
        reasons=reasons,
        defects={row.exchange_symbol: row.defect for row in rows if row.defect},
    )


def _exclusion(row: RawInstrument, market: Market, ends_before_ms: int) -> str | None:
    """Return why a row takes no part, None when it does."""
    if row.defect:
        return DEFECTIVE
    reasons: Mapping[str, bool] = {
        f"kind_{row.kind.value}": row.kind is not WANTED_KIND[market],
        "other_quote": row.quote != QUOTE,
        "other_settlement": market is Market.FUTURES and row.settle != QUOTE,
        "not_trading": not row.is_trading,
        "delisting": row.delisting_ms is not None and row.delisting_ms < ends_before_ms,
        "no_base": not row.base,
        "name_too_long": len(row.exchange_symbol.encode()) > SYMBOL_BYTES,
        "no_contract_size": not (math.isfinite(row.contract_size) and row.contract_size > 0),
    }
    return next((reason for reason, applies in reasons.items() if applies), None)
