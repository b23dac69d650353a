"""``spread-ctl latency``."""

import msgspec
import orjson
import typer
from rich.console import Console
from rich.table import Table

from spreadscan.cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, OnSim
from spreadscan.config import load_config
from spreadscan.errors import EXIT_NOT_RUNNING
from spreadscan.ops.latency_now import Stage, latency_now
from spreadscan.runtime.clock import SystemClock

__all__ = ["latency"]


def latency(
    *, sim: OnSim = False, as_json: AsJson = False, config: ConfigFile = DEFAULT_CONFIG
) -> None:
    """Show how long quotes take from the exchange to the tracker, by stage, since each start.

    Exchange to receive is how much longer a frame took than the quickest ones
    lately: the clocks' distance and the shortest way, which nobody can tell
    apart, are taken off. Engine to ring is one sample a pass, to its last
    signal. Exits 3 while nothing runs.
    """
    stages = latency_now(load_config(config, is_sim=sim), SystemClock())
    if as_json:
        typer.echo(orjson.dumps({"stages": msgspec.to_builtins(stages)}).decode())
    else:
        Console(highlight=False).print(_table(stages))
    if not any(stage.is_running for stage in stages):
        raise typer.Exit(EXIT_NOT_RUNNING)


def _table(stages: list[Stage]) -> Table:
    """Return a line a stage; 80 columns hold it."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for name in ("stage", "process"):
        table.add_column(name, no_wrap=True)
    for name in ("samples", "p50", "p90", "p99", "p99.9", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    for stage in stages:
        quantiles = (stage.p50_ns, stage.p90_ns, stage.p99_ns, stage.p999_ns, stage.max_ns)
        shown = [_time(value) if stage.samples else "-" for value in quantiles]
        table.add_row(
            stage.name,
            stage.process.removeprefix("feed-").removeprefix("spread-"),
            _count(stage.samples) if stage.is_running else "down",
            *shown,
        )
    return table


def _count(samples: int) -> str:
    """Return a number in at most seven characters."""
    return f"{samples:,}" if samples < 1_000_000 else f"{samples / 1e6:.1f}M"


def _time(value_ns: int) -> str:
    """Return a time with three digits and its unit, in at most six characters."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if value_ns >= size:
            return f"{value_ns / size:.3g}{unit}"
    return f"{value_ns}ns"
