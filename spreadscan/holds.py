"""What operators hold back: written to a file of names, turned into words of the control block.

The file (``<data_dir>/holds.json``) outlives reboots, the block does not; names outlive universes,
numbers of symbols do not. shm-init applies the file before anybody can signal, and a file that
cannot be read holds everything: what it held can no longer be told.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from spreadscan.config import Config
from spreadscan.errors import UniverseError
from spreadscan.shm.layout import MAX_SYMBOLS
from spreadscan.universe import Universe, load_universe

__all__ = [
    "HoldWords",
    "Holds",
    "hold_words",
    "holds_file",
    "known_symbols",
    "read_holds",
    "write_holds",
]

FILE_NAME = "holds.json"
WORD_BITS = 64


class Holds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is held back now."""

    killed: bool = False
    """No signal leaves; only a resume with a reason lifts it."""
    everything: bool = False
    sources: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    reason: str = ""
    since: str = ""
    """UTC, when it last changed."""

    @property
    def is_any(self) -> bool:
        """Whether anything is held back."""
        return self.killed or self.everything or bool(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that is held back by name."""
        return self.sources + self.directions + self.symbols

    @property
    def words(self) -> str:
        """Say what is held back, in a few words."""
        parts = ["everything, killed"] if self.killed else []
        parts += ["everything"] if self.everything and not self.killed else []
        what = ", ".join((*parts, *self.names)) or "nothing"
        return f"{what} ({self.reason})" if self.reason and self.is_any else what

    def and_names(
        self, sources: Sequence[str], directions: Sequence[str], symbols: Sequence[str]
    ) -> Self:
        """Return the same with more names."""
        return self.but(
            sources=tuple(dict.fromkeys((*self.sources, *sources))),
            directions=tuple(dict.fromkeys((*self.directions, *directions))),
            symbols=tuple(dict.fromkeys((*self.symbols, *symbols))),
        )

    def but(self, **values: object) -> Self:
        """Return the same with other values."""
        return msgspec.structs.replace(self, **values)


class HoldWords(msgspec.Struct, frozen=True, kw_only=True):
    """The same as words of ``layout.Control``."""

    kill: int
    pause_all: int
    sources: int
    """Bit = source id."""
    directions: int
    """Bit = direction id."""
    symbols: tuple[int, ...]
    """MAX_SYMBOLS bits in words."""
    reason: str


def holds_file(config: Config) -> Path:
    """Return where a configuration keeps them: beside the ledger, which outlives reboots too."""
    return config.path(config.tracker.data_dir) / FILE_NAME


def read_holds(config: Config) -> tuple[Holds, str]:
    """Return what is held, and what is wrong with the file; "" when nothing is."""
    file = holds_file(config)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Holds), ""
    except FileNotFoundError:
        return Holds(), ""
    except OSError as error:
        trouble = f"{file}: {error.strerror}"
    except msgspec.DecodeError as error:
        trouble = f"{file}: found {error}, expected what spread-ctl pause writes"
    return Holds(everything=True, reason=f"not readable: {file}"), trouble


def write_holds(config: Config, holds: Holds) -> None:
    """Replace the file in one step, so that a crash leaves the old or the new one.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    file = holds_file(config)
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    with fresh.open("wb") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(holds)) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def known_symbols(config: Config) -> dict[str, int]:
    """Return the numbers of the symbols on disk by name; none while there is no universe."""
    try:
        universe: Universe = load_universe(config.path(config.runtime.generated_dir))
    except UniverseError:
        return {}
    return {symbol.name: symbol.symbol_id for symbol in universe.symbols}


def hold_words(config: Config, holds: Holds) -> HoldWords:
    """Return the words of what is held; names that mean nothing now have no bit."""
    sources = {source.name: source.source_id for source in config.active_sources()}
    directions = {row.name: row.direction_id for row in config.directions}
    symbols = known_symbols(config) if holds.symbols else {}
    bits = _bits(holds.symbols, symbols)
    mask = (1 << WORD_BITS) - 1
    return HoldWords(
        kill=int(holds.killed),
        pause_all=int(holds.everything),
        sources=_bits(holds.sources, sources),
        directions=_bits(holds.directions, directions),
        symbols=tuple(bits >> at & mask for at in range(0, MAX_SYMBOLS, WORD_BITS)),
        reason=holds.reason,
    )


def _bits(names: tuple[str, ...], numbers: dict[str, int]) -> int:
    return sum(1 << numbers[name] for name in set(names) if name in numbers)
