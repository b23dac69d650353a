"""A small universe, folders in the states that happen, and any other program's look at them."""

import hashlib
import json
import shutil

from spreadscan.directions import DirectionRecord
from spreadscan.errors import UniverseError
from spreadscan.model import Instrument
from spreadscan.symbols import SymbolRecord
from spreadscan.universe import Universe, load_universe, read_metadata, write_universe
from spreadscan.universe_files import ALL_FILES, FILES, KEPT_SETS, METADATA


def leg(exchange_symbol, multiplier=1.0, contract_size=1.0, min_notional=5.0):
    return Instrument(
        exchange_symbol=exchange_symbol,
        price_multiplier=multiplier,
        contract_size=contract_size,
        tick_size=0.0,
        qty_step=0.0,
        min_qty=0.0,
        min_notional=min_notional,
        tradable_via_api=True,
    )


PEPE = SymbolRecord(
    symbol_id=7,
    name="PEPE-USDT",
    instruments=(
        None, leg("1000PEPEUSDT", 1000.0), None, None, leg("PEPE-USDT"), None, None, None,
    ),
)  # fmt: skip
LIFE = SymbolRecord(
    symbol_id=9,
    name="币安人生-USDT",
    instruments=(
        None, leg("币安人生USDT"), None, None,
        leg("币安人生-USDT"), leg("L", 1.0, 10.0), None, None,
    ),
)  # fmt: skip
DIRECTION = DirectionRecord(direction_id=4, spot_source=4, futures_source=1, symbols=(7, 9))


def universe(generation=1, symbols=(PEPE, LIFE), directions=(DIRECTION,), **changes):
    return Universe(
        generation=generation,
        timestamp="2026-11-22T10:00:00+00:00",
        symbols=symbols,
        directions=directions,
        **changes,
    )


def generation_by_name(folder):
    """Open the six names as any program would; return their generation, None where none is there.

    A mixture, or some files without the others, fails the test.
    """
    there = [name for name in ALL_FILES if (folder / name).exists()]
    if not there:
        return None
    assert there == list(ALL_FILES)
    metadata = json.loads((folder / METADATA).read_bytes())
    for name in FILES:
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert digest == metadata["sha256"][name], name
    return metadata["generation"]


def assert_tidy(folder):
    """Nothing but six links, the link that they share, and the last whole sets."""
    assert {entry.name for entry in folder.iterdir()} - {".lock"} == {
        *ALL_FILES,
        ".current",
        ".sets",
    }
    assert all(str((folder / name).readlink()) == f".current/{name}" for name in ALL_FILES)
    sets = list((folder / ".sets").iterdir())
    assert len(sets) <= KEPT_SETS
    for kept in sets:
        assert {file.name for file in kept.iterdir()} == set(ALL_FILES), kept
    newest = max(sets, key=lambda kept: int(kept.name.partition("-")[0]))
    assert str((folder / ".current").readlink()) == f".sets/{newest.name}"


OLD, NEW = 40, 50


def some_generations(folder):
    for generation in range(OLD - KEPT_SETS, OLD + 1):
        write_universe(folder, universe(generation))


def some_generations_and_back(folder):
    some_generations(folder)
    go_back(folder, 1)


def go_back(folder, steps):
    kept = sorted((folder / ".sets").iterdir())
    (folder / ".back").symlink_to(f".sets/{kept[-1 - steps].name}")
    (folder / ".back").replace(folder / ".current")


def plain_files(folder):
    """As an older version left them, with what it left when it was killed."""
    write_universe(folder, universe(OLD))
    for name in ALL_FILES:
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(content)
        (folder / f".{name}.new").write_bytes(content[:10])
    shutil.rmtree(folder / ".sets")
    (folder / ".current").unlink()


def generation_loaded(folder):
    try:
        return load_universe(folder).generation
    except UniverseError as error:
        return None if "expected a universe; run pair-discovery" in str(error) else str(error)


def generation_in(folder):
    """Return what the loader and any other program find alike."""
    found = generation_by_name(folder)
    assert generation_loaded(folder) == found
    return found


def generations_kept(folder):
    return [read_metadata(kept).generation for kept in sorted((folder / ".sets").iterdir())]


def tree(folder):
    return sorted(str(entry) for entry in folder.rglob("*")) if folder.exists() else []
