"""The life every long-running process shares.

``run`` goes through it in a fixed order: configuration, log, own row of the topology, role lock,
cores, regions, health slot, universe, signals, memory, then the stage's ``main`` with a Context.
The stage calls ``context.ready`` when it does useful work and loops ``while context.tick():``. The
heartbeat comes from there and from nowhere else, so a loop that hangs is noticed. systemd's
watchdog is fed there too, if the stage has said since that it ``worked``: a loop that turns without
doing what it is there for is ended like one that hangs, and its stacks stand in the log.

The universe and the configuration may change under a running process. After a tick the stage asks
in this order::

    if context.must_reload and context.reload():
        ...                 # go over to context.universe and to context.config
    if context.has_new_command:
        ...                 # do what context.control asks for
        context.obeyed()

Of the configuration only the keys that ``config_diff`` calls live are taken over;
``context.config`` has the others as they were at start, so that it always is what the process goes
by.
"""

import contextlib
import faulthandler
import logging
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from spreadscan.config import Config, load_config
from spreadscan.config_diff import with_live_keys
from spreadscan.errors import EXIT_FAILED, ConfigError, SpreadscanError, UniverseError
from spreadscan.runtime.clock import Clock, SystemClock
from spreadscan.runtime.command_line import CommandLine
from spreadscan.runtime.cpu import take_cpu_share
from spreadscan.runtime.in_force import forget_config, publish_config
from spreadscan.runtime.lock import RoleLock
from spreadscan.runtime.log import set_up_logging
from spreadscan.runtime.memory import freeze_garbage_collector, lock_process_memory
from spreadscan.runtime.systemd import Systemd
from spreadscan.shm.control import ControlReader, ControlState
from spreadscan.shm.counters import EngineCounter, FeedCounter
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import ProcessState, RegionKind
from spreadscan.shm.regions import Regions, attach_regions, lock_regions
from spreadscan.topology import CpuRole, Program, program_named, stop_wave
from spreadscan.universe import Universe, load_universe

__all__ = ["Context", "run"]

# More than the signals that can arrive between two waits.
PIPE_BYTES = 4096


