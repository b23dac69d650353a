"""``spreadscan up``: the whole pipeline in the foreground, with a live board.

SIGINT and SIGTERM stop it in order. SIGHUP lets every process read the universe again, as
``spread-ctl reload`` does, unless it was sent because the terminal went away: that is a stop.
"""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated

import orjson
import typer
from rich.console import Console, RenderableType
from rich.live import Live

from spreadscan.cli.board_view import board_screen, plain_line, routes_that_fit, starting_screen
from spreadscan.cli.duration import parse_duration_s
from spreadscan.cli.terminal import Terminal, is_hang_up
from spreadscan.config import Config, load_config
from spreadscan.errors import EXIT_FAILED, SpreadscanError
from spreadscan.manners.kept_bans import forget_bans
from spreadscan.ops.board import Board, BoardState, closing_summary
from spreadscan.ops.pipeline import SUPERVISOR_ROLE, Part, log_dir, pipeline
from spreadscan.ops.reconcile import Phase, Policy
from spreadscan.ops.reload import ask_for_reload
from spreadscan.ops.supervisor import Supervisor
from spreadscan.ops.supervisor_door import Reply, Request, SupervisorDoor, door_path
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.lock import RoleLock
from spreadscan.shm.regions import remove_regions

__all__ = ["up"]

STEP_S = 0.05
FRAME_S = 0.2
PLAIN_S = 5.0
# The end of a shell sends SIGHUP before it takes the terminal away (disassociate_ctty in Linux).
HANG_UP_S = 0.2

Handler = Callable[[int, FrameType | None], None]


def up(  # noqa: PLR0913 - one parameter is one option of the command line
    *,
    sim: Annotated[bool, typer.Option("--sim", help="Run on the simulated exchanges.")] = False,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Stop after this long, e.g. 30s.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one closing JSON object; the rest to stderr.")
    ] = False,
    replay: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=FILE", help="With --sim: that source plays a .rawlog; repeatable."
        ),
    ] = None,
    speed: Annotated[
        str, typer.Option(help="Times the recorded pace; `max` is back to back.")
    ] = "1",
    scenario: Annotated[
        Path | None, typer.Option(help="With --sim: a TOML file of faults and coins to play.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="With --sim: write what every row quoted and when.")
    ] = None,
    config: Annotated[
        Path, typer.Option(help="Configuration; its neighbours are read too.")
    ] = Path("config/config.toml"),
) -> None:
    """Run discovery, feeds, engine and tracker until stopped, and show what they see.

    Exits 0 after an orderly end, 1 when a program died or was never ready, 75 when it already
    runs, 78 when a file has to be mended.
    """
    for_s = None if duration is None else parse_duration_s(duration)
    simulator_options = _simulator_options(replay or [], speed, scenario, truth)
    if simulator_options and not sim:
        raise typer.BadParameter(
            f"{simulator_options[0]} needs --sim: only a simulated exchange can play it"
        )
    tree = load_config(config, is_sim=sim)
    lock = RoleLock(tree.path(tree.runtime.run_dir), SUPERVISOR_ROLE)
    try:
        parts = pipeline(tree, simulator_options=simulator_options)
        run = _Run(tree, parts, for_s, Console(stderr=as_json))
        handlers: dict[signal.Signals, Handler] = {
            signal.SIGINT: run.request_stop,
            signal.SIGTERM: run.request_stop,
            signal.SIGHUP: run.hang_up,
        }
        if sim:
            # The exchanges begin anew, and have banned nobody.
            forget_bans(tree)
        with _handled(handlers):
            run.live()
        if sim:
            # Nobody reads them after a simulation, and shared memory is not given back by itself.
            remove_regions(tree.shm)
    finally:
        lock.release()
    if as_json:
        sys.stdout.write(orjson.dumps(run.summary()).decode() + "\n")
    raise typer.Exit(run.conclude())


