"""Hot reload: every running process goes over to the universe and configuration on disk.

What is on disk is judged before anybody is asked, and compared with what each process says that it
goes by. Prints nothing.
"""

from collections.abc import Iterable

import msgspec

from spreadscan.config import Config
from spreadscan.config_diff import DISCOVERY, SIMULATOR, SUPERVISOR, Effect, KeyChange, changed_keys
from spreadscan.holds import hold_words, read_holds
from spreadscan.ops.command import Follower, Standing, ask, running_programs
from spreadscan.ops.pipeline import SUPERVISOR_ROLE
from spreadscan.ops.universes import generation_on_disk, universe_of
from spreadscan.runtime.in_force import config_in_force
from spreadscan.runtime.lock import is_lock_held
from spreadscan.shm.control import ControlWriter
from spreadscan.topology import Program
from spreadscan.universe import Universe, load_universe
from spreadscan.universe_diff import Changes, changes

__all__ = ["Difference", "Reloaded", "ask_for_reload", "difference", "reload_everything"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What is on disk against what the running processes work with."""

    before: tuple[int, ...]
    """Generations of the universe that are worked with, usually one."""
    universe: Universe
    """The one on disk."""
    changes: Changes | None
    """Against the oldest one of *before*; None when that set is no longer kept on disk."""
    keys: tuple[KeyChange, ...]
    """Keys of the configuration that somebody who runs has otherwise; ``programs`` are those."""
    unknown: tuple[str, ...]
    """Programs that run and do not say what configuration they go by."""

    @property
    def restarts(self) -> dict[str, list[str]]:
        """The keys for which a program has to be restarted, by its name."""
        found: dict[str, list[str]] = {}
        for change in self.keys:
            if change.effect is Effect.RESTART:
                for name in change.programs:
                    found.setdefault(name, []).append(change.key)
        return found


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a reload."""

    command: int
    """Its generation in the control block."""
    difference: Difference
    """As it was before."""
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
    _ask(config)
    return universe


def difference(config: Config) -> Difference:
    """Compare what is on disk with what runs; changes nothing.

    Args:
        config: as it is on disk.

    Raises:
        UniverseError: the universe on disk cannot be used.
        NothingRuns: there is nothing to compare with.
        SpreadscanError: what runs cannot be seen, see `spreadscan.ops.command`.
    """
    running = running_programs(config)
    return _difference(config, running, Follower(config, running).standings())


def reload_everything(config: Config, timeout_s: float) -> Reloaded:
    """Ask for a reload and wait until everybody who runs works with what is on disk.

    Args:
        config: as it is on disk; loading it has judged it.
        timeout_s: how long to wait.

    Raises:
        UniverseError: the universe on disk cannot be used; nothing was asked.
        NothingRuns: there is nobody to ask.
        SpreadscanError: the command cannot be written, see `spreadscan.ops.command`.
    """
    folder = config.path(config.runtime.generated_dir)
    running = running_programs(config)
    follower = Follower(config, running)
    found = _difference(config, running, follower.standings())
    command = _ask(config)
    wanted: set[int | None] = {found.universe.generation}

    def has_obeyed(standing: Standing) -> bool:
        if standing.slot.universe_generation not in wanted:
            # A further one may have been written since.
            wanted.add(generation_on_disk(folder))
        slot = standing.slot
        return slot.obeyed_generation >= command and slot.universe_generation in wanted

    obeyed, missing = follower.wait(has_obeyed, timeout_s)
    return Reloaded(
        command=command,
        difference=found,
        obeyed=tuple(each.program for each in obeyed),
        missing={each.program: each.words for each in missing},
    )


def _ask(config: Config) -> int:
    def write(writer: ControlWriter) -> int:
        # Under the lock: a pause that was faster must not be undone.
        holds, trouble = read_holds(config)
        if holds.symbols and not trouble:
            # The universe that everybody goes over to may have other numbers for their names.
            writer.hold_symbols(hold_words(config, holds).symbols)
        return writer.ask_for_reload()

    return ask(config, write)


def _difference(
    config: Config, running: Iterable[Program], standings: Iterable[Standing]
) -> Difference:
    folder = config.path(config.runtime.generated_dir)
    universe = load_universe(folder)
    # 0: it has not come to its loop yet, and loads what is on disk anyway.
    before = {each.slot.universe_generation for each in standings} - {0}
    earlier = universe_of(folder, min(before, default=universe.generation))
    keys, unknown = _keys(config, [program.name for program in running])
    return Difference(
        before=tuple(sorted(before)),
        universe=universe,
        changes=None if earlier is None else changes(earlier, universe),
        keys=keys,
        unknown=unknown,
    )


def _keys(config: Config, running: list[str]) -> tuple[tuple[KeyChange, ...], tuple[str, ...]]:
    """Every key that somebody has otherwise, with those who do; and who does not say."""
    run_dir = config.path(config.runtime.run_dir)
    beside = {DISCOVERY}
    if config.is_sim:
        beside.add(SIMULATOR)
    if is_lock_held(run_dir, SUPERVISOR_ROLE):
        beside.add(SUPERVISOR)
    found: dict[str, KeyChange] = {}
    unknown = []
    for name in running:
        in_force = config_in_force(run_dir, name)
        if in_force is None:
            unknown.append(name)
            continue
        for change in changed_keys(in_force, config):
            # Concerning it, or something without a word of its own that was started beside it.
            whom = tuple(who for who in change.programs if who == name or who in beside)
            if whom:
                earlier = found.get(change.key)
                known = () if earlier is None else earlier.programs
                found[change.key] = msgspec.structs.replace(
                    earlier or change, programs=tuple(dict.fromkeys((*known, *whom)))
                )
    return tuple(found[key] for key in sorted(found)), tuple(unknown)
