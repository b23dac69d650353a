"""The drawing: every process, its health slot, what it writes and reads, its watchdog.

Units, the CLI, the supervisor and start-up checks are derived from these rows. To change the
architecture, change this file first.

    pair-discovery -> generated/ -> every process
    feed-*  --writes-->  prices, dirty  --read by-->  spread-engine  --ring-->  spread-tracker
    feed-* --funding--> spread-engine; spread-tracker --baseline--> spread-engine
    every process --writes--> its health slot; spread-ctl --writes--> control
"""

from enum import StrEnum

import msgspec

from spreadscan.exchanges import sources
from spreadscan.shm.layout import HEALTH_SLOTS, NUM_SOURCES, RegionKind

__all__ = [
    "CHORES",
    "Chore",
    "CpuRole",
    "Program",
    "feed_name",
    "program_named",
    "programs",
    "stop_wave",
]


class CpuRole(StrEnum):
    """Which cores of the CPU plan a process runs on."""

    HOUSEKEEPING = "housekeeping"
    FEED = "feed"
    ENGINE = "engine"


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the appliance; its name is the console script, the unit and the log field."""

    name: str
    health_slot: int | None
    """Index in the health region; None for one-shot programs."""
    source: str | None = None
    """Name of the source a feed serves."""
    writes: tuple[RegionKind, ...] = ()
    reads: tuple[RegionKind, ...] = ()
    cpu: CpuRole = CpuRole.HOUSEKEEPING
    watchdog_s: float | None = None
    starts_after: tuple[str, ...] = ()
    is_oneshot: bool = False
    is_on_network: bool = False
    """Whether it talks to exchanges; everything else is given no network at all."""
    memory_max_mib: int = 512
    """Where systemd ends it: a leak must not take the host along. Several times what it needs."""
    calendar: str | None = None
    """When systemd runs it again, systemd.time(7)."""


class Chore(msgspec.Struct, frozen=True, kw_only=True):
    """A command that systemd runs now and then beside the programs."""

    name: str
    """Of its unit and timer."""
    command: tuple[str, ...]
    """Console script and words."""
    calendar: str
    """When, systemd.time(7)."""
    memory_max_mib: int


CHORES = (
    Chore(
        name="ledger-compaction",
        command=("spreadscan", "compact"),
        # After midnight UTC, when the tracker has begun the next part.
        calendar="03:20:00 UTC",
        memory_max_mib=1024,
    ),
)
"""Reads and writes the tracker's data folder."""

ENGINE_SLOT = NUM_SOURCES
TRACKER_SLOT = NUM_SOURCES + 1


def feed_name(source_name: str) -> str:
    """Return the program that serves a source: ``feed-<exchange>-<market>``."""
    return "feed-" + source_name.replace("_", "-")


def programs() -> dict[str, Program]:
    """Return every program by name, in the order in which they start."""
    rows = [
        Program(name="shm-init", health_slot=None, writes=tuple(RegionKind), is_oneshot=True),
        Program(
            name="pair-discovery",
            health_slot=None,
            starts_after=("shm-init",),
            is_oneshot=True,
            is_on_network=True,
            memory_max_mib=1024,
            calendar="00/6:00:00",
        ),
        Program(
            name="spread-tracker",
            health_slot=TRACKER_SLOT,
            writes=(RegionKind.RING, RegionKind.HEALTH, RegionKind.BASELINE),
            reads=(RegionKind.PRICES, RegionKind.CONTROL, RegionKind.ROUTES),
            watchdog_s=10.0,
            memory_max_mib=2048,
            starts_after=("shm-init", "pair-discovery"),
        ),
        Program(
            name="spread-engine",
            health_slot=ENGINE_SLOT,
            # PRICES: only to retire the source of a feed that died.
            # ROUTES: the state of every route, so that the next engine goes on where this one ends.
            writes=(
                RegionKind.PRICES,
                RegionKind.DIRTY,
                RegionKind.RING,
                RegionKind.HEALTH,
                RegionKind.ROUTES,
            ),
            reads=(RegionKind.CONTROL, RegionKind.FUNDING, RegionKind.BASELINE),
            cpu=CpuRole.ENGINE,
            watchdog_s=5.0,
            starts_after=("shm-init", "pair-discovery"),
        ),
    ]
    rows += [
        Program(
            name=feed_name(source.name),
            health_slot=source.source_id,
            source=source.name,
            writes=(
                RegionKind.PRICES,
                RegionKind.DIRTY,
                RegionKind.HEALTH,
                RegionKind.GOVERNOR,
                RegionKind.FUNDING,
            ),
            reads=(RegionKind.CONTROL,),
            cpu=CpuRole.FEED,
            watchdog_s=10.0,
            starts_after=("shm-init", "pair-discovery"),
            is_on_network=True,
        )
        for source in sources().values()
    ]
    slots = [row.health_slot for row in rows if row.health_slot is not None]
    assert len(slots) == len(set(slots)), slots
    assert all(0 <= slot < HEALTH_SLOTS for slot in slots), slots
    return {row.name: row for row in rows}


def program_named(name: str) -> Program:
    """Return one row.

    Raises:
        KeyError: there is no such program.
    """
    return programs()[name]


def stop_wave(program: Program) -> int:
    """Return when a long-running program ends in an orderly end, from 1: feeds, engine, tracker.

    Everybody ends before those who read what it writes, so that nothing is left unread.
    """
    assert program.health_slot is not None, program.name
    if program.source is not None:
        return 1
    stages = [
        row.name for row in programs().values() if row.health_slot is not None and not row.source
    ]
    return 1 + len(stages) - stages.index(program.name)
