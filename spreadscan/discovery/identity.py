"""Whether listings of one name are one coin: their prices tell. Pure.

Coins share tickers, and a pair of two coins is a spread that nobody can earn. The listings of a
name are split into groups within which no two prices differ by more than the bound; a symbol is
one group. What had one name in the last universe was one coin then: a listing whose price is
missing goes where the others of its old name are, and a name never goes to a group that had no
part in it while any of its listings are left. A further group that can make a pair of its own
becomes ``NAME_2``. What is left alone is quarantined and reported with its evidence.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from statistics import median

import msgspec

from spreadscan.discovery.findings import Finding, findings_of
from spreadscan.discovery.member import Member
from spreadscan.discovery.screen import QUOTE
from spreadscan.model import Direction, Market

__all__ = ["Resolution", "resolve"]


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
    members: Iterable[Member],
    directions: Sequence[Direction],
    max_deviation: float,
    *,
    may_trust_names: bool = True,
) -> Resolution:
    """Split the listings into symbols.

    Args:
        members: all listings of all sources.
        directions: the configured ones.
        max_deviation: largest difference of two prices of one coin, as a share.
        may_trust_names: whether names decide in a run without a single price. Not after one that
            had prices: what it quarantined would be back.
    """
    by_coin: defaultdict[str, list[Member]] = defaultdict(list)
    for member in members:
        by_coin[member.coin].append(member)
    are_names_enough = may_trust_names and all(
        member.price is None for coin_members in by_coin.values() for member in coin_members
    )
    resolved: defaultdict[int, dict[str, Member]] = defaultdict(dict)
    findings: list[Finding] = []
    duplicates: list[Member] = []
    unproven: list[Member] = []
    for coin in sorted(by_coin):
        split = _Split(coin, by_coin[coin], directions, max_deviation)
        named = split.by_name(by_coin.keys(), are_names_enough=are_names_enough)
        for name, group in named.groups.items():
            for member in sorted(group, key=_preference):
                held = resolved[member.source_id].setdefault(name, member)
                if held is not member:
                    duplicates.append(member)
                elif not named.is_compared and len(group) > 1:
                    unproven.append(member)
        findings += findings_of(
            coin, by_coin[coin], named.groups, named.outside, named.main, directions
        )
    return Resolution(
        members=dict(resolved),
        findings=tuple(findings),
        duplicates=tuple(duplicates),
        unproven=tuple(unproven),
    )


class _Named(msgspec.Struct, frozen=True, kw_only=True):
    """The groups of one coin name."""

    groups: dict[str, list[Member]]
    """By symbol; each can make a pair."""
    outside: dict[tuple[int, str], str]
    """Listings that take no part, with the reason; "" where their price is the reason."""
    main: list[Member]
    """What the coin is taken for: evidence is held against it."""
    is_compared: bool
    """Whether there were prices at all."""


def _preference(member: Member) -> tuple[float, str]:
    # The plain one of PEPE and 1000PEPE needs no belief in a factor.
    return member.leg.price_multiplier, member.exchange_symbol


class _Split:
    """The listings of one coin name, on their way to symbols."""

    def __init__(
        self,
        coin: str,
        members: Sequence[Member],
        directions: Sequence[Direction],
        max_deviation: float,
    ) -> None:
        self._coin = coin
        self._plain = f"{coin}-{QUOTE}"
        self._directions = directions
        self._members = members
        self._accepted = [member for member in members if member.is_accepted]
        self._outside: dict[tuple[int, str], str] = {}
        priced = [m for m in members if m.price is not None and not m.is_accepted]
        self._is_compared = bool(priced)
        self._groups = _groups(priced, max_deviation)
        self._outside |= _without_misindexed(self._groups, max_deviation)
        self._groups = [group for group in self._groups if group]

    def by_name(self, taken: Collection[str], *, are_names_enough: bool) -> _Named:
        """Return the groups that can make a pair, each under its symbol's name.

        Args:
            taken: all coin names.
            are_names_enough: join what has neither a price nor a history by its name.
        """
        unpriced = [m for m in self._members if m.price is None and not m.is_accepted]
        if are_names_enough:
            self._groups = [unpriced] if unpriced else []
        else:
            self._place_unpriced(unpriced)
        named = self._named(taken)
        if self._accepted:
            named.setdefault(self._plain, []).extend(self._accepted)
        pairable = {
            name: group for name, group in named.items() if _has_pair(group, self._directions)
        }
        kept = {member.key for group in pairable.values() for member in group}
        for group in (*named.values(), *self._groups):
            self._outside |= {m.key: "" for m in group if m.key not in kept | self._outside.keys()}
        main = pairable.get(self._plain) or next(
            iter(pairable.values()), max(self._groups, key=len, default=[])
        )
        return _Named(
            groups=pairable, outside=self._outside, main=main, is_compared=self._is_compared
        )

    def _place_unpriced(self, unpriced: Sequence[Member]) -> None:
        """Put each where most of its old name are; old ones that are all unpriced stay together."""
        orphans: defaultdict[str, list[Member]] = defaultdict(list)
        homes: dict[str, list[Member]] = {}
        for member in unpriced:
            name = self._history(member)
            if name is None:
                self._outside[member.key] = "it has no price to compare"
                continue
            if name not in homes:
                votes = [sum(self._history(m) == name for m in group) for group in self._groups]
                best = max(votes, default=0)
                homes[name] = self._groups[votes.index(best)] if best else orphans[name]
            homes[name].append(member)
        self._groups += list(orphans.values())

    def _history(self, member: Member) -> str | None:
        """Return its last name if that was a name of this coin: the operator may have moved it."""
        name = member.last_name
        if name == self._plain or (name is not None and name.startswith(f"{self._coin}_")):
            return name
        return None

    def _named(self, taken: Collection[str]) -> dict[str, list[Member]]:
        """Give each group the name that most of its listings had, else one that nobody had."""
        votes = [
            (count, len(group), name, number)
            for number, group in enumerate(self._groups)
            for name, count in Counter(map(self._history, group)).items()
            if name is not None
        ]
        named: dict[str, list[Member]] = {}
        done: set[int] = set()
        for _, _, name, number in sorted(votes, key=lambda vote: (-vote[0], -vote[1], vote[2:])):
            if name not in named and number not in done:
                named[name] = self._groups[number]
                done.add(number)
        # The larger first, those that make a pair before those that do not.
        rest = sorted(
            (group for number, group in enumerate(self._groups) if number not in done),
            key=lambda group: (
                not _has_pair([*group, *self._accepted], self._directions), -len(group),
            ),
        )  # fmt: skip
        used = {name for name in map(self._history, self._members) if name is not None}
        number = 2
        for group in rest:
            name = self._plain
            while name in used or (name != self._plain and name.removesuffix(f"-{QUOTE}") in taken):
                name = f"{self._coin}_{number}-{QUOTE}"
                number += 1
            used.add(name)
            named[name] = group
        return named


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