RATE_INTERVAL_NS = 1_000_000_000
# Role -> what is counted, and where its rate is shown.
RATES: dict[CpuRole, tuple[int, int]] = {
    CpuRole.FEED: (FeedCounter.FRAMES, FeedCounter.FRAMES_PER_S),
    CpuRole.ENGINE: (EngineCounter.PASSES, EngineCounter.PASSES_PER_S),
}


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
        if program.source is not None:
            self._retire_former_quotes(program.health_slot)
        self.health = HealthWriter(self.regions.health, program.health_slot, program.name)
        # Before the universe: a reload asked for in between is then seen as a new one.
        self._control = ControlReader(self.regions.control)
        self.control: ControlState = self._control.state()
        self.universe: Universe = load_universe(config.path(config.runtime.generated_dir))
        self.stopping = self._is_shut_down
        if self.stopping:
            # Of a shutdown that did not come to its end.
            log.warning("ends at once: a shutdown is asked for, which shm-init takes back")
        self._systemd = Systemd()
        self._has_worked = False
        self._rated_ns = 0
        self._rated_count = 0
        self._beat_interval_ns = config.runtime.heartbeat_interval_ms * 1_000_000
        self._next_beat_ns = 0
        self._wakeup: int | None = None
        # Commands by generation: dealt with, carried out, and with a reload that failed.
        self._handled_generation = -1
        self._obeyed_generation = 0
        self._refused_generation = -1
        # reloading
        self._read_config_generation = self.control.config_generation
        self._is_reload_signalled = False
        self._reload_trouble = ""
        self._run_dir = config.path(config.runtime.run_dir)
        self._published_config: Config | None = None
        self._status = ""

    def _retire_former_quotes(self, source_id: int) -> None:
        """Take what a dead feed left out of use, before this one seems to vouch for it.

        The engine has done so long ago, unless it died at the same time.
        """
        epoch = self.regions.prices.source_epoch(source_id)
        if epoch % 2 == 1:
            self.regions.prices.retire_source(source_id, epoch)

    def tick(self) -> bool:
        """Beat when it is due and look at the control block; False once the process must stop.

        Call it at least every heartbeat interval, from the loop that does the work.
        """
        now_ns = self.clock.monotonic_ns()
        if now_ns >= self._next_beat_ns:
            self._next_beat_ns = now_ns + self._beat_interval_ns
            self.health.beat(now_ns)
            self._publish_rate(now_ns)
            if self._has_worked and self._systemd.feed_watchdog(now_ns):
                self._has_worked = False
        if self._control.generation() != self.control.generation:
            self.control = self._control.state()
            self.stopping = self.stopping or self._is_shut_down
        return not self.stopping

    @property
    def _is_shut_down(self) -> bool:
        return self.control.shutdown_waves >= stop_wave(self.program)

    def _publish_rate(self, now_ns: int) -> None:
        """Say once a second how much was done in it: readers then need not watch for one."""
        elapsed_ns = now_ns - self._rated_ns
        counters = RATES.get(self.program.cpu)
        if counters is None or elapsed_ns < RATE_INTERVAL_NS:
            return
        counter, gauge = counters
        done = self.health.get(counter)
        if self._rated_ns:
            self.health.set(gauge, round((done - self._rated_count) * 1e9 / elapsed_ns))
        self._rated_ns, self._rated_count = now_ns, done

    def worked(self) -> None:
        """Say that the loop has done once what it is there for, whatever came of it."""
        self._has_worked = True

    @property
    def must_reload(self) -> bool:
        """Whether universe and configuration are to be read again, by command or by SIGHUP."""
        return self._is_reload_signalled or self._is_reload_commanded

    def reload(self) -> bool:
        """Read both again; True when ``universe`` and ``config`` are new and to be used now.

        A universe that is absent or damaged, or a configuration that cannot be used, leaves
        everything as it was: that is logged, and shown in the status until a later reload
        succeeds. Either way the request is dealt with.
        """
        is_commanded = self._is_reload_commanded
        # Cleared first: whoever asks while the files are read asks for another reload.
        self._is_reload_signalled = False
        self._read_config_generation = self.control.config_generation
        try:
            wanted = load_config(Path(self.config.file), is_sim=self.config.is_sim)
            config = with_live_keys(self.config, wanted)
            config = self.config if config == self.config else config
            universe = load_universe(config.path(config.runtime.generated_dir))
        except (ConfigError, UniverseError) as error:
            is_config = isinstance(error, ConfigError)
            kept = "configuration" if is_config else f"universe {self.universe.generation}"
            self._reload_trouble = f"{kept} kept: {error}"
            if is_commanded:
                self._refused_generation = self.control.generation
            self.log.warning("%s", self._reload_trouble)
            self._publish_status()
            return False
        self.config, self.universe = config, universe
        self._reload_trouble = ""
        self._refused_generation = -1
        # What was refused is carried out by this; and the generation must be shown in any case.
        self._handled_generation = -1
        self.log.setLevel(config.runtime.log_level.upper())
        self.log.info("universe %d loaded", self.universe.generation)
        self._publish_status()
        return True

    @property
    def _is_reload_commanded(self) -> bool:
        return self.control.config_generation != self._read_config_generation

    @property
    def has_new_command(self) -> bool:
        """Whether something was not written back yet: a command, or that a universe was loaded."""
        return self._handled_generation != self.control.generation

    def obeyed(self) -> None:
        """Write back that everything ``control`` asks for is done; the stage says when.

        A command whose reload failed is not written back, so that "asked 7, obeyed 6" shows; one
        whose reload is still to come is not either, and stays new.
        """
        if self.must_reload:
            return
        self._handled_generation = self.control.generation
        if self._refused_generation != self.control.generation:
            self._obeyed_generation = self.control.generation
        self._publish_config()
        self.health.set_generations(self._obeyed_generation, self.universe.generation)

    def ready(self, status: str) -> None:
        """Tell systemd and the health slot that useful work has begun."""
        self.health.set_state(ProcessState.RUNNING)
        self._publish_config()
        self._status = status
        self.health.set_status(self._whole_status)
        self._systemd.ready(self._whole_status)
        freeze_garbage_collector()
        self.log.info("%s", status)

    def status(self, text: str) -> None:
        """Publish a changed status line."""
        self._status = text
        self._publish_status()

    def _publish_config(self) -> None:
        """Let operators see what this process goes by, when that has changed."""
        if self.config is self._published_config:
            return
        self._published_config = self.config
        try:
            publish_config(self._run_dir, self.program.name, self.config)
        except OSError as error:
            # Only the tools see less; a full disk must not stop a process.
            self.log.warning("%s: %s", error.filename, error.strerror)

    def _publish_status(self) -> None:
        self.health.set_status(self._whole_status)
        self._systemd.status(self._whole_status)

    @property
    def _whole_status(self) -> str:
        # Trouble first: the health slot cuts what is too long.
        return "; ".join(part for part in (self._reload_trouble, self._status) if part)

    def wait(self, seconds: float) -> None:
        """Sleep, but no longer than until a signal comes in."""
        if self._wakeup is None:
            # Python writes a byte here whenever a signal arrives, which ends the select below.
            self._wakeup, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            signal.set_wakeup_fd(write_end)
        if not (self.stopping or self.must_reload):
            select.select([self._wakeup], [], [], max(0.0, seconds))
        # Emptied, or a SIGHUP would end every later wait too; its handler has set its flag.
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, PIPE_BYTES)

    def request_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Make the next tick say False; also the signal handler, so it only sets a flag."""
        self.stopping = True

    def request_reload(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Make ``must_reload`` true; also the signal handler, so it only sets a flag."""
        self._is_reload_signalled = True

    def finish(self, state: ProcessState) -> None:
        """Leave the last word in the health slot."""
        self._systemd.stopping()
        forget_config(self._run_dir, self.program.name)
        if self._is_shut_down:
            self.health.set_generations(self.control.generation, self.universe.generation)
        self.health.set_state(state)


