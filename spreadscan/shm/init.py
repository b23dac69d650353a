"""``shm-init``: make the regions that everybody else attaches. Safe to run at any time.

It also brings back what operators hold (``holds``) and which exchange has banned us until when
(``manners.kept_bans``): new regions know nothing of it, and nobody can signal or ask before this
has run.
"""

import sys
from collections.abc import Sequence

from spreadscan.config import Config, ShmConfig, load_config
from spreadscan.errors import SpreadscanError
from spreadscan.holds import hold_words, read_holds
from spreadscan.manners.kept_bans import restore_bans
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.command_line import CommandLine
from spreadscan.runtime.lock import RoleLock, control_lock
from spreadscan.shm.control import ControlReader, ControlWriter
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.region import attach_region, region_name
from spreadscan.shm.regions import create_regions, remove_regions

__all__ = ["hold_again", "main"]


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
            if arguments.remove:
                lines = _remove(config.shm)
            else:
                lines = [*_create(config.shm), *hold_again(config), *_ban_again(config)]
        finally:
            role.release()
    except SpreadscanError as error:
        sys.stderr.write(f"shm-init: {error}\n")
        return error.exit_code
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def hold_again(config: Config) -> list[str]:
    """Put what is held into the control block, and take back a shutdown that is over.

    A kill that stands in a block of before stays, also where it could not be stored.

    Returns:
        Lines that say what is held, none when nothing is.

    Raises:
        RegionError: there is no control block, or it may not be written.
        AlreadyRunning, RunFolderRefused: its lock cannot be taken.
    """
    region = attach_region(config.shm, RegionKind.CONTROL, writable=True)
    lock = control_lock(config.path(config.runtime.run_dir))
    try:
        # Under the lock: a pause that is being written must not be undone.
        holds, trouble = read_holds(config)
        writer = ControlWriter(region)
        writer.command(SHUTDOWN=0)
        writer.hold(hold_words(config, holds))
    finally:
        lock.release()
    lines = [f"everything is held back: {trouble}"] if trouble else []
    if ControlReader(region).state().is_killed and not holds.killed:
        lines.append("held back: killed, which is not stored: until spread-ctl resume --reason")
    if holds.is_any and not trouble:
        lines.append(f"held back: {holds.words}")
    return lines


def _ban_again(config: Config) -> list[str]:
    region = attach_region(config.shm, RegionKind.GOVERNOR, writable=True)
    return restore_bans(config, region.mapping, SystemClock())


def _remove(shm: ShmConfig) -> list[str]:
    remove_regions(shm)
    return [f"removed {shm.prefix}"]


def _create(shm: ShmConfig) -> list[str]:
    made = create_regions(shm)
    names = [region_name(shm, kind) for kind in RegionKind]
    return [f"{name}: {'created' if name in made else 'kept'}" for name in names]
