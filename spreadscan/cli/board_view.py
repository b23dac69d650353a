"""How the board looks: a terminal screen for people, one line for logs. Draws, reads nothing."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from spreadscan.ops.board import BoardState, Order, SourceRow
from spreadscan.ops.ledger import EpisodeSummary
from spreadscan.ops.reconcile import Child, Phase

__all__ = [
    "MIN_ROUTES",
    "Choice",
    "board_screen",
    "plain_line",
    "routes_that_fit",
    "sparkline",
    "starting_screen",
]

MIN_ROUTES = 3
# Lines of the screen that are neither sources, routes nor episodes: headings, rules, footer.
FIXED_LINES = 13
SHOWN_EPISODES = 5
STALE_MS = 2_000.0
NARROW, WIDE = 80, 100
BARS = "▁▂▃▄▅▆▇█"
PATH_CELLS = 12

MARKS = {
    Phase.WAITING: ("·", "dim"),
    Phase.STARTING: ("…", "yellow"),
    Phase.READY: ("✓", "green"),
    Phase.DONE: ("✓", "green"),
    Phase.HELD: ("-", "yellow"),
    Phase.GIVEN_UP: ("✗", "bold red"),
}


def routes_that_fit(height: int, sources: int) -> int:
    """Return how many routes a terminal of that height has room for."""
    return max(MIN_ROUTES, height - FIXED_LINES - sources - SHOWN_EPISODES)


def starting_screen(title: str, children: Mapping[str, Child]) -> RenderableType:
    """Draw what is up and what is still to come."""
    table = Table.grid(padding=(0, 2))
    for name, child in children.items():
        mark, style = MARKS[child.phase]
        again = f" (attempt {child.failures + 1})" if child.failures else ""
        table.add_row(Text(mark, style), name, Text(f"{child.phase.value}{again}", style))
    return Group(_header(title, "starting"), Text(), table, Text(), _how_to_stop())


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator at the board chose."""

    order: Order = Order.NET
    only: str = ""
    """Routes that hold this text."""
    selected: int = 0
    """Row of the routes, from 0."""
    keys: str = ""
    """The line that says which keys there are."""


def board_screen(
    title: str,
    state: BoardState,
    notes: Iterable[str] = (),
    *,
    width: int = NARROW,
    choice: Choice | None = None,
) -> RenderableType:
    """Draw the running pipeline.

    Args:
        title: of the header.
        state: what is drawn.
        notes: lines of warning below the header.
        width: of the terminal; a wide one shows more of each route.
        choice: of whoever sits before it; None where nobody can choose.
    """
    held = [f"held back: {state.held_back}"] if state.held_back else []
    return Group(
        _header(title, f"up {_clock(state.uptime_s)}"),
        *(Text(note, "bold yellow", overflow="ellipsis", no_wrap=True) for note in (*held, *notes)),
        _sources(state.sources),
        _routes(state, choice, is_wide=width >= WIDE),
        _episodes(state),
        _footer(state),
        _how_to_stop() if choice is None else Text(choice.keys, "dim"),
    )


def plain_line(state: BoardState) -> str:
    """Return the state as one line, for pipes and logs."""
    live = " ".join(f"{row.name}={row.live}/{row.expected}" for row in state.sources)
    rate = sum(row.messages_per_s for row in state.sources)
    best = state.routes[0] if state.routes else None
    widest = (
        "none"
        if best is None
        else f"{best.net_bps:+.1f}bps {best.symbol} " + _way(best.spot_source, best.futures_source)
    )
    episodes = state.episodes
    return (
        f"{state.uptime_s:.0f}s live {live} messages/s={rate:.0f} "
        f"routes={state.usable_routes}/{state.all_routes} widest={widest} "
        f"signals={state.signals} episodes opened={episodes.opened} open={episodes.open} "
        f"converged={episodes.converged} expired={episodes.expired} "
        f"delisted={episodes.delisted}"
    )


def _header(title: str, right: str) -> RenderableType:
    line = Table.grid(expand=True)
    line.add_column()
    line.add_column(justify="right")
    line.add_row(Text(title, "bold"), Text(right, "bold"))
    return line


def _how_to_stop() -> Text:
    return Text("Ctrl-C stops everything in order", "dim")


def _table(*columns: tuple[str, str]) -> Table:
    """Make a table of (heading, justification) that a width of 80 holds."""
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim", padding=(0, 1))
    for heading, justify in columns:
        table.add_column(
            heading,
            justify="right" if justify == "right" else "left",
            no_wrap=True,
            overflow="ellipsis",
        )
    return table


