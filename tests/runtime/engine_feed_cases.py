"""Both feeds of a real engine, played by the test: locks, epochs and quotes."""

import time

import numpy as np

from spreadscan.runtime.lock import RoleLock
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import PRICE_DTYPE, Prices, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions, create_regions
from spreadscan.shm.ring import RingReader
from spreadscan.topology import program_named

SPOT, FUTURES = 4, 1
FEEDS = {SPOT: "feed-okx-spot", FUTURES: "feed-binance-futures"}
EPOCH = 3


class Market:
    """Both feeds of a real engine, and the ring's other end.

    Args:
        programs: whose configuration it is.
        coins: how many symbols there are, for ``told``.
    """

    def __init__(self, programs, coins):
        config = programs.config
        create_regions(config.shm)
        self.regions = attach_regions(config.shm, reads=(), writes=RegionKind, timeout_s=0)
        run_dir = config.path(config.runtime.run_dir)
        # The engine retires a source whose feed is dead or does not beat.
        self.locks = [RoleLock(run_dir, name) for name in FEEDS.values()]
        for source, name in FEEDS.items():
            slot = HealthWriter(self.regions.health, program_named(name).health_slot, name)
            slot.beat(time.monotonic_ns() + 600_000_000_000)
            offset = Prices.SOURCE_STATES + source * Prices.SOURCE_STATE_BYTES
            self.regions.prices.slots.mapping.store_word(offset + Prices.SOURCE_EPOCH, EPOCH)
        self.ring = RingReader(self.regions.ring)
        self.told = {number: [] for number in range(coins)}

    def quote(self, source, symbol, bid, ask):
        row = np.zeros((), PRICE_DTYPE)
        row["bid"], row["ask"], row["bid_qty"], row["ask_qty"] = bid, ask, 10.0, 10.0
        row["received_ns"], row["epoch"] = time.monotonic_ns(), EPOCH
        self.regions.prices.write(slot_of(source, symbol), row)
        self.regions.dirty.mark(source, symbol)

    def spread(self, symbol, gross_bps):
        self.quote(SPOT, symbol, 99.99, 100.0)
        bid = 100.0 * (1 + gross_bps / 10_000)
        self.quote(FUTURES, symbol, bid, bid + 0.01)

    def listen(self):
        while len(batch := self.ring.peek(4_096)):
            self.ring.advance(len(batch))
            for signal_ in batch:
                self.told[int(signal_["symbol_id"])].append(
                    (int(signal_["type"]), int(signal_["opening"]))
                )

    def signals_of_the_first(self, count):
        return sum(len(self.told[number]) for number in range(count))

    def close(self):
        for lock in self.locks:
            lock.release()
