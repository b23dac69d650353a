"""The appliance as systemd units, rendered from ``topology``: what starts when, as whom, with what.

    spreadscan.target
      shm-init.service            makes the regions, stays active
      pair-discovery.timer        -> pair-discovery.service -> spreadscan-reload.service
      ledger-compaction.timer     -> ledger-compaction.service: finished days to Parquet
      spread-tracker.service      first up, last down: it empties the ring
      spread-engine.service
      feed@<exchange>-<market>.service, one a source
    spreadscan.slice              all of it; feeds in spreadscan-feeds.slice

Nothing here is done by hand on a host: ``spreadscan units`` writes the files, and a test holds them
to this drawing. Paths come from the configuration, so that a unit can write what its program
writes and nothing else.
"""

import msgspec

from spreadscan.config import Config
from spreadscan.errors import EXIT_CONFIG
from spreadscan.manners.kept_bans import bans_folder
from spreadscan.ops.confinement import confinement
from spreadscan.runtime.cpu import cores_of, share_of
from spreadscan.topology import CHORES, Chore, CpuRole, Program, program_named, programs

__all__ = ["UnitPlace", "rendered_units", "unit_of"]

HEADER = "# Written by `spreadscan units`; a change here is lost. Own settings: systemctl edit.\n"
TARGET = "spreadscan.target"
RELOAD = "spreadscan-reload.service"
DISCOVERY = "pair-discovery"
FEED_TEMPLATE = "feed@.service"
SLICE = "spreadscan.slice"
FEED_SLICE = "spreadscan-feeds.slice"
# The regions count once more for whoever touched them first.
SLICE_MEMORY_MAX_MIB = 6144
FEED_SLICE_MEMORY_MAX_MIB = 3072
RESTART_S = 1
# Feeds are ready with their first price; asking an exchange that is down more often helps nobody.
START_TIMEOUT_S = 300
STOP_TIMEOUT_S = 15


class UnitPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where the product stands on a host, and as whom it runs."""

    scripts: str = "/opt/spreadscan/current/bin"
    config_file: str = "/etc/spreadscan/config.toml"
    user: str = "spreadscan"
    group: str = "spreadscan"


def unit_of(program: Program) -> str:
    """Return the name of a program's unit."""
    if program.source is None:
        return f"{program.name}.service"
    return f"feed@{program.name.removeprefix('feed-')}.service"


def rendered_units(config: Config, place: UnitPlace) -> dict[str, str]:
    """Return every unit and drop-in, as text by its path below the unit folder.

    Args:
        config: names the sources, the CPU plan, and the folders that may be written.
        place: of this host.
    """
    active = {source.name for source in config.active_sources()}
    rows = [row for row in programs().values() if row.source is None or row.source in active]
    files = {
        TARGET: _target(rows),
        RELOAD: _reload(config, place),
        SLICE: _slice("everything", SLICE_MEMORY_MAX_MIB),
        FEED_SLICE: _slice("the feeds", FEED_SLICE_MEMORY_MAX_MIB),
    }
    for row in rows:
        name = FEED_TEMPLATE if row.source is not None else unit_of(row)
        if name not in files:
            files[name] = _service(config, place, row, rows)
        if row.calendar is not None:
            files[f"{row.name}.timer"] = _timer(row.name, row.calendar)
        if drop_in := _cpu(config, row):
            files[f"{unit_of(row)}.d/cpu.conf"] = drop_in
    for chore in CHORES:
        files[f"{chore.name}.service"] = _chore(config, place, chore)
        files[f"{chore.name}.timer"] = _timer(chore.name, chore.calendar)
    return {name: HEADER + text for name, text in sorted(files.items())}


def _target(rows: list[Program]) -> str:
    wanted = [f"{row.name}.timer" if row.calendar else unit_of(row) for row in rows]
    wanted += [f"{chore.name}.timer" for chore in CHORES]
    return _sections(
        Unit=["Description=spreadscan: spot-perpetual spreads", *(f"Wants={it}" for it in wanted)],
        Install=["WantedBy=multi-user.target"],
    )


