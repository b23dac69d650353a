"""``pair-discovery``: which coins can be scanned, proven by price and by data. Runs once and ends.

    listings, prices -> names -> identity -> intersect -> validate -> intersect -> compare -> write

A source whose listing or data cannot be had keeps its symbols of the last universe. A result that
lost what it should not have lost is refused, and the last universe stays.
"""

import asyncio
import datetime as dt
import sys
from argparse import Namespace
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import orjson
from rich.console import Console

from spreadscan.config import Config, load_config
from spreadscan.discovery.answers import fetched_answers, recorded_answers
from spreadscan.discovery.findings import Finding
from spreadscan.discovery.identity import resolve
from spreadscan.discovery.intersect import Intersection, intersect
from spreadscan.discovery.last import Last, read_last
from spreadscan.discovery.member import Member
from spreadscan.discovery.outcomes import (
    Answer,
    SourceOutcome,
    last_legs,
    members_of,
    outcomes_of,
    stale_words,
)
from spreadscan.discovery.progress import progress_on
from spreadscan.discovery.publish import Run, report_text, summary_object, validation_stats
from spreadscan.discovery.replace import OpenRoute, check_replaceable
from spreadscan.discovery.summary import print_summary
from spreadscan.discovery.validate import UNREACHED, Job, Validation, probe_settings, validate_all
from spreadscan.errors import DiscoveryError, SpreadscanError
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.command_line import CommandLine
from spreadscan.runtime.cpu import take_cpu_share
from spreadscan.runtime.lock import is_lock_held
from spreadscan.shm.layout import MAX_SYMBOLS
from spreadscan.topology import program_named, programs
from spreadscan.universe import Universe, sole_writer, write_universe

__all__ = ["main"]

PROGRAM = "pair-discovery"
CROWDED_SHARE = 0.9
"""Of the ids in use; beyond it an operator should know."""

OpenRoutes = Callable[[Config], Collection[OpenRoute]]
Members = Mapping[int, Mapping[str, Member]]


