"""What every open episode's route is worth right now, computed for all of them at once. Pure.

A leg counts only when its slot is usable: read together with the other leg, no flag set, written by
the feed that owns the source now, young enough, and vouched for by a living pipeline. A route whose
legs are not both usable has no spread, and nothing may be concluded from it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spreadscan.config import RoundTripFees
from spreadscan.engine.spread import entry_spread_bps, executable_usd
from spreadscan.shm.layout import MAX_SYMBOLS
from spreadscan.shm.price_store import is_usable
from spreadscan.tracker.episode import Route

__all__ = ["Legs", "Limits", "Snapshot", "Watch", "evaluate", "watch"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Watch(NamedTuple):
    """The routes to look at; row i of every array belongs to the i-th of them."""

    slots: npt.NDArray[np.int32]
    """Shape (2n,): first all spot legs, then all futures legs, for one read of the price store."""
    sources: npt.NDArray[np.intp]
    """Shape (2n,): the source of each slot."""
    fee_bps: Floats
    """Shape (n,): round-trip fees; NaN where the direction is no longer configured."""
    known: Bools
    """Shape (n,): whether the route can be read at all."""


class Legs(NamedTuple):
    """What was read of the watched slots, and what vouches for it; arrays of shape (2n,)."""

    records: npt.NDArray[np.void]
    """PRICE_DTYPE."""
    is_stable: Bools
    """Whether it and the route's other leg were read as they stood at one moment."""
    epochs: npt.NDArray[np.uint64]
    """Of its source, read after the records."""
    is_vouched: Bools
    """Whether its feed and the engine lived then, and the engine does not hold it for frozen."""


class Limits(NamedTuple):
    """What a look may believe."""

    max_leg_age_ns: int
    """A quote received longer ago is stale."""
    max_spread_bps: float
    """A gross spread of this and beyond, either way, is a mistake of somebody."""


class Snapshot(NamedTuple):
    """One look at n routes; values are meaningless where ``usable`` is False."""

    usable: Bools
    gross_bps: Floats
    net_bps: Floats
    executable_usd: Floats
    spot: npt.NDArray[np.void]
    """Shape (n,), PRICE_DTYPE."""
    futures: npt.NDArray[np.void]
    """Shape (n,), PRICE_DTYPE."""

    def of(self, routes: Bools) -> "Snapshot":
        """Return the look at some of the routes, shape (n,)."""
        return Snapshot(
            usable=self.usable[routes],
            gross_bps=self.gross_bps[routes],
            net_bps=self.net_bps[routes],
            executable_usd=self.executable_usd[routes],
            spot=self.spot[routes],
            futures=self.futures[routes],
        )

    def moment(self, now_ns: int) -> dict[str, npt.NDArray[np.generic]]:
        """Return the usable routes' values by the names of a moment's fields."""
        usable = self.usable
        found: dict[str, npt.NDArray[np.generic]] = {
            "time_ns": np.full(int(usable.sum()), now_ns, np.int64),
            "gross_bps": self.gross_bps[usable],
            "net_bps": self.net_bps[usable],
            "usd": self.executable_usd[usable],
        }
        for leg, slots in (("spot", self.spot), ("futures", self.futures)):
            for name in ("bid", "ask", "bid_qty", "ask_qty"):
                found[f"{leg}_{name}"] = slots[name][usable]
        return found


def watch(routes: Sequence[Route], fees: Mapping[str, RoundTripFees]) -> Watch:
    """Lay out which slots to read for these routes; ``fees`` is keyed by direction name."""
    symbol_ids = np.array([route.symbol_id for route in routes], dtype=np.int32)
    sources = np.array(
        [route.spot_source for route in routes] + [route.futures_source for route in routes],
        dtype=np.intp,
    )
    fee_bps = np.array(
        [
            fees[route.direction].of(route.symbol) if route.direction in fees else np.nan
            for route in routes
        ],
        dtype=np.float64,
    )
    # An unlisted symbol has no slot; it reads symbol 0's and `known` throws the result away.
    symbols = np.tile(np.maximum(symbol_ids, 0), 2)
    return Watch(
        slots=(sources * MAX_SYMBOLS + symbols).astype(np.int32),
        sources=sources,
        fee_bps=fee_bps,
        known=(symbol_ids >= 0) & np.isfinite(fee_bps),
    )


def evaluate(watched: Watch, legs: Legs, now_ns: int, limits: Limits) -> Snapshot:
    """Compute spreads and usability of all watched routes.

    Args:
        watched: the routes.
        legs: what was read of ``watched.slots``.
        now_ns: monotonic time of the look.
        limits: what may be believed.
    """
    slots = legs.records
    usable = is_usable(slots, legs.is_stable, legs.epochs, now_ns, limits.max_leg_age_ns)
    usable &= legs.is_vouched
    # Feeds never store such a price; NaN compares false everywhere, so it could not pass either.
    usable &= (slots["bid"] > 0.0) & (slots["bid"] < slots["ask"]) & np.isfinite(slots["ask"])
    count = len(watched.fee_bps)
    spot, futures = slots[:count], slots[count:]
    # Slots that were never written hold zeros; their result is masked, not computed around.
    with np.errstate(all="ignore"):
        gross_bps = entry_spread_bps(spot["ask"], futures["bid"])
        net_bps = gross_bps - watched.fee_bps
        usd = executable_usd(spot["ask"], spot["ask_qty"], futures["bid"], futures["bid_qty"])
        is_sane = np.abs(gross_bps) < limits.max_spread_bps
    finite = np.isfinite(net_bps) & np.isfinite(usd)
    return Snapshot(
        usable=usable[:count] & usable[count:] & watched.known & finite & is_sane,
        gross_bps=gross_bps,
        net_bps=net_bps,
        executable_usd=usd,
        spot=spot,
        futures=futures,
    )
