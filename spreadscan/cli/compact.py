"""``spreadscan compact``: finished days of the ledger to Parquet, old ones let go."""

import msgspec
import orjson
import typer

from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.config import load_config
from spreadscan.errors import EXIT_TEMPORARY
from spreadscan.ops.compact import compact as compact_ledger
from spreadscan.ops.owner import act_as_owner
from spreadscan.runtime.clock import SystemClock

__all__ = ["compact"]


def compact(
    *, sim: OnSim = False, as_json: AsJson = False, config: ConfigFile = DEFAULT_CONFIG
) -> None:
    """Write finished days of the episode ledger as Parquet, prove them, delete what they replace.

    The day that is being written is left alone. Then `[tracker] retention_days` and
    `retention_max_mib` decide which old days go. Run nightly by its own timer on a host; root acts
    as the owner of the ledger's folder. Exits 75 when a day could not be compacted; it stays as it
    is, and the others are done.
    """
    tree = load_config(config, is_sim=sim)
    act_as_owner(tree.path(tree.tracker.data_dir))
    found = compact_ledger(tree, SystemClock().wall_ns())
    if as_json:
        typer.echo(orjson.dumps(msgspec.to_builtins(found)).decode())
    else:
        for part in found.compacted:
            typer.echo(
                f"{part.day} part {part.number}: {part.points:,} snapshots, "
                f"{part.before_bytes:,} -> {part.after_bytes:,} bytes"
            )
        for name in found.dropped:
            typer.echo(f"dropped {name}")
        if not (found.compacted or found.dropped or found.failed):
            typer.echo("nothing to compact")
    for sentence in found.failed:
        typer.echo(f"spreadscan: {sentence}", err=True)
    if found.failed:
        raise typer.Exit(EXIT_TEMPORARY)
