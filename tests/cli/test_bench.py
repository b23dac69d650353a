"""``spreadscan bench`` and the small frame behind it, on benchmarks of the tests' own."""

import importlib
import json
import os
import socket
import ssl
from concurrent import futures
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from spreadscan.cli import bench as command
from spreadscan.cli.group import OneLineErrors
from spreadscan.errors import EXIT_USAGE
from spreadscan.exchanges import sources
from spreadscan.ops.benchmark import (
    Benchmark,
    BenchmarkError,
    CannotMeasure,
    Result,
    Skipped,
    describe_machine,
    in_turns,
    load_benchmarks,
    percentiles,
    run_benchmarks,
    select,
)
from spreadscan.runtime.trust import Trust
from spreadscan.sim.tls import server_context

DEFINITION = """
from spreadscan.ops.benchmark import Benchmark, CannotMeasure, Result

def two():
    return [
        Result(name="pair.left", value=12.5, unit="ns", baseline="slow twin", ratio=4.0),
        Result(name="pair.right", value=3_500_000.0, unit="items/s", p50=1.0, p90=2.0, p99=3.0),
    ]

def absent():
    raise CannotMeasure("needs a thousand cores")

BENCHMARKS = (Benchmark(("pair.left", "pair.right"), two), Benchmark(("absent",), absent))
"""


@pytest.fixture
def run_bench(tmp_path, monkeypatch):
    """Run the command on a folder with one definition file; its name is the test's own."""
    (tmp_path / f"bench_{tmp_path.name.replace('-', '_')}.py").write_text(DEFINITION)
    monkeypatch.setattr(command, "DEFINITIONS", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    app = typer.Typer(cls=OneLineErrors)
    app.command("bench")(command.bench)
    app.command("other")(lambda: None)

    def run(*arguments):
        return CliRunner().invoke(app, ["bench", *arguments])

    return run


def test_json_has_the_five_keys_of_every_number_and_the_machine(run_bench):
    outcome = run_bench("--json")

    report = json.loads(outcome.stdout)
    assert outcome.exit_code == 0
    assert report["machine"]["cores"] >= 1
    assert report["machine"]["python"].startswith("3.")
    assert [row["name"] for row in report["results"]] == ["pair.left", "pair.right"]
    for row in report["results"]:
        assert {"name", "value", "unit", "baseline", "ratio"} <= row.keys()
    assert report["results"][0]["ratio"] == 4.0
    assert report["skipped"] == [{"name": "absent", "reason": "needs a thousand cores"}]


def test_table_names_value_baseline_and_what_was_not_measured(run_bench, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")

    outcome = run_bench()

    assert outcome.exit_code == 0
    assert "slow twin" in outcome.stdout
    assert "4.00 x" in outcome.stdout
    assert "3,500,000" in outcome.stdout
    assert "absent: not measured: needs a thousand cores" in outcome.stdout


def test_only_takes_a_group_by_the_part_before_its_dot(run_bench):
    outcome = run_bench("--json", "--only", "pair")

    report = json.loads(outcome.stdout)
    assert len(report["results"]) == 2
    assert report["skipped"] == []


def test_only_takes_one_number_of_a_measurement_of_two(run_bench):
    outcome = run_bench("--json", "--only", "pair.right")

    report = json.loads(outcome.stdout)
    assert [row["name"] for row in report["results"]] == ["pair.right"]


def test_unknown_name_is_refused_with_the_known_ones(run_bench):
    outcome = run_bench("--only", "pai")

    assert outcome.exit_code == EXIT_USAGE
    assert "pair.left" in outcome.stderr


def test_missing_folder_is_refused_in_one_line(run_bench, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "DEFINITIONS", tmp_path / "nowhere")

    outcome = run_bench()

    assert outcome.exit_code == EXIT_USAGE
    assert "need a source checkout" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_name_defined_twice_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    for file in ("bench_twin_first.py", "bench_twin_second.py"):
        (tmp_path / file).write_text(DEFINITION)

    with pytest.raises(BenchmarkError, match=r"pair\.left"):
        load_benchmarks(tmp_path)


def test_checkout_defines_every_number_that_exists_today():
    names = select(load_benchmarks(command.DEFINITIONS), ())

    assert {
        "seqlock_write", "seqlock_read", "ring_throughput", "engine_scan.1", "engine_scan.1000",
        "engine_scan.all", "decode.binance_spot", "decode.binance_futures", "decode.okx_spot",
        "decode.okx_futures", "write_to_signal.spin", "write_to_signal.eventfd", "feed_rss",
        "socket_to_store.websockets_orjson", "socket_to_store.c", "paced_latency.c",
        "socket_to_store_tls.websockets_orjson", "socket_to_store_tls.c",
        *(f"feed_full_universe.{source}" for source in sources()),
        *(f"feed_rss.{source}" for source in sources()),
    } <= set(names)  # fmt: skip


def test_real_benchmark_runs_and_beats_its_python_twin():
    benchmarks = load_benchmarks(command.DEFINITIONS)

    results = list(run_benchmarks(benchmarks, ["seqlock_write"]))

    assert [result.name for result in results] == ["seqlock_write"]
    assert results[0].ratio > 1


NEEDS_TWO_CORES = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="the two sides need a core each"
)


@NEEDS_TWO_CORES
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_all_three_receivers_leave_the_same_prices_in_the_store(monkeypatch, tmp_path, scheme):
    monkeypatch.syspath_prepend(str(command.DEFINITIONS))
    c_receiver, regions_of, peers, receivers = map(
        importlib.import_module, ("c_receiver", "mapped_regions", "peer", "receivers")
    )

    count, path, tables = 2_000, "/burst/2000", []
    ca_file = tmp_path / "ca.pem" if scheme == "wss" else None
    if scheme == "wss" and not Path("/usr/include/openssl/ssl.h").exists():
        pytest.skip("no headers of OpenSSL on this machine")
    with peers.peer("frame_sender.py", count, *filter(None, [ca_file])) as sender:
        url = f"{scheme}://127.0.0.1:{(port := int(peers.line_of(sender)))}{path}"
        context = ca_file and Trust(ca_file).context()
        for receive in (
            lambda regions: receivers.FeedReceiver(regions, context).burst(url, count),
            lambda regions: c_receiver.CReceiver(regions, ca_file).burst(port, path, count),
            lambda regions: receivers.PythonReceiver(regions, context).burst(url, count),
        ):
            with regions_of.temporary_regions() as regions:
                receive(regions)
                tables.append(regions.price_table()[:600].copy())

    ours, by_c, by_python = tables
    written = ours["bid"] > 0
    assert written.sum() > 500
    for field in ("bid", "ask", "bid_qty", "ask_qty", "update_id"):
        assert (ours[field][written] == by_c[field][written]).all()
        assert (ours[field][written] == by_python[field][written]).all()


def test_sender_makes_one_record_of_each_part(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(command.DEFINITIONS))
    channels = importlib.import_module("tls_channel")
    server, raw = socket.socketpair()
    received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
    served = server_context(tmp_path / "ca.pem")
    context = Trust(tmp_path / "ca.pem").context()
    client = context.wrap_bio(received, to_send, server_hostname="localhost")
    parts = [b"first", b"second", b"third"]

    def serve():
        channel = channels.TlsChannel(server, served)
        channel.recv(1)
        channel.send_records([memoryview(part) for part in parts])
        server.close()

    with raw, futures.ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve)
        while not has_agreed(client):
            raw.sendall(to_send.read())
            received.write(raw.recv(65_536))
        client.write(b"x")
        raw.sendall(to_send.read())
        while chunk := raw.recv(65_536):
            received.write(chunk)
        serving.result()

    # One call returns at most one record.
    assert [client.read(100) for _ in parts] == parts


