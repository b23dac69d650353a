"""Pause, kill and resume: written for the running processes and for the next boot. Prints nothing.

The control block goes first, so that nothing on a disk delays it; then the file. What cannot be
stored is in force all the same, and said. A kill waits for no lock either: another operator's
command that hangs, or a run folder that takes no writes, must not keep signals flowing.
"""

import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from spreadscan.config import Config
from spreadscan.errors import (
    EXIT_USAGE,
    AlreadyRunning,
    RegionMissing,
    RunFolderRefused,
    SpreadscanError,
)
from spreadscan.holds import (
    Holds,
    hold_words,
    holds_file,
    known_symbols,
    read_holds,
    write_holds,
)
from spreadscan.ops.command import Follower, NothingRuns, Standing, running_programs
from spreadscan.ops.holds_now import holds_in_force
from spreadscan.ops.operation_log import note_operation, operations_file
from spreadscan.runtime.lock import control_lock
from spreadscan.shm.control import ControlReader, ControlWriter
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.region import Region, attach_region

__all__ = [
    "ALL",
    "Held",
    "HoldRefused",
    "held_names",
    "is_everything_held",
    "kill",
    "pause",
    "pull_brake",
    "resume",
    "target_names",
]


ALL = "all"
"""Everything, as a name."""


class HoldRefused(SpreadscanError):  # noqa: N818 - named for what happened, as in errors.py
    """It cannot be meant so."""

    exit_code = EXIT_USAGE


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    holds: Holds
    """In force from now on."""
    command: int | None
    """Its generation; None without a control block: it is in force from the next start."""
    obeyed: tuple[str, ...]
    missing: dict[str, str]
    """Who has not obeyed within the time, and where it stands."""
    trouble: str
    """What of it could not be written, and why; "" when all was."""


def pause(config: Config, targets: Sequence[str], reason: str, timeout_s: float) -> Held:
    """Hold back signals of some sources, directions and symbols; of everything by ALL or by none.

    Raises:
        HoldRefused: a name that is none of them.
        SpreadscanError: the command cannot be written, see `spreadscan.ops.command`.
    """
    found = _sorted_out(config, [name for name in targets if name != ALL])

    def change(holds: Holds) -> Holds:
        return holds.and_names(found.sources, found.directions, found.symbols).but(
            everything=holds.everything or not targets or ALL in targets,
            reason=reason or holds.reason,
        )

    return _hold(config, "pause", change, reason, timeout_s)


def resume(config: Config, targets: Sequence[str], reason: str, timeout_s: float) -> Held:
    """Undo what was done: without targets a kill or a pause of everything, else those of names.

    What somebody held by name stays held when everything else is let go, and a kill stays when a
    name is let go; ALL lets go of the lot. A kill takes a reason.

    Raises:
        HoldRefused: it is killed and there is no reason, or a target is not held by its name.
        SpreadscanError: the command cannot be written, see `spreadscan.ops.command`.
    """
    is_all = ALL in targets

    def change(holds: Holds) -> Holds:
        if holds.killed and not reason and (is_all or not targets):
            raise HoldRefused(
                f"killed{f' ({holds.reason})' if holds.reason else ''}: found no --reason, "
                "expected one that says why signals may leave again"
            )
        if is_all:
            return Holds()
        held = ", ".join(holds.names)
        if not targets:
            if holds.names and not (holds.killed or holds.everything):
                raise HoldRefused(f"found no name, expected {ALL!r} or what is held: {held}")
            # The reason was that of what is over, not of the names.
            return _rest(holds.but(killed=False, everything=False, reason=""))
        strangers = [name for name in targets if name not in holds.names]
        if strangers:
            raise HoldRefused(
                f"found {strangers[0]!r}, expected what is held by name: {held or 'nothing is'}"
            )
        return _rest(
            holds.but(
                sources=_without(holds.sources, targets),
                directions=_without(holds.directions, targets),
                symbols=_without(holds.symbols, targets),
            )
        )

    return _hold(config, "resume", change, reason, timeout_s)


def kill(config: Config, reason: str, timeout_s: float) -> Held:
    """Let no signal leave any more, until somebody resumes with a reason.

    The engine looks at the word before each signal and the tracker before it takes one, so either
    of them may be stopped or hang. The word is set before anything else is looked at.

    Raises:
        SpreadscanError: the command cannot be written, see `spreadscan.ops.command`.
    """

    def change(holds: Holds) -> Holds:
        return holds.but(killed=True, reason=reason)

    generation = pull_brake(config)
    try:
        return _hold(config, "kill", change, reason, timeout_s)
    except (AlreadyRunning, RunFolderRefused) as error:
        # In force without the lock, and with the file of before.
        holds = change(_in_force(config, _block(config)))
        return _followed(config, holds, generation, timeout_s, trouble=_lost(str(error)))


