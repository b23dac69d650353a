"""What a replay runs a recording through: real sinks, scanner and tracker on memory of its own.

The regions are unlinked as soon as everybody has attached them, so that nothing is left behind
however the replay ends. Time stands still between two events and is Unix time for everybody.
"""

import hashlib
import logging
import os
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt
import orjson

from spreadscan.config import Config, FeedConfig
from spreadscan.engine.channels import channels_of
from spreadscan.engine.routes import routes_of
from spreadscan.errors import FeedError
from spreadscan.exchanges import Source
from spreadscan.exchanges._adapter import PartialQuote
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.memory import SignalRing
from spreadscan.kernel.scan import Scanner
from spreadscan.kernel.sink import FeedSink
from spreadscan.model import QuoteStatus, SignalType, SlotFlag
from spreadscan.rawlog import Funded, FundingRow
from spreadscan.runtime.process import Context
from spreadscan.shm.counters import TrackerCounter
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import NUM_SOURCES, RING_CAPACITY, SIGNAL_DTYPE, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import Regions, attach_regions, create_regions, remove_regions
from spreadscan.shm.ring import RingWriter
from spreadscan.topology import ENGINE_SLOT, program_named
from spreadscan.tracker.process import Tracker
from spreadscan.tracker.writer import InlineWriter
from spreadscan.universe import Universe, write_universe

__all__ = [
    "Engine",
    "Feed",
    "Ledger",
    "SignalLog",
    "VirtualClock",
    "private_config",
    "private_regions",
]


class VirtualClock:
    """Both clocks of a replay."""

    def __init__(self) -> None:
        self.now_ns = 0

    def monotonic_ns(self) -> int:
        """Return the present event's time."""
        return self.now_ns

    def wall_ns(self) -> int:
        """Return the present event's time."""
        return self.now_ns


def private_config(config: Config, folder: Path) -> Config:
    """Return the configuration with memory and folders of this replay alone."""
    replace = msgspec.structs.replace
    return replace(
        config,
        shm=replace(
            config.shm,
            prefix=f"replay-{os.getpid()}-{os.urandom(4).hex()}",
            backing="posix",
            owner="self",
            attach_timeout_s=0.0,
        ),
        runtime=replace(config.runtime, generated_dir=str(folder / "generated")),
        tracker=replace(config.tracker, data_dir=str(folder / "data")),
    )


class Feed:
    """One source: what its connections would have done with each line.

    Args:
        source: the source with its adapter.
        regions: writable.
        gates: the feed's settings.
    """

    def __init__(self, source: Source, regions: Regions, gates: FeedConfig) -> None:
        self.frames = 0
        self.quotes = 0
        self.sessions = 0
        self.lost = 0
        """Places where entries are missing."""
        self._source = source
        self._regions = regions
        self._gates = gates
        self._health = HealthWriter(regions.health, source.source_id, source.name)
        self._extractor = Extractor(source.spec.plan, [])
        self._sink: FeedSink | None = None
        self._session = ""
        self._legs: list[tuple[str, int, float, float]] = []

    def begin(self, session: str, universe: Universe) -> None:
        """Take the next segment's universe; in another session as a feed that starts anew."""
        is_new = session != self._session
        if is_new:
            self._session = session
            self.sessions += 1
            spec = self._source.spec
            restart = spec.restart_update_id
            self._extractor = Extractor(spec.plan, [])
            self._sink = FeedSink(
                self._source.source_id,
                self._extractor,
                self._regions.prices.slots,
                self._regions.dirty.bits,
                self._health.slot,
                restart_update_id=-1 if restart is None else restart,
                is_restart_told_by_time=spec.is_restart_told_by_time,
                sends_unchanged=spec.sends_unchanged,
                max_lag_ms=self._gates.max_lag_ms,
                max_jump_pct=self._gates.max_jump_pct,
            )
        before, self._legs = self._legs, universe.legs(self._source.source_id)
        stay = {(name, symbol_id) for name, symbol_id, *_ in self._legs}
        for name, symbol_id, *_ in before:
            if is_new or (name, symbol_id) not in stay:
                self._fund(FundingRow(symbol_id=symbol_id), 0)
        # What is no longer quoted as before was marked by the feed; its marks are recorded.
        self._extractor.set_legs(self._legs)

    def receive(self, frame: bytes, received_ns: int) -> None:
        """Treat a frame as the connection did that received it."""
        sink = self._sink
        if sink is None:
            return
        self.frames += 1
        status = sink.feed_at(frame, received_ns)
        if status == QuoteStatus.NOT_A_QUOTE:
            try:
                control = self._source.adapter.classify(frame)
            except FeedError:
                return
            # What refusals and endings did to symbols was recorded as marks.
            if isinstance(control, PartialQuote):
                status = sink.merge(control)
        self.quotes += status == QuoteStatus.QUOTE

    def mark(self, symbol_id: int, flag: int) -> None:
        """Make a symbol unusable, as the feed did."""
        if self._sink is not None:
            self._sink.mark(symbol_id, flag)

    def confirm(self, symbol_id: int, price: float) -> None:
        """Believe a held quote, as the feed did when REST bore it out."""
        if self._sink is not None:
            self._sink.confirm(symbol_id, price)

    def fund(self, note: Funded, time_ns: int) -> None:
        """Publish funding, as the feed did."""
        for row in note.rows:
            self._fund(row, time_ns - note.age_ns)

    def mark_all(self) -> None:
        """Make every symbol unusable: what was lost here may have changed any of them."""
        self.lost += 1
        for _, symbol_id, _, _ in self._legs:
            self.mark(symbol_id, SlotFlag.DISCONNECTED)

    def end(self) -> None:
        """Give the source up, as a feed does that ends, or the engine for one that was killed.

        What is known of funding stays and grows old.
        """
        if self._sink is not None:
            self._sink.close()
            self._sink = None
            self._session = ""

    def _fund(self, row: FundingRow, received_ns: int) -> None:
        self._regions.funding.write(
            slot_of(self._source.source_id, row.symbol_id),
            rate=row.rate,
            interval_s=row.interval_s,
            next_settlement_ms=row.next_settlement_ms,
            received_ns=received_ns,
        )


