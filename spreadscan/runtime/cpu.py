"""Where a process runs: the cores and the scheduling class that the CPU plan gives its role.

``[cpu]`` in the configuration names cores by role; ``topology`` says which role a program has.
"""

import os
from pathlib import Path

from spreadscan.config import Config, CpuRoleConfig
from spreadscan.core_list import parse_cores
from spreadscan.errors import ConfigError
from spreadscan.topology import Program, programs

__all__ = ["cores_of", "share_of", "take_cpu_share"]

POLICIES = {
    "other": os.SCHED_OTHER,
    "batch": os.SCHED_BATCH,
    "fifo": os.SCHED_FIFO,
    "rr": os.SCHED_RR,
}
ONLINE = Path("/sys/devices/system/cpu/online")


def share_of(config: Config, program: Program) -> CpuRoleConfig:
    """Return what the plan says about a program's role."""
    share: CpuRoleConfig = getattr(config.cpu, program.cpu.value)
    return share


def cores_of(config: Config, program: Program) -> tuple[int, ...]:
    """Return the cores a program may run on; empty when the plan leaves it to the system."""
    share = share_of(config, program)
    cores = parse_cores(share.cores)
    if not cores or not share.one_core_each:
        return cores
    active = {source.name for source in config.active_sources()}
    of_role = [
        row.name
        for row in programs().values()
        if row.cpu is program.cpu and (row.source is None or row.source in active)
    ]
    return (cores[of_role.index(program.name) % len(cores)],)


def take_cpu_share(config: Config, program: Program) -> str | None:
    """Move this process to its cores and into its scheduling class; return what was refused.

    A class that is not permitted leaves the ordinary one: the program is slower, not wrong.

    Raises:
        ConfigError: the plan names cores that this machine has not.
    """
    share, cores = share_of(config, program), cores_of(config, program)
    if cores:
        online = parse_cores(ONLINE.read_text(encoding="ascii").strip())
        if missing := set(cores) - set(online):
            raise ConfigError(
                config.file,
                f"cpu.{program.cpu.value}.cores",
                f"{share.cores}: no core {min(missing)} here",
                f"some of {ONLINE.read_text(encoding='ascii').strip()}",
            )
        os.sched_setaffinity(0, cores)
    if share.policy == "other":
        return None
    try:
        os.sched_setscheduler(0, POLICIES[share.policy], os.sched_param(share.priority))
    except PermissionError as error:
        return f"scheduling class {share.policy} {share.priority}: {error.strerror}"
    return None
