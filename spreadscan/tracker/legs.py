"""Reads the legs of routes, and asks who vouches for them.

A quote in shared memory proves nothing by itself: its feed may be dead or hang, and only the engine
finds out which legs are frozen and retires what the dead left. So a look counts while the engine
lives and beats, and a leg while its feed does; see ADR 0029.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from spreadscan.config import Config
from spreadscan.runtime.lock import is_lock_held
from spreadscan.runtime.process import Context
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import NUM_SOURCES
from spreadscan.topology import ENGINE_SLOT, feed_name
from spreadscan.tracker.snapshot import Legs, Limits, Snapshot, Watch, evaluate

__all__ = ["LegReader", "LivingPipeline", "Pipeline"]

ENGINE_NAME = "spread-engine"


class Pipeline(Protocol):
    """Who vouches for quotes."""

    def living_sources(self) -> npt.NDArray[np.bool_]:
        """Tell of which sources quotes may be believed now, shape (NUM_SOURCES,)."""
        ...


class LivingPipeline:
    """Believes a source while the engine and the source's feed hold their locks and beat.

    Args:
        context: whose configuration, clock and health region.

    Concurrency: one loop; a few microseconds a process.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._health = HealthReader(context.regions.health)
        self._run_dir = context.config.path(context.config.runtime.run_dir)
        self._feeds = [
            (source.source_id, feed_name(source.name)) for source in context.config.active_sources()
        ]

    def living_sources(self) -> npt.NDArray[np.bool_]:
        """Tell of which sources quotes may be believed now, shape (NUM_SOURCES,)."""
        found = np.zeros(NUM_SOURCES, np.bool_)
        if self._lives(ENGINE_SLOT, ENGINE_NAME):
            for source_id, program in self._feeds:
                found[source_id] = self._lives(source_id, program)
        return found

    def _lives(self, slot: int, program: str) -> bool:
        quiet_ns = self._context.clock.monotonic_ns() - self._health.heartbeat_ns(slot)
        limit_ns = self._context.config.engine.feed_silence_ms * 1_000_000
        return quiet_ns <= limit_ns and is_lock_held(self._run_dir, program)


class LegReader:
    """Looks at routes.

    Args:
        context: prices, the engine's suspicions, configuration and clock.
        pipeline: who vouches for quotes.

    Concurrency: one loop.
    """

    def __init__(self, context: Context, pipeline: Pipeline) -> None:
        self._context = context
        self._pipeline = pipeline

    def look(self, watched: Watch) -> tuple[Snapshot, int]:
        """Look at all watched routes; return what is seen, and its CLOCK_MONOTONIC time.

        Concurrency: the tracker's loop.
        """
        regions = self._context.regions
        records, is_stable = regions.prices.read_pairs(watched.slots)
        # All of this after the quotes, so that none of them can seem to come from the future, and
        # the epochs last: who lives now and still has the epoch of the quotes has written them.
        living = self._pipeline.living_sources()[watched.sources]
        epochs = regions.prices.source_epochs()[watched.sources]
        suspects = regions.routes.suspects()[watched.slots]
        now_ns = self._context.clock.monotonic_ns()
        legs = Legs(records, is_stable, epochs, living & ~suspects)
        return evaluate(watched, legs, now_ns, _limits_of(self._context.config)), now_ns


def _limits_of(config: Config) -> Limits:
    return Limits(config.engine.max_leg_age_ms * 1_000_000, config.engine.max_spread_bps)
