"""Episodes, their paths and their statistics, drawn for a terminal. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from spreadscan.ops.ledger import EpisodeSummary, PathPoint
from spreadscan.ops.statistics import SURVIVAL_S, RouteStatistics

__all__ = ["episode_details", "episodes_table", "sparkline", "statistics_table"]

BARS = "▁▂▃▄▅▆▇█"
SPARKLINE_WIDTH = 72


# Below these widths only what is needed to go on with is shown, and all of that.
EPISODES_WIDTH, STATISTICS_WIDTH = 140, 150


def episodes_table(rows: Sequence[EpisodeSummary], width: int) -> Table:
    """Return a line an episode, for so many columns of a terminal, 80 at least."""
    if width < EPISODES_WIDTH:
        return _narrow(
            ("id", "opened UTC", "symbol", "route", ">peak bps", ">life", "ending"),
            [
                (
                    str(row.episode_id),
                    _time(row.opened_wall_ns)[5:16],
                    row.symbol,
                    _route(row.direction),
                    f"{row.peak_net_bps:.1f}",
                    _span(row.life_ns),
                    row.ending or "open",
                )
                for row in rows
            ],
        )
    table = Table(box=None, pad_edge=False)
    for name in ("id", "opened (UTC)", "symbol", "direction"):
        table.add_column(name, no_wrap=True)
    for name in ("first", "peak", "last net bps", "peak after", "USD at peak", "z", "life"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ending", no_wrap=True)
    for row in rows:
        table.add_row(
            str(row.episode_id),
            _time(row.opened_wall_ns),
            row.symbol,
            row.direction,
            f"{row.first_net_bps:.1f}",
            f"{row.peak_net_bps:.1f}",
            f"{row.last_net_bps:.1f}",
            _span(row.peak_after_ns),
            f"{row.peak_usd:,.0f}",
            "" if row.z_score is None else f"{row.z_score:.1f}",
            _span(row.life_ns),
            row.ending or "open",
        )
    return table


def episode_details(row: EpisodeSummary, points: Sequence[PathPoint]) -> RenderableType:
    """Return everything about one episode, and its path as a line."""
    life, ending = _span(row.life_ns), row.ending or "open"
    first, peak, last = row.first_net_bps, row.peak_net_bps, row.last_net_bps
    after, away = _span(row.peak_after_ns), _span(row.suspended_ns)
    seen, unseen = row.snapshots, row.snapshots_unusable
    facts = [
        f"{row.symbol} {row.direction}",
        f"opened {_time(row.opened_wall_ns)} UTC, {ending} after {life}",
        f"net bps: first {first:.2f}, peak {peak:.2f} after {after}, last {last:.2f}",
        f"gross at the peak {row.peak_gross_bps:.2f} bps, {row.peak_usd:,.0f} USD executable",
        f"re-signalled {row.re_signals} times; {row.gaps} gaps",
        f"{seen} snapshots, {unseen} more while out of sight for {away}",
    ]
    if row.z_score is not None:
        facts.append(f"opened {row.z_score:.1f} deviations from what is usual for the route")
    if row.previous_id is not None:
        facts.append(f"the route's episode before: {row.previous_id}")
    lines: list[RenderableType] = [Text(fact) for fact in facts]
    if points:
        nets = [point.net_bps for point in points]
        lines += [
            Text(),
            Text(sparkline([(point.t_ms, point.net_bps) for point in points], SPARKLINE_WIDTH)),
            Text(
                f"net {min(nets):.2f} to {max(nets):.2f} bps, {_span(points[0].t_ms * 1_000_000)} "
                f"to {_span(points[-1].t_ms * 1_000_000)} after the opening"
            ),
        ]
    else:
        lines.append(Text("no path: it was never seen on fresh quotes, or its day is gone"))
    return Group(*lines)


def sparkline(points: Sequence[tuple[int, float]], width: int) -> str:
    """Return a path as a line of bars: the highest value of each stretch of time.

    A stretch without a point is blank: nobody saw the route then.

    Args:
        points: time and value, in order of time; at least one.
        width: characters at most.
    """
    first_ms, last_ms = points[0][0], points[-1][0]
    low = min(value for _, value in points)
    high = max(value for _, value in points)
    width = min(width, len(points))
    columns: list[float | None] = [None] * width
    for t_ms, value in points:
        place = (t_ms - first_ms) * (width - 1) // max(1, last_ms - first_ms)
        before = columns[place]
        columns[place] = value if before is None else max(before, value)
    step = (high - low) / (len(BARS) - 1) or 1.0
    return "".join(" " if value is None else BARS[round((value - low) / step)] for value in columns)


def statistics_table(rows: Sequence[RouteStatistics], width: int) -> Table:
    """Return a line a route, for so many columns of a terminal, 80 at least."""
    if width < STATISTICS_WIDTH:
        return _narrow(
            ("symbol", "route", ">episodes", ">life", ">peak bps", ">to peak", ">converged"),
            [
                (
                    row.symbol,
                    _route(row.direction),
                    str(row.count),
                    "" if row.median_life_s is None else _span(round(row.median_life_s * 1e9)),
                    f"{row.median_peak_net_bps:.1f}",
                    _span(round(row.median_time_to_peak_s * 1e9)),
                    _share(row.share_converged),
                )
                for row in rows
            ],
        )
    table = Table(box=None, pad_edge=False)
    for name in ("symbol", "direction"):
        table.add_column(name, no_wrap=True)
    columns = ("episodes", "life", "peak net bps", "time to peak", "converged", "re-armed")
    survivals = (f"> {after_s:g} s" for after_s in SURVIVAL_S)
    for name in (*columns, *survivals, "usual gross bps"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.symbol,
            row.direction,
            str(row.count),
            "" if row.median_life_s is None else _span(round(row.median_life_s * 1e9)),
            f"{row.median_peak_net_bps:.1f}",
            _span(round(row.median_time_to_peak_s * 1e9)),
            _share(row.share_converged),
            _share(row.rearm_rate),
            *(_share(value) for value in row.survival.values()),
            _usual(row),
        )
    return table


def _narrow(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table whose symbols alone are cut where there is no room; > is to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        name = heading.removeprefix(">")
        table.add_column(
            name,
            justify="right" if heading != name else "left",
            no_wrap=name != "symbol",
            overflow="ellipsis",
        )
    for row in rows:
        table.add_row(*row)
    return table


def _route(direction: str) -> str:
    """Return a direction's exchanges, as the boards show them."""
    spot, is_route, futures = direction.partition("_spot_")
    return f"{spot} > {futures.removesuffix('_futures')}" if is_route else direction


def _usual(row: RouteStatistics) -> str:
    if row.usual_gross_bps is None or row.usual_mad_bps is None:
        return ""
    return f"{row.usual_gross_bps:.1f} ± {row.usual_mad_bps:.1f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _time(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _span(span_ns: int) -> str:
    seconds = span_ns / 1e9
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min"
