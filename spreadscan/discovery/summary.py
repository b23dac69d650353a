"""A run of discovery as a person wants to read it."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from spreadscan.discovery.publish import (
    Run,
    excluded_counts,
    finding_text,
    pair_counts,
    stale_text,
)
from spreadscan.universe import per_direction_counts, per_source_counts
from spreadscan.universe_diff import changes

__all__ = ["print_summary"]

# The rest stands in validation_report.txt.
MOST_LINES = 12


def print_summary(run: Run, output: Path, console: Console) -> None:
    """Print sources, directions, what changed and what is not used."""
    universe = run.universe
    console.print(
        f"universe {universe.generation} in {output}: {len(universe.symbols)} symbols, "
        f"{universe.pair_count} pairs",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    console.print(_sources_table(run))
    console.print(_directions_table(run))
    for line in _lines(run):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _sources_table(run: Run) -> Table:
    counts, excluded = per_source_counts(run.universe), excluded_counts(run)
    table = Table("source", "symbols", "no data", "rows left out", box=None, pad_edge=False)
    for name, outcome in run.outcomes.items():
        validation = run.validations.get(name) if run.validations else None
        if validation is None:
            silent = "not asked"
        else:
            silent = "failed" if validation.failure else str(len(validation.invalid))
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(excluded[name].items()))
        if outcome.failure:
            reasons = f"listing failed, kept from {outcome.listed_at or 'nowhere'}"
        table.add_row(name, str(counts.get(name, 0)), silent, reasons)
    return table


def _directions_table(run: Run) -> Table:
    table = Table("direction", "pairs", "new", "gone", box=None, pad_edge=False)
    changed = changes(run.last, run.universe)
    all_added, all_removed = pair_counts(changed.pairs_added), pair_counts(changed.pairs_removed)
    for name, count in per_direction_counts(run.universe).items():
        added = all_added.get(name, 0) if run.last else 0
        removed = all_removed.get(name, 0)
        table.add_row(
            name, str(count), f"+{added}" if added else "", f"-{removed}" if removed else ""
        )
    return table


def _lines(run: Run) -> list[str]:
    lines = []
    if run.last is not None:
        changed = changes(run.last, run.universe)
        lines += _some("new", changed.symbols_added)
        lines += _some("gone", changed.symbols_removed)
    findings = [finding_text(finding) for finding in run.resolution.findings]
    lines += [f"quarantined: {text}" for text in findings[:MOST_LINES]]
    if len(findings) > MOST_LINES:
        lines.append(f"and {len(findings) - MOST_LINES} more, see validation_report.txt")
    if run.resolution.unproven:
        lines.append(f"{len(run.resolution.unproven)} listings used by name alone, no price known")
    lines += _some("no id left for", run.without_id)
    lines += [f"identity.toml: {stale_text(word)}" for word in run.stale_words]
    return lines


def _some(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - MOST_LINES} more" if len(names) > MOST_LINES else ""
    return [f"{what}: {', '.join(names[:MOST_LINES])}{more}"]
