"""Second process of bench_signal: an engine, and nothing else.

``engine_process.py FOLDER WAIT EVENTFD`` scans until standard input ends.
"""

import select
import sys

from engine_market import all_routes, engine_config
from mapped_regions import MappedRegions

from spreadscan.kernel.scan import Scanner

TURN_NS = 10_000_000
HEALTH_SLOT = 8


def main(folder: str, wait: str, wake_fd: int) -> None:
    regions = MappedRegions(folder)
    scanner = Scanner(regions.engine_channels(HEALTH_SLOT))
    scanner.configure(engine_config(wait))
    scanner.set_wake_fd(wake_fd)
    scanner.set_routes(all_routes())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 0)[0]:
        scanner.run(TURN_NS)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
