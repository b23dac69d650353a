"""``shm-init``: make the regions that everybody else attaches. Safe to run at any time."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spreadscan.config import load_config
from spreadscan.errors import SpreadscanError
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.region import region_name
from spreadscan.shm.regions import create_regions, remove_regions

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Create the regions that are missing or of another layout, or remove them all."""
    parser = argparse.ArgumentParser(prog="shm-init", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("config/config.toml"))
    parser.add_argument("--sim", action="store_true", help="the simulated pipeline's regions")
    parser.add_argument("--remove", action="store_true", help="unlink all regions instead")
    arguments = parser.parse_args(argv)
    try:
        shm = load_config(arguments.config, is_sim=arguments.sim).shm
        if arguments.remove:
            remove_regions(shm)
            sys.stdout.write(f"removed {shm.prefix}\n")
            return 0
        made = create_regions(shm)
    except SpreadscanError as error:
        sys.stderr.write(f"shm-init: {error}\n")
        return error.exit_code
    for kind in RegionKind:
        name = region_name(shm, kind)
        sys.stdout.write(f"{name}: {'created' if name in made else 'kept'}\n")
    return 0
