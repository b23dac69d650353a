"""``pair-discovery``: read the listings, match them, write the universe. Runs once and ends.

    fetch -> parse -> normalise -> intersect -> compare with the last -> write -> summary

A source whose listing cannot be had keeps its legs of the last universe; without one the run
fails. A result much smaller than the last is taken for a fault of the listings and refused.
"""

import asyncio
import datetime as dt
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from rich.console import Console
from rich.table import Table

from spreadscan.config import Config, load_config
from spreadscan.discovery.fetch import FetchPolicy, fetch_listing, read_recorded
from spreadscan.discovery.intersect import intersect
from spreadscan.discovery.last import read_last
from spreadscan.discovery.outcomes import Listings, check_share, outcomes_of
from spreadscan.discovery.publish import report_text, summary_object, validation_stats
from spreadscan.errors import DiscoveryError, SpreadscanError
from spreadscan.exchanges import Source
from spreadscan.model import RawInstrument
from spreadscan.runtime.command_line import CommandLine
from spreadscan.runtime.trust import trust_of
from spreadscan.shm.layout import MAX_SYMBOLS
from spreadscan.universe import Universe, sole_writer, write_universe

__all__ = ["main"]

PROGRAM = "pair-discovery"
USER_AGENT = "spreadscan (public market data)"


def _parser() -> CommandLine:
    parser = CommandLine(PROGRAM, "Find the symbols that can be scanned.")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: runtime.generated_dir")
    parser.add_argument(
        "--offline", type=Path, metavar="DIR", help="read <source>.json there, not the exchanges"
    )
    parser.add_argument(
        "--no-validate", action="store_true", help="accept pairs that no data has proven"
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="accept a much smaller result; after damage, begin ids anew (nothing may be running)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run once; return the exit code of `spreadscan.errors`.

    Args:
        argv: the command line without the program's name.
    """
    options = _parser().parse_args(argv)
    try:
        config = load_config(options.config, is_sim=options.sim)
        output = options.output or config.path(config.runtime.generated_dir)
        with sole_writer(output):
            summary = _discover(config, output, options.offline, is_forced=options.force)
    except SpreadscanError as error:
        _note(str(error))
        return error.exit_code
    if not options.no_validate:
        _note("pairs are listed, not yet proven by data: this version asks no WebSocket for it")
    _print_summary(summary, output, as_json=options.json)
    return 0


def _note(text: str) -> None:
    sys.stderr.write(f"{PROGRAM}: {text}\n")


def _discover(
    config: Config, output: Path, offline: Path | None, *, is_forced: bool
) -> dict[str, Any]:
    """Do one run in a folder that is locked; return the summary.

    Raises:
        SpreadscanError: nothing was written.
    """
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    last = read_last(output, is_forced=is_forced)
    if last.damage:
        _note(f"the last universe is damaged and will be replaced: {last.damage}")
    listings = _listings(config, offline)
    outcomes = outcomes_of(config.active_sources(), listings, last, now)
    found = intersect(
        {
            source.source_id: outcomes[source.name].legs.by_name
            for source in config.active_sources()
        },
        config.directions,
        {row.name: row.symbol_id for row in last.universe.symbols} if last.universe else {},
        last.first_free_id,
    )
    if not any(row.symbols for row in found.directions):
        failures = "; ".join(row.failure for row in outcomes.values() if row.failure)
        raise DiscoveryError(f"no direction has a single pair ({failures or 'nothing in common'})")
    if not is_forced:
        check_share(found, last, config.discovery.min_share_of_last)
    universe = Universe(
        generation=last.generation + 1,
        timestamp=now,
        symbols=found.symbols,
        directions=found.directions,
        next_symbol_id=found.next_symbol_id,
    )
    write_universe(
        output,
        universe,
        validation_stats=validation_stats(outcomes),
        report=report_text(outcomes, found.without_id),
    )
    for outcome in outcomes.values():
        if outcome.failure:
            kept = f"kept the listing of {outcome.listed_at}" if outcome.listed_at else "left out"
            _note(f"{kept}: {outcome.failure}")
    if found.without_id:
        _note(f"{len(found.without_id)} symbols found no id below {MAX_SYMBOLS}, see the report")
    return summary_object(universe, outcomes, found.without_id)


def _listings(config: Config, offline: Path | None) -> Listings:
    """Return each active source's rows, or why there are none."""
    bodies = asyncio.run(_fetch_all(config)) if offline is None else _recorded(config, offline)
    return {
        source.name: found if isinstance(found, DiscoveryError) else _parsed(source, found)
        for source in config.active_sources()
        for found in (bodies[source.name],)
    }


async def _fetch_all(config: Config) -> dict[str, list[bytes] | DiscoveryError]:
    settings = config.discovery
    policy = FetchPolicy(
        attempts=settings.attempts,
        max_body_bytes=settings.max_body_bytes,
        sleep=asyncio.sleep,
        jitter=random.random,
    )
    active = config.active_sources()
    try:
        tls = trust_of(config).context()
    except OSError as error:
        raise DiscoveryError(f"{config.sim.ca_file}: {error.strerror or error}") from None
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls),
        timeout=aiohttp.ClientTimeout(total=settings.request_timeout_s),
        # An exchange's firewall refuses clients without a name.
        headers={"User-Agent": USER_AGENT},
    ) as session:
        results = await asyncio.gather(
            *(
                fetch_listing(session, source, config.market(source).rest_url, policy)
                for source in active
            ),
            return_exceptions=True,
        )
    found: dict[str, list[bytes] | DiscoveryError] = {}
    for source, result in zip(active, results, strict=True):
        if isinstance(result, BaseException) and not isinstance(result, DiscoveryError):
            raise result
        found[source.name] = result
    return found


def _recorded(config: Config, directory: Path) -> dict[str, list[bytes] | DiscoveryError]:
    found: dict[str, list[bytes] | DiscoveryError] = {}
    for source in config.active_sources():
        try:
            found[source.name] = read_recorded(
                directory, source.name, config.discovery.max_body_bytes
            )
        except DiscoveryError as error:
            found[source.name] = error
    return found


def _parsed(source: Source, bodies: list[bytes]) -> list[RawInstrument] | DiscoveryError:
    try:
        rows = [row for body in bodies for row in source.spec.parse_instruments(body)]
    except DiscoveryError as error:
        return DiscoveryError(f"{source.name}: {error}")
    return rows or DiscoveryError(f"{source.name}: found an empty listing, expected instruments")


def _print_summary(summary: dict[str, Any], output: Path, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(summary).decode() + "\n")
        return
    console = Console()
    console.print(f"universe {summary['generation']} in {output}: {summary['num_symbols']} symbols")
    table = Table("source", "symbols", "rows left out")
    for name, excluded in summary["excluded"].items():
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(excluded.items()))
        kept = " (kept from an earlier listing)" if name in summary["failed_sources"] else ""
        table.add_row(name, f"{summary['per_source_counts'].get(name, 0)}{kept}", reasons)
    console.print(table)
    for name, count in summary["per_direction_counts"].items():
        console.print(f"{name}: {count} pairs")