def _lock_memory(context: Context) -> None:
    """Keep regions and process out of swap; where that is not permitted, say so and go on."""
    for region, errno in lock_regions(context.regions).items():
        context.log.warning("%s is not locked into memory: %s", region, os.strerror(errno))
    if refusal := lock_process_memory():
        context.log.warning("the process is not locked into memory: %s", refusal)


def run(program_name: str, main: Callable[[Context], None], argv: Sequence[str]) -> int:
    """Live one process's life; return its exit status (see ``errors``)."""
    arguments = CommandLine(program_name).parse_args(argv)
    log = set_up_logging(program_name, "info")
    context: Context | None = None
    try:
        config = load_config(arguments.config, is_sim=arguments.sim)
        log = set_up_logging(program_name, config.runtime.log_level, config.runtime.log_format)
        # systemd's watchdog ends a program by SIGABRT; what it hung in stands in the log then.
        faulthandler.enable(all_threads=True)
        program = program_named(program_name)
        # A SIGHUP must not end a program that is starting, and not be forgotten by it. Kept rather
        # than blocked: a thread of a library would take a blocked one, and it would end us.
        early: list[int] = []
        signal.signal(signal.SIGHUP, lambda number, _: early.append(number))
        # Held until the process ends, which is what releases it.
        role = RoleLock(config.path(config.runtime.run_dir), program_name)
        if refusal := take_cpu_share(config, program):
            log.warning("%s", refusal)
        context = Context(config, program, SystemClock(), log)
        for stop_signal in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop_signal, context.request_stop)
        signal.signal(signal.SIGHUP, context.request_reload)
        if early:
            context.request_reload()
        if config.shm.lock_memory:
            _lock_memory(context)
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
