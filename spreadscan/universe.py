"""The universe: one generation of symbols and directions, written and read as one set of files.

Discovery writes it; every other process loads it when it starts. The set is::

    symbols.bin  directions.bin  symbols.txt  directions.txt  validation_report.txt  metadata.json

They change as one (`spreadscan.universe_files`), and ``metadata.json`` holds the SHA-256 of the
others: files that somebody copied from two sets, or damaged, are refused by name.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from spreadscan.directions import DirectionRecord, decode_directions, encode_directions
from spreadscan.errors import UniverseError
from spreadscan.exchanges import sources
from spreadscan.shm.layout import NUM_SOURCES
from spreadscan.symbols import SymbolRecord, decode_symbols, encode_symbols
from spreadscan.universe_files import (
    DIRECTIONS,
    FILES,
    METADATA,
    SYMBOLS,
    read_files,
    replace_files,
    sole_writer,
)

__all__ = [
    "FILES",
    "METADATA",
    "Metadata",
    "Universe",
    "load_universe",
    "read_metadata",
    "sole_writer",
    "write_universe",
]


class Universe(msgspec.Struct, frozen=True, kw_only=True):
    """One generation of symbols and directions."""

    generation: int
    """Grows by one with each set written to a folder."""
    timestamp: str
    """UTC, ISO 8601: when the listings were read."""
    symbols: tuple[SymbolRecord, ...]
    directions: tuple[DirectionRecord, ...]
    next_symbol_id: int = 0
    """One above the highest id given out since the last full restart; 0 stands for "the one after
    the highest in use"."""
    retired_ids: dict[str, int] = {}
    """Ids of symbols given up since then, by name: theirs if they return."""
    is_price_proven: bool = False
    """Whether prices had a say in it, in this run or before."""
    turnover_usd: dict[str, dict[str, float]] = {}
    """Of the last 24 hours, by source and exchange symbol, where the exchange told."""

    @property
    def num_symbols(self) -> int:
        """One more than the highest id: how many rows a table by symbol id needs."""
        return max((symbol.symbol_id for symbol in self.symbols), default=-1) + 1

    @property
    def first_free_id(self) -> int:
        """One above the highest id that any symbol has had since the last full restart."""
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
    """What ``metadata.json`` holds; keys of a later version are stepped over."""

    timestamp: str
    generation: int
    num_symbols: int
    """How many symbols there are."""
    next_symbol_id: int = 0
    """See `Universe`; 0 where another program wrote the set."""
    retired_ids: dict[str, int] = {}
    is_price_proven: bool = False
    turnover_usd: dict[str, dict[str, float]] = {}
    per_source_counts: dict[str, int]
    per_direction_counts: dict[str, int]
    validation_stats: dict[str, Any]
    sha256: dict[str, str]
    """By file name."""


def load_universe(directory: Path) -> Universe:
    """Read the set in a folder.

    Raises:
        UniverseError: a file is absent or damaged, or the files are not of one set.

    Concurrency: takes no lock, waits for nobody, and never sees half of a writer's change.
    """
    contents = read_files(directory)
    metadata = _decode_metadata(directory, contents[METADATA])
    for name in FILES:
        digest = hashlib.sha256(contents[name]).hexdigest()
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
        retired_ids=metadata.retired_ids,
        is_price_proven=metadata.is_price_proven,
        turnover_usd=metadata.turnover_usd,
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
    return _decode_metadata(directory, read_files(directory, (METADATA,))[METADATA])


def _decode_metadata(directory: Path, content: bytes) -> Metadata:
    try:
        return msgspec.json.decode(content, type=Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        file = str(directory / METADATA)
        raise UniverseError(file, str(error), "the metadata of a universe") from None


def write_universe(
    directory: Path,
    universe: Universe,
    *,
    validation_stats: Mapping[str, Any] | None = None,
    report: str = "",
) -> None:
    """Replace the set in a folder as a whole; the folder is made when absent.

    Args:
        directory: where to write.
        universe: what to write; its generation must be the caller's last plus one.
        validation_stats: how the symbols came to be accepted, for ``metadata.json``.
        report: the content of ``validation_report.txt``.

    Raises:
        AlreadyRunning: another process is writing.
        UniverseError: the folder cannot be written; the old set stands (`replace_files`).

    Concurrency: one writer at a time, see `sole_writer`; readers neither wait nor make it wait.
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
        retired_ids=universe.retired_ids,
        is_price_proven=universe.is_price_proven,
        turnover_usd=universe.turnover_usd,
        per_source_counts=per_source_counts(universe),
        per_direction_counts=per_direction_counts(universe),
        validation_stats=dict(validation_stats or {}),
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    )
    contents[METADATA] = msgspec.json.format(msgspec.json.encode(metadata)) + b"\n"
    replace_files(directory, contents, universe.generation)


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
