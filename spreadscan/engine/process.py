"""``spread-engine``: the loop around the kernel's pass.

Python sees a turn every few milliseconds, for the heartbeat, the control block, new feeds that want
the eventfd, and dead feeds whose prices must go; prices and signals never come through here.
"""

from spreadscan.engine.routes import routes_of
from spreadscan.kernel.scan import Scanner
from spreadscan.runtime.lock import is_lock_held
from spreadscan.runtime.process import Context
from spreadscan.shm.ring import RingWriter
from spreadscan.shm.wakeup import WakeupServer
from spreadscan.topology import feed_name

__all__ = ["main"]

TURN_NS = 10_000_000
"""How long the kernel scans and waits before Python gets a turn."""


def main(context: Context) -> None:
    """Scan until told to stop."""
    config = context.config
    run_dir = config.path(config.runtime.run_dir)
    ring = RingWriter(context.regions.ring)
    if ring.recovered_count:
        context.log.warning("ring: took over %d uncounted signals", ring.recovered_count)
    scanner = Scanner(
        context.regions.prices.slots, context.regions.dirty.bits, ring.ring, context.health.slot
    )
    scanner.configure(config.engine)
    wakeup = WakeupServer(run_dir / "wakeup.sock")
    scanner.set_wake_fd(wakeup.eventfd)
    routes = routes_of(context.universe, config)
    scanner.set_routes(routes)
    reaper = _Reaper(context)
    obeyed = -1
    context.ready(f"scanning {len(routes)} routes, wait={config.engine.wait}")
    while context.tick():
        wakeup.serve()
        reaper.retire_dead_feeds()
        if context.control.generation != obeyed:
            asked = context.control
            scanner.set_pause(
                asked.is_paused or asked.is_killed, asked.paused_sources, asked.paused_directions
            )
            obeyed = asked.generation
        scanner.run(TURN_NS)
    wakeup.close()


class _Reaper:
    """Takes a dead feed's prices out of use: its lock is free although it owns its source.

    A feed that ends in order gives its source up itself; this is for those that are killed.
    """

    def __init__(self, context: Context) -> None:
        self._prices = context.regions.prices
        self._run_dir = context.config.path(context.config.runtime.run_dir)
        self._log = context.log
        self._sources = [
            (source.source_id, source.name) for source in context.config.active_sources()
        ]

    def retire_dead_feeds(self) -> None:
        """Look at every owned source once; costs a few microseconds each."""
        for source_id, name in self._sources:
            # The epoch first: if a new feed takes the source after this, the retiring fails.
            epoch = self._prices.source_epoch(source_id)
            if epoch % 2 == 0 or is_lock_held(self._run_dir, feed_name(name)):
                continue
            if self._prices.retire_source(source_id, epoch):
                self._log.warning("%s died; its prices are unusable now", feed_name(name))
