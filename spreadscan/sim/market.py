"""The price process: correlated random walks, small differences between sources, dislocations.

Every coin follows one market factor and its own noise; every source quotes it with a small basis
of its own. Now and then a *dislocation* takes one coin at one source away from the others for some
seconds and back: these are the opportunities that a scanner should find. All in numpy, one array
element per listing (*row*); no clock and no chance but what is handed in, so that a seed repeats a
run step by step, and the truth behind every quote can be asked for.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from spreadscan.sim.universe import Listing

__all__ = ["Dislocation", "Market", "MarketSettings", "Quote"]

# A row whose quote is further from its true price than this is quoted anew at once: books move
# when prices do, and only a little when nothing happens.
PROMPT_GAP = 5e-4
BASIS_BPS = 2.0
BASIS_MEMORY_S = 30.0
DISLOCATION_RAMP_S = 0.2
TYPICAL_NOTIONAL_USD = 20_000.0


class MarketSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How lively the simulated world is."""

    seed: int = 7
    rate_hz: float = 2000.0
    """Quotes per second over all rows; each row changes at most once a step."""
    market_bps: float = 0.6
    """Standard deviation of the common factor over one second."""
    coin_bps: float = 0.8
    """Standard deviation of each coin's own noise over one second."""
    dislocations_per_s: float = 2.0
    """Over all rows together."""
    dislocation_bps: tuple[float, float] = (60.0, 150.0)
    dislocation_s: tuple[float, float] = (1.0, 20.0)

    def step_s(self, rows: int) -> float:
        """Return the length of one step: 20 ms, less where the rate needs it."""
        return min(0.02, max(0.002, 0.5 * rows / max(self.rate_hz, 1e-9)))


class Quote(NamedTuple):
    """What a source shows for one row, on the grid of its listing."""

    row: int
    bid_ticks: int
    bid_lots: int
    ask_ticks: int
    ask_lots: int
    exchange_ms: int
    """When it came about, Unix milliseconds."""
    update_id: int
    """Rises with every quote of a row."""


class Dislocation(NamedTuple):
    """One row's departure from the other sources, for the oracle."""

    row: int
    size_bps: float
    start_s: float
    """In seconds of simulated time."""
    end_s: float


