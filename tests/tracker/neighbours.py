"""The processes beside a tracker, as far as it looks at them: their locks and their heartbeats."""

from spreadscan.runtime.lock import RoleLock
from spreadscan.shm.health import HealthWriter
from spreadscan.topology import ENGINE_SLOT, feed_name

# A beat that never grows old: the tests' clocks run as they like.
FOR_EVER_NS = 2**62


class Neighbours:
    """The engine and every feed, all alive until told otherwise; by name."""

    def __init__(self, config, regions):
        self.folder = config.path(config.runtime.run_dir)
        self.locks = {}
        slots = {feed_name(row.name): row.source_id for row in config.active_sources()}
        slots["spread-engine"] = ENGINE_SLOT
        self.health = {
            name: HealthWriter(regions.health, slot, name) for name, slot in slots.items()
        }
        for name in slots:
            self.begin(name)

    def begin(self, name):
        self.locks[name] = RoleLock(self.folder, name)
        self.beat(name, FOR_EVER_NS)

    def beat(self, name, now_ns):
        self.health[name].beat(now_ns)

    def kill(self, name):
        """It is gone, and nobody has noticed: its last beat looks fresh."""
        self.locks.pop(name).release()

    def close(self):
        for name in list(self.locks):
            self.kill(name)
