"""A scanner over real regions, and the feeds' and tracker's ends of its channels."""

import time

import msgspec
import numpy as np

from spreadscan.config import load_config
from spreadscan.engine.channels import channels_of
from spreadscan.kernel.scan import Scanner
from spreadscan.shm.control import ControlWriter
from spreadscan.shm.health import HealthReader, HealthWriter
from spreadscan.shm.layout import PRICE_DTYPE, Prices
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.ring import RingReader, RingWriter

SPOT, FUTURES = 4, 1
ENGINE = 8
FEE_BPS = 30.0
EPOCH = 3


class Market:
    """One scanner, its routes, and everybody around it."""

    def __init__(self, config_file, regions, **settings):
        engine = load_config(config_file).engine
        defaults = {
            "open_net_bps": 5.0,
            "rearm_net_bps": 0.0,
            "update_step_bps": 2.0,
            "min_executable_usd": 100.0,
            "max_spread_bps": 2_000.0,
            "max_leg_age_ms": 10_000,
            "wait": "eventfd",
        }
        self.regions = regions
        self.config = msgspec.structs.replace(engine, **(defaults | settings))
        self.health = HealthWriter(regions.health, ENGINE, "spread-engine")
        self.ring = RingWriter(regions.ring)
        self.reader = RingReader(regions.ring)
        self.control = ControlWriter(regions.control)
        self.scanner = self.new_scanner()
        for source in range(8):
            self.set_epoch(source, EPOCH)

    def new_scanner(self):
        """An engine that begins over what the regions hold."""
        scanner = Scanner(channels_of(self.regions, self.ring.ring, self.health.slot))
        scanner.configure(self.config)
        return scanner

    def command(self, **words):
        """Say something as the operator does, and let the engine notice."""
        self.control.command(**words)
        self.scanner.look_again()

    def set_epoch(self, source, epoch):
        offset = Prices.SOURCE_STATES + source * Prices.SOURCE_STATE_BYTES
        self.regions.prices.slots.mapping.store_word(offset, epoch)

    def reconfigure(self, **settings):
        """Change the configuration as a reload does."""
        self.config = msgspec.structs.replace(self.config, **settings)
        self.scanner.configure(self.config)

    def watch(self, *symbols, spot=SPOT, futures=FUTURES, direction=0, fee_bps=FEE_BPS):
        self.scanner.set_routes(
            [
                (slot_of(spot, symbol), slot_of(futures, symbol), direction, symbol, fee_bps)
                for symbol in symbols
            ]
        )

    def write(
        self, source, symbol, bid, ask, *, age_ms=0, qty=10.0, epoch=EPOCH, flags=0, at_ns=None
    ):
        """Write a price as a feed does, but leave its mark to the caller."""
        row = np.zeros((), PRICE_DTYPE)
        row["bid"], row["ask"], row["bid_qty"], row["ask_qty"] = bid, ask, qty, qty
        now_ns = time.monotonic_ns() if at_ns is None else at_ns
        row["received_ns"] = now_ns - age_ms * 1_000_000
        row["epoch"], row["flags"] = epoch & 0xFFFF, flags
        self.regions.prices.write(slot_of(source, symbol), row)

    def quote(self, source, symbol, bid, ask, **more):
        self.write(source, symbol, bid, ask, **more)
        self.regions.dirty.mark(source, symbol)

    def spread(self, net_bps, symbol=7, **futures):
        """Quote both legs so that the net spread is net_bps."""
        self.quote(SPOT, symbol, 99.99, 100.0)
        bid = 100.0 * (1 + (net_bps + FEE_BPS) / 10_000)
        self.quote(FUTURES, symbol, bid, bid + 0.01, **futures)

    def signals(self):
        """Consume and return what is in the ring."""
        found = []
        while len(batch := self.reader.peek(4_096)):
            found.append(batch)
            self.reader.advance(len(batch))
        return np.concatenate(found) if found else self.reader.peek(0)

    def types(self):
        return self.signals()["type"].tolist()

    def counter(self, which):
        return HealthReader(self.regions.health).slot(ENGINE).counters[which]

    def fill_ring(self, leave=0):
        filler = np.zeros((), self.reader.peek(0).dtype)
        while self.reader.depth() < 65_536 - leave:
            self.ring.push(filler)
