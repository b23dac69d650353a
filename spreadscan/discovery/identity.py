"""Whether listings of one name are one coin: their prices tell. Pure.

Coins share tickers, and a pair of two coins is a spread that nobody can earn. The listings of a
name are split into groups within which no two prices differ by more than the bound; a symbol is
one group. The group that had the name in the last universe keeps it, else the largest gets it; a
further group that can make a pair of its own becomes ``NAME_2``. What is left alone is quarantined
and reported with its evidence.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from statistics import median

import msgspec

from spreadscan.discovery.member import Member
from spreadscan.discovery.screen import QUOTE
from spreadscan.model import Direction, Market

__all__ = ["Finding", "Resolution", "resolve"]

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


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """Which listing is which symbol."""

    members: dict[int, dict[str, Member]]
    """Source id to symbol name to listing."""
    findings: tuple[Finding, ...]
    duplicates: tuple[Member, ...]
    """Further listings of a coin at a source that lists it already."""
    unproven: tuple[Member, ...]
    """Used without a price to compare, for lack of any."""


def resolve(
    members: Iterable[Member], directions: Sequence[Direction], max_deviation: float
) -> Resolution:
    """Split the listings into symbols.

    Args:
        members: all listings of all sources.
        directions: the configured ones.
        max_deviation: largest difference of two prices of one coin, as a share.
    """
    by_coin: defaultdict[str, list[Member]] = defaultdict(list)
    for member in members:
        by_coin[member.coin].append(member)
    resolved: defaultdict[int, dict[str, Member]] = defaultdict(dict)
    findings: list[Finding] = []
    duplicates: list[Member] = []
    unproven: list[Member] = []
    for coin in sorted(by_coin):
        named = _symbols(coin, by_coin[coin], directions, max_deviation, by_coin.keys())
        for name, group in named.groups.items():
            for member in sorted(group, key=_preference):
                held = resolved[member.source_id].setdefault(name, member)
                if held is not member:
                    duplicates.append(member)
                elif not named.is_compared and len(group) > 1:
                    unproven.append(member)
        findings += _findings(coin, named, by_coin[coin], directions)
    return Resolution(
        members=dict(resolved),
        findings=tuple(findings),
        duplicates=tuple(duplicates),
        unproven=tuple(unproven),
    )


class _Named(msgspec.Struct, frozen=True, kw_only=True):
    """The groups of one coin name."""

    groups: dict[str, list[Member]]
    """By symbol; the first is the one that has the plain name's history."""
    outside: dict[tuple[int, str], str]
    """Listings that take no part, with the reason."""
    is_compared: bool
    """Whether there were prices at all."""


def _preference(member: Member) -> tuple[float, str]:
    # The plain one of PEPE and 1000PEPE needs no belief in a factor.
    return member.leg.price_multiplier, member.exchange_symbol


def _symbols(
    coin: str,
    members: Sequence[Member],
    directions: Sequence[Direction],
    max_deviation: float,
    taken: Collection[str],
) -> _Named:
    priced = [m for m in members if m.price is not None and not m.is_accepted]
    if not priced:
        return _Named(groups={f"{coin}-{QUOTE}": list(members)}, outside={}, is_compared=False)
    groups = _groups(priced, max_deviation)
    outside = _without_misindexed(groups, max_deviation)
    pairable = [group for group in groups if _has_pair(group, directions)]
    named = _with_names(coin, pairable or groups[:1], taken)
    for group in groups:
        if not any(group is kept for kept in named.values()):
            outside |= {member.key: "" for member in group}
    outside |= _place_unpriced(members, named)
    return _Named(groups=named, outside=outside, is_compared=True)


def _place_unpriced(
    members: Sequence[Member], named: Mapping[str, list[Member]]
) -> dict[tuple[int, str], str]:
    """Put what has no price where the operator or the last universe had it; return the rest."""
    main = next(iter(named.values()))
    outside = {}
    for member in members:
        if member.is_accepted:
            main.append(member)
        elif member.price is None:
            last = named.get(member.last_name or "")
            if last is not None:
                last.append(member)
            else:
                outside[member.key] = "it has no price to compare"
    return outside


def _groups(members: Sequence[Member], max_deviation: float) -> list[list[Member]]:
    """Split into groups of which no two prices differ by more than the bound, the largest first."""
    left = sorted(members, key=_price)
    groups = []
    while left:
        # (size, tightness) of the window that begins at each place.
        best = (0, -math.inf, 0)
        end = 0
        for begin, lowest in enumerate(left):
            while end < len(left) and _price(left[end]) <= _price(lowest) * (1 + max_deviation):
                end += 1
            best = max(best, (end - begin, -_price(left[end - 1]) / _price(lowest), -begin))
        begin = -best[2]
        groups.append(left[begin : begin + best[0]])
        left = left[:begin] + left[begin + best[0] :]
    return groups


def _price(member: Member) -> float:
    assert member.price is not None, member
    return member.price


def _without_misindexed(
    groups: Sequence[list[Member]], max_deviation: float
) -> dict[tuple[int, str], str]:
    """Take out perpetuals whose index follows something else than their group's spot price."""
    outside = {}
    for group in groups:
        for member in list(group):
            spot = [
                _price(other)
                for other in group
                if other.market is Market.SPOT and other.source_id != member.source_id
            ]
            if member.index_price is None or not spot:
                continue
            if abs(member.index_price / median(spot) - 1) > max_deviation:
                group.remove(member)
                outside[member.key] = (
                    f"its index is at {member.index_price:.6g}, spot at {median(spot):.6g}"
                )
    return outside


def _has_pair(group: Iterable[Member], directions: Sequence[Direction]) -> bool:
    present = {member.source_id for member in group}
    return any({row.spot_source, row.futures_source} <= present for row in directions)


def _with_names(
    coin: str, groups: Sequence[list[Member]], taken: Collection[str]
) -> dict[str, list[Member]]:
    """Give each group the name that most of its listings had, else the next that is free."""
    plain = f"{coin}-{QUOTE}"
    votes = [
        Counter(m.last_name for m in group if m.last_name is not None).most_common()
        for group in groups
    ]
    named: dict[str, list[Member]] = {}
    left = []
    for group, counted in sorted(
        zip(groups, votes, strict=True),
        key=lambda item: -(item[1][0][1] if item[1] else 0),
    ):
        name = next((name for name, _ in counted if name not in named), None)
        # Listings that the operator moved to another coin bring no name with them.
        if name is not None and (name == plain or name.startswith(f"{coin}_")):
            named[name] = group
        else:
            left.append(group)
    number = 2
    for group in sorted(left, key=len, reverse=True):
        name = plain
        while name in named or (name != plain and name.removesuffix(f"-{QUOTE}") in taken):
            name = f"{coin}_{number}-{QUOTE}"
            number += 1
        named[name] = group
    # The plain name first: accepted and reported listings are held against that coin.
    return dict(sorted(named.items(), key=lambda item: (item[0] != plain, item[0])))


def _findings(
    coin: str, named: _Named, members: Sequence[Member], directions: Sequence[Direction]
) -> list[Finding]:
    main_name, main = next(iter(named.groups.items()))
    name_of = {member.key: name for name, group in named.groups.items() for member in group}
    found = []
    for member in members:
        name = name_of.get(member.key)
        if name == main_name:
            continue
        lost = _lost_pairs(member, name, members, name_of, directions)
        others = [
            _price(other)
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
                why=named.outside.get(member.key) or _difference(member, reference, len(others)),
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
    ratio = _price(member) / reference
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
