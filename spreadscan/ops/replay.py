"""Replays a recording: its frames through parser, store, engine and tracker, in virtual time.

The code is that of the pipeline; only the clock and the memory are the replay's own. Every event is
scanned at its own time before the next one is looked at, so the same recording with the same
configuration gives the same signals, byte for byte, however fast the machine is.

What a recording does not hold is not replayed: pauses by ``spread-ctl``, feeds that hung, and how
long the engine took to look. So a replay signals what the pipeline would have with an engine that
is never late.
"""

import logging
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from spreadscan.config import Config
from spreadscan.exchanges import sources
from spreadscan.model import SignalType
from spreadscan.ops.replay_events import Event, events_of
from spreadscan.ops.replay_stages import (
    Engine,
    Feed,
    Ledger,
    SignalLog,
    VirtualClock,
    private_config,
    private_regions,
)
from spreadscan.rawlog import UNIVERSE_FOLDER, Confirmed, Funded, Head, Lost, Mark, RecordingError
from spreadscan.shm.counters import TrackerCounter
from spreadscan.shm.regions import Regions, remove_regions
from spreadscan.universe import Universe, load_universe

__all__ = ["replay"]

LOG_NAME = "spreadscan.replay"


def replay(
    root: Path, config: Config, *, universe: Path | None = None, out: BinaryIO | None = None
) -> dict[str, Any]:
    """Replay a recording from its beginning to its end.

    Args:
        root: the folder that feeds recorded into.
        config: thresholds, fees, directions.
        universe: a folder to use instead of the recorded universes.
        out: gets every signal as one JSON line.

    Returns:
        What went in and what came out; equal for two replays of the same files.

    Raises:
        RecordingError: there is nothing that can be replayed.
        UniverseError: a universe that the recording names is not there.
    """
    events = events_of(root)
    with tempfile.TemporaryDirectory(prefix="spreadscan-replay-") as folder:
        own = private_config(config, Path(folder))
        try:
            run = _Run(own, private_regions(own), _Universes(root, universe), out)
            for event in events:
                run.take(event)
            if not run.has_begun:
                raise RecordingError(root, "no readable segment", "a folder written by feeds")
            return run.finish()
        finally:
            remove_regions(own.shm)


class _Universes:
    """The universes of a recording, each read once."""

    def __init__(self, root: Path, instead: Path | None) -> None:
        self._root = root
        self._instead = instead
        self._read: dict[Path, Universe] = {}

    def named(self, name: str) -> Universe:
        folder = self._instead or self._root / UNIVERSE_FOLDER / name
        if folder not in self._read:
            self._read[folder] = load_universe(folder)
        return self._read[folder]


class _Run:
    """One replay under way."""

    def __init__(
        self, config: Config, regions: Regions, universes: _Universes, out: BinaryIO | None
    ) -> None:
        self._config = config
        self._regions = regions
        self._universes = universes
        self._clock = VirtualClock()
        self._names = {source.source_id: source.name for source in sources().values()}
        self._feeds: dict[int, Feed] = {}
        self._of_source: dict[int, Universe] = {}
        self._universe: Universe | None = None
        self._engine = Engine(config, regions)
        self._log = SignalLog(
            self._engine, out, {row.direction_id: row.name for row in config.directions}
        )
        self._ledger: Ledger | None = None
        self._first_ns = 0
        self._generations: list[int] = []

    @property
    def has_begun(self) -> bool:
        """Whether there was anything to replay."""
        return self._ledger is not None

    def take(self, event: Event) -> None:
        """Let one event happen, and everything that is due before it."""
        time_ns, source_id, received_ns, content = event
        if self._ledger is not None:
            while self._ledger.next_tick(time_ns) is not None:
                self._log.take()
                self._ledger.step()
        self._clock.now_ns = time_ns
        if isinstance(content, bytes):
            self._feeds[source_id].receive(content, received_ns)
        elif isinstance(content, Head):
            self._begin(source_id, content)
        elif isinstance(content, Mark):
            self._feeds[source_id].mark(content.symbol_id, content.flag)
        elif isinstance(content, Confirmed):
            self._feeds[source_id].confirm(content.symbol_id, content.price)
        elif isinstance(content, Funded):
            self._feeds[source_id].fund(content, time_ns)
        elif isinstance(content, Lost):
            self._feeds[source_id].mark_all()
        else:
            self._feeds[source_id].end()
        self._engine.scan_at(time_ns)

    def finish(self) -> dict[str, Any]:
        """Take the last signals and return the summary."""
        if self._ledger is not None:
            self._log.take()
            self._ledger.drain()
            self._ledger.close()
        return self._summary()

    def _begin(self, source_id: int, head: Head) -> None:
        """Begin a segment; where the source's universe changed, the rest goes over to it too."""
        source = sources()[self._names[source_id]]
        universe = self._universes.named(head.universe)
        if source_id not in self._feeds:
            self._feeds[source_id] = Feed(source, self._regions, self._config.feed)
        self._feeds[source_id].begin(head.session, universe)
        is_change = self._of_source.get(source_id) is not universe
        self._of_source[source_id] = universe
        if is_change and self._universe is not universe:
            self._adopt(universe)

    def _adopt(self, universe: Universe) -> None:
        self._log.take()
        self._universe = universe
        self._generations.append(universe.generation)
        if self._ledger is None:
            self._first_ns = self._clock.now_ns
            log = logging.getLogger(LOG_NAME)
            self._ledger = Ledger(self._config, universe, self._engine.ring, self._clock, log)
            # Everybody has attached: nobody else is to find them, and nothing is to be left.
            remove_regions(self._config.shm)
        else:
            self._ledger.adopt(universe)
        self._log.adopt(universe)
        self._engine.adopt(universe)

    def _summary(self) -> dict[str, Any]:
        assert self._ledger is not None
        counted = {
            "opened": TrackerCounter.EPISODES_OPENED,
            "open": TrackerCounter.EPISODES_OPEN,
            "converged": TrackerCounter.EPISODES_CONVERGED,
            "expired": TrackerCounter.EPISODES_EXPIRED,
            "delisted": TrackerCounter.EPISODES_DELISTED,
        }
        return {
            "from": _utc(self._first_ns),
            "to": _utc(self._clock.now_ns),
            "recorded_s": (self._clock.now_ns - self._first_ns) / 1e9,
            "frames": sum(feed.frames for feed in self._feeds.values()),
            "sources": {
                self._names[source_id]: {
                    "sessions": feed.sessions,
                    "frames": feed.frames,
                    "quotes": feed.quotes,
                    "gaps": feed.lost,
                }
                for source_id, feed in sorted(self._feeds.items())
            },
            "universes": self._generations,
            "signals": {kind.name.lower(): self._log.counts[kind] for kind in SignalType},
            "signals_sha256": self._log.digest.hexdigest(),
            "episodes": {name: self._ledger.count(which) for name, which in counted.items()},
        }


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000 / 1000, UTC).isoformat(
        timespec="milliseconds"
    )
