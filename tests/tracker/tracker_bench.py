"""A tracker in the test's own process: its context, and the other ends of its channels."""

import logging

from neighbours import Neighbours
from tracker_cases import quote, record, universe

from spreadscan.errors import UniverseError
from spreadscan.model import SignalType
from spreadscan.ops.history import EpisodeQuery, History
from spreadscan.shm.control import ControlReader
from spreadscan.shm.health import HealthReader, HealthWriter
from spreadscan.shm.layout import Prices, Routes
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.ring import RingWriter
from spreadscan.tracker.parts import ledger_parts
from spreadscan.tracker.process import Tracker
from spreadscan.tracker.writer import InlineWriter
from spreadscan.universe import load_universe, write_universe

SLOT = 9


class Bench:
    """A tracker's surroundings: what it gets as its context, and the other ends of its channels."""

    def __init__(self, config, regions, clock):
        self.clock = clock
        self.config = config
        self.regions = regions
        self.health = HealthWriter(regions.health, SLOT, "spread-tracker")
        self.log = logging.getLogger("spread-tracker")
        (self.direction,) = [
            row for row in config.directions if row.name == "okx_spot_binance_futures"
        ]
        self.folder = config.path(config.runtime.generated_dir)
        self.publish({7: "BTC-USDT", 8: "ETH-USDT"})
        self.universe = load_universe(self.folder)
        self.ring = RingWriter(regions.ring)
        self.neighbours = Neighbours(config, regions)
        self.ticks_left = 0
        self.waited_s = []
        self.ready_statuses = []
        self.refused_reloads = 0

    has_new_command = must_reload = False

    @property
    def control(self):
        return ControlReader(self.regions.control).state()

    def publish(self, names):
        """Write the next universe: these symbols, in the bench's one direction."""
        self.generation = getattr(self, "generation", 0) + 1
        direction_id = self.direction.direction_id
        found = universe(names, generation=self.generation, direction_id=direction_id)
        write_universe(self.folder, found)

    def reload(self):
        self.must_reload = False
        try:
            self.universe = load_universe(self.folder)
        except UniverseError:
            self.refused_reloads += 1
            return False
        return True

    def tick(self):
        self.ticks_left -= 1
        return self.ticks_left >= 0

    def wait(self, seconds):
        self.waited_s.append(seconds)
        self.clock.advance(seconds)

    def ready(self, status):
        self.ready_statuses.append(status)

    def worked(self):
        pass

    def status(self, text):
        self.health.set_status(text)

    def set_epoch(self, source, epoch):
        offset = Prices.SOURCE_STATES + source * Prices.SOURCE_STATE_BYTES + Prices.SOURCE_EPOCH
        self.regions.prices.slots.mapping.store_word(offset, epoch)

    def push(self, kind=SignalType.OPEN, **more):
        values = {"time_ns": self.clock.monotonic_ns(), "direction": self.direction.direction_id}
        assert self.ring.push(record(kind, **(values | more)))

    def freeze(self, source, *, symbol_id=7, is_frozen=True):
        """Mark a leg as the engine marks one that stands still while its symbol moves elsewhere."""
        word, bit = divmod(slot_of(source, symbol_id), 64)
        self.regions.routes.table.mapping.store_word(
            Routes.SUSPECTS + 8 * word, int(is_frozen) << bit
        )

    def put_prices(self, *, spread_bps, symbol_id=7, flags=0, age_ns=0):
        """Put a spot book at 100 and a perpetual `spread_bps` above it into the store."""
        received_ns = self.clock.monotonic_ns() - age_ns
        bid = 100.0 * (1 + spread_bps / 10_000)
        for source, prices in (
            (self.direction.spot_source, (99.9, 100.0)),
            (self.direction.futures_source, (bid, bid + 0.1)),
        ):
            self.set_epoch(source, 3)
            self.regions.prices.write(
                slot_of(source, symbol_id), quote(*prices, received_ns=received_ns, flags=flags)
            )

    @property
    def data_dir(self):
        return self.config.path(self.config.tracker.data_dir)

    def ledger_file(self):
        """The part that is written."""
        return ledger_parts(self.data_dir)[-1].ledger(self.data_dir)

    def tracker(self):
        """A tracker that stores in the test's own time, on these surroundings."""
        return Tracker(self, InlineWriter)

    def counter(self, which):
        return HealthReader(self.regions.health).slot(SLOT).counters[which]

    def shown_status(self):
        return HealthReader(self.regions.health).slot(SLOT).status

    def counts(self):
        """How many episodes there are, are open, have converged and have expired."""
        endings = [row.ending for row in History(self.data_dir).summaries(EpisodeQuery())]
        return len(endings), *(endings.count(each) for each in (None, "converged", "expired"))
