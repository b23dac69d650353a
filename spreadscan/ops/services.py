"""Start, stop and restart programs by whoever keeps them: systemd, ``spreadscan up``, or nobody.

Prints nothing. A program that nobody keeps can be ended, not started.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from spreadscan.config import Config
from spreadscan.errors import (
    EXIT_TEMPORARY,
    EXIT_USAGE,
    RegionError,
    RegionMissing,
    SpreadscanError,
)
from spreadscan.ops.command import NothingRuns, ask, is_running, watched_programs
from spreadscan.ops.pipeline import SUPERVISOR_ROLE
from spreadscan.ops.supervisor_door import Request, ask_supervisor
from spreadscan.ops.units import TARGET, unit_of
from spreadscan.runtime.lock import is_lock_held, lock_owner
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import ProcessState, RegionKind
from spreadscan.shm.region import attach_region
from spreadscan.topology import program_named, stop_wave

__all__ = [
    "Keeper",
    "Steered",
    "SteeringRefused",
    "keeper_of",
    "program_names",
    "shutdown",
    "steer",
]

SYSTEMD_RUNS = Path("/run/systemd/system")
POLL_S = 0.05


class SteeringRefused(SpreadscanError):  # noqa: N818 - named for what happened, as in errors.py
    """It cannot be done so.

    Args:
        message: what was found and expected.
        exit_code: by who must act.
    """

    def __init__(self, message: str, exit_code: int = EXIT_USAGE) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class Keeper(StrEnum):
    """Who starts a pipeline's programs and starts them again."""

    SYSTEMD = "systemd"
    SUPERVISOR = "spreadscan up"
    NOBODY = "nobody"


class Steered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    keeper: Keeper
    verb: str
    programs: tuple[str, ...]
    late: tuple[str, ...]
    """Those with which it has not come about within the time."""


def keeper_of(config: Config) -> Keeper:
    """Return who keeps a configuration's programs."""
    if is_lock_held(config.path(config.runtime.run_dir), SUPERVISOR_ROLE):
        return Keeper.SUPERVISOR
    # A simulated pipeline is never a host's.
    if not config.is_sim and SYSTEMD_RUNS.is_dir() and shutil.which("systemctl"):
        return Keeper.SYSTEMD
    return Keeper.NOBODY


def program_names(config: Config, words: Sequence[str]) -> tuple[str, ...]:
    """Return the programs that words name: their own names, their sources or their units.

    Raises:
        SteeringRefused: a word that names none.
    """
    known = {row.name: row.name for row in watched_programs(config)}
    known |= {row.source: row.name for row in watched_programs(config) if row.source}
    known |= {unit_of(row): row.name for row in watched_programs(config)}
    for word in words:
        if word not in known:
            expected = ", ".join(row.name for row in watched_programs(config))
            raise SteeringRefused(f"found {word!r}, expected one of {expected}")
    return tuple(dict.fromkeys(known[word] for word in words))


def steer(config: Config, verb: str, words: Sequence[str], timeout_s: float) -> Steered:
    """Start, stop or restart programs, or all of them, and wait until that has come about.

    Args:
        config: of the pipeline.
        verb: "start", "stop" or "restart".
        words: see `program_names`; none means all.
        timeout_s: how long to wait.

    Raises:
        SteeringRefused: a word names no program, or nobody can do it.
        NothingRuns: there is nothing to stop.
        DoorClosed: the supervisor does not answer.
    """
    names = program_names(config, words) or tuple(row.name for row in watched_programs(config))
    keeper = keeper_of(config)
    before = {name: _owner(config, name) for name in names}
    deadline_s = time.monotonic() + timeout_s
    if keeper is Keeper.SYSTEMD:
        units = [unit_of(program_named(name)) for name in names] if words else [TARGET]
        _systemctl(verb, units, timeout_s)
    elif keeper is Keeper.SUPERVISOR:
        request = Request(verb=verb, programs=names)  # type: ignore[arg-type] # decoded there
        reply = ask_supervisor(config.path(config.runtime.run_dir), request)
        if reply.refusal:
            raise SteeringRefused(reply.refusal)
    elif verb == "stop":
        _signal(config, [name for name in names if before[name]])
    else:
        raise SteeringRefused(
            f"nobody keeps the programs: found neither systemd nor `spreadscan up`, expected one "
            f"of them to {verb} a program"
        )

    def is_done(name: str) -> bool:
        if verb == "stop":
            return _has_ended(config, name)
        return _runs(config, name, other_than=before[name] if verb == "restart" else None)

    return Steered(
        keeper=keeper, verb=verb, programs=names, late=_waited(names, is_done, deadline_s)
    )


