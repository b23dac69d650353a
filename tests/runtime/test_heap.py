"""Memory that is free is no longer resident."""

import re
from pathlib import Path

from spreadscan.runtime.heap import give_back

BLOCK_BYTES, BLOCKS = 60_000, 1_000


def resident_kib():
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1])


def test_free_blocks_below_one_in_use_are_given_back():
    blocks = [bytes([number % 256]) * BLOCK_BYTES for number in range(BLOCKS)]
    # The last one stays: the heap cannot shrink from its end.
    del blocks[:-1]
    before_kib = resident_kib()

    give_back()

    assert before_kib - resident_kib() > BLOCKS * BLOCK_BYTES / 1024 / 2
