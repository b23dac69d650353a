"""seqlock_write, seqlock_read: one price inside the kernel, against the same from Python."""

import struct
import time

from mapped_regions import MappedRegions, temporary_regions

from spreadscan.kernel.drills import read_prices, write_prices
from spreadscan.ops.benchmark import Benchmark, Result, in_turns
from spreadscan.shm.layout import Prices

KERNEL_COUNT = 2_000_000
PYTHON_COUNT = 50_000
ROUNDS = 7
SLOT = 77
BASELINE = "Python: struct and memoryview"


class PythonSlot:
    """The seqlock as plain Python can do it; without ordering, so only fit as a measure."""

    def __init__(self, regions: MappedRegions, slot: int) -> None:
        words = memoryview(regions.price_words())
        sequence = Prices.SEQ + slot * 64
        data = Prices.DATA + slot * 64
        self._sequence = words[sequence : sequence + 8].cast("Q")
        self._data = words[data : data + 64]
        self._record = struct.Struct("<4d3qHHI")

    def write(self, *values: float) -> None:
        sequence = self._sequence
        sequence[0] |= 1
        self._record.pack_into(self._data, 0, *values)
        sequence[0] += 1

    def read(self) -> tuple[float, ...] | None:
        sequence = self._sequence
        for _ in range(4):
            before = sequence[0]
            if before & 1:
                continue
            values = self._record.unpack_from(self._data, 0)
            if sequence[0] == before:
                return values
        return None


def measure() -> list[Result]:
    with temporary_regions() as regions:
        slots, twin = regions.prices, PythonSlot(regions, SLOT + 1)

        def kernel_write() -> float:
            started_ns = time.perf_counter_ns()
            write_prices(slots, SLOT, KERNEL_COUNT)
            return (time.perf_counter_ns() - started_ns) / KERNEL_COUNT

        def python_write() -> float:
            started_ns = time.perf_counter_ns()
            for index in range(PYTHON_COUNT):
                twin.write(1.0, 2.0, 3.0, 4.0, 5, 6, index, 0, 1, 0)
            return (time.perf_counter_ns() - started_ns) / PYTHON_COUNT

        def kernel_read() -> float:
            started_ns = time.perf_counter_ns()
            stable = read_prices(slots, SLOT, KERNEL_COUNT)
            elapsed_ns = time.perf_counter_ns() - started_ns
            assert stable == KERNEL_COUNT
            return elapsed_ns / KERNEL_COUNT

        def python_read() -> float:
            started_ns = time.perf_counter_ns()
            for _ in range(PYTHON_COUNT):
                twin.read()
            return (time.perf_counter_ns() - started_ns) / PYTHON_COUNT

        written, written_slowly, read, read_slowly = in_turns(
            ROUNDS, kernel_write, python_write, kernel_read, python_read
        )
    return [
        Result(name="seqlock_write", value=written, unit="ns", baseline=BASELINE,
               ratio=written_slowly / written),
        Result(name="seqlock_read", value=read, unit="ns", baseline=BASELINE,
               ratio=read_slowly / read),
    ]  # fmt: skip


BENCHMARKS = (Benchmark(("seqlock_write", "seqlock_read"), measure),)
