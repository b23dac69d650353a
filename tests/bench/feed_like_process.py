"""Second process of bench_memory: all that a feed loads and holds, without its supervision.

``feed_like_process.py FOLDER PORT COUNT ROUNDS`` receives COUNT frames ROUNDS times and says its
resident MiB after half of the rounds, when all buffers have their size, and after the last.
"""

import re
import sys
from pathlib import Path

from mapped_regions import MappedRegions
from receivers import FeedReceiver

import spreadscan.feed.process
import spreadscan.runtime.process  # noqa: F401


def resident_mib() -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1]) / 1024


def main(folder: str, port: int, count: int, rounds: int) -> None:
    regions = MappedRegions(folder)
    weights = []
    for _ in range(rounds):
        FeedReceiver(regions).burst(f"ws://127.0.0.1:{port}/burst/{count}", count)
        weights.append(resident_mib())
    sys.stdout.write(f"{weights[rounds // 2 - 1]} {weights[-1]}\n")


main(sys.argv[1], *map(int, sys.argv[2:]))
