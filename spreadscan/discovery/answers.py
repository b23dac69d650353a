"""What every source says about its listings, side by side: from the exchanges, or from files.

A source that fails here fails alone. Prices and volumes are asked for beside the listing; a
source that does not give them is one that nothing can be compared with, not a failed one.
"""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import msgspec

from spreadscan.config import Config
from spreadscan.discovery.fetch import FetchPolicy, fetch_listing, fetch_tickers, read_recorded
from spreadscan.discovery.outcomes import Answer
from spreadscan.errors import DiscoveryError
from spreadscan.exchanges import Source
from spreadscan.manners.allowances import allowances_of, governor_words
from spreadscan.model import RawTicker
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.trust import trust_of

__all__ = ["fetched_answers", "recorded_answers"]

USER_AGENT = "spreadscan (public market data)"
TICKERS_SUFFIX = ".tickers"


async def fetched_answers(config: Config) -> dict[str, Answer]:
    """Ask every enabled exchange.

    Raises:
        DiscoveryError: the certificates that are believed cannot be read.
    """
    settings = config.discovery
    policy = FetchPolicy(
        attempts=settings.attempts,
        max_body_bytes=settings.max_body_bytes,
        sleep=asyncio.sleep,
        jitter=random.random,
    )
    active = config.active_sources()
    words, clock = governor_words(config), SystemClock()
    gates = {
        source.name: allowances_of(config, source, words).rest_gate(clock) for source in active
    }
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
        answers = await asyncio.gather(
            *(
                _fetched(
                    session,
                    source,
                    config.market(source).rest_url,
                    msgspec.structs.replace(policy, gate=gates[source.name]),
                )
                for source in active
            )
        )
    return {source.name: answer for source, answer in zip(active, answers, strict=True)}


async def _fetched(
    session: aiohttp.ClientSession, source: Source, rest_url: str, policy: FetchPolicy
) -> Answer:
    """Ask for the listing, then for the prices: one after the other leans less on the exchange."""
    try:
        answer = _listed(source, await fetch_listing(session, source, rest_url, policy))
    except DiscoveryError as error:
        answer = Answer(failure=str(error))
    return _priced(answer, source, await fetch_tickers(session, source, rest_url, policy))


def recorded_answers(config: Config, directory: Path) -> dict[str, Answer]:
    """Read ``<source>.json`` and, where there is one, ``<source>.tickers.json``.

    The latter is a JSON array with one answer for each of the source's ticker requests.
    """
    answers = {}
    limit = config.discovery.max_body_bytes
    for source in config.active_sources():
        try:
            answer = _listed(source, read_recorded(directory, source.name, limit))
        except DiscoveryError as error:
            answer = Answer(failure=str(error))
        name = source.name + TICKERS_SUFFIX
        if (directory / f"{name}.json").exists():
            try:
                answer = _priced(answer, source, read_recorded(directory, name, limit))
            except DiscoveryError as error:
                answer = msgspec.structs.replace(answer, ticker_failure=str(error))
        answers[source.name] = answer
    return answers


def _listed(source: Source, bodies: Sequence[bytes]) -> Answer:
    try:
        rows = [row for body in bodies for row in source.spec.parse_instruments(body)]
    except DiscoveryError as error:
        raise DiscoveryError(f"{source.name}: {error}") from None
    if not rows:
        raise DiscoveryError(f"{source.name}: found an empty listing, expected instruments")
    return Answer(rows=tuple(rows))


def _priced(answer: Answer, source: Source, bodies: Sequence[bytes | DiscoveryError]) -> Answer:
    """Merge a source's ticker answers: the first that gives a value counts."""
    merged: dict[str, RawTicker] = {}
    failures = []
    for ticker, body in zip(source.spec.tickers, bodies, strict=False):
        try:
            if isinstance(body, DiscoveryError):
                raise body
            rows = ticker.parse(body)
        except DiscoveryError as error:
            failures.append(str(error).removeprefix(f"{source.name}: "))
            continue
        for row in rows:
            held = merged.get(row.exchange_symbol)
            merged[row.exchange_symbol] = row if held is None else _filled(held, row)
    return msgspec.structs.replace(
        answer, tickers=merged, ticker_failure="; ".join(failures) or None
    )


def _filled(held: RawTicker, row: RawTicker) -> RawTicker:
    return RawTicker(
        exchange_symbol=held.exchange_symbol,
        price=row.price if held.price is None else held.price,
        index_price=row.index_price if held.index_price is None else held.index_price,
        turnover_usd=row.turnover_usd if held.turnover_usd is None else held.turnover_usd,
    )
