"""What is not stored yet, and how storing goes.

The tracker hands in what changed; the journal gathers it, lets the writer carry it to the ledger,
and moves the ring's read position once it is there. A ledger that cannot be written, or takes its
time, stops nothing: episodes are kept until they are stored (the ring bounds them, as it does not
move), points of paths up to a bound, and the status says ``degraded``.
"""

import sqlite3

from spreadscan.runtime.process import Context
from spreadscan.shm.counters import Histogram, TrackerCounter
from spreadscan.shm.ring import RingReader
from spreadscan.tracker.book import EpisodeBook
from spreadscan.tracker.disk_errors import is_damage, is_doubtful
from spreadscan.tracker.episode import Clocks, Episode
from spreadscan.tracker.frames import Frame
from spreadscan.tracker.kills import KillWatch
from spreadscan.tracker.parts import day_of
from spreadscan.tracker.store import Batch, NewPart
from spreadscan.tracker.writer import Outcome, Writer

__all__ = ["MAX_PENDING_POINTS", "Journal", "is_another_day"]

# About 40 MB. While the ledger cannot be written, further path points are dropped and counted; no
# episode is.
MAX_PENDING_POINTS = 1_000_000
# A frame's arrays and objects take as much memory as so many points, however few it holds.
FRAME_POINTS = 24
# Each attempt packs everything that waits, so that they come ever more seldom.
RETRY_NS, MAX_RETRY_NS = 200_000_000, 5_000_000_000
# A sync on a busy disk may take a second; beyond this somebody should know.
SLOW_NS = 2_000_000_000
DAY_NS = 86_400_000_000_000


def is_another_day(part_day: str, wall_ns: int) -> bool:
    """Tell whether a part of that day is to be succeeded by another.

    A wall clock that steps back over midnight goes on in the same part, unless that is of a day
    which has not come yet by far.
    """
    return day_of(wall_ns) > part_day or day_of(wall_ns + DAY_NS) < part_day


