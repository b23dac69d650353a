"""``spread-ctl top``: the board of a running pipeline, ten times a second, with keys."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

import msgspec
import orjson
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from spreadscan.cli.board_view import Choice, board_screen, plain_line, routes_that_fit
from spreadscan.cli.keys import Keys
from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.cli.standard_output import is_reader_gone
from spreadscan.config import Config, load_config
from spreadscan.errors import SpreadscanError
from spreadscan.ops import holding
from spreadscan.ops.board import Board, BoardState, Order
from spreadscan.ops.command import running_programs
from spreadscan.ops.holding import Held
from spreadscan.ops.owner import act_as_owner
from spreadscan.runtime.clock import SystemClock
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.region import attach_region

__all__ = ["top"]

FRAME_S = 0.1
PLAIN_S = 1.0
PLAIN_ROUTES = 20
# How long the board stands still while a pause is being obeyed.
OBEY_S = 0.5
EXPLAIN_S = 5.0
KEYS = "q quit  s sort  / filter  up/down select  p pause symbol  P pause all  e explain"
# Terminals that know it draw a frame at once (synchronized output); others pass it over.
BEGIN_FRAME, END_FRAME = "\x1b[?2026h", "\x1b[?2026l"


def top(
    *, sim: OnSim = False, as_json: AsJson = False, config: ConfigFile = DEFAULT_CONFIG
) -> None:
    """Show the live board: sources, the widest routes, open episodes.

    Keys: q quits, s sorts by net spread, z-score, size or age, / filters by symbol or exchange,
    arrows select a route, p pauses its symbol and P everything (again: resumes), e explains it.
    Where there is no terminal it prints a line a second, with --json an object a line.
    """
    tree = load_config(config, is_sim=sim)
    # Its keys pause.
    act_as_owner(tree.path(tree.runtime.run_dir))
    board = Board(tree, SystemClock(), _began_ns(tree))
    console = Console()
    try:
        if as_json or not (console.is_terminal and sys.stdin.isatty()):
            _print_lines(board, as_json=as_json)
        else:
            _Top(tree, board, console).live()
    except KeyboardInterrupt:
        return


def _began_ns(config: Config) -> int:
    """Return when the oldest of the running processes began: what they count is shown."""
    rows = running_programs(config)
    health = HealthReader(attach_region(config.shm, RegionKind.HEALTH, writable=False))
    slots = [health.slot(row.health_slot) for row in rows if row.health_slot is not None]
    return min(
        (slot.started_ns for slot in slots if slot.is_alive),
        default=SystemClock().monotonic_ns(),
    )


def _print_lines(board: Board, *, as_json: bool) -> None:
    while not is_reader_gone():
        state = board.read(PLAIN_ROUTES)
        line = orjson.dumps(msgspec.to_builtins(state, str_keys=True)).decode()
        sys.stdout.write((line if as_json else plain_line(state)) + "\n")
        sys.stdout.flush()
        time.sleep(PLAIN_S)


class _Top:
    """The board with somebody before it."""

    def __init__(self, config: Config, board: Board, console: Console) -> None:
        self._config = config
        self._board = board
        self._console = console
        self._choice = Choice(keys=KEYS)
        self._state: BoardState | None = None
        self._notes: Sequence[str] = ()
        self._typed: str | None = None
        self._page: str | None = None
        where = "simulated exchanges" if config.is_sim else ", ".join(config.exchanges)
        self._title = f"spreadscan on {where}"

    def live(self) -> None:
        """Draw until somebody quits."""
        with (
            Keys() as keys,
            Live(console=self._console, screen=True, auto_refresh=False) as screen,
        ):
            due_s = 0.0
            while True:
                now_s = time.monotonic()
                if now_s >= due_s:
                    due_s = now_s + FRAME_S
                    self._draw(screen)
                key = keys.within(due_s - time.monotonic())
                if key is not None and not self._pressed(key):
                    return
                if key is not None:
                    due_s = 0.0

    def _draw(self, screen: Live) -> None:
        width, height = self._console.size
        rows = routes_that_fit(height - len(self._notes), len(self._config.active_sources()))
        self._state = self._board.read(rows, self._choice.order, self._choice.only)
        last = max(0, len(self._state.routes) - 1)
        if self._choice.selected > last:
            self._choose(selected=last)
        drawn: RenderableType = board_screen(
            self._title, self._state, self._notes, width=width, choice=self._choice
        )
        if self._page is not None:
            drawn = Text(self._page)
        self._console.file.write(BEGIN_FRAME)
        screen.update(drawn, refresh=True)
        self._console.file.write(END_FRAME)
        self._console.file.flush()

    def _pressed(self, key: str) -> bool:
        """Do what a key means; False when it means the end."""
        if self._page is not None:
            self._page = None
            return True
        if self._typed is not None:
            self._type(key)
            return True
        self._notes = ()
        actions = {
            "s": self._sort,
            "/": lambda: self._type(""),
            "escape": lambda: self._choose(only=""),
            "up": lambda: self._choose(selected=max(0, self._choice.selected - 1)),
            "k": lambda: self._choose(selected=max(0, self._choice.selected - 1)),
            "down": lambda: self._choose(selected=self._choice.selected + 1),
            "j": lambda: self._choose(selected=self._choice.selected + 1),
            "p": self._toggle_symbol,
            "P": lambda: self._toggle([], is_held=holding.is_everything_held(self._config)),
            "e": self._explain,
        }
        if key in actions:
            actions[key]()
        return key != "q"

    def _choose(self, **values: object) -> None:
        self._choice = msgspec.structs.replace(self._choice, **values)

    def _sort(self) -> None:
        orders = list(Order)
        self._choose(order=orders[(orders.index(self._choice.order) + 1) % len(orders)])

    def _type(self, key: str) -> None:
        """Take a key of the filter that is being typed."""
        typed = self._typed or ""
        if key == "enter":
            self._typed = None
        elif key == "escape":
            self._typed, typed = None, ""
        else:
            typed = typed[:-1] if key == "backspace" else typed + (key if len(key) == 1 else "")
            self._typed = typed
        line = KEYS if self._typed is None else f"filter: {typed}_  (Enter keeps, Esc drops it)"
        self._choose(only=typed, keys=line)

    def _toggle_symbol(self) -> None:
        if self._state is None or not self._state.routes:
            return
        symbol = self._state.routes[self._choice.selected].symbol
        self._toggle([symbol], is_held=symbol in holding.held_names(self._config))

    def _toggle(self, names: list[str], *, is_held: bool) -> None:
        act = holding.resume if is_held else holding.pause
        try:
            held: Held = act(self._config, names, "", OBEY_S)
        except SpreadscanError as error:
            self._notes = (str(error),)
            return
        late = f"; not obeyed yet by {', '.join(held.missing)}" if held.missing else ""
        trouble = f"; {held.trouble}" if held.trouble else ""
        self._notes = (f"held back: {held.holds.words}{late}{trouble}",)

    def _explain(self) -> None:
        """Show why the selected route signals or does not, until the next key."""
        if self._state is None or not self._state.routes:
            return
        route = self._state.routes[self._choice.selected]
        direction = f"{route.spot_source}_{route.futures_source}"
        command = [sys.executable, "-m", "spreadscan.cli.ctl", "explain", route.symbol, direction]
        command += ["--config", self._config.file, *(["--sim"] if self._config.is_sim else [])]
        width = str(self._console.size.width)
        try:
            done = subprocess.run(  # noqa: S603 - our own tool, with names of ours
                command, capture_output=True, text=True, timeout=EXPLAIN_S, check=False,
                env=os.environ | {"COLUMNS": width},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            self._notes = ("explain: no answer",)
            return
        self._page = f"{done.stdout}{done.stderr}\nany key: back to the board"
