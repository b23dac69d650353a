"""socket_to_store.*, paced_latency.c: one feed's whole work on frames from loopback TCP.

The sender has one core, each receiver in its turn the other. All three receive the same bytes.
"""

import contextlib
from collections.abc import Iterator

from c_receiver import CReceiver
from mapped_regions import MappedRegions, temporary_regions
from peer import ahead_of_others, line_of, on_core, peer
from receivers import FeedReceiver, PythonReceiver

from spreadscan.ops.benchmark import Benchmark, Result, in_turns, percentiles

BURST_COUNT = 400_000
PYTHON_COUNT = 15_000
ROUNDS = 5
PACED_COUNT = 3_000
PACED_HZ = 10_000
PACED_ROUNDS = 9


@contextlib.contextmanager
def sender() -> Iterator[tuple[MappedRegions, int, int]]:
    """The regions to store in, the port to receive from, and the sender's process."""
    with (
        temporary_regions() as regions,
        on_core(0),
        peer("frame_sender.py", BURST_COUNT) as process,
    ):
        yield regions, int(line_of(process)), process.pid


def measure_burst() -> list[Result]:
    with sender() as (regions, port, _):
        plain_c, python = CReceiver(regions), PythonReceiver(regions)
        base, path = f"ws://127.0.0.1:{port}", f"/burst/{BURST_COUNT}"
        # A new sink each time: to the last one the same frames again would be old.
        ours, by_c, by_python = in_turns(
            ROUNDS,
            lambda: FeedReceiver(regions).burst(base + path, BURST_COUNT),
            lambda: plain_c.burst(port, path, BURST_COUNT),
            lambda: python.burst(f"{base}/burst/{PYTHON_COUNT}", PYTHON_COUNT),
        )
    return [
        Result(name="socket_to_store.websockets_orjson", value=ours, unit="frames/s",
               baseline=f"websockets + orjson + float: {by_python:,.0f}", ratio=ours / by_python),
        Result(name="socket_to_store.c", value=ours, unit="frames/s",
               baseline=f"plain C: {by_c:,.0f}", ratio=ours / by_c),
    ]  # fmt: skip


def measure_paced() -> list[Result]:
    ours: list[float] = []

    def paced(url: str, regions: MappedRegions) -> float:
        taken_us = FeedReceiver(regions).paced(url)
        # Most frames are seen in the store before the next of the same symbol replaces them.
        assert len(taken_us) > PACED_COUNT / 2, len(taken_us)
        ours.extend(taken_us)
        return percentiles(taken_us)[0]

    with sender() as (regions, port, pid), ahead_of_others(pid):
        plain_c, path = CReceiver(regions), f"/paced/{PACED_COUNT}/{PACED_HZ}"
        # Many short rounds: a core that is lent out for a while spoils few of them.
        p50, c_p50 = in_turns(
            PACED_ROUNDS,
            lambda: paced(f"ws://127.0.0.1:{port}{path}", regions),
            lambda: percentiles(plain_c.paced(port, path))[0],
        )
    _, p90, p99, p999 = percentiles(ours)
    return [
        Result(name="paced_latency.c", value=p50, unit="µs p50",
               baseline=f"plain C: {c_p50:.1f}", ratio=c_p50 / p50, p50=p50, p90=p90, p99=p99,
               p999=p999)
    ]  # fmt: skip


BENCHMARKS = (
    Benchmark(("socket_to_store.websockets_orjson", "socket_to_store.c"), measure_burst),
    Benchmark(("paced_latency.c",), measure_paced),
)