def _service(config: Config, place: UnitPlace, row: Program, rows: list[Program]) -> str:
    is_feed = row.source is not None
    title = "%i quotes into shared memory" if is_feed else row.name
    name = "feed-%i" if is_feed else row.name
    command = f"{place.scripts}/{name} --config {place.config_file}"
    unit = [f"Description=spreadscan: {title}"]
    service = [*_who(place), f"ExecStart={command}"]
    service.append(f"Slice={FEED_SLICE if is_feed else SLICE}")
    unit += [f"After={name}" for name in _earlier(row, rows)]
    if "shm-init" in row.starts_after:
        # Wanted, not required: an upgrade runs it again, which must not take everybody down.
        unit.append("Wants=shm-init.service")
    if config.shm.backing == "hugetlbfs":
        unit.append(f"RequiresMountsFor={config.path(config.shm.hugetlbfs_dir)}")
    if row.is_oneshot:
        unit, service = unit + _oneshot_unit(row), service + _oneshot_service(row)
    else:
        unit.append(f"PartOf={TARGET}")
        # Given up by nobody: a feed that is refused for an hour is wanted after it.
        unit.append("StartLimitIntervalSec=0")
        service += _long_running(row)
    service += confinement(
        is_on_network=row.is_on_network,
        is_locking=row.health_slot is not None,
        writes=_writes(config, row),
        memory_max_mib=row.memory_max_mib,
    ).splitlines()
    return _sections(Unit=unit, Service=service)


def _who(place: UnitPlace) -> list[str]:
    return [
        f"User={place.user}",
        f"Group={place.group}",
        "# Libraries start a thread a core otherwise, on the cores of others.",
        "Environment=OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1",
    ]


def _earlier(row: Program, rows: list[Program]) -> list[str]:
    """Return whom a program starts after; stopping goes the other way round.

    Feeds start last and stop first, the tracker the opposite: what is on its way is followed up.
    """
    names = [unit_of(other) for other in rows if other.name in row.starts_after]
    if row.health_slot is not None:
        stages = [other for other in rows if other.health_slot is not None and not other.source]
        before = stages[: stages.index(row)] if row in stages else stages
        names += [unit_of(other) for other in before]
    if row.is_on_network:
        names.append("network-online.target")
    return names


def _oneshot_unit(row: Program) -> list[str]:
    if row.name != DISCOVERY:
        return [f"PartOf={TARGET}"]
    return ["Wants=network-online.target", f"OnSuccess={RELOAD}"]


def _oneshot_service(row: Program) -> list[str]:
    if row.name != DISCOVERY:
        # Stays active: the regions are there until the host goes down.
        return ["Type=oneshot", "RemainAfterExit=yes"]
    return [
        "Type=oneshot",
        # An exchange that could not be read is asked again, and not only in six hours.
        "Restart=on-failure",
        "RestartSec=300",
        f"RestartPreventExitStatus={EXIT_CONFIG}",
        "TimeoutStartSec=600",
    ]


def _long_running(row: Program) -> list[str]:
    assert row.watchdog_s is not None, row.name
    lines = [
        # Active means that it does useful work; a loop that hangs is ended and started again.
        "Type=notify",
        "NotifyAccess=main",
        f"WatchdogSec={row.watchdog_s:g}",
        "Restart=always",
        f"RestartSec={RESTART_S}",
        "# An operator must edit a file first; restarting would only fill the journal.",
        f"RestartPreventExitStatus={EXIT_CONFIG}",
        f"TimeoutStartSec={START_TIMEOUT_S}",
        f"TimeoutStopSec={STOP_TIMEOUT_S}",
        "KillMode=mixed",
    ]
    if row.cpu is CpuRole.ENGINE:
        lines.append("# Keeps the eventfd that feeds wake it by across restarts.")
        lines.append("FileDescriptorStoreMax=1")
    if row.source is None:
        lines.append("# Under memory pressure others go first.")
        lines.append("OOMScoreAdjust=-500")
    return lines