class Engine:
    """The scanner over a replay's regions."""

    def __init__(self, config: Config, regions: Regions) -> None:
        self.ring = RingWriter(regions.ring).ring
        self._config = config
        self._health = HealthWriter(regions.health, ENGINE_SLOT, "spread-engine")
        self._scanner = Scanner(channels_of(regions, self.ring, self._health.slot))
        self._scanner.configure(config.engine)
        self.scan_at = self._scanner.scan_at

    def adopt(self, universe: Universe) -> None:
        """Scan this universe's routes from now on."""
        self._scanner.set_routes(routes_of(universe, self._config))


class ReplayedPipeline:
    """Feeds and engine are the replay itself; a feed that ended then has given its source up."""

    def __init__(self, context: Context) -> None:
        del context

    def living_sources(self) -> npt.NDArray[np.bool_]:
        """Return that all of them live."""
        return np.ones(NUM_SOURCES, np.bool_)


class Ledger:
    """The tracker, which finds the universe where its configuration says."""

    def __init__(
        self,
        config: Config,
        universe: Universe,
        ring: SignalRing,
        clock: VirtualClock,
        log: logging.Logger,
    ) -> None:
        self._folder = config.path(config.runtime.generated_dir)
        self._ring = ring
        self._clock = clock
        self._interval_ns = config.tracker.snapshot_interval_ms * 1_000_000
        write_universe(self._folder, universe)
        self._context = Context(config, program_named("spread-tracker"), clock, log)
        self._tracker = Tracker(self._context, InlineWriter, ReplayedPipeline)
        self._due_ns = self._after(clock.now_ns)

    def adopt(self, universe: Universe) -> None:
        """Go over to another universe."""
        write_universe(self._folder, universe)
        if self._context.reload():
            self._tracker.adopt_universe()

    def next_tick(self, until_ns: int) -> int | None:
        """Return when the next tick is due, None when that is after *until_ns*.

        A time in which nothing is open and nothing opens is stepped over: nothing is measured.
        """
        if self._due_ns > until_ns:
            return None
        if self.count(TrackerCounter.EPISODES_OPEN) == 0 and self._ring.depth == 0:
            self._due_ns = max(self._due_ns, self._after(until_ns) - self._interval_ns)
        return self._due_ns

    def step(self) -> None:
        """Do the tick that is due, at its own time."""
        self._clock.now_ns = self._due_ns
        self._due_ns += self._interval_ns
        self._tracker.step()

    def drain(self) -> None:
        """Take what is in the ring, without a snapshot."""
        self._tracker.drain()

    def count(self, counter: TrackerCounter) -> int:
        """Return one of the tracker's counters."""
        return self._context.health.slot.get(counter)

    def close(self) -> None:
        """Close the ledger."""
        self._tracker.close()

    def _after(self, time_ns: int) -> int:
        # On a grid of its own: a tick's time must not depend on which frame came first.
        return (time_ns // self._interval_ns + 1) * self._interval_ns


class SignalLog:
    """All signals in order, as lines of JSON, and their digest.

    Args:
        engine: whose ring is read, without consuming: that is the tracker's.
        target: where lines go; None keeps only the digest.
        directions: names by direction id.
    """

    def __init__(self, engine: Engine, target: BinaryIO | None, directions: dict[int, str]) -> None:
        self.counts = dict.fromkeys(SignalType, 0)
        self.digest = hashlib.sha256()
        self._ring = engine.ring
        self._target = target
        self._directions = directions
        self._symbols: dict[int, str] = {}
        self._sequence = 0
        self._records = np.empty(RING_CAPACITY, SIGNAL_DTYPE)

    def adopt(self, universe: Universe) -> None:
        """Name symbols by this universe from now on; call `take` first."""
        self._symbols = {row.symbol_id: row.name for row in universe.symbols}

    def take(self) -> None:
        """Write what is new in the ring; call it before the tracker consumes it."""
        found = self._ring.peek(self._records.view(np.uint8))
        names = SIGNAL_DTYPE.names or ()
        for row in self._records[:found].tolist():
            signal = dict(zip(names, row, strict=True))
            if signal["sequence"] <= self._sequence:
                continue
            self._sequence = signal["sequence"]
            kind = SignalType(signal["type"])
            self.counts[kind] += 1
            shown = {
                "time_ns": signal["time_ns"],
                "signal": kind.name.lower(),
                "route": self._directions.get(signal["direction"], ""),
                "symbol": self._symbols.get(signal["symbol_id"], ""),
            }
            line = orjson.dumps(shown | signal) + b"\n"
            self.digest.update(line)
            if self._target is not None:
                self._target.write(line)


def private_regions(config: Config) -> Regions:
    """Make a replay's regions and attach them, for writing; `remove_regions` when all have."""
    create_regions(config.shm)
    try:
        return attach_regions(config.shm, reads=(), writes=tuple(RegionKind), timeout_s=0.0)
    except BaseException:
        remove_regions(config.shm)
        raise
