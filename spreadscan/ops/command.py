"""Commands to the running processes: asked for under the control lock, followed until obeyed.

A command is a few words of the control block and a generation (``shm/control.py``). Whoever runs
says in its health slot which generation it has obeyed. Who runs is told by the role locks alone.
"""

import time
from collections.abc import Callable, Iterable

import msgspec

from spreadscan.config import Config
from spreadscan.errors import EXIT_NOT_RUNNING, SpreadscanError
from spreadscan.runtime.lock import control_lock, is_lock_held
from spreadscan.shm.control import ControlWriter
from spreadscan.shm.health import HealthReader, HealthSnapshot
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions
from spreadscan.topology import Program, programs

__all__ = [
    "Follower",
    "NothingRuns",
    "Standing",
    "ask",
    "is_anything_running",
    "is_running",
    "running_programs",
    "watched_programs",
]

POLL_S = 0.02
# A process beats ten times a second.
QUIET_S = 1.0


class NothingRuns(SpreadscanError):  # noqa: N818 - named for what happened, as in errors.py
    """A command has nobody to go to.

    Args:
        run_dir: whose locks were looked at.
    """

    exit_code = EXIT_NOT_RUNNING

    def __init__(self, run_dir: str) -> None:
        self.run_dir = run_dir
        super().__init__(f"nothing is running: no program holds its lock in {run_dir}")


def watched_programs(config: Config) -> list[Program]:
    """Return the long-running programs of a configuration, in the order in which they start."""
    active = {source.name for source in config.active_sources()}
    return [
        program
        for program in programs().values()
        if program.health_slot is not None and (program.source is None or program.source in active)
    ]


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How far one program has come with a command."""

    program: str
    is_running: bool
    quiet_s: float
    """Since its last heartbeat."""
    slot: HealthSnapshot

    @property
    def words(self) -> str:
        """Say in a few words why it has not obeyed."""
        if not self.is_running:
            return "has ended"
        if self.quiet_s > QUIET_S:
            return f"hangs, no heartbeat for {self.quiet_s:.1f} s"
        return (
            f"at command {self.slot.obeyed_generation}, universe "
            f"{self.slot.universe_generation}: {self.slot.status or 'no status'}"
        )


def running_programs(config: Config) -> list[Program]:
    """Return the long-running programs of this configuration whose process lives.

    Raises:
        NothingRuns: there is none.
        RunFolderRefused: the locks cannot be looked at.
    """
    found = [program for program in watched_programs(config) if is_running(config, program)]
    if not found:
        raise NothingRuns(str(config.path(config.runtime.run_dir)))
    return found


def is_anything_running(config: Config) -> bool:
    """Tell whether any long-running program lives.

    Raises:
        RunFolderRefused: the locks cannot be looked at.
    """
    return any(is_running(config, program) for program in watched_programs(config))


def ask(config: Config, write: Callable[[ControlWriter], int]) -> int:
    """Write a command into the control block and return its generation.

    Args:
        config: of the pipeline that is meant.
        write: does the writing; called once, under the lock.

    Raises:
        RegionError: the control block is absent, or may not be written.
        AlreadyRunning: somebody else is writing and does not come to an end.
        RunFolderRefused: the lock cannot be taken.

    Concurrency: one writer at a time; waits for another one, not for ever.
    """
    regions = attach_regions(config.shm, reads=(), writes=[RegionKind.CONTROL], timeout_s=0.0)
    lock = control_lock(config.path(config.runtime.run_dir))
    try:
        return write(ControlWriter(regions.control))
    finally:
        lock.release()


class Follower:
    """Watches who obeys.

    Args:
        config: of the pipeline that was asked.
        asked: programs that are waited for; one that ends is waited for until it is back.

    Raises:
        RegionError: the health slots cannot be read.
    """

    def __init__(self, config: Config, asked: Iterable[Program]) -> None:
        self._config = config
        self._asked = {program.name for program in asked}
        regions = attach_regions(config.shm, reads=[RegionKind.HEALTH], writes=(), timeout_s=0.0)
        self._health = HealthReader(regions.health)

    def standings(self) -> list[Standing]:
        """Return how every asked program stands, and every other that runs meanwhile."""
        found = []
        for program in watched_programs(self._config):
            lives = is_running(self._config, program)
            if lives or program.name in self._asked:
                assert program.health_slot is not None, program.name
                slot = self._health.slot(program.health_slot)
                found.append(
                    Standing(
                        program=program.name,
                        is_running=lives,
                        quiet_s=(time.monotonic_ns() - slot.heartbeat_ns) / 1e9,
                        slot=slot,
                    )
                )
        return found

    def wait(
        self, has_obeyed: Callable[[Standing], bool], timeout_s: float
    ) -> tuple[list[Standing], list[Standing]]:
        """Wait until all have obeyed; return those who have, and after the time-out the others."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            standings = self.standings()
            missing = [each for each in standings if not (each.is_running and has_obeyed(each))]
            if not missing or time.monotonic() >= deadline_s:
                return [each for each in standings if each not in missing], missing
            time.sleep(POLL_S)


def is_running(config: Config, program: Program) -> bool:
    """Tell whether a program's process lives: by its lock, never by a pid.

    Raises:
        RunFolderRefused: the lock cannot be looked at.
    """
    return is_lock_held(config.path(config.runtime.run_dir), program.name)
