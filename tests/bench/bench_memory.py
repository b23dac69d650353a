"""feed_rss: resident memory of a feed with 600 symbols, and whether it stays."""

import subprocess
import sys
from pathlib import Path

from mapped_regions import temporary_regions
from peer import line_of, peer

from spreadscan.ops.benchmark import Benchmark, Result

FRAME_COUNT = 100_000
ROUNDS = 8
MAX_GROWTH_MIB = 2.0
PATIENCE_S = 60.0
SCRIPT = Path(__file__).with_name("feed_like_process.py")


def measure() -> list[Result]:
    with temporary_regions() as regions, peer("frame_sender.py", FRAME_COUNT) as sender:
        port = line_of(sender)
        answer = subprocess.run(
            [sys.executable, SCRIPT, regions.folder, port, str(FRAME_COUNT), str(ROUNDS)],
            check=True, stdout=subprocess.PIPE, timeout=PATIENCE_S,
        )  # fmt: skip
    early_mib, late_mib = map(float, answer.stdout.split())
    assert late_mib - early_mib < MAX_GROWTH_MIB, (early_mib, late_mib)
    return [
        Result(name="feed_rss", value=late_mib, unit="MiB",
               baseline=f"itself, {ROUNDS // 2 * FRAME_COUNT:,} frames before",
               ratio=early_mib / late_mib)
    ]  # fmt: skip


BENCHMARKS = (Benchmark(("feed_rss",), measure),)
