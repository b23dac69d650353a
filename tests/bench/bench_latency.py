"""latency_record: one sample into a histogram of the health slot, as every stage does it."""

import time

import numpy as np
from mapped_regions import temporary_regions

from spreadscan.ops.benchmark import Benchmark, Result, in_turns
from spreadscan.shm.layout import HISTOGRAM_BUCKETS

COUNT = 1_000_000
PYTHON_COUNT = 50_000
ROUNDS = 7
HEALTH_SLOT = 8
SEED = 3


class PythonHistogram:
    """The same rule in plain Python: exact below 16, then 16 steps an octave."""

    def __init__(self) -> None:
        self._counts = [0] * HISTOGRAM_BUCKETS

    def record(self, value_ns: int) -> None:
        if value_ns < 16:
            bucket = value_ns
        else:
            octave = value_ns.bit_length() - 1
            bucket = (octave - 3) * 16 + (value_ns >> (octave - 4) & 15)
        self._counts[min(bucket, HISTOGRAM_BUCKETS - 1)] += 1


def measure() -> list[Result]:
    # From a hundred nanoseconds to a second, so that no bucket stays in a register.
    samples = (10 ** np.random.default_rng(SEED).uniform(2, 9, COUNT)).astype(np.int64)
    few = samples[:PYTHON_COUNT].tolist()
    slow = PythonHistogram()
    with temporary_regions() as regions:
        slot = regions.health(HEALTH_SLOT)

        def kernel() -> float:
            started_ns = time.perf_counter_ns()
            slot.record_all(0, samples)
            return (time.perf_counter_ns() - started_ns) / COUNT

        def python() -> float:
            started_ns = time.perf_counter_ns()
            for sample in few:
                slow.record(sample)
            return (time.perf_counter_ns() - started_ns) / PYTHON_COUNT

        recorded, slowly = in_turns(ROUNDS, kernel, python)
    return [
        Result(name="latency_record", value=recorded, unit="ns", baseline="plain Python",
               ratio=slowly / recorded)
    ]  # fmt: skip


BENCHMARKS = (Benchmark(("latency_record",), measure),)
