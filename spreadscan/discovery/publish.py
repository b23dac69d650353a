"""What a run of discovery says about itself: metadata, report file, JSON. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from spreadscan.config import ListingWord
from spreadscan.discovery.findings import Finding
from spreadscan.discovery.identity import Resolution
from spreadscan.discovery.outcomes import SourceOutcome
from spreadscan.discovery.validate import Validation
from spreadscan.universe import Universe, per_direction_counts, per_source_counts
from spreadscan.universe_diff import changes

__all__ = [
    "Run",
    "excluded_counts",
    "finding_text",
    "pair_counts",
    "report_text",
    "stale_text",
    "summary_object",
    "validation_stats",
]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that there is to tell about one run."""

    universe: Universe
    last: Universe | None
    outcomes: Mapping[str, SourceOutcome]
    resolution: Resolution
    validations: Mapping[str, Validation] | None
    """None where no data was asked for."""
    without_id: tuple[str, ...]
    stale_words: tuple[ListingWord, ...]


def pair_counts(pairs: Iterable[str]) -> dict[str, int]:
    """Count pairs of `Changes` by direction, in order of name."""
    return dict(sorted(Counter(pair.partition(" ")[0] for pair in pairs).items()))


def excluded_counts(run: Run) -> dict[str, dict[str, int]]:
    """Return each source's rows that take no part, by reason."""
    duplicates = Counter(member.source for member in run.resolution.duplicates)
    return {
        name: outcome.screened.excluded
        | ({"duplicate": duplicates[name]} if duplicates[name] else {})
        for name, outcome in run.outcomes.items()
    }


def validation_stats(run: Run) -> dict[str, Any]:
    """Return what ``metadata.json`` says about each source.

    ``valid`` and ``invalid`` are null where no symbol has been proven or disproven by data.
    """
    counts, excluded = per_source_counts(run.universe), excluded_counts(run)
    stats = {}
    for name, outcome in run.outcomes.items():
        validation = run.validations.get(name) if run.validations else None
        is_told = validation is not None and validation.failure is None
        stats[name] = {
            "total": counts.get(name, 0) + (len(validation.invalid) if validation else 0),
            "valid": len(validation.received) if validation and is_told else None,
            "invalid": len(validation.invalid) if validation and is_told else None,
            "listed": outcome.screened.listed_count,
            "excluded": excluded[name],
            "listed_at": outcome.listed_at,
            "failure": outcome.failure or (validation.failure if validation else None),
        }
    return stats


def report_text(run: Run) -> str:
    """Return the content of ``validation_report.txt``."""
    lines: list[str] = []
    excluded, counts = excluded_counts(run), per_source_counts(run.universe)
    for name, outcome in run.outcomes.items():
        lines.append(_validation_line(name, counts.get(name, 0), run.validations))
        if outcome.failure:
            lines.append(f"{name}: {_kept(outcome)}: {outcome.failure}")
        if outcome.price_failure:
            lines.append(f"{name}: no prices compared: {outcome.price_failure}")
        lines.extend(
            f"{name}: {count} of {outcome.screened.listed_count} rows left out: {reason}"
            for reason, count in sorted(excluded[name].items())
        )
        lines.extend(
            f"{name}: {symbol} cannot be read: {defect}"
            for symbol, defect in sorted(outcome.screened.defects.items())
        )
    lines.extend(f"quarantined: {finding_text(finding)}" for finding in run.resolution.findings)
    lines.extend(
        f"scaled: {member.source} {member.exchange_symbol} is {name}, "
        f"{member.leg.price_multiplier:,.0f} coins ({_basis(member.basis, member.price)})"
        for by_name in run.resolution.members.values()
        for name, member in sorted(by_name.items())
        if member.leg.price_multiplier != 1
    )
    if run.resolution.unproven:
        lines.append(f"{len(run.resolution.unproven)} listings used by name alone, no price known")
    lines.extend(f"no id left: {name}" for name in run.without_id)
    lines.extend(f"identity.toml: {stale_text(word)}" for word in run.stale_words)
    return "".join(f"{line}\n" for line in lines)


def _validation_line(name: str, used: int, validations: Mapping[str, Validation] | None) -> str:
    validation = validations.get(name) if validations else None
    if validation is None:
        return f"{name}: {used} total, none proven by data"
    if validation.failure:
        return f"{name}: {used} total, kept from the last universe: {validation.failure}"
    total = len(validation.received) + len(validation.invalid)
    reasons = ", ".join(f"{symbol} ({why})" for symbol, why in sorted(validation.invalid.items()))
    line = f"{name}: {total} total, {len(validation.received)} valid, "
    return line + f"{len(validation.invalid)} invalid" + (f": {reasons}" if reasons else "")


def _kept(outcome: SourceOutcome) -> str:
    return f"kept from the listing of {outcome.listed_at}" if outcome.listed_at else "left out"


def _basis(basis: str, price: float | None) -> str:
    believed = {
        "name": "by its name", "price": "by its price", "operator": "by identity.toml",
        "last": "as in the last universe",
    }[basis]  # fmt: skip
    return f"{believed}, {'price agrees' if price is not None else 'no price compared'}"


def finding_text(finding: Finding) -> str:
    """Return one line on a listing that is not what its name says."""
    kept = f"is {finding.kept_as}" if finding.kept_as else "not used"
    return (
        f"{finding.source} {finding.exchange_symbol} {kept}: {finding.why}; "
        f"no pair as {finding.coin} in {', '.join(finding.lost_pairs)}"
    )


def stale_text(word: ListingWord) -> str:
    """Return one line on an operator's word that is about nothing any more."""
    return f"{word.source} no longer lists {word.symbol} ({word.reason})"


def summary_object(run: Run) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    stats, changed = validation_stats(run), changes(run.last, run.universe)
    return {
        "generation": run.universe.generation,
        "num_symbols": len(run.universe.symbols),
        "per_source_counts": per_source_counts(run.universe),
        "per_direction_counts": per_direction_counts(run.universe),
        "excluded": excluded_counts(run),
        "failed_sources": [name for name, row in stats.items() if row["failure"]],
        "validation": None
        if run.validations is None
        else {name: msgspec.to_builtins(row) for name, row in run.validations.items()},
        "quarantined": msgspec.to_builtins(run.resolution.findings),
        "unproven": len(run.resolution.unproven),
        "changes": {
            "symbols_added": changed.symbols_added,
            "symbols_removed": changed.symbols_removed,
            "pairs_added": pair_counts(changed.pairs_added),
            "pairs_removed": pair_counts(changed.pairs_removed),
        },
        "without_id": list(run.without_id),
        "stale_words": msgspec.to_builtins(run.stale_words),
    }