def _simulator_options(
    recordings: list[str], speed: str, scenario: Path | None, truth: Path | None
) -> list[str]:
    """Return what the simulator is told besides the configuration."""
    options = [word for text in recordings for word in ("--replay", text)]
    if recordings:
        options += ["--speed", speed]
    files = {"--scenario": scenario, "--truth": truth}
    options += [word for name, file in files.items() if file for word in (name, str(file))]
    return options


class _Run:
    """One run: the supervisor, its board, and where it is shown."""

    def __init__(
        self, config: Config, parts: list[Part], for_s: float | None, console: Console
    ) -> None:
        self._config = config
        self._console = console
        self._clock = SystemClock()
        self._began_ns = self._clock.monotonic_ns()
        self._for_s = for_s
        self._supervisor = Supervisor(
            parts,
            config.shm,
            log_dir(config),
            Policy(stop_timeout_s=config.runtime.stop_timeout_s),
            self._clock,
        )
        self._door: SupervisorDoor
        self._board: Board | None = None
        self._last: BoardState | None = None
        self._stop_requests = 0
        self._terminal = Terminal()
        self._is_hung_up = False
        self._hang_up_due_s: float | None = None
        self._reload_note = ""
        where = "simulated exchanges" if config.is_sim else ", ".join(config.exchanges)
        self._title = f"spreadscan on {where}"

    def request_stop(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask for an orderly stop; asked twice, everything ends at once. Only sets a flag."""
        self._stop_requests += 1

    def hang_up(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask for a reload, or for a stop if the terminal is gone. Only sets a flag."""
        self._is_hung_up = True

    def live(self) -> None:
        """Run until finished; children never outlive this call."""
        door = SupervisorDoor(door_path(self._config.path(self._config.runtime.run_dir)))
        self._door = door
        try:
            with self._screen() as show:
                self._loop(show)
        finally:
            self._supervisor.kill_all()
            while not self._supervisor.is_finished:
                self._supervisor.step()
                time.sleep(STEP_S)
            door.close()

    def summary(self) -> dict[str, object]:
        """Return the closing object, as things stood when the stop began."""
        if self._last is not None:
            return closing_summary(self._last)
        names = [source.name for source in self._config.active_sources()]
        nothing = {"live": 0, "expected": 0, "messages": 0}
        return {
            "sources": dict.fromkeys(names, nothing),
            "signals": 0,
            "episodes": dict.fromkeys(
                ("opened", "open", "converged", "expired", "delisted", "halted", "lost"), 0
            ),
            "latency_ns": {"p50": 0, "p99": 0},
            "uptime_s": round(self._uptime_s(), 3),
        }

    def conclude(self) -> int:
        """Say how it ended and return the exit status."""
        failure = self._supervisor.failure
        missed = list(self._supervisor.died)
        if self._stop_requests == 0:
            # Somebody who stops a run while it starts does not want to hear that it had not.
            missed += [name for name in self._supervisor.never_ready if name not in missed]
        if self._last is not None:
            self._console.print(plain_line(self._last), soft_wrap=True, highlight=False)
        if failure is not None:
            typer.echo(failure.line(), err=True)
            return failure.exit_code
        if missed:
            typer.echo(f"died or was never ready: {', '.join(missed)}", err=True)
            return EXIT_FAILED
        return 0

    def _uptime_s(self) -> float:
        return (self._clock.monotonic_ns() - self._began_ns) / 1e9

    def _loop(self, show: Callable[[], None]) -> None:
        supervisor = self._supervisor
        has_looked_last = False
        due_s = 0.0
        while not supervisor.is_finished:
            now_s = self._uptime_s()
            self._answer_hang_up(now_s)
            if self._stop_requests > 0 or (self._for_s is not None and now_s >= self._for_s):
                supervisor.begin_stop()
            if supervisor.is_stopping and not has_looked_last:
                # Before the first process is asked to end: this is the closing state.
                has_looked_last = True
                self._look()
            if now_s >= due_s:
                due_s = now_s + FRAME_S
                if not has_looked_last:
                    self._look()
                self._show(show)
            self._door.serve(self._answer)
            supervisor.step()
            if self._stop_requests > 1:
                supervisor.kill_all()
            time.sleep(STEP_S)

    def _answer(self, request: Request) -> Reply:
        """Do what ``spread-ctl`` asks for."""
        supervisor = self._supervisor
        if request.verb == "shutdown":
            self._stop_requests = max(1, self._stop_requests)
            return Reply()
        if strangers := [name for name in request.programs if name not in supervisor.children]:
            return Reply(refusal=f"{strangers[0]} is not part of this pipeline")
        if supervisor.is_stopping:
            return Reply(refusal="the pipeline is being stopped")
        act = {
            "start": supervisor.start_one,
            "stop": supervisor.stop_one,
            "restart": supervisor.restart_one,
        }[request.verb]
        for name in request.programs:
            act(name)
        return Reply(programs=request.programs)

    def _answer_hang_up(self, now_s: float) -> None:
        if self._is_hung_up:
            self._is_hung_up = False
            self._hang_up_due_s = now_s + (HANG_UP_S if self._terminal.is_controlling else 0.0)
        if self._hang_up_due_s is None or now_s < self._hang_up_due_s:
            return
        self._hang_up_due_s = None
        if self._terminal.is_gone:
            self._lose_terminal()
        elif not self._supervisor.is_stopping:
            self._reload()

    def _lose_terminal(self) -> None:
        self._terminal.let_go()
        self._stop_requests = max(1, self._stop_requests)

    def _reload(self) -> None:
        try:
            universe = ask_for_reload(self._config)
        except SpreadscanError as error:
            self._reload_note = f"universe not reloaded: {error}"
        else:
            self._reload_note = f"universe {universe.generation}: all were asked to go over to it"
        if not self._console.is_terminal:
            self._console.print(self._reload_note, soft_wrap=True, highlight=False)

    def _show(self, show: Callable[[], None]) -> None:
        try:
            show()
        except OSError as error:
            if not is_hang_up(error):
                raise
            self._lose_terminal()

    def _look(self) -> None:
        """Read the board once there is one; the last state before a stop is the closing one."""
        if self._board is None and self._supervisor.children["pair-discovery"].phase is Phase.DONE:
            self._board = Board(self._config, self._clock, self._began_ns)
        if self._board is not None:
            height = self._console.size.height
            self._last = self._board.read(
                routes_that_fit(height, len(self._config.active_sources()))
            )

    @contextlib.contextmanager
    def _screen(self) -> Iterator[Callable[[], None]]:
        if not self._console.is_terminal:
            yield _Throttled(self._print_line, PLAIN_S)
            return
        # Without auto_refresh rich starts no thread; children must come from a lone thread.
        with Live(console=self._console, screen=True, auto_refresh=False) as screen:
            yield lambda: screen.update(self._drawn(), refresh=True)

    def _drawn(self) -> RenderableType:
        children = self._supervisor.children
        if self._last is None:
            return starting_screen(self._title, children)
        notes = [
            f"{name}: restarted {child.restarts} times, last exit {child.exit_code}"
            for name, child in children.items()
            if child.restarts
        ]
        if self._reload_note:
            notes.append(self._reload_note)
        if self._supervisor.is_stopping:
            notes.append("stopping; Ctrl-C again ends everything at once")
        return board_screen(self._title, self._last, notes, width=self._console.size.width)

    def _print_line(self) -> None:
        if self._last is None:
            waiting = [
                name
                for name, child in self._supervisor.children.items()
                if child.phase in {Phase.WAITING, Phase.STARTING}
            ]
            text = f"{self._uptime_s():.0f}s starting, waiting for {', '.join(waiting)}"
        else:
            text = plain_line(self._last)
        self._console.print(text, soft_wrap=True, highlight=False)


class _Throttled:
    """Calls on only when the interval has passed."""

    def __init__(self, action: Callable[[], None], interval_s: float) -> None:
        self._action = action
        self._interval_s = interval_s
        self._due_s = 0.0

    def __call__(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + self._interval_s
            self._action()


@contextlib.contextmanager
def _handled(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
