"""Builds wake_floor.c and runs it: an eventfd between two cores, and nothing else."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from peer import CORES

from spreadscan.ops.benchmark import percentiles

SOURCE = Path(__file__).with_suffix(".c")
PATIENCE_S = 30.0


def eventfd_us(samples: int) -> float | None:
    """Return the median, from before the write until the sleeper's answer is seen.

    None without a C compiler: what it is the floor of can still be measured.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory(prefix="spreadscan-bench-") as folder:
        program = Path(folder) / "wake_floor"
        subprocess.run(
            [compiler, "-O3", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Werror", str(SOURCE),
             "-o", str(program)],
            check=True,
        )  # fmt: skip
        answer = subprocess.run(
            [program, str(samples), str(CORES[0]), str(CORES[1])],
            check=True, capture_output=True, timeout=PATIENCE_S,
        )  # fmt: skip
    return percentiles([int(line) / 1000 for line in answer.stdout.split()])[0]
