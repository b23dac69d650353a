"""All sources of one run together: fresh legs, or the last ones where a listing failed. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from spreadscan.discovery.intersect import Intersection
from spreadscan.discovery.last import Last
from spreadscan.discovery.normalise import Legs, normalise, spot_bases_of
from spreadscan.errors import DiscoveryError
from spreadscan.exchanges import Source
from spreadscan.model import RawInstrument

__all__ = ["Listings", "SourceOutcome", "check_share", "outcomes_of"]

Listings = Mapping[str, list[RawInstrument] | DiscoveryError]
"""Source name to its rows, or why there are none."""

SPOT_SOURCES = slice(0, None, 2)


class SourceOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one source in a run."""

    legs: Legs
    listed_at: str
    """UTC, ISO 8601: when the listing behind the legs was read."""
    failure: str | None = None
    """Why this run could not read the listing; the legs are then those of the last universe."""


def outcomes_of(
    active: Sequence[Source],
    listings: Listings,
    last: Last,
    now: str,
) -> dict[str, SourceOutcome]:
    """Normalise every listing; a missing one is replaced by the last universe's legs.

    Args:
        active: the sources that take part.
        listings: what was read, for each of them.
        last: the last universe.
        now: UTC, ISO 8601.
    """
    bases = _spot_bases(listings, last)
    outcomes: dict[str, SourceOutcome] = {}
    for source in active:
        rows = listings[source.name]
        if isinstance(rows, DiscoveryError):
            outcomes[source.name] = _kept(source, rows, last)
        else:
            legs = normalise(rows, source.market, bases)
            outcomes[source.name] = SourceOutcome(legs=legs, listed_at=now)
    return outcomes


def _spot_bases(
    listings: Mapping[str, list[RawInstrument] | DiscoveryError], last: Last
) -> frozenset[str]:
    """Return every base on spot, and those of the last universe: a source may be missing now."""
    read = [rows for rows in listings.values() if not isinstance(rows, DiscoveryError)]
    symbols = last.universe.symbols if last.universe else ()
    return spot_bases_of(read) | {
        row.name.rpartition("-")[0]
        for row in symbols
        if any(leg is not None for leg in row.instruments[SPOT_SOURCES])
    }


def _kept(source: Source, failure: DiscoveryError, last: Last) -> SourceOutcome:
    symbols = last.universe.symbols if last.universe else ()
    by_name = {
        row.name: leg for row in symbols if (leg := row.instruments[source.source_id]) is not None
    }
    if not by_name or last.metadata is None:
        # Nothing to go on with: its directions wait, the others need not.
        return SourceOutcome(
            legs=Legs(by_name={}, listed_count=0, excluded={}), listed_at="", failure=str(failure)
        )
    stats = last.metadata.validation_stats.get(source.name, {})
    return SourceOutcome(
        legs=Legs(by_name=by_name, listed_count=len(by_name), excluded={}),
        listed_at=str(stats.get("listed_at", last.metadata.timestamp)),
        failure=str(failure),
    )


def check_share(found: Intersection, last: Last, min_share: float) -> None:
    """Refuse a result that lost too many pairs of the directions that are still configured.

    Raises:
        DiscoveryError: fewer than ``min_share`` (0 to 1) of the last pairs are left.
    """
    if last.universe is None:
        return
    configured = {row.direction_id for row in found.directions}
    before = sum(
        len(row.symbols) for row in last.universe.directions if row.direction_id in configured
    )
    after = sum(len(row.symbols) for row in found.directions)
    if after < before * min_share:
        raise DiscoveryError(
            f"found {after} pairs, expected at least {min_share:.0%} of "
            f"the last {before}; the last universe stays (--force accepts the new one)"
        )
