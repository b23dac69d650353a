"""The tracker's loop: ring and prices in, episodes in the ledger.

Every 20 ms: drain the ring, and have what opened or ended stored at once. Every
``snapshot_interval_ms``: look at the route of every open episode and end what converged, is over or
was out of sight for too long. Storing is another thread's work (`journal`), and the ring's read
position is moved only when it is done, so a slow or full disk stops none of this.

When the universe changes, the ring is drained first, so that what ended before has ended before;
then the episodes of routes that it does not list end as delisted. While the operator's kill stands
no signal is taken, and what was open has ended as halted; also by a kill that was lifted before the
tracker came to look.
"""

from collections.abc import Callable

from spreadscan.config import Config, RoundTripFees
from spreadscan.runtime.clock import boot_id
from spreadscan.runtime.process import Context
from spreadscan.shm.counters import Histogram, TrackerCounter
from spreadscan.shm.layout import RING_CAPACITY
from spreadscan.shm.ring import DRAIN_BATCH, RingReader
from spreadscan.tracker.baseline import Baselines
from spreadscan.tracker.episode import Clocks
from spreadscan.tracker.journal import Journal
from spreadscan.tracker.kills import KillWatch
from spreadscan.tracker.last_run import book_of_last_run, position_of_last_run
from spreadscan.tracker.legs import LegReader, LivingPipeline, Pipeline
from spreadscan.tracker.listing import Listing
from spreadscan.tracker.recovery import open_ledger
from spreadscan.tracker.sight import Rules
from spreadscan.tracker.snapshot import Watch, watch
from spreadscan.tracker.store import EpisodeStore
from spreadscan.tracker.writer import ThreadWriter, Writer

__all__ = ["Tracker", "main", "next_due"]

# What an opening waits for at most before it is handed to the disk: a fifth of its 100 ms.
DRAIN_INTERVAL_S = 0.02
# Of the time in which a process must end, before it is killed: for storing what is left, and for a
# disk that answers late.
FINISH_SHARE, CLOSE_SHARE = 0.5, 0.2
COUNTED = {
    "signals": TrackerCounter.SIGNALS,
    "refused": TrackerCounter.SIGNALS_REFUSED,
    "ignored": TrackerCounter.SIGNALS_IGNORED,
    "withheld": TrackerCounter.SIGNALS_WITHHELD,
    "re_signals": TrackerCounter.RE_SIGNALS,
    "opened": TrackerCounter.EPISODES_OPENED,
    "converged": TrackerCounter.EPISODES_CONVERGED,
    "expired": TrackerCounter.EPISODES_EXPIRED,
    "delisted": TrackerCounter.EPISODES_DELISTED,
    "halted": TrackerCounter.EPISODES_HALTED,
    "lost": TrackerCounter.EPISODES_LOST,
    "snapshots": TrackerCounter.SNAPSHOTS,
}
"""Field of the book's tally -> counter in the health slot."""


def main(context: Context) -> None:
    """Follow episodes until told to stop."""
    tracker = Tracker(context)
    try:
        context.ready(tracker.status)
        due_ns = context.clock.monotonic_ns()
        while context.tick():
            if context.must_reload and context.reload():
                tracker.adopt_universe()
            if context.has_new_command:
                # Episodes are followed under every pause; a kill is obeyed in here.
                tracker.drain()
                context.obeyed()
            wait_ns = due_ns - context.clock.monotonic_ns()
            if wait_ns > 0:
                tracker.drain()
                context.wait(min(wait_ns / 1e9, DRAIN_INTERVAL_S))
                continue
            tracker.step()
            tracker.keep_baselines()
            context.worked()
            interval_ns = context.config.tracker.snapshot_interval_ms * 1_000_000
            due_ns, skipped = next_due(due_ns, context.clock.monotonic_ns(), interval_ns)
            context.health.add(TrackerCounter.TICKS_OVERRUN, skipped)
        # What the engine pushed since, so that an orderly stop leaves no backlog.
        tracker.finish(context.config.runtime.stop_timeout_s * FINISH_SHARE)
    finally:
        tracker.close()


