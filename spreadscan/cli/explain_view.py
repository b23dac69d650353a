"""How an explained route looks: the verdict first, 80 columns. Draws, reads nothing."""

from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from spreadscan.ops.explanation import Explanation, LastSignal, LegRow

__all__ = ["drawn"]

PASSES = {True: Text("pass", "green"), False: Text("HOLDS", "bold red"), None: Text("-", "dim")}


def drawn(found: Explanation) -> RenderableType:
    """Return the screen."""
    return Group(
        Text(f"{found.symbol}  {found.direction}", "bold"),
        Text(found.verdict, "bold red" if "held back" in found.verdict else "bold green"),
        Text(f"engine {found.engine}, {_state(found)}"),
        Text(),
        _legs(found),
        Text(),
        _steps(found),
        Text(),
        _gates(found),
        Text(),
        *(Text(line) for line in _signal_lines(found.last_signal)),
    )


def _state(found: Explanation) -> str:
    if found.is_open is None:
        return "whether the route is open is not known"
    if found.is_resumed:
        return "the route is open by the word of an earlier engine"
    return "the route is open" if found.is_open else "the route is closed"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in headings:
        is_number = heading.startswith(">")
        table.add_column(
            heading.removeprefix(">"), justify="right" if is_number else "left", no_wrap=is_number
        )
    return table


def _legs(found: Explanation) -> Table:
    table = _table("leg", ">bid USDT", ">ask USDT", ">bid coins", ">ask coins", ">age ms", "")
    for leg in (found.spot, found.futures):
        table.add_row(leg.source, *_quote(leg), ", ".join(leg.flags))
    return table


def _quote(leg: LegRow) -> list[str]:
    values = (leg.bid, leg.ask, leg.bid_qty, leg.ask_qty)
    shown = ["-" if value is None else f"{value:.8g}" for value in values]
    return [*shown, "-" if leg.age_ms is None else f"{leg.age_ms:,.1f}"]


def _steps(found: Explanation) -> Table:
    """Return the waterfall, in basis points."""
    table = _table("", ">bps", "")
    money, funding, usual = found.money, found.funding, found.usual
    if money is None:
        table.add_row("no price on both legs", "", "")
        return table
    fees = f"2 x ({found.spot.taker_bps:g} + {found.futures.taker_bps:g}), taker"
    table.add_row("gross, spot ask to perpetual bid", f"{money.gross_bps:+.3f}", "")
    table.add_row("fees of four fills", f"{-money.fees_bps:+.3f}", fees)
    table.add_row("net", f"{money.net_bps:+.3f}", "")
    if funding.known and funding.rate is not None and funding.bps is not None:
        table.add_row(
            "funding",
            f"{funding.bps:+.3f}",
            f"{funding.settlements} x {funding.rate * 10_000:+.3f} in {funding.holding_h:g} h, "
            f"every {funding.interval_h:g} h, next {_clock(funding.next_settlement_ms)}",
        )
        table.add_row("net after funding", f"{money.net_after_funding_bps or 0.0:+.3f}", "")
    else:
        table.add_row("funding", "-", f"not known: {funding.why_not}")
    table.add_row("closing now would cost", f"{money.exit_bps:+.3f}", "")
    table.add_row("size at the top of both", "", f"{money.executable_usd:,.2f} USDT")
    if usual.samples and usual.median_bps is not None and usual.mad_bps is not None:
        score = "-" if usual.z_score is None else f"z {usual.z_score:+.2f}"
        table.add_row(
            "usually", f"{usual.median_bps:+.3f}", f"MAD {usual.mad_bps:.3f}, {score}, "
            f"of {usual.samples:,} samples",
        )  # fmt: skip
    else:
        table.add_row("usually", "-", "not known yet")
    return table


def _gates(found: Explanation) -> Table:
    table = _table("gate", "", ">held back", "")
    for gate in found.gates:
        table.add_row(gate.name, PASSES[gate.passes], f"{gate.held_back:,}", gate.detail)
    return table


def _signal_lines(last: LastSignal | None) -> list[str]:
    if last is None:
        return ["no signal of this route since shm-init"]
    line = f"last signal: {last.kind} of opening {last.opening}, {last.age_s:,.1f} s ago, "
    line += f"net {last.net_bps:+.3f} bps"
    if last.details is None:
        return [line, "  the ring does not hold it any more"]
    kept = last.details
    spot = f"{kept['spot_bid']:.8g} / {kept['spot_ask']:.8g}"
    perpetual = f"{kept['futures_bid']:.8g} / {kept['futures_ask']:.8g}"
    return [line, f"  spot {spot}, perpetual {perpetual}, {kept['executable_usd']:,.2f} USDT"]


def _clock(unix_ms: int | None) -> str:
    if unix_ms is None:
        return "-"
    return datetime.fromtimestamp(unix_ms / 1_000, UTC).strftime("%H:%M UTC")
