"""ctl_status: how long an operator waits for the whole status, against Python's own start."""

import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from spreadscan.ops.benchmark import Benchmark, CannotMeasure, Result, in_turns

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config" / "config.toml"
ROUNDS = 15
# Healthy, degraded, down, nothing running: whatever runs here is not touched, only looked at.
ANSWERS = {0, 1, 2, 3}


def _taken_ms(command: list[str], accepted: set[int]) -> float:
    began_s = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, cwd=ROOT)
    taken_ms = (time.perf_counter() - began_s) * 1e3
    if done.returncode not in accepted:
        raise CannotMeasure(f"{command[0]} ended with {done.returncode}")
    return taken_ms


def measure() -> list[Result]:
    ctl = str(Path(sysconfig.get_path("scripts")) / "spread-ctl")
    status_ms, python_ms = in_turns(
        ROUNDS,
        lambda: _taken_ms([ctl, "status", "--json", "--sim", "--config", str(CONFIG)], ANSWERS),
        lambda: _taken_ms([sys.executable, "-c", "pass"], {0}),
    )
    return [
        Result(
            name="ctl_status",
            value=status_ms,
            unit="ms p50",
            baseline="python -c pass",
            ratio=python_ms / status_ms,
        )
    ]


BENCHMARKS = (Benchmark(("ctl_status",), measure),)
