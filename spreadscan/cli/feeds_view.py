"""The feeds as a table, and one feed with everything on its connections."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from spreadscan.ops.feeds_now import FeedNow

__all__ = ["feed_details", "feeds_table"]


def feeds_table(feeds: Sequence[FeedNow]) -> Table:
    """Return a line a feed."""
    table = Table(box=None, pad_edge=False)
    for name in ("source", "feed"):
        table.add_column(name, no_wrap=True)
    for name in ("live", "sockets", "quotes", "refused", "lag ms p50", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    for feed in feeds:
        table.add_row(
            feed.source,
            feed.state,
            f"{feed.live}/{feed.expected}",
            str(feed.connections),
            f"{feed.quotes:,}",
            f"{sum(feed.refused.values()):,}",
            f"{feed.lag_p50_ms:.1f}",
            f"{feed.lag_p99_ms:.1f}",
        )
    return table


def feed_details(feed: FeedNow, now_ns: int) -> RenderableType:
    """Return everything about one feed: refusals by reason, and who is on which connection."""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in feed.refused.items())
    lines: list[RenderableType] = [
        feeds_table([feed]),
        Text(feed.status or "no status"),
        Text(f"refused: {reasons or 'nothing'}; without a quote: {feed.missing}"),
        Text(f"{feed.connects} connects, {feed.connect_failures} failed"),
    ]
    if feed.plan is None:
        return Group(*lines, Text("who is on which connection is not known"))
    table = Table("connection", "state", "for s", "symbols", "", box=None, pad_edge=False)
    for row in feed.plan:
        age_s = f"{(now_ns - row.opened_ns) / 1e9:.0f}" if row.opened_ns else "-"
        names = Text(" ".join(row.symbols))
        table.add_row(str(row.number), row.state, age_s, str(len(row.symbols)), names)
    return Group(*lines, table)
