"""What there is to tell of listings that are not the coin their name says. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median

import msgspec

from spreadscan.discovery.member import Member
from spreadscan.model import Direction

__all__ = ["Finding", "findings_of"]

# Factors that exchanges bundle coins by.
BUNDLES = tuple(10.0**power for power in range(3, 8))


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A listing that is not the coin its name says, with the evidence."""

    source: str
    exchange_symbol: str
    coin: str
    price: float | None
    """USDT a coin."""
    reference_price: float | None
    """Median of the other sources."""
    references: int
    """How many others."""
    why: str
    kept_as: str | None
    """The symbol it makes pairs under all the same; None when it takes no part."""
    lost_pairs: tuple[str, ...]
    """Directions in which its name had a counterpart that is another coin."""


def findings_of(  # noqa: PLR0913, PLR0917 - everything that is known of one coin
    coin: str,
    members: Sequence[Member],
    groups: Mapping[str, Sequence[Member]],
    outside: Mapping[tuple[int, str], str],
    main: Sequence[Member],
    directions: Sequence[Direction],
) -> list[Finding]:
    """Return what there is to tell of a coin's listings.

    Args:
        coin: the name.
        members: all listings of that name.
        groups: those that are used, by symbol.
        outside: why a listing is not, "" where its price is the reason.
        main: what the coin is taken for.
        directions: the configured ones.
    """
    name_of = {member.key: name for name, group in groups.items() for member in group}
    in_main = {member.key for member in main}
    found = []
    for member in members:
        name = name_of.get(member.key)
        if member.key in in_main:
            continue
        lost = _lost_pairs(member, name, members, name_of, directions)
        others = [
            other.price
            for other in main
            if other.price is not None and other.source_id != member.source_id
        ]
        if not lost or not others:
            continue
        reference = median(others)
        found.append(
            Finding(
                source=member.source,
                exchange_symbol=member.exchange_symbol,
                coin=coin,
                price=member.price,
                reference_price=reference,
                references=len(others),
                why=outside.get(member.key) or _difference(member, reference, len(others)),
                kept_as=name,
                lost_pairs=lost,
            )
        )
    return found


def _lost_pairs(
    member: Member,
    name: str | None,
    members: Sequence[Member],
    name_of: Mapping[tuple[int, str], str],
    directions: Sequence[Direction],
) -> tuple[str, ...]:
    counterparts = {
        other.source_id
        for other in members
        if name_of.get(other.key) is None or name_of[other.key] != name
    }
    return tuple(
        row.name
        for row in directions
        if (row.spot_source == member.source_id and row.futures_source in counterparts)
        or (row.futures_source == member.source_id and row.spot_source in counterparts)
    )


def _difference(member: Member, reference: float, count: int) -> str:
    if member.price is None:
        return "it has no price to compare"
    ratio = member.price / reference
    text = (
        f"it costs {member.price:.6g}, the median of {count} others is {reference:.6g} "
        f"({ratio - 1:+.1%})"
    )
    for factor in BUNDLES:
        if 0.9 <= ratio / factor <= 1.1:
            return f"{text}: a unit may be {factor:,.0f} coins"
        if 0.9 <= ratio * factor <= 1.1:
            return f"{text}: the others' units may be {factor:,.0f} coins"
    return text
