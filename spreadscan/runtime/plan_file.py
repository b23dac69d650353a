"""Which symbol is on which connection of a feed: written by the feed, read by an operator's tool.

A file of its own, because shared memory has no room for names and nobody needs it fast. It is
replaced as a whole, and only when a connection came, went or changed its symbols.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

__all__ = ["PlanFile", "PlanRow", "read_plan"]

INTERVAL_NS = 1_000_000_000


class PlanRow(msgspec.Struct, frozen=True, kw_only=True):
    """One connection, as it is shown to an operator."""

    number: int
    symbols: tuple[str, ...]
    """In the exchange's spelling."""
    state: str
    opened_ns: int
    """Monotonic; 0 while there is none."""
    messages: int
    """Quotes that came on the present one, when this was written."""


class PlanFile:
    """The feed's side.

    Args:
        run_dir: of the runtime; made by whoever holds the role's lock.
        source: whose connections.

    Concurrency: one writer, the feed of the source.
    """

    def __init__(self, run_dir: Path, source: str) -> None:
        self._file = _file(run_dir, source)
        self._shown: list[PlanRow] = []
        self._next_ns = 0

    def publish(self, plan: Callable[[], Sequence[PlanRow]], now_ns: int) -> None:
        """Write the plan if it differs from the last one; looks at most once a second.

        What cannot be written is tried again a second later: a full disk must not stop a feed.
        """
        if now_ns < self._next_ns:
            return
        self._next_ns = now_ns + INTERVAL_NS
        rows = plan()
        shape = [msgspec.structs.replace(row, messages=0) for row in rows]
        if shape == self._shown:
            return
        try:
            self._file.parent.mkdir(exist_ok=True)
            fresh = self._file.with_suffix(".new")
            fresh.write_bytes(msgspec.json.encode(rows))
            fresh.replace(self._file)
        except OSError:
            return
        self._shown = shape


def read_plan(run_dir: Path, source: str) -> list[PlanRow] | None:
    """Return what a feed last wrote; None when it never has, or the file is none of its."""
    try:
        return msgspec.json.decode(_file(run_dir, source).read_bytes(), type=list[PlanRow])
    except (OSError, msgspec.DecodeError):
        return None


def _file(run_dir: Path, source: str) -> Path:
    return run_dir / "plans" / f"{source}.json"
