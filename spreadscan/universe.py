"""The universe: one generation of symbols and directions, written and read as one set of files.

Discovery writes it; every other process loads it when it starts. The set is::

    symbols.bin  directions.bin  symbols.txt  directions.txt  validation_report.txt  metadata.json

Each file is written beside its place and made durable before any is renamed; ``metadata.json``
goes last and holds the SHA-256 of the others, so a set that a crash left half renamed is seen and
refused. Renaming happens under an exclusive lock of the folder and loading under a shared one, so
a reader never meets a healthy set in the middle of its change.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from spreadscan.directions import DirectionRecord, decode_directions, encode_directions
from spreadscan.errors import AlreadyRunning, UniverseError
from spreadscan.exchanges import sources
from spreadscan.shm.layout import NUM_SOURCES
from spreadscan.symbols import SymbolRecord, decode_symbols, encode_symbols

__all__ = [
    "Metadata",
    "Universe",
    "load_universe",
    "read_metadata",
    "sole_writer",
    "write_universe",
]

SYMBOLS, DIRECTIONS = "symbols.bin", "directions.bin"
METADATA = "metadata.json"
FILES = (SYMBOLS, DIRECTIONS, "symbols.txt", "directions.txt", "validation_report.txt")
LOCK = ".lock"


class Universe(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of symbols and directions."""

    generation: int
    """Grows by one with each set written to a folder."""
    timestamp: str
    """UTC, ISO 8601: when the listings were read."""
    symbols: tuple[SymbolRecord, ...]
    directions: tuple[DirectionRecord, ...]
    next_symbol_id: int = 0
    """Lowest id never given out in this folder; 0 stands for "the one after the highest"."""

    @property
    def num_symbols(self) -> int:
        """One more than the highest id: how many rows a table by symbol id needs."""
        return max((symbol.symbol_id for symbol in self.symbols), default=-1) + 1

    @property
    def first_free_id(self) -> int:
        """Lowest id that no symbol of this or an earlier generation has had."""
        return max(self.next_symbol_id, self.num_symbols)

    @property
    def pair_count(self) -> int:
        """How many symbols the directions watch together."""
        return sum(len(direction.symbols) for direction in self.directions)

    def legs(self, source_id: int) -> list[tuple[str, int, float, float]]:
        """Return what a source lists, as the kernel's Extractor takes it.

        Each is (exchange symbol, symbol id, price multiplier, quantity factor); a price is divided
        by the multiplier and a quantity multiplied by the factor.
        """
        return [
            (
                leg.exchange_symbol,
                symbol.symbol_id,
                leg.price_multiplier,
                leg.contract_size * leg.price_multiplier,
            )
            for symbol in self.symbols
            if (leg := symbol.instruments[source_id]) is not None
        ]


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What ``metadata.json`` holds."""

    timestamp: str
    generation: int
    num_symbols: int
    """How many symbols there are."""
    next_symbol_id: int
    per_source_counts: dict[str, int]
    per_direction_counts: dict[str, int]
    validation_stats: dict[str, Any]
    sha256: dict[str, str]
    """By file name."""


def load_universe(directory: Path) -> Universe:
    """Read the set in a folder.

    Raises:
        UniverseError: a file is absent or damaged, or the files are not of one set.

    Concurrency: blocks for the milliseconds in which a writer renames its files.
    """
    with _locked(directory, fcntl.LOCK_SH):
        metadata = read_metadata(directory)
        contents = {name: _read(directory / name) for name in FILES}
    for name, content in contents.items():
        digest = hashlib.sha256(content).hexdigest()
        expected = metadata.sha256.get(name, "nothing")
        if digest != expected:
            raise UniverseError(
                str(directory / name),
                f"SHA-256 {digest[:16]}",
                f"{expected[:16]} as {METADATA} says: the files are not of one set; "
                "run pair-discovery",
            )
    universe = Universe(
        generation=metadata.generation,
        timestamp=metadata.timestamp,
        symbols=decode_symbols(contents[SYMBOLS], str(directory / SYMBOLS)),
        directions=decode_directions(contents[DIRECTIONS], str(directory / DIRECTIONS)),
        next_symbol_id=metadata.next_symbol_id,
    )
    _check(universe, str(directory / DIRECTIONS))
    return universe


def _check(universe: Universe, file: str) -> None:
    """Refuse a direction over a symbol that one of its legs does not list."""
    by_id = {symbol.symbol_id: symbol for symbol in universe.symbols}
    for direction in universe.directions:
        for symbol_id in direction.symbols:
            symbol = by_id.get(symbol_id)
            wanted = (direction.spot_source, direction.futures_source)
            if symbol is None or any(symbol.instruments[source] is None for source in wanted):
                raise UniverseError(
                    file,
                    f"symbol {symbol_id} in direction {direction.direction_id}",
                    "a symbol that both sources of the direction list",
                )


def read_metadata(directory: Path) -> Metadata:
    """Read ``metadata.json`` alone, without looking at the files that it speaks of.

    Raises:
        UniverseError: it is absent or damaged.
    """
    file = directory / METADATA
    try:
        return msgspec.json.decode(_read(file), type=Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UniverseError(str(file), str(error), "the metadata of a universe") from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise UniverseError(str(file), "no such file", "a universe; run pair-discovery") from None
    except OSError as error:
        raise UniverseError(str(file), error.strerror or str(error), "a readable file") from None


def write_universe(
    directory: Path,
    universe: Universe,
    *,
    validation_stats: Mapping[str, Any] | None = None,
    report: str = "",
) -> None:
    """Replace the set in a folder; the folder is made when absent.

    Args:
        directory: where to write.
        universe: what to write; its generation must be the caller's last plus one.
        validation_stats: how the symbols came to be accepted, for ``metadata.json``.
        report: the content of ``validation_report.txt``.

    Raises:
        UniverseError: the folder cannot be written.

    Concurrency: one writer at a time, see `sole_writer`; readers wait during the renames only.
    """
    contents = {
        SYMBOLS: encode_symbols(universe.symbols),
        DIRECTIONS: encode_directions(universe.directions),
        "symbols.txt": _symbols_text(universe).encode(),
        "directions.txt": _directions_text(universe).encode(),
        "validation_report.txt": report.encode(),
    }
    metadata = Metadata(
        timestamp=universe.timestamp,
        generation=universe.generation,
        num_symbols=len(universe.symbols),
        next_symbol_id=universe.first_free_id,
        per_source_counts=per_source_counts(universe),
        per_direction_counts=per_direction_counts(universe),
        validation_stats=dict(validation_stats or {}),
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    )
    contents[METADATA] = msgspec.json.format(msgspec.json.encode(metadata)) + b"\n"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _replace_all(directory, contents)
    except OSError as error:
        found = error.strerror or str(error)
        raise UniverseError(str(error.filename or directory), found, "a writable folder") from None


def _replace_all(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Make every file durable under another name, then rename all, in order, and the names too."""
    for name, content in contents.items():
        with (directory / f".{name}.new").open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    with _locked(directory, fcntl.LOCK_EX) as folder:
        for name in contents:
            (directory / f".{name}.new").replace(directory / name)
        os.fsync(folder)


