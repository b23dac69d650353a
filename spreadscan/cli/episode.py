"""``spread-ctl episode``: one dislocation, and its path."""

from typing import Annotated

import msgspec
import orjson
import typer
from rich.console import Console

from spreadscan.cli.history_options import open_history, tell_troubles
from spreadscan.cli.history_view import episode_details
from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.errors import EXIT_USAGE, SpreadscanError
from spreadscan.ops.history import EpisodeQuery

__all__ = ["episode"]


class EpisodeUnknown(SpreadscanError):  # noqa: N818 - named for what happened, as in errors.py
    """The ledger has no such episode."""

    exit_code = EXIT_USAGE


def episode(
    *,
    episode_id: Annotated[int, typer.Argument(metavar="ID", help="As `history` shows it.")],
    sim: OnSim = False,
    as_json: AsJson = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Show one episode with a line of its path; with --json every point of it."""
    found = open_history(config, is_sim=sim)
    rows = found.summaries(EpisodeQuery(episode_id=episode_id))
    points = found.path(episode_id) if rows else []
    if not rows:
        tell_troubles(found)
        raise EpisodeUnknown(f"found no episode {episode_id}, expected one of `history`")
    if as_json:
        shown = {"episode": msgspec.to_builtins(rows[0]), "path": msgspec.to_builtins(points)}
        typer.echo(orjson.dumps(shown).decode())
    else:
        Console().print(episode_details(rows[0], points))
    tell_troubles(found)
