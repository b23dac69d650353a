"""Second process of bench_ring: waits for a line on standard input, then writes COUNT records.

``ring_producer.py ring FOLDER COUNT`` pushes into the ring, ``ring_producer.py pipe - COUNT``
writes records of the same size to standard output, one a call.
"""

import os
import sys

from mapped_regions import MappedRegions

from spreadscan.kernel.drills import push_signals
from spreadscan.shm.layout import SIGNAL_DTYPE


def main(way: str, folder: str, count: int) -> None:
    regions = MappedRegions(folder) if way == "ring" else None
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    if regions is not None:
        push_signals(regions.ring, count)
        return
    record = bytes(SIGNAL_DTYPE.itemsize)
    descriptor = sys.stdout.fileno()
    for _ in range(count):
        os.write(descriptor, record)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
