"""How each process is: its health slot, and whether the one that wrote it still lives."""

import msgspec

from spreadscan.config import Config
from spreadscan.ops.command import is_running
from spreadscan.runtime.clock import Clock
from spreadscan.shm.health import HealthReader, HealthSnapshot
from spreadscan.shm.layout import ProcessState
from spreadscan.shm.region import Region
from spreadscan.topology import Program

__all__ = [
    "DEAD",
    "HANGS",
    "NOT_RUNNING",
    "RUNNING",
    "ProcessNow",
    "Sight",
    "process_now",
    "state_of",
]

RUNNING, NOT_RUNNING, DEAD, HANGS = "running", "not running", "dead", "hangs"
# A process beats ten times a second.
QUIET_NS = 2_000_000_000


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """Where a look at a pipeline is taken from."""

    config: Config
    clock: Clock
    health: HealthReader | None
    """None while there are no slots."""
    prices: Region | None
    """None while there is no price store; the next likewise."""
    funding: Region | None


class ProcessNow(msgspec.Struct, frozen=True, kw_only=True):
    """One long-running process. Without a living one only ``name``, ``state`` and ``restarts``."""

    name: str
    state: str
    """``starting``, ``running``, ``stopping``; ``hangs``: it lives and does not beat; ``dead``: it
    ended without a word; ``stopped``, ``failed``: it ended with one; ``not running``: it never did.
    """
    lives: bool
    """By its lock; never by what its slot says."""
    pid: int | None
    uptime_s: float | None
    heartbeat_age_ms: int | None
    restarts: int
    """Since shm-init."""
    obeyed_generation: int | None
    universe_generation: int | None
    """0: it has not come to its loop yet."""
    status: str


def process_now(sight: Sight, program: Program) -> ProcessNow:
    """Return how a program is; one with a slot.

    Raises:
        RunFolderRefused: its lock cannot be looked at.
    """
    assert program.health_slot is not None, program.name
    slot = None if sight.health is None else sight.health.slot(program.health_slot)
    lives = is_running(sight.config, program)
    if not lives or slot is None or not slot.is_alive:
        return ProcessNow(
            name=program.name,
            state="starting" if lives else _last_state(slot),
            lives=lives,
            pid=None,
            uptime_s=None,
            heartbeat_age_ms=None,
            restarts=_restarts(slot),
            obeyed_generation=None,
            universe_generation=None,
            status="",
        )
    now_ns = sight.clock.monotonic_ns()
    return ProcessNow(
        name=program.name,
        state=state_of(slot, now_ns),
        lives=True,
        pid=slot.pid,
        uptime_s=max(0, now_ns - slot.started_ns) / 1e9,
        heartbeat_age_ms=_quiet_ns(slot, now_ns) // 1_000_000,
        restarts=_restarts(slot),
        obeyed_generation=slot.obeyed_generation,
        universe_generation=slot.universe_generation,
        status=slot.status,
    )


def state_of(slot: HealthSnapshot, now_ns: int) -> str:
    """Return the state of a living process; it hangs when it should beat and does not."""
    is_quiet = slot.state is ProcessState.RUNNING and _quiet_ns(slot, now_ns) > QUIET_NS
    return HANGS if is_quiet else slot.state.name.lower()


def _quiet_ns(slot: HealthSnapshot, now_ns: int) -> int:
    return max(0, now_ns - max(slot.heartbeat_ns, slot.started_ns))


def _last_state(slot: HealthSnapshot | None) -> str:
    if slot is None or slot.state is ProcessState.EMPTY:
        return NOT_RUNNING
    if slot.state in {ProcessState.STOPPED, ProcessState.FAILED}:
        return slot.state.name.lower()
    return DEAD


def _restarts(slot: HealthSnapshot | None) -> int:
    return 0 if slot is None else max(0, slot.restarts - 1)