def next_due(due_ns: int, now_ns: int, interval_ns: int) -> tuple[int, int]:
    """Return when the next tick is due, and how many were missed and are skipped.

    The schedule is absolute: a late tick does not shift those after it, and a missed one is never
    made up for.
    """
    skipped = max(0, (now_ns - due_ns) // interval_ns)
    return due_ns + (skipped + 1) * interval_ns, skipped


def rules_of(config: Config) -> Rules:
    """Return when episodes end."""
    return Rules(
        converge_net_bps=config.tracker.converge_net_bps,
        max_life_ns=int(config.tracker.max_life_s * 1e9),
        max_suspended_ns=int(config.tracker.max_suspended_s * 1e9),
    )


def fees_of(config: Config) -> dict[str, RoundTripFees]:
    """Return what a round trip costs, by direction."""
    return {row.name: config.round_trip_fees(row) for row in config.directions}


class Tracker:
    """Everything the loop works on.

    Args:
        context: what every process is given.
        writer: who stores; a thread unless somebody's clock stands still meanwhile.
        pipeline: who vouches for quotes; the processes beside this one unless there are none.

    Raises:
        ConfigError: the data folder or the ledger cannot be used.
        LedgerError: the ledger cannot be opened now.

    Concurrency: none; one loop.
    """

    def __init__(
        self,
        context: Context,
        writer: Callable[[EpisodeStore], Writer] = ThreadWriter,
        pipeline: Callable[[Context], Pipeline] = LivingPipeline,
    ) -> None:
        self._context = context
        self._config = context.config
        self._fees = fees_of(context.config)
        self._ring = RingReader(context.regions.ring)
        self._boot_id = boot_id()
        self._watch: Watch | None = None
        self._watch_membership = -1
        config = context.config
        opened = open_ledger(config.path(config.tracker.data_dir), self._clocks())
        for sentence in opened.damaged:
            context.log.error("%s", sentence)
        self._book = book_of_last_run(context, opened.saved, rules_of(config), self._clocks())
        self._rows = self._book.rows
        self._applied = position_of_last_run(self._ring, context.regions.ring, opened)
        self._kills = KillWatch(context, opened.saved.kills)
        self._withheld = 0
        """Sequence up to which signals are of before a kill."""
        self._listing = Listing(context, self._book)
        self._legs = LegReader(context, pipeline(context))
        self._baselines = Baselines(context, self._legs)
        self._journal = Journal(context, self._book, self._ring, self._kills, writer(opened.store))

    @property
    def status(self) -> str:
        """What the health slot shows."""
        return self._journal.status

    def step(self) -> None:
        """Do one tick: drain, look, hand over."""
        started_ns = self._context.clock.monotonic_ns()
        self._follow_config()
        self._apply()
        self._snapshot()
        self._baselines.look()
        self._journal.offer(self._applied, is_urgent=False)
        self._context.health.add(TrackerCounter.TICKS)
        self._publish()
        self._context.health.record(
            Histogram.TRACKER_TICK, self._context.clock.monotonic_ns() - started_ns
        )

    def drain(self) -> None:
        """Apply what the ring holds and hand it over if something opened or ended."""
        membership = self._book.membership
        self._apply()
        if self._book.membership != membership:
            self._journal.offer(self._applied, is_urgent=True)
            self._publish()
        else:
            self._journal.collect()

    def finish(self, timeout_s: float) -> None:
        """Apply what the ring holds and wait until it is stored, as long as that may take."""
        self._apply()
        deadline_ns = self._context.clock.monotonic_ns() + round(timeout_s * 1e9)
        for _ in range(2):  # the batch under way, and the one after it
            if self._journal.offer(self._applied, is_urgent=True):
                break
            left_s = (deadline_ns - self._context.clock.monotonic_ns()) / 1e9
            self._journal.collect(max(0.0, left_s))
        self._baselines.close(timeout_s / 4)
        self._publish()

    def keep_baselines(self) -> None:
        """Have them written to disk when that is due."""
        self._baselines.save_if_due()

    def adopt_universe(self) -> None:
        """Go over to the context's universe; what it does not list is ended and stored."""
        self._listing.adopt()
        self._apply()
        self._journal.offer(self._applied, is_urgent=True)
        self._publish()

    def close(self) -> None:
        """Close the ledger; a disk that does not answer is left to itself."""
        if not self._journal.close(self._context.config.runtime.stop_timeout_s * CLOSE_SHARE):
            self._context.log.error(
                "the disk does not answer; what is not stored stays in the ring"
            )

    def _follow_config(self) -> None:
        """Go over to what a reload changed, whoever asked for it."""
        config = self._context.config
        if config is self._config:
            return
        self._config = config
        self._book.rules = rules_of(config)
        self._fees = fees_of(config)
        # It holds the fees.
        self._watch_membership = -1

    def _clocks(self) -> Clocks:
        clock = self._context.clock
        return Clocks(self._boot_id, clock.monotonic_ns(), clock.wall_ns())

    def _apply(self) -> None:
        """Apply what the ring holds, then end what the universe does not list any more."""
        self._drain_ring()
        self._listing.end_unlisted(self._clocks().offset_ns)

    def _drain_ring(self) -> None:
        """Apply what the ring holds; at most one ring's worth, so nobody can hold the loop here."""
        self._obey_kills()
        for _ in range(RING_CAPACITY // DRAIN_BATCH):
            records = self._ring.peek_from(self._applied, DRAIN_BATCH)
            if not len(records):
                return
            lost = int(records["sequence"][0]) - 1 - self._applied
            if lost:
                self._context.health.add(TrackerCounter.SIGNALS_LOST, lost)
                self._context.log.error(
                    "%d signals were written over before they were stored", lost
                )
            self._applied = int(records["sequence"][-1])
            self._context.health.record_all(
                Histogram.TRACKER_RING_TO_TRACKER,
                self._context.clock.monotonic_ns() - records["time_ns"],
            )
            is_last = len(records) < DRAIN_BATCH
            taken = records["sequence"] > self._withheld
            if self._context.control.is_killed or not taken.all():
                taken &= not self._context.control.is_killed
                self._book.withhold(len(records) - int(taken.sum()))
                records = records[taken]
            if len(records):
                if not self._listing.lists(records):
                    self._listing.catch_up()
                self._journal.add(self._book.apply(records, self._clocks().offset_ns))
            if is_last:
                return

    def _obey_kills(self) -> None:
        """End what is open under a kill, and take nothing of what was signalled before it."""
        is_news = self._kills.follow()
        if is_news:
            # One that was lifted already left no mark in the ring: all that is there may be older.
            # Routes that are open since then begin with the engine's next update.
            self._withheld = self._ring.head() + self._ring.depth()
        if (is_news or self._context.control.is_killed) and len(self._book):
            clocks = self._clocks()
            self._book.halt(clocks.monotonic_ns, clocks.offset_ns)

    def _snapshot(self) -> None:
        if self._watch is None or self._watch_membership != self._book.membership:
            self._rows = self._book.rows
            self._watch = watch(self._book.routes(self._rows), self._fees)
            self._watch_membership = self._book.membership
        if not len(self._rows):
            return
        seen, now_ns = self._legs.look(self._watch)
        frame = self._book.observe(self._rows, seen, now_ns, self._clocks().offset_ns)
        if frame is not None:
            self._journal.add_frame(frame)

    def _publish(self) -> None:
        """Show the book's tally in the health slot; both begin at zero with this process."""
        health = self._context.health
        for name, counter in COUNTED.items():
            health.set(counter, getattr(self._book.tally, name))
        health.set(TrackerCounter.EPISODES_OPEN, len(self._book))
        health.set(TrackerCounter.EPISODES_SUSPENDED, self._book.suspended_count)