def pull_brake(config: Config) -> int | None:
    """Set the word of a kill and nothing else; return its generation, None without a block.

    Raises:
        RegionError: the block may not be written.
    """
    region = _block(config)
    return None if region is None else ControlWriter(region).kill()


def held_names(config: Config) -> tuple[str, ...]:
    """Return what is held by name."""
    return _in_force(config, _block(config, writable=False)).names


def is_everything_held(config: Config) -> bool:
    """Tell whether everything is held, by a pause or a kill."""
    holds = _in_force(config, _block(config, writable=False))
    return holds.everything or holds.killed


def target_names(config: Config) -> list[str]:
    """Return every name that can be paused: everything, sources, directions, symbols."""
    sources = [source.name for source in config.active_sources()]
    return [ALL, *sources, *(row.name for row in config.directions), *known_symbols(config)]


def _sorted_out(config: Config, targets: Sequence[str]) -> Holds:
    sources = {source.name for source in config.active_sources()}
    directions = {row.name for row in config.directions}
    symbols = known_symbols(config)
    for name in targets:
        if name not in sources and name not in directions and name not in symbols:
            raise HoldRefused(
                f"found {name!r}, expected {ALL!r}, a source ({', '.join(sorted(sources))}), a "
                "direction such as <spot source>_<futures source>, or a symbol such as BTC-USDT"
            )
    return Holds(
        sources=tuple(name for name in targets if name in sources),
        directions=tuple(name for name in targets if name in directions),
        symbols=tuple(name for name in targets if name in symbols),
    )


def _hold(
    config: Config, command: str, change: Callable[[Holds], Holds], reason: str, timeout_s: float
) -> Held:
    region = _block(config)
    lock = control_lock(config.path(config.runtime.run_dir))
    try:
        before = _in_force(config, region)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holds = change(before).but(since=now)
        generation = None
        if region is not None:
            generation = ControlWriter(region).hold(
                hold_words(config, holds), lifts_kill=before.killed and not holds.killed
            )
        trouble = _stored(config, command, holds, reason)
    finally:
        lock.release()
    return _followed(config, holds, generation, timeout_s, trouble=trouble)


def _block(config: Config, *, writable: bool = True) -> Region | None:
    """Return the control block; without one a command is for the next start."""
    with contextlib.suppress(RegionMissing):
        return attach_region(config.shm, RegionKind.CONTROL, writable=writable)
    return None


def _in_force(config: Config, region: Region | None) -> Holds:
    if region is None:
        return read_holds(config)[0]
    return holds_in_force(config, ControlReader(region).state())


def _followed(
    config: Config, holds: Holds, generation: int | None, timeout_s: float, *, trouble: str
) -> Held:
    """Wait until everybody who runs has obeyed; return how that went."""
    obeyed: list[Standing] = []
    missing: list[Standing] = []
    wanted = generation or 0
    # With nobody to look at it, it is for the next start.
    with contextlib.suppress(RegionMissing, NothingRuns, RunFolderRefused):
        if generation is not None:
            obeyed, missing = Follower(config, running_programs(config)).wait(
                lambda standing: standing.slot.obeyed_generation >= wanted, timeout_s
            )
    return Held(
        holds=holds,
        command=generation,
        obeyed=tuple(each.program for each in obeyed),
        missing={each.program: each.words for each in missing},
        trouble=trouble,
    )


def _stored(config: Config, command: str, holds: Holds, reason: str) -> str:
    """Write the file and the line of who did it; return what of it failed."""
    try:
        write_holds(config, holds)
    except OSError as error:
        # A write that is refused names no file.
        return _lost(f"{error.filename or holds_file(config)}: {error.strerror}")
    try:
        note_operation(config, command, holds, reason)
    except OSError as error:
        return f"not noted in {operations_file(config)}: {error.strerror}"
    return ""


def _lost(why: str) -> str:
    return f"lost with a restart: {why}"


def _rest(holds: Holds) -> Holds:
    """What is held still; a reason goes with the last of it."""
    return holds if holds.is_any else Holds()


def _without(names: Sequence[str], fewer: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in fewer)
