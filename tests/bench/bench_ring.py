"""ring_throughput: signals through the ring from one process to another, against a pipe."""

import os
import subprocess
import time

import numpy as np
from mapped_regions import temporary_regions
from peer import line_of, on_core, peer

from spreadscan.kernel.drills import drain_signals
from spreadscan.ops.benchmark import Benchmark, Result, in_turns
from spreadscan.shm.layout import SIGNAL_DTYPE

RING_COUNT = 2_000_000
PIPE_COUNT = 100_000
BATCH = 1024
PIPE_READ_BYTES = 65_536
ROUNDS = 5


def _start(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    process.stdin.flush()


def through_ring() -> float:
    """Items a second."""
    records = np.empty(BATCH, SIGNAL_DTYPE).view(np.uint8)
    with (
        temporary_regions() as regions,
        peer("ring_producer.py", "ring", regions.folder, RING_COUNT) as producer,
    ):
        line_of(producer)
        _start(producer)
        # The first record starts the clock, so that the producer's waking up is not measured.
        while regions.ring.depth == 0:
            pass
        started_ns = time.perf_counter_ns()
        out_of_order = drain_signals(regions.ring, RING_COUNT, records)
        elapsed_ns = time.perf_counter_ns() - started_ns
    assert out_of_order == 0, out_of_order
    return RING_COUNT / elapsed_ns * 1e9


def through_pipe() -> float:
    """Items a second."""
    with peer("ring_producer.py", "pipe", "-", PIPE_COUNT) as producer:
        line_of(producer)
        _start(producer)
        assert producer.stdout is not None
        descriptor = producer.stdout.fileno()
        wanted = PIPE_COUNT * SIGNAL_DTYPE.itemsize
        taken = len(os.read(descriptor, PIPE_READ_BYTES))
        started_ns = time.perf_counter_ns()
        while taken < wanted:
            taken += len(os.read(descriptor, PIPE_READ_BYTES))
        return PIPE_COUNT / (time.perf_counter_ns() - started_ns) * 1e9


def measure() -> list[Result]:
    with on_core(0):
        ring, pipe = in_turns(ROUNDS, through_ring, through_pipe)
    return [
        Result(name="ring_throughput", value=ring, unit="items/s",
               baseline="pipe, a write a record", ratio=ring / pipe)
    ]  # fmt: skip


BENCHMARKS = (Benchmark(("ring_throughput",), measure),)
