"""The life every long-running process shares.

``run`` goes through it in a fixed order: configuration, own row of the topology, role lock,
regions, health slot, signals, universe, then the stage's ``main`` with a Context. The stage calls
``context.ready`` when it does useful work and loops ``while context.tick():``; the heartbeat and
systemd's watchdog are fed from there and from nowhere else, so a loop that hangs is noticed.
"""

import logging
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

import sdnotify

from spreadscan.config import Config, load_config
from spreadscan.errors import EXIT_FAILED, SpreadscanError
from spreadscan.runtime.clock import Clock, SystemClock
from spreadscan.runtime.command_line import CommandLine
from spreadscan.runtime.lock import RoleLock
from spreadscan.runtime.log import set_up_logging
from spreadscan.shm.control import ControlReader, ControlState
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import ProcessState, RegionKind
from spreadscan.shm.regions import Regions, attach_regions, lock_regions
from spreadscan.topology import Program, program_named
from spreadscan.universe import Universe, load_universe

__all__ = ["Context", "run"]


class Context:
    """What a stage is given: its branch of everything, and the beat of its loop.

    Concurrency: one thread, the one that calls tick.
    """

    def __init__(self, config: Config, program: Program, clock: Clock, log: logging.Logger) -> None:
        assert program.health_slot is not None, program.name
        self.config = config
        self.program = program
        self.clock = clock
        self.log = log
        self.regions: Regions = attach_regions(
            config.shm,
            reads=program.reads,
            writes={*program.writes, RegionKind.HEALTH},
            timeout_s=config.shm.attach_timeout_s,
        )
        self.health = HealthWriter(self.regions.health, program.health_slot, program.name)
        self.universe: Universe = load_universe(config.path(config.runtime.generated_dir))
        self._control = ControlReader(self.regions.control)
        self.control: ControlState = self._control.state()
        self.stopping = self.control.is_shutdown
        self._notifier = sdnotify.SystemdNotifier()
        self._beat_interval_ns = config.runtime.heartbeat_interval_ms * 1_000_000
        self._next_beat_ns = 0
        self._obeyed_generation = -1
        self._wakeup: int | None = None

    def tick(self) -> bool:
        """Beat when it is due and look at the control block; False once the process must stop.

        Call it at least every heartbeat interval, from the loop that does the work.
        """
        now_ns = self.clock.monotonic_ns()
        if now_ns >= self._next_beat_ns:
            self._next_beat_ns = now_ns + self._beat_interval_ns
            self.health.beat(now_ns)
            self._notifier.notify("WATCHDOG=1")
        if self._control.generation() != self.control.generation:
            self.control = self._control.state()
            self.stopping = self.stopping or self.control.is_shutdown
        return not self.stopping

    @property
    def has_new_command(self) -> bool:
        """Whether ``control`` asks for something that was not yet written back as obeyed."""
        return self._obeyed_generation != self.control.generation

    def obeyed(self) -> None:
        """Write back that everything ``control`` asks for is done; the stage says when."""
        self._obeyed_generation = self.control.generation
        self.health.set_generations(self.control.generation, self.universe.generation)

    def ready(self, status: str) -> None:
        """Tell systemd and the health slot that useful work has begun."""
        self.health.set_state(ProcessState.RUNNING)
        self.health.set_status(status)
        self._notifier.notify(f"READY=1\nSTATUS={status}")
        self.log.info("%s", status)

    def status(self, text: str) -> None:
        """Publish a changed status line."""
        self.health.set_status(text)
        self._notifier.notify(f"STATUS={text}")

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until the process is told to stop."""
        if self._wakeup is None:
            # Python writes a byte here whenever a signal arrives, which ends the select below.
            self._wakeup, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            signal.set_wakeup_fd(write_end)
        if not self.stopping:
            select.select([self._wakeup], [], [], max(0.0, seconds))

    def request_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Make the next tick say False; also the signal handler, so it only sets a flag."""
        self.stopping = True

    def finish(self, state: ProcessState) -> None:
        """Leave the last word in the health slot."""
        self._notifier.notify("STOPPING=1")
        if self.control.is_shutdown:
            self.obeyed()
        self.health.set_state(state)


def run(program_name: str, main: Callable[[Context], None], argv: Sequence[str]) -> int:
    """Live one process's life; return its exit status (see ``errors``)."""
    arguments = CommandLine(program_name).parse_args(argv)
    log = set_up_logging(program_name, "info")
    context: Context | None = None
    try:
        config = load_config(arguments.config, is_sim=arguments.sim)
        log.setLevel(config.runtime.log_level.upper())
        program = program_named(program_name)
        # Held until the process ends, which is what releases it.
        role = RoleLock(config.path(config.runtime.run_dir), program_name)
        context = Context(config, program, SystemClock(), log)
        for stop_signal in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop_signal, context.request_stop)
        if config.shm.lock_memory:
            for region, errno in lock_regions(context.regions).items():
                log.warning("%s is not locked into memory: %s", region, os.strerror(errno))
        main(context)
        context.finish(ProcessState.STOPPED)
        role.release()
    except SpreadscanError as error:
        if context is not None:
            context.finish(ProcessState.FAILED)
        sys.stderr.write(f"{program_name}: {error}\n")
        return error.exit_code
    except Exception:
        # The only one in the program: an inside mistake ends this process, loudly, and only it.
        log.exception("stopped by a mistake of its own")
        if context is not None:
            context.finish(ProcessState.FAILED)
        return EXIT_FAILED
    return 0