def has_agreed(client):
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


@NEEDS_TWO_CORES
def test_eventfd_alone_is_measured_once_for_each_sample(monkeypatch):
    monkeypatch.syspath_prepend(str(command.DEFINITIONS))

    assert importlib.import_module("wake_floor").eventfd_us(200) > 0


def test_priority_of_a_latency_is_given_back(monkeypatch):
    monkeypatch.syspath_prepend(str(command.DEFINITIONS))
    before = os.sched_getscheduler(0)

    with importlib.import_module("peer").ahead_of_others():
        pass

    assert os.sched_getscheduler(0) == before


def test_benchmark_that_returns_other_names_than_declared_is_a_mistake():
    wrong = Benchmark(("declared",), lambda: [Result(name="other", value=1.0, unit="ns")])

    with pytest.raises(AssertionError):
        list(run_benchmarks([wrong], ["declared"]))


def test_benchmark_that_was_not_asked_for_does_not_run():
    def explode():
        raise AssertionError

    found = list(run_benchmarks([Benchmark(("quiet",), explode)], []))

    assert found == []


def test_cannot_measure_skips_its_own_numbers_only():
    def absent():
        raise CannotMeasure("no cc")

    fine = Benchmark(("fine",), lambda: [Result(name="fine", value=1.0, unit="ns")])

    found = list(run_benchmarks([Benchmark(("a", "b"), absent), fine], ["b", "fine"]))

    assert found == [Skipped("b", "no cc"), Result(name="fine", value=1.0, unit="ns")]


def test_sides_alternate_and_the_first_round_does_not_count():
    order = []
    values = iter([100.0, 100.0, 1.0, 10.0, 3.0, 30.0, 2.0, 20.0])

    def side(name):
        def measure():
            order.append(name)
            return next(values)

        return measure

    medians = in_turns(3, side("a"), side("b"))

    assert order == ["a", "b"] * 4
    assert medians == [2.0, 20.0]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [([5.0], (5.0,) * 4), (list(range(1_001)), (500, 900, 990, 999)), ([3, 1, 2], (2, 3, 3, 3))],
)
def test_percentiles_are_of_the_samples_in_order(samples, expected):
    assert percentiles(samples) == expected


def test_machine_is_described_without_privileges():
    machine = describe_machine()

    assert machine.cpu
    assert machine.kernel
    assert machine.load_1m >= 0


@pytest.mark.parametrize("wait", ["spin", "adaptive", "eventfd"])
def test_engine_of_the_benches_has_a_whole_configuration(monkeypatch, wait):
    monkeypatch.syspath_prepend(str(command.DEFINITIONS))
    market = importlib.import_module("engine_market")

    assert market.engine_config(wait).wait == wait
    assert market.all_routes()