def _writes(config: Config, row: Program) -> list[str]:
    """Return what a program's own work writes; everybody has its locks in the run folder."""
    paths = [config.runtime.run_dir]
    if row.source is not None:
        paths += [config.record.dir, str(bans_folder(config))]
    elif row.name == DISCOVERY:
        # The ledger too: reading one that nobody has open takes its lock files.
        paths += [config.runtime.generated_dir, config.tracker.data_dir]
    elif row.health_slot is not None and row.cpu is CpuRole.HOUSEKEEPING:
        paths.append(config.tracker.data_dir)
    if config.shm.backing == "hugetlbfs":
        paths.append(config.shm.hugetlbfs_dir)
    return sorted({str(config.path(path)) for path in paths})


def _reload(config: Config, place: UnitPlace) -> str:
    command = f"{place.scripts}/spread-ctl reload --timeout 30s --config {place.config_file}"
    return _sections(
        Unit=["Description=spreadscan: running processes take the new universe"],
        Service=[
            "Type=oneshot",
            *_who(place),
            f"ExecStart={command}",
            "# Nothing runs, so nobody has to be told.",
            "SuccessExitStatus=3",
            f"Slice={SLICE}",
            *confinement(
                is_on_network=False,
                is_locking=False,
                writes=_writes(config, program_named("shm-init")),
                memory_max_mib=256,
            ).splitlines(),
        ],
    )


def _chore(config: Config, place: UnitPlace, chore: Chore) -> str:
    script, *words = chore.command
    command = " ".join([f"{place.scripts}/{script}", *words, "--config", place.config_file])
    return _sections(
        Unit=[f"Description=spreadscan: {chore.name}"],
        Service=[
            "Type=oneshot",
            *_who(place),
            f"ExecStart={command}",
            "# It has all night; feeds and engine have not.",
            "Nice=10",
            "IOSchedulingClass=idle",
            "CPUWeight=20",
            f"Slice={SLICE}",
            *confinement(
                is_on_network=False,
                is_locking=False,
                writes=[str(config.path(config.tracker.data_dir))],
                memory_max_mib=chore.memory_max_mib,
            ).splitlines(),
        ],
    )


def _timer(name: str, calendar: str) -> str:
    return _sections(
        Unit=[f"Description=spreadscan: {name} at its hours", f"PartOf={TARGET}"],
        Timer=[
            f"OnCalendar={calendar}",
            "# Missed while the host was off: made up for at boot.",
            "Persistent=yes",
            "# Hosts of one operator do not ask an exchange at the same second.",
            "RandomizedDelaySec=120",
        ],
        Install=[f"WantedBy={TARGET}"],
    )


def _slice(what: str, memory_max_mib: int) -> str:
    return _sections(
        Unit=[f"Description=spreadscan: {what} together"],
        Slice=[f"MemoryMax={memory_max_mib}M", "MemorySwapMax=0"],
    )


def _cpu(config: Config, row: Program) -> str:
    """Return where the CPU plan puts a program; nothing where it leaves that to the system."""
    share, cores = share_of(config, row), cores_of(config, row)
    lines = [f"CPUAffinity={','.join(map(str, cores))}"] if cores else []
    if share.policy != "other":
        lines.append(f"CPUSchedulingPolicy={share.policy}")
        if share.priority:
            lines.append(f"CPUSchedulingPriority={share.priority}")
            lines.append("# It asks for the class itself too, and may.")
            lines.append(f"LimitRTPRIO={share.priority}")
            lines.append("RestrictRealtime=no")
    return _sections(Service=lines) if lines else ""


def _sections(**sections: list[str]) -> str:
    return "".join(
        f"\n[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections.items()
    )
