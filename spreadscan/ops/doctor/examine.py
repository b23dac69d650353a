"""All checks, those that wait for others side by side. Prints nothing.

A check that goes wrong itself is a failed check, not the end of the others.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec

from spreadscan.config import Config
from spreadscan.errors import EXIT_DEGRADED, EXIT_DOWN, SpreadscanError
from spreadscan.exchanges import Source
from spreadscan.manners.allowances import governor_words
from spreadscan.ops.doctor.clock_sync import clock_check, kernel_clock
from spreadscan.ops.doctor.exchanges import rest_check, socket_check
from spreadscan.ops.doctor.finding import Finding, Verdict, fail, ok
from spreadscan.ops.doctor.host import Roots, host_checks
from spreadscan.ops.doctor.pipeline import pipeline_checks
from spreadscan.ops.doctor.storage import storage_checks
from spreadscan.ops.doctor.units import units_check
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.trust import trust_of

__all__ = ["Examination", "examine"]

Check = Callable[[], list[Finding]]
# One a source and kind: none waits for another.
THREADS = 20


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was found."""

    verdict: Verdict
    """The worst of all."""
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """Nothing for a host that is fit, degraded for one that could be better, else down."""
        return {Verdict.OK: 0, Verdict.WARN: EXIT_DEGRADED, Verdict.FAIL: EXIT_DOWN}[self.verdict]


def examine(
    config: Config, clock: Clock, *, with_exchanges: bool = True, roots: Roots | None = None
) -> Examination:
    """Run every check.

    Args:
        config: as loaded, which is the first check of all.
        clock: injected.
        with_exchanges: also ask the exchanges, one request and one handshake a source.
        roots: where the kernel's files are.
    """
    where = roots or Roots()
    checks: list[tuple[str, Check]] = [
        ("configuration", lambda: [ok("configuration", config.file)]),
        ("host", lambda: host_checks(config, where)),
        ("time synchronisation", lambda: [clock_check(kernel_clock())]),
        ("pipeline", lambda: pipeline_checks(config, where)),
        ("disks", lambda: storage_checks(config)),
        ("unit files", lambda: [units_check(config)]),
    ]
    if with_exchanges:
        words, trust = governor_words(config), trust_of(config)
        checks += [
            (source.name, partial(_one, kind, config, source, words, trust, clock))
            for source in config.active_sources()
            for kind in (rest_check, socket_check)
        ]
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(_sheltered, name, check) for name, check in checks]
        findings = tuple(finding for each in waiting for finding in each.result())
    order = [Verdict.OK, Verdict.WARN, Verdict.FAIL]
    return Examination(
        verdict=max((finding.verdict for finding in findings), key=order.index), findings=findings
    )


def _one(
    kind: Callable[..., Finding], config: Config, source: Source, *how: object
) -> list[Finding]:
    return [msgspec.structs.replace(kind(config, source, *how), source=source.name)]


def _sheltered(name: str, check: Check) -> list[Finding]:
    try:
        return check()
    except SpreadscanError as error:
        # Most of all somebody who may not look: the other checks can still say what they see.
        return [fail(name, str(error), "look at it as the programs' user, or as root")]
    except (OSError, ValueError) as error:
        return [fail(name, f"could not be checked: {error}", "tell the maintainers what this says")]
