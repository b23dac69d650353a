"""What a trader asks of a route's history: how often, how long, how far, and for how sure. Pure.

Survival is the product-limit estimate (Kaplan and Meier): an episode that converged is a death; one
that ended otherwise, or is still open, is only known to have lived until it was last seen: the time
out of sight before it was given up is nobody's life.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from spreadscan.ops.ledger import EpisodeSummary

__all__ = ["SURVIVAL_S", "RouteStatistics", "Usual", "route_statistics", "survival"]

SURVIVAL_S = (0.1, 1.0, 10.0, 60.0)
REARM_WITHIN_NS = 60_000_000_000
CONVERGED = "converged"


class Usual(NamedTuple):
    """A route's baseline."""

    median_bps: float
    """Of the gross entry spread."""
    mad_bps: float
    samples: int


class RouteStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One route, or all of them together where the names are ``*``."""

    direction: str
    symbol: str
    count: int
    open: int
    median_life_s: float | None
    """Of those that converged; None when none has."""
    median_peak_net_bps: float
    median_time_to_peak_s: float
    share_converged: float | None
    """Of those that ended; None when none has."""
    rearm_rate: float | None
    """Share of the ended after which the route opened again within a minute."""
    survival: dict[str, float | None]
    """P(alive after so long), by seconds; None where nothing lived that long to tell."""
    usual_gross_bps: float | None = None
    """Median of the route's gross spread over the last hours; None where it is not known now."""
    usual_mad_bps: float | None = None
    """Its median absolute deviation."""


def route_statistics(
    episodes: Iterable[EpisodeSummary], usual: Mapping[tuple[str, str], Usual]
) -> list[RouteStatistics]:
    """Return every route's numbers, the busiest first, after those of all routes together.

    Args:
        episodes: open and ended ones.
        usual: baselines by direction and symbol, as far as they are known.
    """
    routes: dict[tuple[str, str], list[EpisodeSummary]] = defaultdict(list)
    everything = list(episodes)
    for episode in everything:
        routes[episode.direction, episode.symbol].append(episode)
    if not everything:
        return []
    rows = [_of(*route, found, usual.get(route)) for route, found in routes.items()]
    rows.sort(key=lambda row: (-row.count, row.direction, row.symbol))
    return [_of("*", "*", everything, None), *rows]


def survival(episodes: Sequence[EpisodeSummary], after_s: float) -> float | None:
    """Return the probability that an episode is not converged after this long."""
    lives = sorted(
        (row.life_ns, True) if row.ending == CONVERGED else (row.seen_ns, False) for row in episodes
    )
    at_risk = len(lives)
    alive = 1.0
    limit_ns = after_s * 1e9
    if not lives:
        return None
    if lives[-1][0] < limit_ns and not lives[-1][1]:
        # The longest life broke off before that: nobody knows.
        return None
    index = 0
    while index < len(lives) and lives[index][0] <= limit_ns:
        life_ns = lives[index][0]
        deaths = leaving = 0
        while index < len(lives) and lives[index][0] == life_ns:
            deaths += lives[index][1]
            leaving += 1
            index += 1
        alive *= 1.0 - deaths / at_risk
        at_risk -= leaving
    return alive


def _of(
    direction: str, symbol: str, episodes: Sequence[EpisodeSummary], usual: Usual | None
) -> RouteStatistics:
    ended = [row for row in episodes if row.ending is not None]
    converged = [row.life_ns / 1e9 for row in ended if row.ending == CONVERGED]
    return RouteStatistics(
        direction=direction,
        symbol=symbol,
        count=len(episodes),
        open=len(episodes) - len(ended),
        median_life_s=median(converged) if converged else None,
        median_peak_net_bps=median(row.peak_net_bps for row in episodes),
        median_time_to_peak_s=median(row.peak_after_ns / 1e9 for row in episodes),
        share_converged=len(converged) / len(ended) if ended else None,
        rearm_rate=_rearm_rate(episodes, ended),
        survival={f"{after_s:g}": survival(episodes, after_s) for after_s in SURVIVAL_S},
        usual_gross_bps=None if usual is None else usual.median_bps,
        usual_mad_bps=None if usual is None else usual.mad_bps,
    )


def _rearm_rate(
    episodes: Sequence[EpisodeSummary], ended: Sequence[EpisodeSummary]
) -> float | None:
    if not ended:
        return None
    ended_ns = {row.episode_id: row.opened_wall_ns + row.life_ns for row in ended}
    again = {
        row.previous_id
        for row in episodes
        if row.previous_id in ended_ns
        and row.opened_wall_ns - ended_ns[row.previous_id] <= REARM_WITHIN_NS
    }
    return len(again) / len(ended)
