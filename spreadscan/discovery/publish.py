"""What a run of discovery says about itself: report file, metadata, summary. Pure."""

from collections.abc import Mapping
from typing import Any

from spreadscan.discovery.outcomes import SourceOutcome
from spreadscan.universe import Universe, per_direction_counts, per_source_counts

__all__ = ["report_text", "summary_object", "validation_stats"]


def validation_stats(outcomes: Mapping[str, SourceOutcome]) -> dict[str, Any]:
    """Return what ``metadata.json`` says about each source.

    ``valid`` and ``invalid`` are null: no symbol has been proven or disproven by data.
    """
    return {
        name: {
            "total": len(outcome.legs.by_name),
            "valid": None,
            "invalid": None,
            "listed": outcome.legs.listed_count,
            "excluded": outcome.legs.excluded,
            "listed_at": outcome.listed_at,
            "failure": outcome.failure,
        }
        for name, outcome in outcomes.items()
    }


def report_text(outcomes: Mapping[str, SourceOutcome], without_id: tuple[str, ...]) -> str:
    """Return the content of ``validation_report.txt``."""
    lines = []
    for name, outcome in outcomes.items():
        legs = outcome.legs
        lines.append(f"{name}: {len(legs.by_name)} total, none proven by data")
        if outcome.failure:
            kept = (
                f"kept from the listing of {outcome.listed_at}" if outcome.listed_at else "left out"
            )
            lines.append(f"{name}: {kept}: {outcome.failure}")
        lines.extend(
            f"{name}: {count} of {legs.listed_count} rows left out: {reason}"
            for reason, count in sorted(legs.excluded.items())
        )
        lines.extend(
            f"{name}: {symbol} is {legs.by_name[symbol].exchange_symbol}, "
            f"{legs.by_name[symbol].price_multiplier:,.0f} coins by its name, no price compared"
            for symbol in legs.scaled
        )
    lines.extend(f"no id left: {name}" for name in without_id)
    return "".join(f"{line}\n" for line in lines)


def summary_object(
    universe: Universe, outcomes: Mapping[str, SourceOutcome], without_id: tuple[str, ...]
) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {
        "generation": universe.generation,
        "num_symbols": len(universe.symbols),
        "per_source_counts": per_source_counts(universe),
        "per_direction_counts": per_direction_counts(universe),
        "excluded": {name: outcome.legs.excluded for name, outcome in outcomes.items()},
        "failed_sources": [name for name, outcome in outcomes.items() if outcome.failure],
        "without_id": list(without_id),
    }
