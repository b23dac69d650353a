"""Hot reload: every running process goes over to the universe on disk. Prints nothing."""

import msgspec

from spreadscan.config import Config
from spreadscan.ops.command import Follower, Standing, ask, running_programs
from spreadscan.ops.universes import generation_on_disk, universe_of
from spreadscan.shm.control import ControlWriter
from spreadscan.universe import Universe, load_universe
from spreadscan.universe_diff import Changes, changes

__all__ = ["Reloaded", "ask_for_reload", "reload_universe"]


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a reload."""

    command: int
    """Its generation in the control block."""
    before: tuple[int, ...]
    """Generations of the universe that were worked with, usually one."""
    universe: Universe
    changes: Changes | None
    """Against the oldest one of *before*; None when that set is no longer kept on disk."""
    obeyed: tuple[str, ...]
    missing: dict[str, str]
    """Who has not obeyed within the time, and where it stands."""


def ask_for_reload(config: Config) -> Universe:
    """Ask for a reload and do not wait; return the universe that everybody will find.

    Raises:
        UniverseError: the universe on disk cannot be used; nothing was asked.
        SpreadscanError: nobody could be asked, see `spreadscan.ops.command`.
    """
    universe = load_universe(config.path(config.runtime.generated_dir))
    ask(config, ControlWriter.ask_for_reload)
    return universe


def reload_universe(config: Config, timeout_s: float) -> Reloaded:
    """Ask for a reload and wait until everybody who runs works with the universe on disk.

    Raises:
        UniverseError: the universe on disk cannot be used; nothing was asked.
        NothingRuns: there is nobody to ask.
        SpreadscanError: the command cannot be written, see `spreadscan.ops.command`.
    """
    folder = config.path(config.runtime.generated_dir)
    universe = load_universe(folder)
    follower = Follower(config, running_programs(config))
    # 0: it has not come to its loop yet, and loads what is on disk anyway.
    before = {each.slot.universe_generation for each in follower.standings()} - {0}
    command = ask(config, ControlWriter.ask_for_reload)
    wanted: set[int | None] = {universe.generation}

    def has_obeyed(standing: Standing) -> bool:
        if standing.slot.universe_generation not in wanted:
            # A further one may have been written since.
            wanted.add(generation_on_disk(folder))
        slot = standing.slot
        return slot.obeyed_generation >= command and slot.universe_generation in wanted

    obeyed, missing = follower.wait(has_obeyed, timeout_s)
    earlier = universe_of(folder, min(before, default=universe.generation))
    return Reloaded(
        command=command,
        before=tuple(sorted(before)),
        universe=universe,
        changes=None if earlier is None else changes(earlier, universe),
        obeyed=tuple(each.program for each in obeyed),
        missing={each.program: each.words for each in missing},
    )