def shutdown(config: Config, timeout_s: float) -> Steered:
    """End everything in order: feeds first, then the engine, then the tracker.

    Raises:
        NothingRuns: there is nothing to end.
        SteeringRefused: systemd does not do it.
        DoorClosed: the supervisor does not answer.
    """
    keeper = keeper_of(config)
    run_dir = config.path(config.runtime.run_dir)
    running = tuple(
        row.name for row in watched_programs(config) if is_running(config, program_named(row.name))
    )
    if not running and keeper is not Keeper.SUPERVISOR:
        raise NothingRuns(str(run_dir))
    deadline_s = time.monotonic() + timeout_s
    if keeper is Keeper.SYSTEMD:
        # Of a target that is stopped systemd has only begun to stop the units.
        _systemctl("stop", [TARGET], timeout_s)
        late = _waited(running, lambda name: _has_ended(config, name), deadline_s)
    elif keeper is Keeper.SUPERVISOR:
        ask_supervisor(run_dir, Request(verb="shutdown"))
        late = _waited([SUPERVISOR_ROLE], lambda role: not is_lock_held(run_dir, role), deadline_s)
    else:
        late = _shut_down(config, running, deadline_s)
    return Steered(keeper=keeper, verb="shutdown", programs=running, late=late)


def _shut_down(config: Config, names: Sequence[str], deadline_s: float) -> tuple[str, ...]:
    """End programs that nobody keeps, wave by wave; return those of the first that is late."""
    waves: dict[int, list[str]] = {}
    for name in names:
        waves.setdefault(stop_wave(program_named(name)), []).append(name)
    for number, wave in sorted(waves.items()):
        try:
            # By the control block: it reaches programs of another user, and no pid is trusted.
            _ask_waves(config, number)
        except RegionError:
            # Theirs is of another build, or gone.
            _signal(config, wave)
        if late := _waited(wave, lambda name: _has_ended(config, name), deadline_s):
            # Those after it would lose what it still sends. The word stays for when it goes on.
            return late
    with contextlib.suppress(RegionError):
        # Over; the next ones may be started by hand.
        _ask_waves(config, 0)
    return ()


def _ask_waves(config: Config, number: int) -> None:
    """Ask the first so many waves to end."""
    ask(config, lambda writer: writer.command(SHUTDOWN=number))


def _has_ended(config: Config, name: str) -> bool:
    return not is_running(config, program_named(name))


def _owner(config: Config, name: str) -> int | None:
    return lock_owner(config.path(config.runtime.run_dir), name)


def _runs(config: Config, name: str, other_than: int | None) -> bool:
    """Whether a program's process is at work, and is not the one it was."""
    owner = _owner(config, name)
    slot_index = program_named(name).health_slot
    if owner is None or owner == other_than or slot_index is None:
        return False
    try:
        region = attach_region(config.shm, RegionKind.HEALTH, writable=False)
    except RegionMissing:
        return False
    slot = HealthReader(region).slot(slot_index)
    return slot.pid == owner and slot.state is ProcessState.RUNNING


def _signal(config: Config, names: Sequence[str]) -> None:
    if not names:
        raise NothingRuns(str(config.path(config.runtime.run_dir)))
    for name in names:
        owner = _owner(config, name)
        if owner is not None:
            try:
                os.kill(owner, signal.SIGTERM)
            except ProcessLookupError:
                continue
            except PermissionError:
                raise SteeringRefused(
                    f"{name}: found no permission to end pid {owner}, expected its user or root",
                    EXIT_TEMPORARY,
                ) from None


def _waited(
    names: Sequence[str], is_done: Callable[[str], bool], deadline_s: float
) -> tuple[str, ...]:
    while late := tuple(name for name in names if not is_done(name)):
        if time.monotonic() >= deadline_s:
            return late
        time.sleep(POLL_S)
    return ()


def _systemctl(verb: str, units: Sequence[str], timeout_s: float) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - units are the topology's
            ["systemctl", verb, *units],  # noqa: S607 - whichever the host has
            capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SteeringRefused(
            f"systemctl {verb} {' '.join(units)}: not done within {timeout_s:g} s", EXIT_TEMPORARY
        ) from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise SteeringRefused(
            f"systemctl {verb} {' '.join(units)}: {said[-1] if said else 'failed'}", EXIT_TEMPORARY
        )
