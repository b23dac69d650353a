"""Every route of the universe measured at once, for the board: numpy over shared memory."""

from enum import StrEnum

import msgspec
import numpy as np
import numpy.typing as npt

from spreadscan.config import Config
from spreadscan.engine.spread import entry_spread_bps, executable_usd, z_score
from spreadscan.shm.layout import MAX_SYMBOLS, PRICE_DTYPE
from spreadscan.shm.price_store import is_usable, slot_of
from spreadscan.shm.record_table import route_index
from spreadscan.shm.regions import Regions
from spreadscan.universe import Universe

__all__ = ["Order", "RouteRow", "RoutesNow"]

Int32Array = npt.NDArray[np.int32]
Float64Array = npt.NDArray[np.float64]


class Order(StrEnum):
    """What stands first."""

    NET = "net"
    Z_SCORE = "z-score"
    USD = "USD"
    AGE = "age"


class RouteRow(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol in one direction now, on two usable legs."""

    symbol: str
    spot_source: str
    futures_source: str
    gross_bps: float
    net_bps: float
    """After four taker fills."""
    executable_usd: float
    """What both top levels fill at once."""
    spot_age_ms: float
    futures_age_ms: float
    z_score: float | None = None
    """Of the gross spread against the route's baseline; None while that is not known."""
    funding_bps: float | None = None
    """What the perpetual's shorts get at the next settlement; negative: they pay."""
    funding_s: float | None = None
    """Until then."""


class RoutesNow:
    """The routes of one universe over a price store.

    Args:
        config: fees, directions, and when a leg is stale.
        universe: its directions are the routes; those of disabled exchanges are left out.
        regions: prices, baselines and funding, attached read-only.

    Concurrency: one thread; never blocks a writer.
    """

    def __init__(self, config: Config, universe: Universe, regions: Regions) -> None:
        self._prices = regions.prices
        self._baseline = regions.baseline
        self._funding = regions.funding
        self._max_age_ns = config.engine.max_leg_age_ms * 1_000_000
        self._max_baseline_age_ns = round(config.engine.max_baseline_age_s * 1e9)
        self._max_spread_bps = config.engine.max_spread_bps
        self._names = {symbol.symbol_id: symbol.name for symbol in universe.symbols}
        self._source_names = {source.source_id: source.name for source in config.active_sources()}
        fees = {each.direction_id: config.round_trip_fees(each) for each in config.directions}
        routes = [
            (
                direction.spot_source,
                direction.futures_source,
                symbol,
                fees[direction.direction_id].of(self._names[symbol]),
                direction.direction_id,
            )
            for direction in universe.directions
            if direction.direction_id in fees
            for symbol in direction.symbols
        ]
        self.count = len(routes)
        """How many routes there are."""
        self.usable_count = 0
        """How many had two usable legs when last refreshed."""
        self._fees = np.array([fee for *_, fee, _ in routes], np.float64)
        spot = [slot_of(source, symbol) for source, _, symbol, *_ in routes]
        futures = [slot_of(source, symbol) for _, source, symbol, *_ in routes]
        self._baseline_at = np.array(
            [route_index(direction, symbol) for _, _, symbol, _, direction in routes], np.int64
        )
        self._slots: Int32Array = np.unique(np.array(spot + futures, np.int32))
        self._spot = np.searchsorted(self._slots, spot)
        self._futures = np.searchsorted(self._slots, futures)
        self._now_ns = 0
        self._records = np.zeros(len(self._slots), PRICE_DTYPE)
        self._usable = np.zeros(len(self._slots), np.bool_)

    def refresh(self, now_ns: int) -> None:
        """Copy every leg's quote and judge it at ``now_ns`` (CLOCK_MONOTONIC)."""
        self._now_ns = now_ns
        self._records, stable = self._prices.read_many(self._slots)
        epochs = self._prices.epochs_of(self._slots)
        self._usable = is_usable(self._records, stable, epochs, now_ns, self._max_age_ns)
        self.usable_count = int((self._usable[self._spot] & self._usable[self._futures]).sum())

    def widest(
        self, count: int, order: Order = Order.NET, only: str = "", now_ms: int | None = None
    ) -> list[RouteRow]:
        """Return routes in order, the widest net spread first unless told otherwise.

        Those beyond belief are left out.

        Args:
            count: at most so many.
            order: what stands first.
            only: routes whose symbol or sources hold this text, in any case.
            now_ms: Unix milliseconds, for the time until settlements; None leaves funding out.
        """
        both = np.flatnonzero(self._usable[self._spot] & self._usable[self._futures])
        spot, futures = self._records[self._spot[both]], self._records[self._futures[both]]
        gross = entry_spread_bps(spot["ask"], futures["bid"])
        usd = executable_usd(spot["ask"], spot["ask_qty"], futures["bid"], futures["bid_qty"])
        net = gross - self._fees[both]
        is_shown = np.abs(gross) <= self._max_spread_bps
        if only:
            is_shown &= self._holding(only)[both]
        shown = np.flatnonzero(is_shown)
        z_scores = self._z_scores(both, gross) if order is Order.Z_SCORE else None
        keys = {
            Order.NET: -net,
            Order.Z_SCORE: -np.nan_to_num(z_scores, nan=-np.inf) if z_scores is not None else net,
            Order.USD: -usd,
            Order.AGE: -np.minimum(spot["received_ns"], futures["received_ns"]),
        }
        chosen = shown[np.argsort(keys[order][shown], kind="stable")][:count]
        return [
            RouteRow(
                symbol=self._names[int(self._slots[self._spot[both[at]]]) % MAX_SYMBOLS],
                spot_source=self._source_of(self._spot[both[at]]),
                futures_source=self._source_of(self._futures[both[at]]),
                gross_bps=float(gross[at]),
                net_bps=float(net[at]),
                executable_usd=float(usd[at]),
                spot_age_ms=self._age_ms(spot["received_ns"][at]),
                futures_age_ms=self._age_ms(futures["received_ns"][at]),
                z_score=self._z_score(int(both[at]), float(gross[at])),
                **self._funding_of(int(self._slots[self._futures[both[at]]]), now_ms),
            )
            for at in chosen
        ]

    def newest_age_ms(self, source_id: int) -> float | None:
        """Return the age of a source's newest usable quote; None when there is none."""
        of_source = self._usable & (self._slots // MAX_SYMBOLS == source_id)
        received = self._records["received_ns"][of_source]
        return self._age_ms(received.max()) if len(received) else None

    def _holding(self, text: str) -> npt.NDArray[np.bool_]:
        """Which routes have a text in their symbol or sources."""
        wanted = text.upper()
        symbols = {number for number, name in self._names.items() if wanted in name.upper()}
        sources = {number for number, name in self._source_names.items() if wanted in name.upper()}
        spot, futures = self._slots[self._spot], self._slots[self._futures]
        return (
            np.isin(spot % MAX_SYMBOLS, list(symbols))
            | np.isin(spot // MAX_SYMBOLS, list(sources))
            | np.isin(futures // MAX_SYMBOLS, list(sources))
        )

    def _z_scores(self, routes: npt.NDArray[np.int64], gross: Float64Array) -> Float64Array:
        records, stable = self._baseline.read_all()
        at = self._baseline_at[routes]
        known = stable[at] & (records["samples"][at] > 0) & (records["mad_bps"][at] > 0)
        known &= self._now_ns - records["updated_ns"][at] <= self._max_baseline_age_ns
        mad_bps = np.where(known, records["mad_bps"][at], 1.0)
        scores = z_score(gross, records["median_bps"][at], mad_bps)
        found: Float64Array = np.where(known, scores, np.nan)
        return found

    def _z_score(self, route: int, gross_bps: float) -> float | None:
        record = self._baseline.read(int(self._baseline_at[route]))
        if record is None or record["samples"] == 0 or record["mad_bps"] <= 0:
            return None
        if self._now_ns - int(record["updated_ns"]) > self._max_baseline_age_ns:
            return None
        return z_score(gross_bps, float(record["median_bps"]), float(record["mad_bps"]))

    def _funding_of(self, slot: int, now_ms: int | None) -> dict[str, float | None]:
        record = None if now_ms is None else self._funding.read(slot)
        if record is None or now_ms is None or record["next_settlement_ms"] <= now_ms:
            return {}
        return {
            "funding_bps": float(record["rate"]) * 10_000,
            "funding_s": (int(record["next_settlement_ms"]) - now_ms) / 1e3,
        }

    def _source_of(self, leg: np.int64) -> str:
        return self._source_names[int(self._slots[leg]) // MAX_SYMBOLS]

    def _age_ms(self, received_ns: np.int64) -> float:
        # A quote that came while the legs were copied is newer than now_ns.
        return max(0, self._now_ns - int(received_ns)) / 1e6
