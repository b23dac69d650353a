"""What is usual for a route: median and MAD of its spread over some hours. Pure.

A window holds one value for each round of looks, oldest overwritten first, NaN where the route was
out of sight; so it is a window of time, its memory is bounded, and the estimates are exact. The
median of hours is hardly moved by a dislocation of minutes, which is what it is compared with.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from spreadscan.tracker.episode import Route

__all__ = ["Estimate", "SpreadWindows"]

Floats = npt.NDArray[np.float32]


class Estimate(NamedTuple):
    """Of n routes; values are NaN where there is no sample."""

    median_bps: Floats
    mad_bps: Floats
    """Median absolute deviation from the median."""
    samples: npt.NDArray[np.int64]


class SpreadWindows:
    """Windows of all routes.

    Args:
        routes: whose windows; row i belongs to the i-th.
        length: values a window holds.

    Concurrency: none; it belongs to the tracker's loop.
    """

    def __init__(self, routes: Sequence[Route], length: int) -> None:
        self.routes = list(routes)
        self.values = np.full((len(routes), length), np.nan, np.float32)
        """Gross entry spread in basis points, shape (routes, length)."""
        self.round = 0
        """Rounds begun; a round's column is its number modulo the length."""

    def put(self, first: int, gross_bps: npt.NDArray[np.floating]) -> Estimate:
        """Return the estimates of the routes from row *first* on, then note this round's values.

        The estimates are of the looks before this one: what is compared with them until the next is
        most likely what this one sees.

        Args:
            first: row of the first value.
            gross_bps: NaN where the route is out of sight.
        """
        rows = slice(first, first + len(gross_bps))
        column = self.round % self.values.shape[1]
        # It may have been noted already: after a reload the round is begun again.
        self.values[rows, column] = np.nan
        found = _estimate(self.values[rows])
        self.values[rows, column] = gross_bps
        return found

    def next_round(self) -> None:
        """Begin a round: what is a window old is forgotten."""
        self.round += 1
        self.values[:, self.round % self.values.shape[1]] = np.nan

    def forget_rounds(self, count: int) -> None:
        """Let rounds pass in which nobody looked."""
        for _ in range(min(count, self.values.shape[1])):
            self.next_round()

    def taken_over(self, routes: Sequence[Route]) -> "SpreadWindows":
        """Return the windows of another universe's routes, with what is known of those by name."""
        successor = SpreadWindows(routes, self.values.shape[1])
        successor.round = self.round
        row_of = {route.key: row for row, route in enumerate(self.routes)}
        pairs = [
            (row, row_of[route.key]) for row, route in enumerate(routes) if route.key in row_of
        ]
        if pairs:
            target, source = np.array(pairs).T
            successor.values[target] = self.values[source]
        return successor


def _estimate(values: Floats) -> Estimate:
    samples = np.isfinite(values).sum(axis=1)
    median = _median(values, samples)
    return Estimate(median, _median(np.abs(values - median[:, None]), samples), samples)


def _median(values: Floats, samples: npt.NDArray[np.int64]) -> Floats:
    # Sorting puts NaN last. (nanmedian of many short rows takes ten times as long.)
    ordered = np.sort(values, axis=1)
    last = np.maximum(samples - 1, 0)
    low = np.take_along_axis(ordered, (last // 2)[:, None], axis=1)[:, 0]
    high = np.take_along_axis(ordered, ((last + 1) // 2)[:, None], axis=1)[:, 0]
    found: Floats = ((low + high) / 2).astype(np.float32)
    return found
