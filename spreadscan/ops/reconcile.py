"""What the supervisor has to do next. Pure: states and a time go in, actions come out.

    WAITING --Start--> STARTING --ready--> READY --exit--> WAITING (after a delay) | GIVEN_UP
                          |
                          +--exit 0 of a one-shot--> DONE

A program starts when everything it starts after is ready or done. A crashed one starts again
after a delay that doubles up to a bound; one that the operator must mend (exit 78), or that fails
too often, is given up, which ends the run. An operator may have one end and start again, or end and
stay so. Stopping goes in waves, the highest first: feeds before
the engine before the tracker, so that nothing that was signalled is left unread.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from spreadscan.errors import EXIT_CONFIG

__all__ = [
    "Action",
    "Child",
    "Desired",
    "Kill",
    "Phase",
    "Policy",
    "Start",
    "Terminate",
    "exited",
    "held",
    "is_stopped",
    "let_start",
    "ready",
    "reconcile",
    "started",
    "terminated",
]


class Phase(StrEnum):
    """Where a child stands."""

    WAITING = "waiting"
    """Not running: not started yet, or a start is due again at ``due_ns``."""
    STARTING = "starting"
    READY = "ready"
    DONE = "done"
    """A one-shot that ended well."""
    GIVEN_UP = "given up"
    HELD = "stopped"
    """By an operator; only an operator starts it again."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How patient the supervisor is."""

    first_delay_s: float = 0.5
    longest_delay_s: float = 30.0
    start_attempts: int = 3
    """Failures in a row before a program that was never ready is given up. More than one, because
    the orphans of a killed supervisor need a moment to end and free their locks."""
    run_attempts: int = 8
    """Failures in a row before a program that was ready once is given up."""
    healthy_after_s: float = 60.0
    """A life this long makes the next failure the first one again."""
    stop_timeout_s: float = 10.0


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """A program that shall run."""

    name: str
    starts_after: tuple[str, ...] = ()
    is_oneshot: bool = False
    stop_wave: int = 0
    """Waves stop from the highest down, each when the one above has ended."""


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a program so far."""

    phase: Phase = Phase.WAITING
    due_ns: int = 0
    """WAITING: not before this monotonic time."""
    started_ns: int = 0
    terminated_ns: int | None = None
    """When it was asked to stop."""
    is_killed: bool = False
    stays_down: bool = False
    """What the end it was asked for is to be followed by: nothing, or another start."""
    failures: int = 0
    """In a row."""
    restarts: int = 0
    """In all."""
    was_ready: bool = False
    is_asked_end: bool = False
    """Its last life ended because it was asked to."""
    exit_code: int | None = None
    """Of its last life; negative is a signal, as in subprocess."""

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self.phase in {Phase.STARTING, Phase.READY}


class Start(msgspec.Struct, frozen=True):
    """Start the program."""

    name: str


class Terminate(msgspec.Struct, frozen=True):
    """Ask the process to end (SIGTERM)."""

    name: str


class Kill(msgspec.Struct, frozen=True):
    """End the process (SIGKILL)."""

    name: str


Action = Start | Terminate | Kill


def reconcile(
    desired: Sequence[Desired],
    children: Mapping[str, Child],
    now_ns: int,
    *,
    is_stopping: bool,
    policy: Policy,
) -> list[Action]:
    """Return what to do now; empty when there is only to wait."""
    if is_stopping:
        return _stopping(desired, children, now_ns, policy)
    overdue: list[Action] = [
        Kill(wanted.name)
        for wanted in desired
        if _is_overdue(children[wanted.name], now_ns, policy)
    ]
    return overdue + [
        Start(wanted.name)
        for wanted in desired
        if children[wanted.name].phase is Phase.WAITING
        and now_ns >= children[wanted.name].due_ns
        and all(children[name].phase in {Phase.READY, Phase.DONE} for name in wanted.starts_after)
    ]


def is_stopped(children: Mapping[str, Child]) -> bool:
    """Return whether no process is left."""
    return not any(child.is_running for child in children.values())


def started(child: Child, now_ns: int) -> Child:
    """Return the child after its process was started."""
    return msgspec.structs.replace(
        child,
        phase=Phase.STARTING,
        started_ns=now_ns,
        terminated_ns=None,
        is_killed=False,
        restarts=child.restarts + (child.exit_code is not None and not child.is_asked_end),
        is_asked_end=False,
    )


def ready(child: Child) -> Child:
    """Return the child after its process said that it is ready."""
    return msgspec.structs.replace(child, phase=Phase.READY, was_ready=True)


def terminated(child: Child, now_ns: int, *, is_killed: bool) -> Child:
    """Return the child after it was asked, or made, to end."""
    since_ns = now_ns if child.terminated_ns is None else child.terminated_ns
    return msgspec.structs.replace(child, terminated_ns=since_ns, is_killed=is_killed)


def let_start(child: Child) -> Child:
    """Return the child after an operator asked for it: one that stays down is due at once."""
    if child.phase is Phase.HELD:
        return msgspec.structs.replace(child, phase=Phase.WAITING, due_ns=0)
    return msgspec.structs.replace(child, stays_down=False)


def held(child: Child) -> Child:
    """Return the child after an operator asked for its end: for now, or with its process."""
    if child.is_running:
        return msgspec.structs.replace(child, stays_down=True)
    return msgspec.structs.replace(child, phase=Phase.HELD)


def exited(wanted: Desired, child: Child, code: int, now_ns: int, policy: Policy) -> Child:
    """Return the child after its process ended with ``code``."""
    if child.terminated_ns is not None:
        # Asked for, so it is neither a failure nor a restart.
        phase = Phase.HELD if child.stays_down else Phase.WAITING
        return msgspec.structs.replace(
            child, phase=phase, exit_code=code, is_asked_end=True, due_ns=0, failures=0,
            stays_down=False,
        )  # fmt: skip
    if wanted.is_oneshot and code == 0:
        return msgspec.structs.replace(child, phase=Phase.DONE, exit_code=code, was_ready=True)
    lived_s = (now_ns - child.started_ns) / 1e9
    failures = 1 if lived_s >= policy.healthy_after_s else child.failures + 1
    attempts = policy.run_attempts if child.was_ready else policy.start_attempts
    is_hopeless = code == EXIT_CONFIG or failures >= attempts
    delay_s = min(policy.longest_delay_s, policy.first_delay_s * 2 ** (failures - 1))
    return msgspec.structs.replace(
        child,
        phase=Phase.GIVEN_UP if is_hopeless else Phase.WAITING,
        due_ns=now_ns + round(delay_s * 1e9),
        failures=failures,
        exit_code=code,
    )


def _stopping(
    desired: Sequence[Desired], children: Mapping[str, Child], now_ns: int, policy: Policy
) -> list[Action]:
    running = [wanted for wanted in desired if children[wanted.name].is_running]
    if not running:
        return []
    wave = max(wanted.stop_wave for wanted in running)
    actions: list[Action] = []
    for wanted in running:
        child = children[wanted.name]
        if wanted.stop_wave != wave or child.is_killed:
            continue
        if child.terminated_ns is None:
            actions.append(Terminate(wanted.name))
        elif _is_overdue(child, now_ns, policy):
            actions.append(Kill(wanted.name))
    return actions


def _is_overdue(child: Child, now_ns: int, policy: Policy) -> bool:
    return (
        child.is_running
        and not child.is_killed
        and child.terminated_ns is not None
        and now_ns - child.terminated_ns >= policy.stop_timeout_s * 1e9
    )