@contextlib.contextmanager
def _locked(directory: Path, kind: int) -> Iterator[int]:
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        found = error.strerror or str(error)
        raise UniverseError(str(directory), found, "a universe; run pair-discovery") from None
    try:
        fcntl.flock(folder, kind)
        yield folder
    finally:
        os.close(folder)


@contextlib.contextmanager
def sole_writer(directory: Path) -> Iterator[None]:
    """Hold the right to write a folder's universe, from reading the last set to writing the next.

    Raises:
        AlreadyRunning: another process holds it.
        UniverseError: the folder cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    except OSError as error:
        found = error.strerror or str(error)
        raise UniverseError(str(directory), found, "a writable folder") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise AlreadyRunning("pair-discovery", f"it holds {directory / LOCK}") from None
    try:
        yield
    finally:
        os.close(lock)


def source_names() -> list[str]:
    """Return the name of each source id, ``source_N`` where no exchange file declares it."""
    known = {source.source_id: source.name for source in sources().values()}
    return [known.get(source_id, f"source_{source_id}") for source_id in range(NUM_SOURCES)]


def direction_name(direction: DirectionRecord) -> str:
    """Return ``<spot source>_<futures source>``."""
    names = source_names()
    return f"{names[direction.spot_source]}_{names[direction.futures_source]}"


def per_source_counts(universe: Universe) -> dict[str, int]:
    """Return how many symbols have a leg at each source that has any."""
    counts = {
        name: sum(symbol.instruments[source_id] is not None for symbol in universe.symbols)
        for source_id, name in enumerate(source_names())
    }
    return {name: count for name, count in counts.items() if count}


def per_direction_counts(universe: Universe) -> dict[str, int]:
    """Return how many symbols each direction watches."""
    return {direction_name(row): len(row.symbols) for row in universe.directions}


def _symbols_text(universe: Universe) -> str:
    lines = []
    for symbol in universe.symbols:
        legs = [leg.exchange_symbol if leg else "-" for leg in symbol.instruments]
        lines.append("\t".join([str(symbol.symbol_id), symbol.name, *legs]))
    return "".join(f"{line}\n" for line in lines)


def _directions_text(universe: Universe) -> str:
    return "".join(
        f"{row.direction_id}\t{direction_name(row)}\t{len(row.symbols)} pairs\n"
        for row in universe.directions
    )
