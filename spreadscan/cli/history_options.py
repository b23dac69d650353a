"""What the commands about the past share: which episodes, from which folder."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from spreadscan.cli.duration import parse_duration_s
from spreadscan.config import load_config
from spreadscan.errors import EXIT_NOT_RUNNING, ConfigError, SpreadscanError
from spreadscan.ops.history import OPEN, EpisodeQuery, History
from spreadscan.runtime.clock import SystemClock
from spreadscan.tracker.episode import Ending

__all__ = [
    "PIPED_WIDTH",
    "Direction",
    "Limit",
    "MinNetBps",
    "Reason",
    "Since",
    "Symbol",
    "open_history",
    "query_of",
    "tell_troubles",
]

PIPED_WIDTH = 160
"""Columns of a table where there is no terminal to ask."""
REASONS = (OPEN, *(ending.value for ending in Ending))

Symbol = Annotated[str | None, typer.Option("--symbol", metavar="NAME", help="Such as BTC-USDT.")]
Direction = Annotated[
    str | None,
    typer.Option("--direction", metavar="NAME", help="Spot source, then futures source."),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="WHEN", help="Opened in the last 90m, 24h or 7d, or since 2026-11-29."
    ),
]
MinNetBps = Annotated[
    float | None,
    typer.Option("--min-net-bps", metavar="BPS", help="Net spread at the peak, at least."),
]
Reason = Annotated[
    str | None,
    typer.Option("--reason", metavar="WORD", help=f"How it ended: {', '.join(REASONS)}."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many.")]

_DAYS = re.compile(r"(\d+(?:\.\d+)?)d", re.ASCII)


class NoHistory(SpreadscanError):  # noqa: N818 - named for what happened, as in errors.py
    """No tracker has written anything yet."""

    exit_code = EXIT_NOT_RUNNING


def query_of(
    symbol: str | None,
    direction: str | None,
    since: str | None,
    min_net_bps: float | None,
    reason: str | None,
) -> EpisodeQuery:
    """Return what the options ask for.

    Raises:
        typer.BadParameter: an option has a value that nothing can match.
    """
    if reason is not None and reason not in REASONS:
        raise typer.BadParameter(f"found {reason!r}, expected one of {', '.join(REASONS)}")
    return EpisodeQuery(
        symbol=symbol,
        direction=direction,
        since_wall_ns=None if since is None else _since_wall_ns(since),
        min_net_bps=min_net_bps,
        reason=reason,
    )


def open_history(config: Path, *, is_sim: bool) -> History:
    """Open the configuration's history.

    Raises:
        NoHistory: there is none yet.
        ConfigError: its folder cannot be read.
    """
    tree = load_config(config, is_sim=is_sim)
    folder = tree.path(tree.tracker.data_dir)
    try:
        return History(folder)
    except FileNotFoundError as error:
        raise NoHistory(str(error)) from None
    except OSError as error:
        raise ConfigError(
            str(folder), "tracker.data_dir", str(error.strerror), "a folder that you may read"
        ) from None


def tell_troubles(history: History) -> None:
    """Say on standard error which parts could not be read, and end by their exit status, if any.

    Raises:
        typer.Exit: the answer is not whole.
    """
    for sentence in dict.fromkeys(history.troubles):
        typer.echo(f"spread-ctl: {sentence}", err=True)
    if history.exit_code:
        raise typer.Exit(history.exit_code)


def _since_wall_ns(text: str) -> int:
    now_ns = SystemClock().wall_ns()
    days = _DAYS.fullmatch(text.strip())
    if days:
        return now_ns - round(float(days[1]) * 86_400e9)
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return now_ns - round(parse_duration_s(text) * 1e9)
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1e9)