class Market:
    """Every row's true price and its last quote.

    Args:
        listings: all rows of all sources.
        settings: liveliness and seed.
        start_ms: Unix milliseconds of the first quotes; the update ids begin there too, so that
            they go on rising when a simulator is started again.
    """

    def __init__(
        self, listings: Sequence[Listing], settings: MarketSettings, start_ms: int
    ) -> None:
        self._listings = listings
        self._settings = settings
        self._rng = np.random.default_rng(settings.seed)
        count = len(listings)
        self.step_s = settings.step_s(count)
        self.elapsed_s = 0.0

        self._coin = np.array([row.coin_index for row in listings], dtype=np.int64)
        coin_count = int(self._coin.max()) + 1
        start = np.ones(coin_count)
        for row in listings:
            start[row.coin_index] = row.coin.price_usd
        self._coin_price = start
        self._beta = self._rng.uniform(0.6, 1.4, coin_count)
        self._price_coins = np.array([row.price_coins for row in listings])
        self._tick = np.array([10.0**row.tick_exponent for row in listings])
        self._lot_coins = np.array([row.size_coins * 10.0**row.lot_exponent for row in listings])
        weight = 1.0 / (self._coin + 6.0)
        self._chance = weight / weight.sum()
        self._half_spread = 0.4e-4 * np.sqrt(1.0 + self._coin / 8.0)

        self._home_bps = self._rng.normal(0.0, BASIS_BPS, count)
        self._basis_bps = self._home_bps.copy()
        self._dislocated_bps = np.zeros(count)
        self._dislocated_from_s = np.zeros(count)
        self._dislocated_until_s = np.full(count, -1.0)
        self._is_muted = np.zeros(count, dtype=np.bool_)

        self._bid_ticks = np.zeros(count, dtype=np.int64)
        self._ask_ticks = np.zeros(count, dtype=np.int64)
        self._bid_lots = np.zeros(count, dtype=np.int64)
        self._ask_lots = np.zeros(count, dtype=np.int64)
        self._exchange_ms = np.zeros(count, dtype=np.int64)
        self._update_id = np.full(count, start_ms * 100, dtype=np.int64)
        self._shown_mid = np.ones(count)
        self._requote(np.arange(count), self.true_mids(), start_ms)

    def step(self, wall_ms: int) -> NDArray[np.int64]:
        """Let ``step_s`` pass and return the rows that have a new quote, in ascending order."""
        self.elapsed_s += self.step_s
        self._walk()
        self._dislocate()
        mids = self.true_mids()
        expected = self._settings.rate_hz * self.step_s
        picked = self._rng.random(len(mids)) < self._chance * expected
        if expected > 0:
            picked |= np.abs(mids / self._shown_mid - 1.0) > PROMPT_GAP
        rows: NDArray[np.int64] = np.flatnonzero(picked & ~self._is_muted)
        self._requote(rows, mids, wall_ms)
        return rows

    def true_mids(self) -> NDArray[np.float64]:
        """Return every row's true price in quoted units, before the grid and the spread."""
        ramp = np.minimum(
            self.elapsed_s - self._dislocated_from_s, self._dislocated_until_s - self.elapsed_s
        )
        share = np.clip(ramp / DISLOCATION_RAMP_S, 0.0, 1.0)
        offset_bps = self._basis_bps + share * self._dislocated_bps
        mids: NDArray[np.float64] = (
            self._coin_price[self._coin] * self._price_coins * (1.0 + offset_bps * 1e-4)
        )
        return mids

    def quote(self, row: int) -> Quote:
        """Return what the row's source shows now."""
        return Quote(
            row,
            int(self._bid_ticks[row]),
            int(self._bid_lots[row]),
            int(self._ask_ticks[row]),
            int(self._ask_lots[row]),
            int(self._exchange_ms[row]),
            int(self._update_id[row]),
        )

    def quotes(self, rows: Sequence[int]) -> list[Quote]:
        """Return what the sources of many rows show now."""
        columns = (
            self._bid_ticks,
            self._bid_lots,
            self._ask_ticks,
            self._ask_lots,
            self._exchange_ms,
            self._update_id,
        )
        index = np.asarray(rows, dtype=np.int64)
        return list(map(Quote, rows, *(column[index].tolist() for column in columns)))

    def present_quotes(self, rows: Sequence[int]) -> list[Quote]:
        """Return the same for tickers: a recorded row stands where its recording was last."""
        muted = np.asarray(rows, dtype=np.int64)
        muted = muted[self._is_muted[muted]]
        self._bid_ticks[muted], self._ask_ticks[muted] = self._touch(self._shown_mid[muted], muted)
        return self.quotes(rows)

    def index_prices(self, rows: Sequence[int]) -> list[float]:
        """Return the coins' prices over all sources, free of any source's departure from them.

        In quoted units of each row, of one bundle where the row quotes bundles.
        """
        index = np.asarray(rows, dtype=np.int64)
        prices: list[float] = (
            self._coin_price[self._coin[index]] * self._price_coins[index]
        ).tolist()
        return prices

    def renumber(self, rows: Iterable[int]) -> None:
        """Let the update ids of these rows begin anew at 1, as after an exchange's restart."""
        self._update_id[list(rows)] = 1

    def dislocations(self) -> list[Dislocation]:
        """Return those under way, in order of row."""
        rows = np.flatnonzero(self._dislocated_until_s > self.elapsed_s)
        return [
            Dislocation(
                int(row),
                float(self._dislocated_bps[row]),
                float(self._dislocated_from_s[row]),
                float(self._dislocated_until_s[row]),
            )
            for row in rows
        ]

    def mute(self, rows: Iterable[int]) -> None:
        """Quote these rows no more: a recording speaks for them."""
        self._is_muted[list(rows)] = True

    def follow(self, row: int, quoted_mid: float) -> None:
        """Take over a recorded price, so that the coin's other sources stay near it."""
        self._coin_price[self._coin[row]] = quoted_mid / self._price_coins[row]
        self._shown_mid[row] = quoted_mid

    def _walk(self) -> None:
        scale = np.sqrt(self.step_s) * 1e-4
        common = self._rng.normal(0.0, self._settings.market_bps * scale)
        own = self._rng.normal(0.0, self._settings.coin_bps * scale, len(self._coin_price))
        self._coin_price *= np.exp(self._beta * common + own)
        pull = self.step_s / BASIS_MEMORY_S
        noise = self._rng.normal(0.0, BASIS_BPS * np.sqrt(pull), len(self._basis_bps))
        self._basis_bps += (self._home_bps - self._basis_bps) * pull + noise * 0.5

    def _dislocate(self) -> None:
        settings = self._settings
        for _ in range(self._rng.poisson(settings.dislocations_per_s * self.step_s)):
            row = self._rng.integers(len(self._coin))
            size_bps = self._rng.uniform(*settings.dislocation_bps) * self._rng.choice((-1.0, 1.0))
            life_s = self._rng.uniform(*settings.dislocation_s)
            if self._dislocated_until_s[row] > self.elapsed_s:
                continue
            self._dislocated_bps[row] = size_bps
            self._dislocated_from_s[row] = self.elapsed_s
            self._dislocated_until_s[row] = self.elapsed_s + life_s

    def _requote(self, rows: NDArray[np.int64], mids: NDArray[np.float64], wall_ms: int) -> None:
        mid = mids[rows]
        bid, ask = self._touch(mid, rows)
        lot_usd = self._lot_coins[rows] * self._coin_price[self._coin[rows]]
        notional = TYPICAL_NOTIONAL_USD * self._rng.lognormal(0.0, 0.8, (2, len(rows)))
        bid_lots, ask_lots = np.maximum(np.rint(notional / lot_usd), 1.0).astype(np.int64)
        # Nobody sends a quote that changed in nothing.
        same = (bid == self._bid_ticks[rows]) & (ask == self._ask_ticks[rows])
        same &= (bid_lots == self._bid_lots[rows]) & (ask_lots == self._ask_lots[rows])
        bid_lots += same

        self._bid_ticks[rows], self._ask_ticks[rows] = bid, ask
        self._bid_lots[rows], self._ask_lots[rows] = bid_lots, ask_lots
        self._exchange_ms[rows] = wall_ms
        self._update_id[rows] += self._rng.integers(1, 20, len(rows))
        self._shown_mid[rows] = mid

    def _touch(
        self, mid: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return bid and ask around these mids, in ticks."""
        tick, half = self._tick[rows], self._half_spread[rows]
        bid = np.maximum(np.floor(mid * (1.0 - half) / tick), 1.0).astype(np.int64)
        ask = np.maximum(np.ceil(mid * (1.0 + half) / tick).astype(np.int64), bid + 1)
        return bid, ask