class Journal:
    """Carries what changed to the ledger.

    Args:
        context: clock, health slot and log.
        book: whose open episodes a new part begins with.
        ring: its read position is moved to what is stored.
        kills: those that the book's endings follow.
        writer: with the store that is written.

    Concurrency: none; it belongs to the tracker's loop.
    """

    def __init__(
        self,
        context: Context,
        book: EpisodeBook,
        ring: RingReader,
        kills: KillWatch,
        writer: Writer,
    ) -> None:
        self._context = context
        self._book = book
        self._ring = ring
        self._kills = kills
        self._ring_created_ns = context.regions.ring.created_ns
        self._writer = writer
        # not stored yet
        self._episodes: dict[int, Episode] = {}
        self._frames: list[Frame] = []
        self._points = 0
        self._event_times_ns: list[int] = []
        # under way
        self._submitted_ns = 0
        self._submitted_events = 0
        self._stored_sequence = -1
        # trouble
        self._not_before_ns = 0
        self._must_begin_part = False
        self._is_damaged = False
        self._failed_commits = 0
        self._dropped = 0
        self.status = ""
        """What the health slot shows."""
        self._say(None)

    def add(self, event_times_ns: list[int]) -> None:
        """Note that signals opened or ended episodes; their changes are still the book's."""
        self._event_times_ns += event_times_ns

    def add_frame(self, frame: Frame) -> None:
        """Keep the points of a look until they are stored, as far as there is room."""
        if self._points + frame.size + FRAME_POINTS > MAX_PENDING_POINTS:
            self._dropped += frame.size
            self._context.health.add(TrackerCounter.POINTS_DROPPED, frame.size)
            return
        self._frames.append(frame)
        self._points += frame.size + FRAME_POINTS

    def offer(self, applied: int, *, is_urgent: bool) -> bool:
        """Hand what changed to the writer, if that is free; return whether all is stored.

        Args:
            applied: sequence of the last signal applied.
            is_urgent: it holds an opening or an ending, so it must be synced.
        """
        self.collect()
        now_ns = self._context.clock.monotonic_ns()
        if self._writer.is_busy or now_ns < self._not_before_ns:
            return False
        for episode in self._book.take_changes():
            self._episodes[episode.episode_id] = episode
        wall_ns = self._context.clock.wall_ns()
        must_begin = self._must_begin_part or is_another_day(self._writer.store.part.day, wall_ns)
        if not (self._episodes or self._frames or applied != self._stored_sequence or must_begin):
            return True
        self._submitted_ns = now_ns
        self._submitted_events = len(self._event_times_ns)
        self._writer.submit(
            Batch(
                episodes=[self._episodes[number] for number in sorted(self._episodes)],
                frames=tuple(self._frames),
                ring_created_ns=self._ring_created_ns,
                ring_sequence=applied,
                last_id=self._book.ids.last,
                clocks=Clocks(self._book.boot_id, now_ns, wall_ns),
                is_synced=is_urgent or self._submitted_events > 0 or must_begin,
                new_part=self._new_part(wall_ns) if must_begin else None,
                kills=self._kills.followed,
            )
        )
        return self.collect()

    def collect(self, timeout_s: float = 0.0) -> bool:
        """Take in what became of the batch under way; return whether it is stored now."""
        outcome = self._writer.collect(timeout_s)
        if outcome is None:
            waited_ns = self._context.clock.monotonic_ns() - self._submitted_ns
            if self._writer.is_busy and waited_ns > SLOW_NS:
                self._say(f"the disk has not answered for {waited_ns // 1_000_000_000} s")
            return False
        if outcome.error is not None:
            self._failed(outcome.error)
            return False
        self._stored(outcome)
        return True

    def close(self, timeout_s: float) -> bool:
        """Close the ledger; False when the disk did not answer in time."""
        return self._writer.close(timeout_s)

    def _new_part(self, wall_ns: int) -> NewPart:
        day = self._writer.store.part.day
        return NewPart(
            day=day_of(wall_ns) if is_another_day(day, wall_ns) else day,
            episodes=self._book.open_episodes(),
            previous=dict(self._book.previous),
            expired=self._book.expired,
            is_damaged=self._is_damaged,
        )

    def _stored(self, outcome: Outcome) -> None:
        batch = outcome.batch
        for episode in batch.episodes:
            if self._episodes.get(episode.episode_id) is episode:
                del self._episodes[episode.episode_id]
        del self._frames[: len(batch.frames)]
        self._points = sum(frame.size + FRAME_POINTS for frame in self._frames)
        # Behind the read position when signals of before are applied again after a torn log.
        self._ring.advance(max(0, batch.ring_sequence - self._ring.head()))
        self._stored_sequence = batch.ring_sequence
        now_ns = self._context.clock.monotonic_ns()
        for time_ns in self._event_times_ns[: self._submitted_events]:
            self._context.health.record(Histogram.TRACKER_SIGNAL_TO_LEDGER, now_ns - time_ns)
        del self._event_times_ns[: self._submitted_events]
        self._context.health.add(TrackerCounter.COMMITS)
        if batch.new_part is not None:
            self._must_begin_part = self._is_damaged = False
            aside = self._writer.store.set_aside_file
            if batch.new_part.is_damaged and aside is not None:
                self._context.log.error(
                    "the ledger was damaged and is set aside as %s;"
                    " %s goes on with %d open episodes",
                    aside.name, self._writer.store.file.name, len(batch.new_part.episodes),
                )  # fmt: skip
        self._say(None)

    def _failed(self, error: sqlite3.Error | OSError) -> None:
        """Go on in memory after a commit that failed; anything that is our own mistake crashes."""
        self._context.health.add(TrackerCounter.COMMITS_FAILED)
        self._failed_commits += 1
        was_begun = self._must_begin_part
        if isinstance(error, sqlite3.Error):
            if is_damage(error):
                self._must_begin_part = self._is_damaged = True
            elif is_doubtful(error):
                self._must_begin_part = True
            elif not isinstance(error, sqlite3.OperationalError):
                raise error
        # Another file is tried at once, the same one not before somebody may have made room.
        if was_begun or not self._must_begin_part:
            wait_ns = min(RETRY_NS << min(self._failed_commits - 1, 5), MAX_RETRY_NS)
            self._not_before_ns = self._context.clock.monotonic_ns() + wait_ns
        self._say(str(error))

    def _say(self, trouble: str | None) -> None:
        """Show how storing goes; log only when that changes."""
        was_degraded = self.status.startswith("degraded")
        if trouble is None:
            status = "storing"
            if was_degraded:
                self._context.log.warning(
                    "%s: storing again after %d failed commits; %d path points were dropped",
                    self._writer.store.file, self._failed_commits, self._dropped,
                )  # fmt: skip
            self._failed_commits = self._dropped = 0
        else:
            status = f"degraded: cannot store: {trouble}"
            if not was_degraded:
                self._context.log.error(
                    "%s: cannot store, going on in memory: %s", self._writer.store.file, trouble
                )
        if status != self.status:
            self.status = status
            self._context.status(status)
