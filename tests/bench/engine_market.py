"""Prices and routes for the engine's benchmarks: eight sources, twelve directions, all ids."""

import time

import msgspec
import numpy as np
from mapped_regions import MappedRegions

from spreadscan.config import EngineConfig
from spreadscan.shm.layout import MAX_SYMBOLS, NUM_SOURCES, PRICE_DTYPE, SLOT_COUNT, Prices
from spreadscan.shm.price_store import slot_of

FEE_BPS = 20.0
SEED = 11


def engine_config(wait: str = "spin", **changes: float) -> EngineConfig:
    usual = EngineConfig(
        wait=wait, spin_us=0.0, wait_bound_ms=1000, open_net_bps=5.0, rearm_net_bps=0.0,
        update_step_bps=0.5, min_executable_usd=1.0, max_spread_bps=1_000.0,
        max_leg_age_ms=3_600_000, confirm_updates=0, confirm_ms=0, frozen_move_bps=100.0,
        frozen_after_s=10.0, holding_h=8.0, max_funding_age_s=900.0,
        max_baseline_age_s=120.0, feed_silence_ms=60_000,
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def all_routes() -> list[tuple[int, int, int, int, float]]:
    """Every spot source with every perpetual of another exchange."""
    pairs = [
        (spot, futures)
        for spot in range(0, NUM_SOURCES, 2)
        for futures in range(1, NUM_SOURCES, 2)
        if futures != spot + 1
    ]
    return [
        (slot_of(spot, symbol), slot_of(futures, symbol), direction, symbol, FEE_BPS)
        for direction, (spot, futures) in enumerate(pairs)
        for symbol in range(MAX_SYMBOLS)
    ]


class Market:
    """Writes prices as feeds do: to the store first, then to the bitmap."""

    def __init__(self, regions: MappedRegions, epochs: list[int]) -> None:
        self._regions = regions
        self._randomness = np.random.default_rng(SEED)
        self._middles = 10 ** self._randomness.uniform(-2, 4, MAX_SYMBOLS)
        self._records = np.zeros(SLOT_COUNT, PRICE_DTYPE)
        self._records["epoch"] = np.repeat(epochs, MAX_SYMBOLS)
        self._records["bid_qty"] = self._records["ask_qty"] = 1e6

    def move(self, slots: np.ndarray, lift_bps: float = 0.0) -> None:
        """Give each slot a new price near its symbol's middle; perpetuals *lift_bps* dearer."""
        noise = 1 + self._randomness.normal(0.0, 1e-4, len(slots))
        middles = self._middles[slots % MAX_SYMBOLS] * noise
        middles *= np.where(slots // MAX_SYMBOLS % 2, 1 + lift_bps / 10_000, 1.0)
        records = self._records[slots]
        records["bid"], records["ask"] = middles * (1 - 5e-6), middles * (1 + 5e-6)
        records["received_ns"] = time.monotonic_ns()
        raw = records.view(np.uint8).reshape(len(slots), -1)
        for slot, record in zip(slots.tolist(), raw, strict=True):
            self._regions.prices.write(slot, record)

    def record(self, slot: int, lift_bps: float) -> np.ndarray:
        """The bytes of one price, to be written later."""
        middle = self._middles[slot % MAX_SYMBOLS] * (1 + lift_bps / 10_000)
        record = self._records[slot : slot + 1].copy()
        record["bid"], record["ask"] = middle * (1 - 5e-6), middle * (1 + 5e-6)
        record["received_ns"] = time.monotonic_ns()
        return record.view(np.uint8)

    def mark(self, slots: np.ndarray) -> None:
        """Set the dirty bits."""
        for slot in slots.tolist():
            self._regions.dirty.mark(slot // MAX_SYMBOLS, slot % MAX_SYMBOLS)


def own_sources(regions: MappedRegions) -> list[int]:
    """Take every source as a feed would; return their epochs."""
    for source_id in range(NUM_SOURCES):
        state = Prices.SOURCE_STATES + source_id * Prices.SOURCE_STATE_BYTES
        regions.prices.mapping.store_word(state + Prices.SOURCE_EPOCH, 1)
    return [regions.prices.source_epoch(source_id) for source_id in range(NUM_SOURCES)]
