"""``shm-init``: make the regions that everybody else attaches. Safe to run at any time."""

import sys
from collections.abc import Sequence

from spreadscan.config import ShmConfig, load_config
from spreadscan.errors import SpreadscanError
from spreadscan.runtime.command_line import CommandLine
from spreadscan.runtime.lock import RoleLock
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.region import region_name
from spreadscan.shm.regions import create_regions, remove_regions

__all__ = ["main"]


def main(argv: Sequence[str]) -> int:
    """Create the regions that are missing or of another layout, or remove them all."""
    parser = CommandLine("shm-init", __doc__)
    parser.add_argument("--remove", action="store_true", help="unlink all regions instead")
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.config, is_sim=arguments.sim)
        # Two of these at once could replace each other's half-made regions.
        role = RoleLock(config.path(config.runtime.run_dir), "shm-init")
        try:
            lines = _remove(config.shm) if arguments.remove else _create(config.shm)
        finally:
            role.release()
    except SpreadscanError as error:
        sys.stderr.write(f"shm-init: {error}\n")
        return error.exit_code
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _remove(shm: ShmConfig) -> list[str]:
    remove_regions(shm)
    return [f"removed {shm.prefix}"]


def _create(shm: ShmConfig) -> list[str]:
    made = create_regions(shm)
    names = [region_name(shm, kind) for kind in RegionKind]
    return [f"{name}: {'created' if name in made else 'kept'}" for name in names]
