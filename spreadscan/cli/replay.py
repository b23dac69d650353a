"""``spreadscan replay``: a recording through the pipeline's own code, in virtual time."""

import contextlib
import time
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from spreadscan.config import load_config
from spreadscan.errors import EXIT_USAGE
from spreadscan.ops.replay import replay as replay_recording
from spreadscan.rawlog import CONFIG_FOLDER

__all__ = ["replay"]


def replay(
    *,
    recording: Annotated[Path, typer.Argument(metavar="DIR", help="What feeds recorded into.")],
    universe: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Instead of the recorded universes.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Thresholds and fees; default those of the recording.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every signal, one JSON line each.")
    ] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Replay a recording; the same one gives the same signals, byte for byte."""
    tree = load_config(config or recording / CONFIG_FOLDER / "config.toml")
    with contextlib.ExitStack() as stack:
        target = None
        if out is not None:
            try:
                target = stack.enter_context(out.open("wb"))
            except OSError as error:
                typer.echo(f"spreadscan replay: {out}: {error.strerror}", err=True)
                raise typer.Exit(EXIT_USAGE) from None
        began_s = time.perf_counter()
        found = replay_recording(recording, tree, universe=universe, out=target)
        elapsed_s = time.perf_counter() - began_s
    if is_json:
        typer.echo(orjson.dumps(found | {"elapsed_s": elapsed_s}).decode())
        return
    _show(found, elapsed_s)


def _show(found: dict[str, Any], elapsed_s: float) -> None:
    typer.echo(
        f"{found['frames']:,} frames from {found['from']} to {found['to']}, "
        f"replayed in {elapsed_s:.1f} s ({found['frames'] / max(elapsed_s, 1e-9):,.0f} frames/s, "
        f"{found['recorded_s'] / max(elapsed_s, 1e-9):,.1f} times real time)"
    )
    for name, row in found["sources"].items():
        gaps = f", {row['gaps']} gaps" if row["gaps"] else ""
        lives = f", {row['sessions']} lives" if row["sessions"] > 1 else ""
        typer.echo(
            f"  {name:<18}{row['frames']:>12,} frames {row['quotes']:>12,} quotes{lives}{gaps}"
        )
    counts = found["signals"]
    typer.echo(
        f"signals: {counts['open']} open, {counts['update']} update, {counts['close']} close"
    )
    typer.echo(f"  SHA-256 {found['signals_sha256']}")
    episodes = ", ".join(f"{count} {name}" for name, count in found["episodes"].items())
    typer.echo(f"episodes: {episodes}")
