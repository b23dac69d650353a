"""The tracker's loop: ring and prices in, episodes in the ledger.

Every ``snapshot_interval_ms``: drain the ring, look at the route of every open episode, end what
converged or is over, commit once, and only then move the ring's read position. A ledger that
cannot be written stops none of this: the tracker goes on in memory, says ``degraded`` in its
status, leaves the signals in the ring and tries again at the next tick.

When the universe changes, the ring is drained first, so that what ended before has ended before;
then the episodes of routes that it does not list end as delisted.
"""

import sqlite3
from pathlib import Path

from spreadscan.config import Config
from spreadscan.runtime.process import Context
from spreadscan.shm.layout import RING_CAPACITY, Histogram, TrackerCounter
from spreadscan.shm.ring import DRAIN_BATCH, RingReader
from spreadscan.tracker.book import EpisodeBook, Rules, SnapshotRow
from spreadscan.tracker.episode import EpisodeIds, SignalEvent, rebased
from spreadscan.tracker.listing import Listing, names_now
from spreadscan.tracker.snapshot import Watch, evaluate, moments, watch
from spreadscan.tracker.store import Batch, EpisodeStore, is_damage

__all__ = ["Tracker", "main", "next_due"]

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
# Longest wait between two looks at the control word and the stop flag.
MAX_WAIT_S = 0.1
# About 40 MB. While the ledger cannot be written, further path points are dropped and counted; no
# episode is: signals that are not stored stay in the ring, and are taken in up to DRAIN_BATCH.
MAX_PENDING_SNAPSHOTS = 200_000
COUNTED = {
    "signals": TrackerCounter.SIGNALS,
    "refused": TrackerCounter.SIGNALS_REFUSED,
    "ignored": TrackerCounter.SIGNALS_IGNORED,
    "re_signals": TrackerCounter.RE_SIGNALS,
    "opened": TrackerCounter.EPISODES_OPENED,
    "converged": TrackerCounter.EPISODES_CONVERGED,
    "expired": TrackerCounter.EPISODES_EXPIRED,
    "delisted": TrackerCounter.EPISODES_DELISTED,
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
                # Episodes are followed under every pause; ending is what tick says.
                context.obeyed()
            wait_ns = due_ns - context.clock.monotonic_ns()
            if wait_ns > 0:
                context.wait(min(wait_ns / 1e9, MAX_WAIT_S))
                continue
            tracker.step()
            context.worked()
            interval_ns = context.config.tracker.snapshot_interval_ms * 1_000_000
            due_ns, skipped = next_due(due_ns, context.clock.monotonic_ns(), interval_ns)
            context.health.add(TrackerCounter.TICKS_OVERRUN, skipped)
        # What the engine pushed since the last tick, so that an orderly stop leaves no backlog.
        tracker.drain()
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
    return Rules(config.tracker.converge_net_bps, int(config.tracker.max_life_s * 1e9))


def fees_bps(config: Config) -> dict[str, float]:
    """Return what a round trip costs, by direction."""
    return {row.name: config.round_trip_fee_bps(row) for row in config.directions}


class Tracker:
    """Everything the loop works on.

    Raises:
        ConfigError: the data folder or the ledger cannot be used.
        LedgerError: the ledger cannot be opened now.

    Concurrency: none; one loop.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._config = context.config
        self._fee_bps = fees_bps(context.config)
        self._ring = RingReader(context.regions.ring)
        self._ring_created_ns = context.regions.ring.created_ns
        self._boot_id = BOOT_ID_FILE.read_text(encoding="ascii").strip()
        self._pending: list[SnapshotRow] = []
        self._unstored_times_ns: list[int] = []
        self._dropped = 0
        self._failed_commits = 0
        self._watch: Watch | None = None
        self._watch_membership = -1
        self.status = ""
        """What the health slot shows."""

        config = context.config
        self._store = EpisodeStore(config.path(config.tracker.data_dir), context.clock.wall_ns())
        try:
            if self._store.set_aside_file is not None:
                self._log_set_aside(self._store.set_aside_file, "found at start")
            self._book, self._applied = self._restored()
        except BaseException:
            self._store.close()
            raise
        self._listing = Listing(context, self._book)
        self._committed = self._applied
        self._say(None)

    def step(self) -> None:
        """Do one tick: drain, look, commit."""
        started_ns = self._context.clock.monotonic_ns()
        self._follow_config()
        taken = self._drain_full_batches()
        self._listing.end_unlisted(self._wall_offset_ns())
        self._snapshot()
        self._commit(taken)
        self._context.health.add(TrackerCounter.TICKS)
        self._publish()
        self._context.health.record(
            Histogram.TRACKER_TICK, self._context.clock.monotonic_ns() - started_ns
        )

    def drain(self) -> None:
        """Apply and store what the ring holds, without a snapshot."""
        taken = self._drain_full_batches()
        self._listing.end_unlisted(self._wall_offset_ns())
        self._commit(taken)
        self._publish()

    def adopt_universe(self) -> None:
        """Go over to the context's universe; what it does not list is ended and stored."""
        self._listing.adopt()
        self.drain()

    def close(self) -> None:
        """Close the ledger."""
        self._store.close()

    def _follow_config(self) -> None:
        """Go over to what a reload changed, whoever asked for it."""
        config = self._context.config
        if config is self._config:
            return
        self._config = config
        self._book.rules = rules_of(config)
        self._fee_bps = fees_bps(config)
        # It holds the fees.
        self._watch_membership = -1

    def _restored(self) -> tuple[EpisodeBook, int]:
        """Return the book of the last run, and the last signal it has applied."""
        clock = self._context.clock
        try:
            episodes = self._store.load_open()
            last_id = self._store.last_episode_id()
            applied = self._store.ring_sequence(self._ring_created_ns)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self._log_set_aside(self._store.begin_anew(clock.wall_ns()), str(error))
            episodes, last_id, applied = [], 0, 0
        book = EpisodeBook(
            rules_of(self._config),
            names_now(self._context),
            EpisodeIds(last_id),
            self._boot_id,
        )
        now_ns, wall_ns = clock.monotonic_ns(), clock.wall_ns()
        book.restore(rebased(episode, self._boot_id, now_ns, wall_ns) for episode in episodes)
        if episodes:
            self._context.log.info("resumed %d open episodes", len(episodes))
        return book, applied

    def _wall_offset_ns(self) -> int:
        clock = self._context.clock
        return clock.wall_ns() - clock.monotonic_ns()

    def _drain_full_batches(self) -> int:
        """Apply what the ring holds, storing after each full batch.

        Returns:
            How many records at the ring's read position are applied and not stored yet. At most
            one ring's worth is applied in all, so a busy engine cannot hold the loop here.
        """
        for _ in range(RING_CAPACITY // DRAIN_BATCH):
            taken = self._apply_batch()
            if taken < DRAIN_BATCH or not self._commit(taken):
                return taken
        return 0

    def _apply_batch(self) -> int:
        """Apply the signals not applied yet; return how many records of the ring are done with."""
        # Records already applied come again while they could not be stored: the read position
        # stands before them. So while degraded one batch is the bound.
        records = self._ring.peek(DRAIN_BATCH)
        offset_ns = self._wall_offset_ns()
        has_caught_up = False
        for values in records[records["sequence"] > self._applied].tolist():
            event = SignalEvent._make(values)
            if not (has_caught_up or self._listing.lists(event)):
                has_caught_up = True
                self._listing.catch_up()
            self._book.apply(event, offset_ns)
            self._applied = event.sequence
            self._unstored_times_ns.append(event.time_ns)
        return len(records)

    def _snapshot(self) -> None:
        if self._watch is None or self._watch_membership != self._book.membership:
            self._watch = watch(self._book.open_episodes(), self._fee_bps)
            self._watch_membership = self._book.membership
        watched = self._watch
        if not watched.episodes:
            return
        prices = self._context.regions.prices
        legs = prices.read_many(watched.slots)
        epochs = prices.source_epochs()
        # Read after the quotes, so that none of them can seem to come from the future.
        now_ns = self._context.clock.monotonic_ns()
        max_age_ns = self._config.engine.max_leg_age_ms * 1_000_000
        seen = moments(evaluate(watched, legs, epochs, now_ns, max_age_ns), now_ns)
        rows = self._book.observe(watched.episodes, seen, now_ns, self._wall_offset_ns())
        room = MAX_PENDING_SNAPSHOTS - len(self._pending)
        self._pending += rows[:room]
        self._dropped += max(0, len(rows) - room)

    def _commit(self, taken: int) -> bool:
        """Store everything pending, then let go of the ring's records; False when that failed."""
        batch = Batch(
            self._book.changed_episodes(), self._pending, self._ring_created_ns, self._applied
        )
        if not (batch.episodes or batch.snapshots or self._applied > self._committed):
            self._ring.advance(taken)
            return True
        try:
            self._store.commit(batch)
        except sqlite3.DatabaseError as error:
            self._refused(error)
            return False
        self._ring.advance(taken)
        self._pending = []
        self._book.mark_stored()
        self._committed = self._applied
        now_ns = self._context.clock.monotonic_ns()
        for time_ns in self._unstored_times_ns:
            self._context.health.record(Histogram.TRACKER_SIGNAL_TO_LEDGER, now_ns - time_ns)
        self._unstored_times_ns = []
        self._context.health.add(TrackerCounter.COMMITS)
        self._say(None)
        return True

    def _refused(self, error: sqlite3.DatabaseError) -> None:
        """Go on in memory after a commit that failed; anything that is our own mistake crashes."""
        reason = str(error)
        if is_damage(error):
            try:
                self._log_set_aside(self._store.begin_anew(self._context.clock.wall_ns()), reason)
                self._book.mark_unstored()
            except OSError as rename_error:
                reason = f"{reason}; {rename_error}"
        elif not isinstance(error, sqlite3.OperationalError):
            raise error
        self._context.health.add(TrackerCounter.COMMITS_FAILED)
        self._say(reason)

    def _say(self, trouble: str | None) -> None:
        """Show how storing goes; log only when that changes."""
        if trouble is None:
            status = "storing"
            if self._failed_commits:
                self._context.log.warning(
                    "%s: storing again after %d failed commits; %d path points were dropped",
                    self._store.file, self._failed_commits, self._dropped,
                )  # fmt: skip
            self._failed_commits = self._dropped = 0
        else:
            status = f"degraded: cannot store: {trouble}"
            if not self._failed_commits:
                self._context.log.error(
                    "%s: cannot store, going on in memory: %s", self._store.file, trouble
                )
            self._failed_commits += 1
        if status != self.status:
            self.status = status
            self._context.status(status)

    def _log_set_aside(self, path: Path, reason: str) -> None:
        self._context.log.error(
            "%s: damaged (%s), set aside as %s; a new ledger is begun",
            self._store.file, reason, path.name,
        )  # fmt: skip

    def _publish(self) -> None:
        """Show the book's tally in the health slot; both begin at zero with this process."""
        health = self._context.health
        for name, counter in COUNTED.items():
            health.set(counter, getattr(self._book.tally, name))
        health.set(TrackerCounter.EPISODES_OPEN, len(self._book.open_episodes()))
