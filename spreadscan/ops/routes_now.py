"""Every route of the universe measured at once, for the board: numpy over the price store."""

import msgspec
import numpy as np
import numpy.typing as npt

from spreadscan.config import Config
from spreadscan.engine.spread import entry_spread_bps, executable_usd
from spreadscan.shm.layout import MAX_SYMBOLS, PRICE_DTYPE
from spreadscan.shm.price_store import PriceStore, is_usable, slot_of
from spreadscan.universe import Universe

__all__ = ["RouteRow", "RoutesNow"]

Int32Array = npt.NDArray[np.int32]


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


class RoutesNow:
    """The routes of one universe over a price store.

    Args:
        config: fees, directions, and when a leg is stale.
        universe: its directions are the routes; those of disabled exchanges are left out.
        prices: attached read-only.

    Concurrency: one thread; never blocks a writer.
    """

    def __init__(self, config: Config, universe: Universe, prices: PriceStore) -> None:
        self._prices = prices
        self._max_age_ns = config.engine.max_leg_age_ms * 1_000_000
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
            )
            for direction in universe.directions
            if direction.direction_id in fees
            for symbol in direction.symbols
        ]
        self.count = len(routes)
        """How many routes there are."""
        self.usable_count = 0
        """How many had two usable legs when last refreshed."""
        self._fees = np.array([fee for *_, fee in routes], np.float64)
        spot = [slot_of(source, symbol) for source, _, symbol, _ in routes]
        futures = [slot_of(source, symbol) for _, source, symbol, _ in routes]
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

    def widest(self, count: int) -> list[RouteRow]:
        """Return the routes with the widest net spread, beyond-belief ones left out."""
        both = np.flatnonzero(self._usable[self._spot] & self._usable[self._futures])
        spot, futures = self._records[self._spot[both]], self._records[self._futures[both]]
        gross = entry_spread_bps(spot["ask"], futures["bid"])
        usd = executable_usd(spot["ask"], spot["ask_qty"], futures["bid"], futures["bid_qty"])
        net = gross - self._fees[both]
        believable = np.flatnonzero(np.abs(gross) <= self._max_spread_bps)
        order = believable[np.argsort(-net[believable], kind="stable")][:count]
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
            )
            for at in order
        ]

    def newest_age_ms(self, source_id: int) -> float | None:
        """Return the age of a source's newest usable quote; None when there is none."""
        of_source = self._usable & (self._slots // MAX_SYMBOLS == source_id)
        received = self._records["received_ns"][of_source]
        return self._age_ms(received.max()) if len(received) else None

    def _source_of(self, leg: np.int64) -> str:
        return self._source_names[int(self._slots[leg]) // MAX_SYMBOLS]

    def _age_ms(self, received_ns: np.int64) -> float:
        # A quote that came while the legs were copied is newer than now_ns.
        return max(0, self._now_ns - int(received_ns)) / 1e6
