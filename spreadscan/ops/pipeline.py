"""The whole pipeline as one list: what ``spreadscan up`` starts, how, and when each part is ready.

Derived from ``topology.programs()``; only the sources of enabled exchanges take part. With
``--sim`` the simulated exchanges come first and stop last.
"""

import sysconfig
from collections.abc import Sequence
from pathlib import Path

import msgspec

from spreadscan.config import Config
from spreadscan.config_diff import DISCOVERY, SIMULATOR
from spreadscan.ops.reconcile import Desired
from spreadscan.topology import Program, programs

__all__ = ["SUPERVISOR_ROLE", "Part", "log_dir", "pipeline"]

SUPERVISOR_ROLE = "spreadscan-up"
"""Of the lock that the supervisor holds."""
# What `spreadscan sim` prints once both of its ports listen.
SIMULATOR_READY = "simulated exchanges:"


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One child of the supervisor."""

    desired: Desired
    command: tuple[str, ...]
    health_slot: int | None = None
    """Its health slot says RUNNING when it is ready."""
    ready_line: str | None = None
    """Without a slot: the beginning of the line of its log that says so."""


def log_dir(config: Config) -> Path:
    """Return where the supervisor writes a log a program."""
    return config.path(config.runtime.run_dir) / "log"


def pipeline(
    config: Config, scripts: Path | None = None, simulator_options: Sequence[str] = ()
) -> list[Part]:
    """Return the parts of this configuration in the order in which they start.

    Args:
        config: as loaded; ``is_sim`` decides about the simulator.
        scripts: folder of the console scripts; None is that of this installation.
        simulator_options: what ``spreadscan sim`` is given besides the configuration.
    """
    folder = Path(sysconfig.get_path("scripts")) if scripts is None else scripts
    names = {source.name for source in config.active_sources()}
    rows = [row for row in programs().values() if row.source is None or row.source in names]
    parts = [_part(config, folder, row, _wave(rows, row)) for row in rows]
    if not config.is_sim:
        return parts
    simulator = Part(
        desired=Desired(name=SIMULATOR),
        command=(str(folder / "spreadscan"), "sim", "--config", config.file, *simulator_options),
        ready_line=SIMULATOR_READY,
    )
    return [simulator, *parts]


def _wave(rows: list[Program], row: Program) -> int:
    """Feeds stop first and together, then the rest one after the other, the last started first."""
    return len(rows) + 1 if row.source is not None else rows.index(row) + 1


def _part(config: Config, folder: Path, row: Program, wave: int) -> Part:
    command = [str(folder / row.name), "--config", config.file]
    starts_after = row.starts_after
    if config.is_sim:
        command.append("--sim")
    if row.name == DISCOVERY:
        command += ["--output", str(config.path(config.runtime.generated_dir))]
        if config.is_sim:
            # Every simulated pair is live by construction.
            command.append("--no-validate")
            starts_after = (*starts_after, SIMULATOR)
    return Part(
        desired=Desired(
            name=row.name, starts_after=starts_after, is_oneshot=row.is_oneshot, stop_wave=wave
        ),
        command=tuple(command),
        health_slot=row.health_slot,
    )
