"""wire_to_signal: from before a frame is sent until its signal stands in the ring.

A quote's whole way: loopback TCP, picows and the feed's listener, store and bitmap, an engine that
spins, the ring. The baseline is plain C that receives the same frames and only stores them.
"""

from c_receiver import CReceiver
from mapped_regions import temporary_regions
from peer import ahead_of_others, line_of, on_core, peer
from receivers import FeedReceiver

from spreadscan.ops.benchmark import Benchmark, Result, in_turns, percentiles

COUNT = 3_000
HZ = 10_000
ROUNDS = 9


def measure() -> list[Result]:
    ours: list[float] = []
    with (
        temporary_regions() as regions,
        on_core(0),
        peer("signal_sender.py", regions.folder) as engine,
        peer("frame_sender.py", COUNT) as plain,
    ):
        signals, frames = int(line_of(engine)), int(line_of(plain))
        plain_c = CReceiver(regions)

        def to_signal() -> float:
            FeedReceiver(regions).burst(f"ws://127.0.0.1:{signals}/signals/{COUNT}/{HZ}", COUNT)
            taken_us = [int(word) / 1000 for word in line_of(engine).split()]
            # Some are overtaken: two frames in one read, or a price that did not change.
            assert len(taken_us) > COUNT / 2, len(taken_us)
            ours.extend(taken_us)
            return percentiles(taken_us)[0]

        with ahead_of_others(engine.pid, plain.pid):
            p50, c_p50 = in_turns(
                ROUNDS,
                to_signal,
                lambda: percentiles(plain_c.paced(frames, f"/paced/{COUNT}/{HZ}"))[0],
            )
    _, p90, p99, p999 = percentiles(ours)
    return [
        Result(name="wire_to_signal", value=p50, unit="µs p50",
               baseline=f"plain C, to the store: {c_p50:.1f}", ratio=c_p50 / p50,
               p50=p50, p90=p90, p99=p99, p999=p999)
    ]  # fmt: skip


BENCHMARKS = (Benchmark(("wire_to_signal",), measure),)
