"""How the status looks: a screen of 80 columns, the verdict first. Draws, reads nothing."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from spreadscan.ops.feeds_now import FeedNow
from spreadscan.ops.processes_now import RUNNING, ProcessNow
from spreadscan.ops.status import StatusNow
from spreadscan.runtime.clock import SystemClock

if TYPE_CHECKING:
    from spreadscan.ops.funding_now import FundingNow

__all__ = ["drawn", "duration"]

STYLES = {
    "healthy": "bold green",
    "degraded": "bold yellow",
    "down": "bold red",
    "not running": "bold",
    "running": "green",
    "dead": "bold red",
    "hangs": "bold red",
    "failed": "bold red",
}


def drawn(found: StatusNow, source: str | None, *, is_verbose: bool) -> RenderableType:
    """Return the screen: everything, or one source."""
    if source is not None:
        (feed,) = (feed for feed in found.feeds if feed.source == source)
        return _feed_details(feed, is_verbose=is_verbose)
    return Group(
        Text(found.verdict, STYLES[found.verdict]),
        *(Text(f"  {reason}", "yellow") for reason in found.reasons),
        Text(),
        _processes(found.processes),
        Text(),
        _feeds(found.feeds),
        Text(),
        *(Text(line) for line in _facts(found)),
    )


def duration(seconds: float) -> str:
    """Return a duration in at most seven characters."""
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours < 48 else f"{hours // 24}d{hours % 24:02}h"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> Table:
    """Make a table in which only the last column gives way on a narrow terminal.

    Args:
        headings: one that begins with ">" is that of a column of numbers.
        rows: as many cells each.
    """
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0), expand=True)
    for index, heading in enumerate(headings):
        name = heading.removeprefix(">")
        is_last = index == len(headings) - 1
        table.add_column(
            name,
            justify="right" if heading != name else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=None if is_last else max(len(name), *(len(row[index]) for row in rows)),
            ratio=1 if is_last else None,
        )
    for row in rows:
        table.add_row(*row)
    return table


def _processes(processes: Iterable[ProcessNow]) -> Table:
    rows = []
    for row in processes:
        beat = row.heartbeat_age_ms
        rows.append(
            (
                row.name,
                _state(row.state),
                "-" if row.pid is None else str(row.pid),
                "-" if row.uptime_s is None else duration(row.uptime_s),
                "-" if beat is None else f"{beat} ms" if beat < 2_000 else f"{beat / 1e3:.0f} s",
                str(row.restarts),
                row.status,
            )
        )
    return _table(("process", "state", ">pid", ">up", ">beat", ">again", "status"), rows)


def _feeds(feeds: Iterable[FeedNow]) -> Table:
    rows: list[tuple[str | Text, ...]] = []
    for feed in feeds:
        if feed.state != RUNNING:
            rows.append((feed.source, _state(feed.state), *(["-"] * 6), ""))
            continue
        is_whole = feed.expected > 0 and feed.live == feed.expected
        rows.append(
            (
                feed.source,
                Text(f"{feed.live}/{feed.expected}", "green" if is_whole else "yellow"),
                f"{feed.frames_per_s:,}",
                _age(feed.newest_quote_ms),
                str(feed.connections),
                str(feed.reconnects),
                f"{feed.lag_p50_ms:.1f}",
                f"{feed.lag_p99_ms:.1f}",
                _counts(feed.refused),
            )
        )
    headings = (
        "source",
        ">live",
        ">/s",
        ">newest",
        ">conn",
        ">ended",
        ">lag ms",
        ">p99",
        "refused",
    )
    return _table(headings, rows)


def _feed_details(feed: FeedNow, *, is_verbose: bool) -> RenderableType:
    lines: list[RenderableType] = [
        _feeds([feed]),
        Text(feed.status or f"{feed.state}, no status"),
        Text(f"refused: {_counts(feed.refused) or 'nothing'}; without a quote: {feed.missing}"),
        Text(f"{feed.connects} connects, {feed.connect_failures} failed, {feed.reconnects} ended"),
    ]
    if feed.funding is not None:
        lines.append(Text(_funding_words(feed.funding, feed.expected)))
    if not is_verbose:
        return Group(*lines)
    if feed.plan is None:
        return Group(*lines, Text("who is on which connection is not known"))
    now_ns = SystemClock().monotonic_ns()
    table = Table("connection", "state", "for", "symbols", "", box=None, pad_edge=False)
    for row in feed.plan:
        age = duration((now_ns - row.opened_ns) / 1e9) if row.opened_ns else "-"
        names = Text(" ".join(row.symbols))
        table.add_row(str(row.number), row.state, age, str(len(row.symbols)), names)
    return Group(*lines, table)


def _funding_words(funding: "FundingNow", expected: int) -> str:
    counts = (
        f"{funding.answers} answers, {funding.failures} failed, "
        f"{funding.rows_refused} rows refused, {funding.missing} missing"
    )
    if funding.oldest_age_s is None:
        return f"funding: nothing known; {counts}"
    hours = ", ".join(f"{hours} h: {count}" for hours, count in funding.intervals.items())
    return (
        f"funding: {funding.known} of {expected}, {funding.newest_age_s:.0f} to "
        f"{funding.oldest_age_s:.0f} s old, settled every {hours}; {counts}"
    )


def _facts(found: StatusNow) -> Iterable[str]:
    engine, ring, tracker = found.engine, found.ring, found.tracker
    if engine is not None:
        latency = (
            f"{engine.latency_p50_ns / 1e3:,.0f}/{engine.latency_p99_ns / 1e3:,.0f} us p50/p99"
            if engine.latency_p50_ns
            else "no latency yet"
        )
        yield (f"engine    {engine.passes_per_s:,} scans/s, wait {engine.wait or '?'}, {latency}")
        yield (
            f"signals   {engine.opened:,} opened, {engine.updated:,} updated, "
            f"{engine.closed:,} closed; held back: {_counts(engine.held_back) or 'none'}"
        )
    if ring is not None:
        yield f"ring      {ring.depth:,} of {ring.capacity:,}, {ring.full:,} times full"
    if tracker is not None:
        yield (
            f"episodes  {tracker.open} open ({tracker.suspended} suspended), "
            f"{tracker.opened} opened, {tracker.converged} converged, {tracker.expired} expired"
        )
        yield f"ledger    {tracker.ledger_mib} MiB, {tracker.disk_free_mib:,} MiB free"
    if found.universe is not None:
        universe = found.universe
        yield (
            f"universe  {universe.generation}: {universe.symbols} symbols, {universe.pairs} pairs, "
            f"{duration(universe.age_s)} old"
        )
    if found.control is not None:
        behind = ", ".join(found.control.behind)
        yield (
            f"commands  {found.control.generation} asked, "
            f"{f'not obeyed by {behind}' if behind else 'obeyed by all who run'}"
        )
        if found.control.absent:
            yield f"held      when it comes back: {', '.join(found.control.absent)}"


def _state(state: str) -> Text:
    return Text(state, STYLES.get(state, "yellow"))


def _age(age_ms: float | None) -> str:
    if age_ms is None:
        return "none"
    return f"{age_ms:.0f} ms" if age_ms < 2_000 else duration(age_ms / 1e3)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
