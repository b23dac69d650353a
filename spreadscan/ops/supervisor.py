"""``spreadscan up`` without its screen: one loop step reaps, looks, decides and acts.

What to do is decided by ``ops/reconcile.py``; here it is done. The caller holds the role lock of
the run folder, so that there is one supervisor a pipeline.
"""

from pathlib import Path

import msgspec

from spreadscan.config import ShmConfig
from spreadscan.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_TEMPORARY, RegionMissing
from spreadscan.ops.children import ChildProcess
from spreadscan.ops.pipeline import Part
from spreadscan.ops.reconcile import (
    Child,
    Kill,
    Phase,
    Policy,
    Start,
    Terminate,
    exited,
    held,
    is_stopped,
    let_start,
    ready,
    reconcile,
    started,
    terminated,
)
from spreadscan.runtime.clock import Clock
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import ProcessState, RegionKind
from spreadscan.shm.regions import attach_regions

__all__ = ["Failure", "Supervisor"]

EXIT_NOT_EXECUTABLE = 126


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run ended early."""

    program: str
    code: int
    """The child's exit code; negative is a signal."""
    last_line: str
    log_file: str

    @property
    def exit_code(self) -> int:
        """What the supervisor exits with: the child's own word where it has one."""
        return self.code if self.code in {EXIT_TEMPORARY, EXIT_CONFIG} else EXIT_FAILED

    def line(self) -> str:
        """Say it in one line: who, its own last words, how it ended, where to read on."""
        how = f"signal {-self.code}" if self.code < 0 else f"exit {self.code}"
        said = self.last_line.removeprefix(f"{self.program}: ") or "no output"
        return f"{self.program}: {said} ({how}; log: {self.log_file})"


class Supervisor:
    """Keeps a pipeline running until it is told to stop or cannot.

    Args:
        parts: in starting order; see ``ops/pipeline.py``.
        shm: where health slots are, to see who is ready.
        log_dir: one log a program; made when missing.
        policy: patience.
        clock: injected.

    Concurrency: one thread, the main one. Call ``step`` several times a second.
    """

    def __init__(
        self, parts: list[Part], shm: ShmConfig, log_dir: Path, policy: Policy, clock: Clock
    ) -> None:
        log_dir.mkdir(parents=True, exist_ok=True)
        self._parts = {part.desired.name: part for part in parts}
        self._shm = shm
        self._policy = policy
        self._clock = clock
        self._processes = {
            part.desired.name: ChildProcess(part.desired.name, part.command, log_dir)
            for part in parts
        }
        self._health: HealthReader | None = None
        self.children = {name: Child() for name in self._parts}
        """What became of each program."""
        self.failure: Failure | None = None
        """Set when a program was given up, which also begins the stop."""
        self.is_stopping = False

    @property
    def is_finished(self) -> bool:
        """Whether the stop is complete and no child is left."""
        return self.is_stopping and is_stopped(self.children)

    @property
    def is_ready(self) -> bool:
        """Whether every program is ready or done, or stopped by an operator."""
        return all(
            child.phase in {Phase.READY, Phase.DONE, Phase.HELD} for child in self.children.values()
        )

    @property
    def died(self) -> list[str]:
        """Programs that ended without being asked to."""
        return [name for name, child in self.children.items() if child.restarts or child.failures]

    @property
    def never_ready(self) -> list[str]:
        """Programs that have not been ready, or done, even once."""
        return [name for name, child in self.children.items() if not child.was_ready]

    def pid(self, name: str) -> int:
        """Return the process id of a program; 0 when it does not run."""
        return self._processes[name].pid

    def step(self) -> None:
        """Reap, look who is ready, decide, act. Does not block."""
        now_ns = self._clock.monotonic_ns()
        self._reap(now_ns)
        self._look_who_is_ready()
        actions = reconcile(
            [part.desired for part in self._parts.values()],
            self.children,
            now_ns,
            is_stopping=self.is_stopping,
            policy=self._policy,
        )
        for action in actions:
            match action:
                case Start(name):
                    self._start(name, now_ns)
                case Terminate(name):
                    self._processes[name].terminate()
                    self._become(name, terminated(self.children[name], now_ns, is_killed=False))
                case Kill(name):
                    self._processes[name].kill()
                    self._become(name, terminated(self.children[name], now_ns, is_killed=True))

    def begin_stop(self) -> None:
        """Stop everything in order, with the following steps."""
        self.is_stopping = True

    def stop_one(self, name: str) -> None:
        """End one program and leave it so, with the following steps; others go on."""
        self._become(name, held(self.children[name]))
        self._end(name)

    def start_one(self, name: str) -> None:
        """Start one program that was stopped, with the following steps."""
        self._become(name, let_start(self.children[name]))

    def restart_one(self, name: str) -> None:
        """End one program and start it again, with the following steps; others go on."""
        self.start_one(name)
        self._end(name)

    def kill_all(self) -> None:
        """End every child now, out of order."""
        self.is_stopping = True
        now_ns = self._clock.monotonic_ns()
        for name, process in self._processes.items():
            if self.children[name].is_running:
                process.kill()
                self._become(name, terminated(self.children[name], now_ns, is_killed=True))

    def _end(self, name: str) -> None:
        child = self.children[name]
        if child.is_running and child.terminated_ns is None:
            self._processes[name].terminate()
            now_ns = self._clock.monotonic_ns()
            self._become(name, terminated(child, now_ns, is_killed=False))

    def _become(self, name: str, child: Child) -> None:
        self.children[name] = child

    def _reap(self, now_ns: int) -> None:
        for name, process in self._processes.items():
            code = process.poll()
            if code is not None:
                self._ended(name, code, now_ns)

    def _ended(self, name: str, code: int, now_ns: int) -> None:
        wanted = self._parts[name].desired
        child = exited(wanted, self.children[name], code, now_ns, self._policy)
        self._become(name, child)
        if child.phase is Phase.GIVEN_UP and self.failure is None:
            process = self._processes[name]
            self.failure = Failure(
                program=name,
                code=code,
                last_line=process.last_line(),
                log_file=str(process.log_file),
            )
            self.begin_stop()

    def _start(self, name: str, now_ns: int) -> None:
        self._become(name, started(self.children[name], now_ns))
        try:
            self._processes[name].start()
        except OSError as error:
            self._processes[name].log_file.write_text(f"cannot start: {error}\n", encoding="utf-8")
            self._ended(name, EXIT_NOT_EXECUTABLE, now_ns)

    def _look_who_is_ready(self) -> None:
        for name, child in self.children.items():
            if child.phase is Phase.STARTING and self._says_ready(name):
                self._become(name, ready(child))

    def _says_ready(self, name: str) -> bool:
        part, process = self._parts[name], self._processes[name]
        if part.ready_line is not None:
            return process.has_said(part.ready_line)
        if part.health_slot is None:
            return False
        if self._health is None:
            try:
                regions = attach_regions(
                    self._shm, reads=[RegionKind.HEALTH], writes=[], timeout_s=0.0
                )
            except RegionMissing:
                return False
            self._health = HealthReader(regions.health)
        slot = self._health.slot(part.health_slot)
        return slot.pid == process.pid and slot.state is ProcessState.RUNNING
