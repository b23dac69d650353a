"""The engine's pass as numpy can do it best: all dirty symbols of a pass in one vectorised step.

Takes the dirty words, reads the changed prices, computes the routes they touch and gives the
signals as records. What scanner.scan does besides (counters, spill, pauses) is left out here.
"""

import time

import numpy as np
from mapped_regions import MappedRegions

from spreadscan.config import EngineConfig
from spreadscan.engine.spread import entry_spread_bps, executable_usd
from spreadscan.shm.layout import SIGNAL_DTYPE, SLOT_COUNT, Dirty

Route = tuple[int, int, int, int, float]


class NumpyEngine:
    """Scans the same regions for the same routes; signals are kept in `signals`."""

    def __init__(self, regions: MappedRegions, config: EngineConfig, routes: list[Route]) -> None:
        self._table = regions.price_table()
        self._words = np.frombuffer(
            regions.dirty_words(), np.uint8, Dirty.BYTES - Dirty.BLOCKS, Dirty.BLOCKS
        )
        self._config = config
        columns = list(zip(*routes, strict=True))
        self._spot, self._futures = (np.array(column) for column in columns[:2])
        self._direction, self._symbol = (np.array(column) for column in columns[2:4])
        self._fee_bps = np.array(columns[4])
        self._is_open = np.zeros(len(routes), np.bool_)
        self._signalled_bps = np.zeros(len(routes))
        self._routes_of = [[] for _ in range(SLOT_COUNT)]
        for index, (spot, futures, *_) in enumerate(routes):
            self._routes_of[spot].append(index)
            self._routes_of[futures].append(index)
        widest = max(len(found) for found in self._routes_of)
        self._padded = np.full((SLOT_COUNT, widest), -1)
        for slot, found in enumerate(self._routes_of):
            self._padded[slot, : len(found)] = found
        self.signals = np.empty(0, SIGNAL_DTYPE)

    def scan(self) -> int:
        """Do one pass; return how many symbols had changed."""
        dirty = np.flatnonzero(np.unpackbits(self._words, bitorder="little"))
        if len(dirty) == 0:
            return 0
        self._words[:] = 0
        touched = self._padded[dirty].ravel()
        touched = np.unique(touched[touched >= 0])
        self._evaluate(touched, time.monotonic_ns())
        return len(dirty)

    def _evaluate(self, touched: np.ndarray, now_ns: int) -> None:
        config = self._config
        spot, futures = self._table[self._spot[touched]], self._table[self._futures[touched]]
        gross = entry_spread_bps(spot["ask"], futures["bid"])
        net = gross - self._fee_bps[touched]
        was_open = self._is_open[touched]
        moved = np.abs(net - self._signalled_bps[touched]) >= config.update_step_bps
        speaks = (~was_open & (net >= config.open_net_bps)) | (
            was_open & ((net <= config.rearm_net_bps) | moved)
        )
        age_ns = now_ns - np.minimum(spot["received_ns"], futures["received_ns"])
        usd = executable_usd(spot["ask"], spot["ask_qty"], futures["bid"], futures["bid_qty"])
        usable = (
            (spot["flags"] == 0) & (futures["flags"] == 0)
            & (age_ns <= config.max_leg_age_ms * 1_000_000)
            & (np.abs(gross) < config.max_spread_bps)
            & (was_open | (usd >= config.min_executable_usd))
        )  # fmt: skip
        chosen = np.flatnonzero(speaks & usable)
        routes = touched[chosen]
        self._is_open[routes] = net[chosen] > config.rearm_net_bps
        self._signalled_bps[routes] = net[chosen]
        signals = np.zeros(len(chosen), SIGNAL_DTYPE)
        signals["time_ns"] = now_ns
        signals["direction"], signals["symbol_id"] = self._direction[routes], self._symbol[routes]
        for leg, records in (("spot", spot[chosen]), ("futures", futures[chosen])):
            for field in ("bid", "ask", "bid_qty", "ask_qty"):
                signals[f"{leg}_{field}"] = records[field]
        signals["gross_bps"], signals["net_bps"] = gross[chosen], net[chosen]
        signals["executable_usd"] = usd[chosen]
        self.signals = signals
