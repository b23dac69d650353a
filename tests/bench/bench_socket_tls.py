"""socket_to_store_tls.*: the same as socket_to_store over TLS, one record for each frame.

Exchanges write frames one by one, so each is a record of its own, and opening a record costs more
than all that a feed does with a frame. The same frames in the same records reach all three.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from c_receiver import CReceiver
from mapped_regions import MappedRegions, temporary_regions
from peer import line_of, on_core, peer
from receivers import FeedReceiver, PythonReceiver

from spreadscan.ops.benchmark import Benchmark, Result, in_turns
from spreadscan.runtime.trust import Trust

BURST_COUNT = 150_000
PYTHON_COUNT = 15_000
ROUNDS = 7


@contextlib.contextmanager
def sender() -> Iterator[tuple[MappedRegions, int, Path]]:
    """The regions to store in, the port to receive from, the certificate to believe."""
    with tempfile.TemporaryDirectory(prefix="spreadscan-bench-") as folder:
        ca_file = Path(folder) / "ca.pem"
        with (
            temporary_regions() as regions,
            on_core(0),
            peer("frame_sender.py", BURST_COUNT, ca_file) as process,
        ):
            yield regions, int(line_of(process)), ca_file


def measure_python() -> list[Result]:
    with sender() as (regions, port, ca_file):
        context, base = Trust(ca_file).context(), f"wss://127.0.0.1:{port}/burst"
        python = PythonReceiver(regions, context)
        ours, by_python = in_turns(
            ROUNDS,
            lambda: FeedReceiver(regions, context).burst(f"{base}/{BURST_COUNT}", BURST_COUNT),
            lambda: python.burst(f"{base}/{PYTHON_COUNT}", PYTHON_COUNT),
        )
    return [
        Result(name="socket_to_store_tls.websockets_orjson", value=ours, unit="frames/s",
               baseline=f"websockets + orjson + float: {by_python:,.0f}", ratio=ours / by_python)
    ]  # fmt: skip


def measure_c() -> list[Result]:
    with sender() as (regions, port, ca_file):
        context, path = Trust(ca_file).context(), f"/burst/{BURST_COUNT}"
        url, plain_c = f"wss://127.0.0.1:{port}{path}", CReceiver(regions, ca_file)
        ours, by_c = in_turns(
            ROUNDS,
            lambda: FeedReceiver(regions, context).burst(url, BURST_COUNT),
            lambda: plain_c.burst(port, path, BURST_COUNT),
        )
    return [
        Result(name="socket_to_store_tls.c", value=ours, unit="frames/s",
               baseline=f"plain C with OpenSSL: {by_c:,.0f}", ratio=ours / by_c)
    ]  # fmt: skip


# Apart, because the second needs the headers of OpenSSL and the first does not.
BENCHMARKS = (
    Benchmark(("socket_to_store_tls.websockets_orjson",), measure_python),
    Benchmark(("socket_to_store_tls.c",), measure_c),
)
