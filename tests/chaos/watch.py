"""Looking at a run from outside, without touching it: signals, freshness, memory, processes."""

import threading
import time
from pathlib import Path

import numpy as np

from spreadscan.exchanges import sources
from spreadscan.shm.layout import RING_CAPACITY, SIGNAL_DTYPE, RegionKind, Ring, Signal
from spreadscan.shm.price_store import is_usable, slot_of
from spreadscan.shm.region import attach_region
from spreadscan.shm.regions import attach_regions

POLL_S = 0.1
SAMPLE_S = 1.0
MAX_AGE_S = 20


class RingFollower:
    """Copies every record that the producer writes; the ring's own consumer does not notice."""

    def __init__(self, shm):
        self._load = attach_region(shm, RegionKind.RING, writable=False).mapping.load_word
        self._position = 0
        self.lost = 0
        self.records = []

    def poll(self):
        """Take what is new; count what was overwritten before we came."""
        tail = self._load(Ring.PRODUCER_LINE + Ring.TAIL)
        oldest = max(0, tail - RING_CAPACITY)
        self.lost += max(0, oldest - self._position)
        for position in range(max(self._position, oldest), tail):
            record = self._copied(position)
            if record is None:
                self.lost += 1
            else:
                self.records.append(record)
        self._position = tail

    def signals(self):
        """Return all that was seen, SIGNAL_DTYPE."""
        return np.frombuffer(b"".join(self.records), SIGNAL_DTYPE)

    def _copied(self, position):
        offset = Ring.RECORDS + position % RING_CAPACITY * Ring.RECORD_BYTES
        words = [self._load(offset + 8 * n) for n in range(Signal.BYTES // 8)]
        # The sequence is written last and invalidated first: whole, if it is the same afterwards.
        if words[0] != position + 1 or self._load(offset) != position + 1:
            return None
        return b"".join(word.to_bytes(8, "little") for word in words)


class Freshness:
    """When each listing was last not usable.

    Coins that trade little are silent for seconds without any fault; a quote may be some times as
    old here as in the engine, and still far younger than what a broken feed would leave behind.
    """

    def __init__(self, config, universe):
        regions = attach_regions(config.shm, reads=[RegionKind.PRICES], writes=(), timeout_s=0.0)
        self._prices = regions.prices
        self._max_age_ns = MAX_AGE_S * 1_000_000_000
        self.listings = [
            (source.name, exchange_symbol, slot_of(source.source_id, symbol_id))
            for source in sources().values()
            for exchange_symbol, symbol_id, *_ in universe.legs(source.source_id)
        ]
        self._slots = np.array([slot for *_, slot in self.listings], np.int32)
        self.usable = np.zeros(len(self._slots), np.bool_)
        self.last_bad_ns = np.zeros(len(self._slots), np.int64)

    def poll(self):
        """Look at every listing now."""
        now_ns = time.monotonic_ns()
        records, stable = self._prices.read_many(self._slots)
        epochs = self._prices.epochs_of(self._slots)
        self.usable = is_usable(records, stable, epochs, now_ns, self._max_age_ns)
        self.last_bad_ns[~self.usable] = now_ns

    def late(self, last_end_s, started_ns, within_s):
        """Return the listings that were not fresh that long after their last fault, and how late.

        Args:
            last_end_s: from source and exchange symbol to the end of the last fault.
            started_ns: CLOCK_MONOTONIC of second 0 of the faults.
            within_s: what is allowed.
        """
        found = {}
        for (source, symbol, _), bad_ns in zip(self.listings, self.last_bad_ns, strict=True):
            late_s = (int(bad_ns) - started_ns) / 1e9 - last_end_s(source, symbol)
            if bad_ns and late_s > within_s:
                found[source, symbol] = round(late_s, 1)
        return found


class Watch(threading.Thread):
    """Polls until it is told to stop.

    Args:
        config: of the run.
        universe: of the run.
        pids: process ids by name; whose memory is sampled, and who must not die.
    """

    def __init__(self, config, universe, pids):
        super().__init__(daemon=True)
        self.ring = RingFollower(config.shm)
        self.freshness = Freshness(config, universe)
        self.anonymous_kib = {name: [] for name in pids}
        self.died = set()
        self._pids = pids
        self._must_stop = threading.Event()

    def run(self):
        due_s = 0.0
        while not self._must_stop.is_set():
            self.ring.poll()
            self.freshness.poll()
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + SAMPLE_S
                self._sample()
            self._must_stop.wait(POLL_S)

    def stop(self):
        assert self.is_alive(), "the observer died"
        self._must_stop.set()
        self.join()

    def _sample(self):
        for name, pid in self._pids.items():
            # Pages of shared regions count as resident when they are first touched: no growth.
            try:
                status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            except OSError:
                self.died.add(name)
                continue
            line = next((row for row in status.splitlines() if row.startswith("RssAnon")), None)
            if line is None:  # a zombie
                self.died.add(name)
            else:
                self.anonymous_kib[name].append(int(line.split()[1]))
