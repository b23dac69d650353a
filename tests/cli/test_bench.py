"""``spreadscan bench`` and the small frame behind it, on benchmarks of the tests' own."""

import importlib
import json
import os

import pytest
import typer
from typer.testing import CliRunner

from spreadscan.cli import bench as command
from spreadscan.cli.group import OneLineErrors
from spreadscan.errors import EXIT_USAGE
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
    } <= set(names)  # fmt: skip


def test_real_benchmark_runs_and_beats_its_python_twin():
    benchmarks = load_benchmarks(command.DEFINITIONS)

    results = list(run_benchmarks(benchmarks, ["seqlock_write"]))

    assert [result.name for result in results] == ["seqlock_write"]
    assert results[0].ratio > 1


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="sender and receiver need a core each")
def test_all_three_receivers_leave_the_same_prices_in_the_store(monkeypatch):
    monkeypatch.syspath_prepend(str(command.DEFINITIONS))
    c_receiver, regions_of, peers, receivers = map(
        importlib.import_module, ("c_receiver", "mapped_regions", "peer", "receivers")
    )

    count, path, tables = 2_000, "/burst/2000", []
    with peers.peer("frame_sender.py", count) as sender:
        port = int(peers.line_of(sender))
        for receive in (
            lambda regions: receivers.FeedReceiver(regions).burst(
                f"ws://127.0.0.1:{port}{path}", count
            ),
            lambda regions: c_receiver.CReceiver(regions).burst(port, path, count),
            lambda regions: receivers.PythonReceiver(regions).burst(
                f"ws://127.0.0.1:{port}{path}", count
            ),
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
    [([5.0], (5.0, 5.0, 5.0)), (list(range(101)), (50, 90, 99)), ([3, 1, 2], (2, 3, 3))],
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
