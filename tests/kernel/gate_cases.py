"""A sink at a recording's times: what arrives when, and how long it took from the exchange."""

from frame_cases import FLAT, LEGS, flat

from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.sink import FeedSink
from spreadscan.shm.health import HealthReader, HealthWriter
from spreadscan.shm.price_store import slot_of

SOURCE, BTC, A = 3, 7, 11
MS, S = 1_000_000, 1_000_000_000
START_NS = 1_000 * S
# The exchange's clock stands in 2026, ours counts from the machine's start.
CLOCKS_APART_NS = 1_790_000_000 * S


class Stream:
    """Frames of one connection, at chosen moments."""

    def __init__(self, regions, skew_ns=0, **rules):
        self.regions = regions
        health = HealthWriter(regions.health, SOURCE, "feed").slot
        self.sink = FeedSink(
            SOURCE, Extractor(FLAT, LEGS), regions.prices.slots, regions.dirty.bits, health, **rules
        )
        self.now_ns = START_NS
        self.skew_ns = skew_ns
        self.last_id = 100

    def send(self, after_ms=10, lag_ms=0, mid=100.0, update_id=None, symbol="BTCUSDT", **values):
        """Feed one quote that left the exchange ``lag_ms`` before it arrives; return its status."""
        self.now_ns += after_ms * MS
        if update_id is None:
            update_id = self.last_id = self.last_id + 1
        exchange_ns = self.now_ns - lag_ms * MS + CLOCKS_APART_NS + self.skew_ns
        frame = {
            "s": symbol, "u": update_id, "T": exchange_ns // MS,
            "b": repr(mid * 0.999), "a": repr(mid * 1.001),
        } | values  # fmt: skip
        return self.sink.feed_at(flat(**frame), self.now_ns)

    def calm(self, count=20):
        """Feed timely quotes."""
        for _ in range(count):
            self.send()

    def stored(self, symbol_id=BTC):
        return self.regions.prices.read(slot_of(SOURCE, symbol_id))

    def flags(self, symbol_id=BTC):
        return self.stored(symbol_id)["flags"]

    def mid(self, symbol_id=BTC):
        row = self.stored(symbol_id)
        return round((row["bid"] + row["ask"]) / 2, 6)

    def counter(self, which):
        return HealthReader(self.regions.health).slot(SOURCE).counters[which]

    def histogram(self, which):
        return HealthReader(self.regions.health).histogram(SOURCE, which)
