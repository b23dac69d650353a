"""``spread-engine``: the loop around the kernel's pass.

Python sees a turn every few milliseconds, for the heartbeat, the control block, new feeds that want
the eventfd, and feeds that died or hang; prices and signals never come through here.
"""

from spreadscan.engine.channels import channels_of
from spreadscan.engine.routes import routes_of, unknown_fees
from spreadscan.kernel.scan import Scanner
from spreadscan.runtime.fd_store import store_descriptor, take_descriptor
from spreadscan.runtime.lock import is_lock_held
from spreadscan.runtime.process import Context
from spreadscan.shm.health import HealthReader
from spreadscan.shm.ring import RingWriter
from spreadscan.shm.wakeup import WakeupServer
from spreadscan.topology import feed_name

__all__ = ["main"]

WAKEUP_NAME = "wakeup"
"""Of the eventfd in systemd's store, which is asked for and kept under this name."""

TURN_NS = 10_000_000
"""How long the kernel scans and waits before Python gets a turn."""


def main(context: Context) -> None:
    """Scan until told to stop."""
    config = context.config
    run_dir = config.path(config.runtime.run_dir)
    ring = RingWriter(context.regions.ring)
    if ring.recovered_count:
        context.log.warning("ring: took over %d uncounted signals", ring.recovered_count)
    scanner = Scanner(channels_of(context.regions, ring.ring, context.health.slot))
    scanner.configure(config.engine)
    wakeup = WakeupServer(run_dir / "wakeup.sock", kept=take_descriptor(WAKEUP_NAME))
    if not wakeup.is_kept:
        wakeup.is_kept = store_descriptor(WAKEUP_NAME, wakeup.eventfd)
    scanner.set_wake_fd(wakeup.eventfd)
    guard = _FeedGuard(context)
    context.ready(_take_routes(context, scanner))
    while context.tick():
        if context.must_reload and context.reload():
            # Between two passes: routes of both universes keep their state, open ones stay open.
            scanner.configure(context.config.engine)
            context.status(_take_routes(context, scanner))
        wakeup.serve()
        if guard.look():
            scanner.look_again()
        is_told = context.has_new_command
        if is_told:
            # The kernel reads the operator's words itself, with every signal.
            scanner.look_again()
        scanner.run(TURN_NS)
        if is_told:
            # Every route has been looked at since.
            context.obeyed()
        context.worked()
    wakeup.close()


def _take_routes(context: Context, scanner: Scanner) -> str:
    """Scan the routes of the present universe from now on; return the status that says so."""
    routes = routes_of(context.universe, context.config)
    names = {symbol.symbol_id: symbol.name for symbol in context.universe.symbols}
    if others := context.regions.routes.meet(names):
        context.log.info("ids that meant other coins before: %s", ", ".join(others))
    scanner.set_routes(routes)
    if unknown := unknown_fees(context.universe, context.config):
        context.log.warning("fees.toml: symbols that are not listed: %s", ", ".join(unknown))
    return f"scanning {len(routes)} routes, wait={context.config.engine.wait}"


class _FeedGuard:
    """Takes prices out of use whose feed is dead or hangs.

    Dead: its lock is free although it owns its source; one that ends in order gives its source up
    itself. Hanging: it holds its lock and does not beat; its prices come back when it does.
    """

    def __init__(self, context: Context) -> None:
        self._prices = context.regions.prices
        self._health = HealthReader(context.regions.health)
        self._context = context
        self._clock = context.clock
        self._run_dir = context.config.path(context.config.runtime.run_dir)
        self._log = context.log
        self._sources = context.config.active_sources()
        self._silent: set[int] = set()
        for source in self._sources:
            self._prices.set_source_silent(source.source_id, is_silent=False)

    def look(self) -> bool:
        """Look at every owned source once, a few microseconds each; True when one came or went."""
        has_changed = False
        for source in self._sources:
            # The epoch first: if a new feed takes the source after this, the retiring fails.
            epoch = self._prices.source_epoch(source.source_id)
            if epoch % 2 == 0:
                continue
            program = feed_name(source.name)
            if is_lock_held(self._run_dir, program):
                has_changed |= self._listen(source.source_id, program)
            elif self._prices.retire_source(source.source_id, epoch):
                # What waits to be confirmed over its prices does so no longer.
                has_changed = True
                self._log.warning("%s died; its prices are unusable now", program)
        return has_changed

    def _listen(self, source_id: int, program: str) -> bool:
        """Follow whether a living feed beats; True when that has changed."""
        quiet_ns = self._clock.monotonic_ns() - self._health.heartbeat_ns(source_id)
        limit_ns = self._context.config.engine.feed_silence_ms * 1_000_000
        is_silent = quiet_ns > limit_ns
        if is_silent == (source_id in self._silent):
            return False
        self._prices.set_source_silent(source_id, is_silent=is_silent)
        if is_silent:
            self._silent.add(source_id)
            self._log.warning("%s hangs; its prices are unusable until it beats", program)
        else:
            self._silent.discard(source_id)
            self._log.warning("%s beats again", program)
        return True
