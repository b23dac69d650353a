"""Which listed symbols really send quotes: every source is asked for all of its own.

    for each source, side by side:
        shards, as a feed makes them -> one probe each -> received; invalid = all - received

The first probe of a source goes ahead alone; the others follow once the exchange has let it in. A
source of which nothing came at all has failed as a whole, and says nothing about its symbols.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from spreadscan.config import Config, MarketConfig
from spreadscan.discovery.door import Door, ProbeSettings
from spreadscan.discovery.evidence import SILENT, Leg, shown
from spreadscan.discovery.probe import Probe
from spreadscan.discovery.progress import Counts, Progress
from spreadscan.exchanges import Source
from spreadscan.manners.allowances import allowances_of, governor_words
from spreadscan.manners.shards import plan_shards
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.trust import trust_of

__all__ = [
    "UNREACHED",
    "Job",
    "ProbeSettings",
    "Validation",
    "probe_settings",
    "validate_all",
    "validate_source",
]

REPORT_INTERVAL_S = 0.2
UNREACHED = "unreached: "
"""Begins the reason of a symbol whose connection was at fault: nothing is known of it."""


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """What asking one source has shown."""

    received: frozenset[str]
    """Exchange symbols that sent a usable two-sided quote."""
    invalid: dict[str, str]
    """All others, each with its reason.

    ``silent``; ``one_sided``; ``refused quote: crossed`` and other names of QuoteStatus;
    ``refused: <the exchange's words>``; ``unreached: <why>`` where nothing came of the symbol and
    its connection never came about, or ended and could not be opened again.
    """
    failure: str | None = None
    """Why the source as a whole failed; *invalid* is empty then, and nothing is concluded."""
    connections: int
    """Opened, those that were lost included."""
    seconds: float


class Job(NamedTuple):
    """One source to validate."""

    source: Source
    market: MarketConfig
    legs: Sequence[Leg]


def probe_settings(config: Config, clock: Clock) -> ProbeSettings:
    """Return what a configuration says about validation; allowances are shared with the feeds."""
    words = governor_words(config)
    return ProbeSettings(
        window_s=config.discovery.validate_window_s,
        connect_timeout_s=config.feed.connect_timeout_s,
        retry_base_s=config.feed.retry_base_ms / 1000,
        retry_cap_s=config.feed.retry_cap_s,
        max_frame_bytes=config.feed.max_frame_bytes,
        trust=trust_of(config),
        clock=clock,
        allowances=lambda source: allowances_of(config, source, words),
    )


async def validate_all(
    jobs: Iterable[Job], settings: ProbeSettings, report: Progress
) -> dict[str, Validation]:
    """Validate sources side by side; return what was found by source name.

    Args:
        jobs: the sources; one that fails says so in its own result and disturbs no other.
        settings: for all of them.
        report: told how it goes on.
    """
    async with asyncio.TaskGroup() as group:
        tasks = {
            job.source.name: group.create_task(
                validate_source(job.source, job.market, job.legs, settings, report)
            )
            for job in jobs
        }
    return {name: task.result() for name, task in tasks.items()}


async def validate_source(
    source: Source,
    market: MarketConfig,
    legs: Sequence[Leg],
    settings: ProbeSettings,
    report: Progress,
) -> Validation:
    """Subscribe every symbol of a source and wait for a quote of each.

    Ends as soon as every symbol has quoted or was refused, else a window after the last
    subscription was sent.

    Args:
        source: with its adapter.
        market: its address and operating limits.
        legs: as `Universe.legs` gives them; only the exchange symbols must be distinct.
        settings: how long and how hard to try.
        report: told how it goes on.
    """
    door = Door(source, market, settings)
    probes = _probes(door, legs)
    began_s = door.now_s()

    def counts() -> Counts:
        return Counts(
            received=sum(len(probe.evidence.received) for probe in probes),
            expected=len(legs),
            refused=sum(len(probe.evidence.refused) for probe in probes),
            connections=door.connections,
            seconds=door.now_s() - began_s,
        )

    async def tell() -> None:
        while True:
            await asyncio.sleep(REPORT_INTERVAL_S)
            report.changed(source.name, counts())

    report.began(source.name, len(legs))
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(tell())
        await _run(probes, door)
        telling.cancel()
    found = _concluded(probes, counts())
    report.ended(source.name, counts(), found.failure)
    return found


def _probes(door: Door, legs: Sequence[Leg]) -> list[Probe]:
    """Split a source as its feed does."""
    by_symbol = {leg[0]: leg for leg in legs}
    shards = plan_shards(
        [(symbol, symbol_id) for symbol, symbol_id, _, _ in legs],
        door.market.topics_per_connection,
        door.source.spec.topic,
        door.source.spec.limits.topic_bytes_per_connection,
    )
    return [Probe(door, [by_symbol[symbol] for symbol, _ in shard]) for shard in shards]


async def _run(probes: Sequence[Probe], door: Door) -> None:
    """Send one probe ahead, and the others once it was let in.

    An exchange that is down or turns us away is so asked by one connection, not by all.
    """
    if not probes:
        return
    async with asyncio.TaskGroup() as group:
        ahead = group.create_task(probes[0].run())
        entering = group.create_task(door.admitted.wait())
        await asyncio.wait({ahead, entering}, return_when=asyncio.FIRST_COMPLETED)
        entering.cancel()
        if door.admitted.is_set():
            for probe in probes[1:]:
                group.create_task(probe.run())


def _concluded(probes: Sequence[Probe], counts: Counts) -> Validation:
    received = frozenset[str]().union(*(probe.evidence.received for probe in probes))
    reasons = {symbol: reason for probe in probes for symbol, reason in _reasons(probe).items()}
    failure = None
    if reasons and not received:
        why = _failure(probes, reasons)
        failure = f"no usable quote of {counts.expected} symbols in {counts.seconds:.1f} s: {why}"
    return Validation(
        received=received,
        invalid={} if failure else reasons,
        failure=failure,
        connections=counts.connections,
        seconds=counts.seconds,
    )


def _reasons(probe: Probe) -> dict[str, str]:
    """Return why each symbol was not received; where its connection is at fault, that."""
    return probe.evidence.reasons(f"{UNREACHED}{probe.trouble}" if probe.trouble else SILENT)


def _failure(probes: Sequence[Probe], reasons: dict[str, str]) -> str:
    """Return what most probes met with; where none did, the reason of most symbols."""
    met = [probe.trouble or probe.unplaced for probe in probes]
    said = Counter(why for why in met if why) or Counter(reasons.values())
    ((why, _),) = said.most_common(1)
    return "nothing came" if why == SILENT else shown(why)
