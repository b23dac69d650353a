"""Program: decodes frames that end where readable memory ends; prints how many it survived."""

import ctypes
import mmap
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

from fuzz_cases import SOURCES, extractor, spoiled
from quote_frames import frames

READABLE_BYTES = 16 * mmap.PAGESIZE


def guarded_area():
    """READABLE_BYTES of memory, and behind them a page that nobody may touch."""
    area = mmap.mmap(-1, READABLE_BYTES + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    libc = ctypes.CDLL(None, use_errno=True)
    guard = ctypes.c_void_p(start + READABLE_BYTES)
    if libc.mprotect(guard, ctypes.c_size_t(mmap.PAGESIZE), 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    return area


def main():
    area = guarded_area()
    view = memoryview(area)
    decoded = 0
    for source in SOURCES:
        decode = extractor(source).decode
        whole = list(frames(source, 12))
        prefixes = (frame[:size] for frame in whole for size in range(len(frame) + 1))
        for frame in (*prefixes, *spoiled(source, 2_000, seed=5)):
            end = READABLE_BYTES
            area[end - len(frame) : end] = frame
            decode(view[end - len(frame) : end])
            decoded += 1
    sys.stdout.write(f"{decoded}\n")


main()
