"""Keeps what a feed receives: copies frames into a tap that a thread writes to disk.

The event loop only copies (``feed/record_writer.py`` does the rest). Whatever goes wrong with the
disk ends the recording and nothing else: the feed goes on, says so, and tries now and then whether
a new session can be begun.
"""

import logging
import threading
from collections import deque

import msgspec

from spreadscan.config import Config
from spreadscan.feed.record_writer import END_NOTE, UNIVERSE_NOTE, RecordWriter
from spreadscan.kernel.tap import NOTE, Tap
from spreadscan.rawlog import Confirmed, Funded, FundingRow
from spreadscan.runtime.clock import Clock
from spreadscan.universe import Universe

__all__ = ["Recorder"]

STOP_TIMEOUT_S = 5.0
# After a recording ended: somebody has to make room first, and will want to see it go on.
# Each further wait is twice as long, until a session lasts for the longest of them.
RETRY_S, RETRY_CAP_S = 30.0, 600.0


class Recorder:
    """The recording of one source, from its making to ``stop``.

    Args:
        config: its ``record`` branch, and the files to keep beside the frames.
        source: name of the source.
        universe: whose symbols the feed is about to receive.
        clock: wall and monotonic time.
        log: the feed's logger.

    Concurrency: all methods belong to the thread of the event loop, and none of them waits for the
    disk but ``stop``. One recorder a source: the caller holds the feed's lock.
    """

    def __init__(
        self, config: Config, source: str, universe: Universe, clock: Clock, log: logging.Logger
    ) -> None:
        self._config = config
        self._source = source
        self._universe = universe
        self._clock = clock
        self._log = log
        self._trouble = ""
        self._is_off = False
        self._pause_s = RETRY_S
        self._began_ns = self._retry_ns = 0
        # of the sessions before this one
        self._recorded_count = self._lost_count = 0
        self._begin()

    def _begin(self) -> None:
        """Begin a session, whose first line is the universe."""
        self._tap = Tap()
        self._universes: deque[Universe] = deque()
        self._writer = RecordWriter(
            self._config, self._source, self._tap, self._universes, self._clock
        )
        self._thread = threading.Thread(target=self._writer.run, name="recorder", daemon=True)
        self._began_ns = self._clock.monotonic_ns()
        self._is_off = False
        self.adopt(self._universe)
        self._thread.start()

    @property
    def tap(self) -> Tap | None:
        """Where frames go; None while nothing is recorded, for whatever reason."""
        return None if self._is_off or self._writer.is_stopping else self._tap

    @property
    def trouble(self) -> str:
        """Why the recording has ended; empty while it goes on."""
        return self._trouble

    @property
    def recorded_count(self) -> int:
        """Entries taken so far: frames, and symbols marked."""
        return self._recorded_count + self._tap.taken_count

    @property
    def lost_count(self) -> int:
        """Entries for which there was no room."""
        return self._lost_count + self._tap.lost_count

    def adopt(self, universe: Universe) -> None:
        """Note that what comes from now on is of this universe; call it before anything is."""
        self._universe = universe
        if self._is_off:
            return
        self._universes.append(universe)
        if not self._tap.put(NOTE, self._clock.monotonic_ns(), UNIVERSE_NOTE):
            self._give_up("no room to note a new universe")

    def confirmed(self, symbol_id: int, price: float) -> None:
        """Note that a held quote was borne out; call it before the sink is told."""
        note = msgspec.json.encode(Confirmed(symbol_id=symbol_id, price=price))
        # Where there is no room, the replay waits for a second quote instead.
        self._tap.put(NOTE, self._clock.monotonic_ns(), note)

    def funded(self, rows: list[FundingRow], asked_ns: int) -> None:
        """Note what the exchange told of funding when it was asked at a time."""
        now_ns = self._clock.monotonic_ns()
        note = msgspec.json.encode(Funded(age_ns=max(0, now_ns - asked_ns), rows=rows))
        # Where there is no room, what was known before goes on in the replay, and grows old.
        self._tap.put(NOTE, now_ns, note)

    def check(self) -> None:
        """Look after the writing thread, and begin anew when it is time; call it with every beat.

        A session that was ended is over: the next one is another, and what came in between is lost.
        """
        if self._thread.is_alive():
            if self._trouble and self._writer.is_writing and not self._is_off:
                self._log.warning("recording again")
                self._trouble = ""
        elif not self._is_off:
            self._give_up(self._writer.trouble or "its thread ended by a mistake of its own")
        elif self._clock.monotonic_ns() >= self._retry_ns:
            self._recorded_count += self._tap.taken_count
            self._lost_count += self._tap.lost_count
            self._begin()

    def stop(self) -> None:
        """Write what is left and end the last segment; waits for the disk, a few seconds at most.

        Call it when nothing is received any more.
        """
        if not self._is_off:
            self._tap.put(NOTE, self._clock.monotonic_ns(), END_NOTE)
        self._writer.is_stopping = True
        self._thread.join(STOP_TIMEOUT_S)

    def _give_up(self, why: str) -> None:
        self._is_off = True
        self._writer.is_stopping = True
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._began_ns >= RETRY_CAP_S * 1e9:
            self._pause_s = RETRY_S
        self._retry_ns = now_ns + round(self._pause_s * 1e9)
        self._pause_s = min(2 * self._pause_s, RETRY_CAP_S)
        if not self._trouble:
            self._log.error("recording stopped, feeding goes on: %s", why)
        self._trouble = why
