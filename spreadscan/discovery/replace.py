"""Whether a new universe may take the place of the last one. Pure.

Half a listing is far more often a fault at the exchange than a mass delisting, and a universe that
is a few hours old harms less than one with holes.
"""

from collections.abc import Collection, Mapping

import msgspec

from spreadscan.directions import DirectionRecord
from spreadscan.discovery.intersect import Intersection
from spreadscan.errors import DiscoveryError
from spreadscan.universe import Universe, direction_name

__all__ = ["OpenRoute", "check_replaceable"]


MIN_DIRECTION_SHARE = 0.5
"""One direction may lose more than all together: it may be small, or one of its exchanges is."""


class OpenRoute(msgspec.Struct, frozen=True):
    """A route with an open episode."""

    direction: str
    symbol: str


def check_replaceable(
    found: Intersection,
    last: Universe | None,
    *,
    min_share: float,
    open_routes: Collection[OpenRoute],
    ended: Mapping[int, Collection[str]],
) -> None:
    """Refuse a universe that has lost what it should not have lost.

    Args:
        found: the new one.
        last: the one in use, None when there is none.
        min_share: smallest share of the last pairs to be left, 0 to 1; of the directions that are
            still configured.
        open_routes: the tracker's open episodes.
        ended: source id to exchange symbols that the exchange's own listing has ended: what is
            delisted may go with an open episode, which then ends as delisted.

    Raises:
        DiscoveryError: too few pairs, a direction without any, or a pair with an open episode that
            nothing but our own doubts would remove.
    """
    if last is None:
        return
    now = {row.direction_id: row for row in found.directions}
    before = {row.direction_id: row for row in last.directions if row.direction_id in now}
    pairs_before = sum(len(row.symbols) for row in before.values())
    pairs_now = sum(len(row.symbols) for row in found.directions)
    if pairs_now < pairs_before * min_share:
        raise _refusal(
            f"found {pairs_now} pairs, expected at least {min_share:.0%} of the last {pairs_before}"
        )
    for direction_id, row in before.items():
        left = len(now[direction_id].symbols)
        if left < len(row.symbols) * MIN_DIRECTION_SHARE:
            raise _refusal(
                f"found {left} pairs of {direction_name(row)}, expected at least "
                f"{MIN_DIRECTION_SHARE:.0%} of its last {len(row.symbols)}"
            )
    lost = _lost_routes(last, before.values(), now, ended)
    held = [route for route in open_routes if route in lost]
    if held:
        shown = ", ".join(f"{route.symbol} {route.direction}" for route in held[:5])
        raise _refusal(
            f"found {len(held)} pairs with an open episode missing ({shown}), expected none"
        )


def _lost_routes(
    last: Universe,
    before: Collection[DirectionRecord],
    now: Mapping[int, DirectionRecord],
    ended: Mapping[int, Collection[str]],
) -> set[OpenRoute]:
    """Return the routes that are gone although no exchange has ended a leg of theirs."""
    symbols = {row.symbol_id: row for row in last.symbols}
    lost = set()
    for record in before:
        for symbol_id in set(record.symbols) - set(now[record.direction_id].symbols):
            symbol = symbols[symbol_id]
            is_ended = any(
                (leg := symbol.instruments[source_id]) is not None
                and leg.exchange_symbol in ended.get(source_id, ())
                for source_id in (record.spot_source, record.futures_source)
            )
            if not is_ended:
                lost.add(OpenRoute(direction_name(record), symbol.name))
    return lost


def _refusal(what: str) -> DiscoveryError:
    return DiscoveryError(f"{what}; the last universe stays (--force accepts the new one)")
