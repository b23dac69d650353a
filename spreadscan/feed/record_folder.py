"""What a recording keeps beside its segments: the configuration, and every universe they name.

All feeds keep and forget in the same folders at the same time.
"""

import contextlib
import hashlib
import os
import shutil
import uuid
from pathlib import Path

from spreadscan.directions import encode_directions
from spreadscan.rawlog import UNIVERSE_FOLDER, segments_in
from spreadscan.symbols import encode_symbols
from spreadscan.universe import Universe, write_universe

__all__ = ["forget_universes", "keep_config", "keep_universe"]

CONFIG_FILES = ("config.toml", "exchanges.toml", "directions.toml", "fees.toml", "identity.toml")
# Longer than a feed takes from a kept universe to the segment that names it.
YOUNG_S = 600.0


def keep_config(file: Path, folder: Path) -> None:
    """Copy the configuration; feeds that start together write the same."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in CONFIG_FILES:
        beside = folder / f".{name}.{os.getpid()}"
        shutil.copyfile(file.with_name(file.name if name == CONFIG_FILES[0] else name), beside)
        beside.replace(folder / name)


def keep_universe(universe: Universe, folder: Path) -> str:
    """Write a universe unless it is there; return the name of its folder."""
    content = encode_symbols(universe.symbols) + encode_directions(universe.directions)
    name = f"{universe.generation}-{hashlib.sha256(content).hexdigest()[:12]}"
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{name}.{uuid.uuid4().hex}"
        try:
            write_universe(beside, universe)
            beside.rename(folder / name)
        except OSError:
            # Another feed was faster, or the disk is full.
            if not (folder / name).exists():
                raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    # Young again: see forget_universes.
    os.utime(folder / name)
    return name


def forget_universes(root: Path) -> None:
    """Delete the universes that no segment of any source names.

    Not what another feed has just kept: its segment may be about to be begun.
    """
    named = {
        name.universe
        for folder in root.iterdir()
        if folder.is_dir()
        for name, _ in segments_in(folder)
    }
    # Other feeds keep and forget here too: what is being put in place has a name with a dot, and
    # what is gone by now needs no forgetting.
    kept: dict[Path, float] = {}
    for folder in (root / UNIVERSE_FOLDER).iterdir():
        if not folder.name.startswith("."):
            with contextlib.suppress(FileNotFoundError):
                kept[folder] = folder.stat().st_mtime
    newest_s = max(kept.values(), default=0.0)
    for folder, made_s in kept.items():
        is_young = made_s > newest_s - YOUNG_S
        if folder.name not in named and not is_young:
            shutil.rmtree(folder, ignore_errors=True)