def _parser() -> CommandLine:
    parser = CommandLine(PROGRAM, "Find the symbols that can be scanned.")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: runtime.generated_dir")
    parser.add_argument(
        "--offline",
        type=Path,
        metavar="DIR",
        help="read <source>.json and <source>.tickers.json there, not the exchanges' REST",
    )
    parser.add_argument(
        "--no-validate", action="store_true", help="accept pairs that no data has proven"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="accept a result that lost pairs",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(argv: Sequence[str], open_routes: OpenRoutes = lambda _config: ()) -> int:
    """Run once; return the exit code of `spreadscan.errors`.

    Args:
        argv: the command line without the program's name.
        open_routes: the routes with an open episode.
    """
    options = _parser().parse_args(argv)
    try:
        config = load_config(options.config, is_sim=options.sim)
        output = options.output or config.path(config.runtime.generated_dir)
        if refusal := take_cpu_share(config, program_named("pair-discovery")):
            _note(refusal)
        with sole_writer(output):
            run = _discover(config, output, options, open_routes)
    except SpreadscanError as error:
        _note(str(error))
        return error.exit_code
    if options.json:
        sys.stdout.write(orjson.dumps(summary_object(run)).decode() + "\n")
    else:
        print_summary(run, output, Console())
    return 0


def _note(text: str) -> None:
    sys.stderr.write(f"{PROGRAM}: {text}\n")


def _discover(config: Config, output: Path, options: Namespace, open_routes: OpenRoutes) -> Run:
    """Do one run in a folder that is locked.

    Raises:
        SpreadscanError: nothing was written.
    """
    now = dt.datetime.now(dt.UTC)
    stamp = now.isoformat(timespec="seconds")
    last = read_last(output, may_reuse_ids=not _is_anything_running(config))
    if last.damage:
        _note(f"the last universe is damaged and will be replaced: {last.damage}")
    if options.offline is None:
        answers = asyncio.run(fetched_answers(config))
    else:
        answers = recorded_answers(config, options.offline)
    outcomes = outcomes_of(config, answers, last, stamp, int(now.timestamp() * 1000))
    if all(outcome.failure for outcome in outcomes.values()):
        failures = "; ".join(str(outcome.failure) for outcome in outcomes.values())
        raise DiscoveryError(f"found no listing at all, the last universe stays ({failures})")
    members = members_of(config, answers, outcomes, last)
    was_priced = last.universe is not None and last.universe.is_price_proven
    resolution = resolve(
        members,
        config.directions,
        config.discovery.max_price_deviation_pct / 100,
        may_trust_names=not was_priced,
    )
    found = _intersect(config, resolution.members, last)
    _check_not_empty(found, outcomes)
    _note_failures(outcomes)
    validations = None
    if not options.no_validate:
        validations = asyncio.run(_validate(config, found))
        found = _intersect(config, _proven(config, resolution.members, validations, last), last)
        _check_not_empty(found, outcomes)
    if not options.force:
        check_replaceable(
            found,
            last.universe,
            min_share=config.discovery.min_share_of_last,
            open_routes=open_routes(config),
            ended=_ended(config, answers, outcomes, resolution.findings, last),
        )
    run = Run(
        universe=_universe(
            found,
            last.generation + 1,
            stamp,
            is_price_proven=was_priced or any(member.price is not None for member in members),
            turnover_usd=_turnover_usd(found, members),
        ),
        last=last.universe,
        outcomes=outcomes,
        resolution=resolution,
        validations=validations,
        without_id=found.without_id,
        stale_words=tuple(stale_words(config, answers)),
    )
    write_universe(
        output, run.universe, validation_stats=validation_stats(run), report=report_text(run)
    )
    _note_ids(found)
    return run


def _is_anything_running(config: Config) -> bool:
    """Tell whether a process may still know an id under its old name."""
    run_dir = config.path(config.runtime.run_dir)
    return any(
        is_lock_held(run_dir, row.name)
        for row in programs().values()
        if row.health_slot is not None
    )


def _intersect(config: Config, members: Members, last: Last) -> Intersection:
    return intersect(members, config.directions, last.ids)


def _check_not_empty(found: Intersection, outcomes: Mapping[str, SourceOutcome]) -> None:
    if not any(row.symbols for row in found.directions):
        failures = "; ".join(row.failure for row in outcomes.values() if row.failure)
        raise DiscoveryError(f"no direction has a single pair ({failures or 'nothing in common'})")


async def _validate(config: Config, found: Intersection) -> dict[str, Validation]:
    """Ask every source for data of its part of a result."""
    listed = _universe(found, 0, "")
    jobs = [
        Job(source, config.market(source), legs)
        for source in config.active_sources()
        if (legs := listed.legs(source.source_id))
    ]
    clock = SystemClock()
    with progress_on(sys.stderr, clock, _note) as report:
        return await validate_all(jobs, probe_settings(config, clock), report)


def _turnover_usd(found: Intersection, members: Sequence[Member]) -> dict[str, dict[str, float]]:
    """Return what the listings in use trade in a day."""
    used = {
        (source_id, leg.exchange_symbol)
        for symbol in found.symbols
        for source_id, leg in enumerate(symbol.instruments)
        if leg is not None
    }
    turnovers: dict[str, dict[str, float]] = {}
    for member in members:
        if member.turnover_usd is not None and member.key in used:
            of_source = turnovers.setdefault(member.source, {})
            of_source[member.exchange_symbol] = round(member.turnover_usd)
    return turnovers


def _universe(
    found: Intersection,
    generation: int,
    stamp: str,
    *,
    is_price_proven: bool = False,
    turnover_usd: dict[str, dict[str, float]] | None = None,
) -> Universe:
    return Universe(
        generation=generation,
        timestamp=stamp,
        symbols=found.symbols,
        directions=found.directions,
        next_symbol_id=found.next_symbol_id,
        retired_ids=found.retired_ids,
        is_price_proven=is_price_proven,
        turnover_usd=turnover_usd or {},
    )


def _proven(
    config: Config, members: Members, validations: Mapping[str, Validation], last: Last
) -> dict[int, dict[str, Member]]:
    """Return the listings that sent data; of a source that failed, those of the last universe."""
    in_last = last_legs(last)
    proven = {}
    for source in config.active_sources():
        validation = validations.get(source.name)
        if validation is None:
            continue
        if validation.failure:
            _note(f"{source.name}: nothing proven, its last symbols stay: {validation.failure}")
        proven[source.source_id] = {
            name: member
            for name, member in members.get(source.source_id, {}).items()
            if _is_proven(member, validation, in_last)
        }
    return proven


def _is_proven(
    member: Member, validation: Validation, in_last: Mapping[tuple[int, str], object]
) -> bool:
    """Tell whether a listing quoted; where it could not even be asked, whether it did before."""
    if member.exchange_symbol in validation.received:
        return True
    was_asked = not validation.failure and not validation.invalid.get(
        member.exchange_symbol, ""
    ).startswith(UNREACHED)
    return not was_asked and member.key in in_last


def _ended(
    config: Config,
    answers: Mapping[str, Answer],
    outcomes: Mapping[str, SourceOutcome],
    findings: Sequence[Finding],
    last: Last,
) -> dict[int, set[str]]:
    """Return which of the last universe's listings may go whatever is open, by source id.

    The exchange's own listing has ended them, or their price says that they are another coin: an
    episode on such a pair is no spread that anybody could earn.
    """
    ended: dict[int, set[str]] = {}
    for source in config.active_sources():
        other = {row.exchange_symbol for row in findings if row.source == source.name}
        listed = {row.exchange_symbol for row in answers[source.name].rows}
        screened = outcomes[source.name].screened
        closed = screened.reasons.keys() - screened.defects.keys()
        is_listing_read = outcomes[source.name].failure is None
        ended[source.source_id] = {
            symbol
            for source_id, symbol in last_legs(last)
            if source_id == source.source_id
            and (
                symbol in other or (is_listing_read and (symbol not in listed or symbol in closed))
            )
        }
    return ended


def _note_failures(outcomes: Mapping[str, SourceOutcome]) -> None:
    for name, outcome in outcomes.items():
        if outcome.failure:
            kept = f"kept the listing of {outcome.listed_at}" if outcome.listed_at else "left out"
            _note(f"{kept}: {outcome.failure}")
        if outcome.price_failure:
            _note(f"{name}: prices are not compared: {outcome.price_failure}")


def _note_ids(found: Intersection) -> None:
    if found.without_id:
        _note(f"{len(found.without_id)} symbols found no id below {MAX_SYMBOLS}, see the report")
    elif found.next_symbol_id > MAX_SYMBOLS * CROWDED_SHARE:
        _note(
            f"{found.next_symbol_id} of {MAX_SYMBOLS} ids have been given out; those given up are "
            "free again after a run while nothing else is running"
        )
