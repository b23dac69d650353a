"""All sources of one run: fresh listings, or the last ones where a listing failed. Pure."""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from spreadscan.config import Config, ListingWord
from spreadscan.discovery.last import Last
from spreadscan.discovery.member import Member
from spreadscan.discovery.naming import (
    Names,
    kept_members,
    named_members,
    proven_scales,
    spot_bases_of,
)
from spreadscan.discovery.screen import Screened, screen
from spreadscan.model import Instrument, RawInstrument, RawTicker

__all__ = ["Answer", "SourceOutcome", "last_legs", "members_of", "outcomes_of", "stale_words"]

HOUR_MS = 3_600_000
NOTHING = Screened(rows=(), listed_count=0, excluded={}, reasons={}, defects={})


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One source's part of a run."""

    rows: tuple[RawInstrument, ...] = ()
    tickers: dict[str, RawTicker] = {}
    """By exchange symbol."""
    failure: str | None = None
    """Why there is no listing."""
    ticker_failure: str | None = None
    """Why there are no prices."""


class SourceOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one source's listing in a run."""

    screened: Screened
    """Empty where the listing failed."""
    listed_at: str
    """UTC, ISO 8601: when the listing behind its symbols was read; "" where there is none."""
    failure: str | None = None
    """Why this run could not read the listing; the last universe's symbols are used instead."""
    price_failure: str | None = None
    """Why its prices could not be compared."""


def last_legs(last: Last) -> dict[tuple[int, str], tuple[str, Instrument]]:
    """Return (source id, exchange symbol) to symbol and leg of the last universe."""
    symbols = last.universe.symbols if last.universe else ()
    return {
        (source_id, leg.exchange_symbol): (symbol.name, leg)
        for symbol in symbols
        for source_id, leg in enumerate(symbol.instruments)
        if leg is not None
    }


def outcomes_of(
    config: Config, answers: Mapping[str, Answer], last: Last, now: str, now_ms: int
) -> dict[str, SourceOutcome]:
    """Sort every source's listing.

    Args:
        config: the sources that take part, and the operator's words.
        answers: by source name.
        last: the last universe.
        now: UTC, ISO 8601; the same as now_ms.
        now_ms: Unix milliseconds.
    """
    words = _words(config)
    ends_before_ms = now_ms + int(config.discovery.delisting_notice_h * HOUR_MS)
    outcomes = {}
    for source in config.active_sources():
        answer = answers[source.name]
        if answer.failure is None:
            screened = screen(answer.rows, source, words[source.name], ends_before_ms)
            listed_at = now
        else:
            screened = NOTHING
            listed_at = _last_listed_at(source.name, last)
        outcomes[source.name] = SourceOutcome(
            screened=screened,
            listed_at=listed_at,
            failure=answer.failure,
            price_failure=answer.ticker_failure,
        )
    return outcomes


def _last_listed_at(source: str, last: Last) -> str:
    if last.metadata is None or not last.metadata.per_source_counts.get(source):
        return ""
    stats = last.metadata.validation_stats.get(source, {})
    return str(stats.get("listed_at") or last.metadata.timestamp)


def members_of(
    config: Config,
    answers: Mapping[str, Answer],
    outcomes: Mapping[str, SourceOutcome],
    last: Last,
) -> list[Member]:
    """Return every listing that may take part, under the coin that it is taken for."""
    spot_bases = spot_bases_of([answer.rows for answer in answers.values()], last)
    priced = (
        (row.base, ticker.price)
        for name, outcome in outcomes.items()
        for row in outcome.screened.rows
        if (ticker := answers[name].tickers.get(row.exchange_symbol)) and ticker.price is not None
    )
    names = Names(
        spot_bases=spot_bases,
        proven=proven_scales(priced, spot_bases, config.discovery.max_scale_deviation_pct / 100),
        last=last_legs(last),
    )
    words = _words(config)
    found: list[Member] = []
    for source in config.active_sources():
        tickers, outcome = answers[source.name].tickers, outcomes[source.name]
        if outcome.failure is None:
            found += named_members(source, outcome.screened, tickers, words[source.name], names)
        else:
            found += kept_members(source, tickers, words[source.name], names)
    return found


def stale_words(config: Config, answers: Mapping[str, Answer]) -> list[ListingWord]:
    """Return the operator's words about listings that their source no longer has.

    Simulated exchanges list coins of their own: there no word is stale.
    """
    if config.is_sim:
        return []
    return [
        word
        for word in config.identity
        if word.source in answers
        and answers[word.source].failure is None
        and all(row.exchange_symbol != word.symbol for row in answers[word.source].rows)
    ]


def _words(config: Config) -> Mapping[str, Mapping[str, ListingWord]]:
    words: defaultdict[str, dict[str, ListingWord]] = defaultdict(dict)
    for word in config.identity:
        words[word.source][word.symbol] = word
    return words