def _sources(rows: Iterable[SourceRow]) -> Table:
    table = _table(
        ("source", "left"),
        ("feed", "left"),
        ("live", "right"),
        ("messages", "right"),
        ("a second", "right"),
        ("newest quote", "right"),
    )
    for row in rows:
        is_whole = row.expected > 0 and row.live == row.expected
        age = row.newest_age_ms
        table.add_row(
            row.name,
            Text(row.state, "green" if row.state == "running" else "bold yellow"),
            Text(f"{row.live}/{row.expected}", "green" if is_whole else "yellow"),
            f"{row.messages:,}",
            f"{row.messages_per_s:,.0f}",
            Text("none", "bold red") if age is None else _age(age),
        )
    return table


def _routes(state: BoardState, choice: Choice | None, *, is_wide: bool) -> Group:
    columns = [("symbol", "left"), ("buy spot, sell perpetual", "left"), ("net bps", "right")]
    columns += [("gross", "right")] if is_wide else []
    columns += [("z", "right"), ("USD", "right"), ("ages ms", "right")]
    columns += [("funding", "right"), ("in", "right")] if is_wide else [("fund in", "right")]
    table = _table(*columns)
    for index, row in enumerate(state.routes):
        cells: list[str | Text] = [
            row.symbol,
            _way(row.spot_source, row.futures_source),
            Text(f"{row.net_bps:+.1f}", "bold green" if row.net_bps > 0 else ""),
        ]
        cells += [f"{row.gross_bps:+.1f}"] if is_wide else []
        cells += [
            "-" if row.z_score is None else f"{row.z_score:+.1f}",
            f"{row.executable_usd:,.0f}",
            f"{row.spot_age_ms:.0f}/{row.futures_age_ms:.0f}",
        ]
        if is_wide:
            cells.append("-" if row.funding_bps is None else f"{row.funding_bps:+.2f}")
        cells.append("-" if row.funding_s is None else _clock(row.funding_s))
        is_selected = choice is not None and index == choice.selected
        table.add_row(*cells, style="reverse" if is_selected else None)
    words = f"widest routes now ({state.usable_routes} of {state.all_routes} usable)"
    if choice is not None:
        only = f", only {choice.only!r}" if choice.only else ""
        words = (
            f"routes by {choice.order} ({state.usable_routes} of {state.all_routes} usable{only})"
        )
    return Group(Text(), Text(words, "bold"), table)


def _episodes(state: BoardState) -> Group:
    table = _table(
        ("symbol", "left"),
        ("direction", "left"),
        ("peak bps", "right"),
        ("last", "right"),
        ("life", "right"),
        ("ending, or path", "left"),
    )
    for row in state.recent[:SHOWN_EPISODES]:
        table.add_row(
            row.symbol,
            row.direction,
            f"{row.peak_net_bps:+.1f}",
            f"{row.last_net_bps:+.1f}",
            f"{row.life_ns / 1e9:.1f} s",
            _ending(row, state.paths.get(row.episode_id, ())),
        )
    return Group(Text(), Text("latest episodes", "bold"), table)


def _ending(row: EpisodeSummary, path: Sequence[float]) -> Text:
    if row.ending is None:
        return Text(f"open {sparkline(path, PATH_CELLS)}".rstrip(), "bold green")
    return Text(row.ending)


def sparkline(values: Sequence[float], cells: int) -> str:
    """Draw the last values as bars from their least to their greatest; "" for fewer than two."""
    shown = values[-cells:]
    if len(shown) < 2:
        return ""
    least, span = min(shown), max(shown) - min(shown)
    top = len(BARS) - 1
    return "".join(BARS[round((value - least) / span * top) if span else 0] for value in shown)


def _footer(state: BoardState) -> Group:
    episodes = state.episodes
    latency = "-"
    if state.latency_p50_ns:
        latency = f"p50 {_us(state.latency_p50_ns)}, p99 {_us(state.latency_p99_ns)}"
    return Group(
        Text(),
        Text(
            f"{state.signals} signals; {episodes.opened} episodes: {episodes.open} open, "
            f"{episodes.converged} converged, {episodes.expired} expired, "
            f"{episodes.delisted} delisted"
        ),
        Text(f"from receiving a quote to its scan: {latency}"),
    )


def _way(spot_source: str, futures_source: str) -> str:
    return f"{spot_source.removesuffix('_spot')} > {futures_source.removesuffix('_futures')}"


def _age(age_ms: float) -> Text:
    text = f"{age_ms:.0f} ms" if age_ms < STALE_MS else f"{age_ms / 1e3:.0f} s"
    return Text(text, "" if age_ms < STALE_MS else "bold yellow")


def _us(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e3:,.1f} µs"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
