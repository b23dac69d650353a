"""What a validation tells while it runs: rows on a terminal, plain lines in a journal."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Rows
from rich.table import Column

from spreadscan.runtime.clock import Clock

__all__ = ["Counts", "PlainProgress", "Progress", "TerminalProgress", "progress_on"]

LINE_INTERVAL_S = 10.0
DRAW_INTERVAL_S = 0.1
BAR_WIDTH = 20


class Counts(NamedTuple):
    """One source so far."""

    received: int
    """Symbols that sent a usable quote."""
    expected: int
    refused: int
    """Symbols that the exchange refused to subscribe."""
    connections: int
    """Opened since the beginning."""
    seconds: float


class Progress(Protocol):
    """Whoever wants to know how a validation goes on.

    Concurrency: called from one event loop, for all sources in turn.
    """

    def began(self, source: str, expected: int) -> None:
        """Note that so many symbols of a source are being asked for."""
        ...

    def changed(self, source: str, counts: Counts) -> None:
        """Note how far a source is; may come often, and without any change."""
        ...

    def ended(self, source: str, counts: Counts, failure: str | None) -> None:
        """Note that a source is done; *failure* says why nothing can be concluded from it."""
        ...


class PlainProgress:
    """Lines for a journal: a source's beginning, its end, and in between one every ten seconds.

    Args:
        say: gets each line.
        clock: injected.
    """

    def __init__(self, say: Callable[[str], None], clock: Clock) -> None:
        self._say = say
        self._clock = clock
        self._said_ns: dict[str, int] = {}

    def began(self, source: str, expected: int) -> None:
        """See Progress."""
        self._tell(source, f"{expected} symbols to prove")

    def changed(self, source: str, counts: Counts) -> None:
        """See Progress."""
        if self._clock.monotonic_ns() - self._said_ns[source] >= LINE_INTERVAL_S * 1e9:
            self._tell(source, _described(counts))

    def ended(self, source: str, counts: Counts, failure: str | None) -> None:
        """See Progress."""
        outcome = "proven" if failure is None else f"failed: {failure}"
        self._tell(source, f"{_described(counts)}: {outcome}")

    def _tell(self, source: str, text: str) -> None:
        self._said_ns[source] = self._clock.monotonic_ns()
        self._say(f"{source}: {text}")


class TerminalProgress:
    """One row a source, drawn anew in place.

    Args:
        console: of a terminal.
        clock: injected; rows are drawn at most so often, without a thread.
    """

    def __init__(self, console: Console, clock: Clock) -> None:
        self._clock = clock
        self._drawn_ns = 0
        self._rows = Rows(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=BAR_WIDTH),
            _right("{task.completed}/{task.total}"),
            _right("{task.fields[refused]} refused"),
            _right("{task.fields[connections]} conn."),
            _right("{task.fields[seconds]:.1f} s"),
            TextColumn(
                "{task.fields[outcome]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
            ),
            console=console,
            auto_refresh=False,
            expand=True,
            get_time=lambda: clock.monotonic_ns() / 1e9,
        )
        self._row_of: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._rows.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.stop()

    def began(self, source: str, expected: int) -> None:
        """See Progress."""
        self._row_of[source] = self._rows.add_task(
            source, total=expected, refused=0, connections=0, seconds=0.0, outcome=""
        )
        self._draw()

    def changed(self, source: str, counts: Counts) -> None:
        """See Progress."""
        self._update(source, counts, "")
        if self._clock.monotonic_ns() - self._drawn_ns >= DRAW_INTERVAL_S * 1e9:
            self._draw()

    def ended(self, source: str, counts: Counts, failure: str | None) -> None:
        """See Progress."""
        self._update(source, counts, "done" if failure is None else f"failed: {failure}")
        self._draw()

    def _update(self, source: str, counts: Counts, outcome: str) -> None:
        self._rows.update(
            self._row_of[source],
            completed=counts.received,
            refused=counts.refused,
            connections=counts.connections,
            seconds=counts.seconds,
            outcome=outcome,
        )

    def _draw(self) -> None:
        self._drawn_ns = self._clock.monotonic_ns()
        self._rows.refresh()


@contextlib.contextmanager
def progress_on(
    stream: TextIO, clock: Clock, say: Callable[[str], None]
) -> Iterator[PlainProgress | TerminalProgress]:
    """Show progress on a stream for as long as the context lasts.

    Args:
        stream: where rows are drawn if it is a terminal; standard error.
        clock: injected.
        say: gets the plain lines where it is none.
    """
    if not stream.isatty():
        yield PlainProgress(say, clock)
        return
    with TerminalProgress(Console(file=stream), clock) as progress:
        yield progress


def _described(counts: Counts) -> str:
    refused = f", {counts.refused} refused" if counts.refused else ""
    return (
        f"{counts.received} of {counts.expected}{refused} "
        f"over {counts.connections} connections in {counts.seconds:.1f} s"
    )


def _right(text: str) -> TextColumn:
    return TextColumn(text, markup=False, justify="right", table_column=Column(no_wrap=True))
