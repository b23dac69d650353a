"""Questions over days in the ledger and days in Parquet, and what the commands print."""

import csv
import io
import json
import shutil
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from history_cases import DAY_NS, Days, three_days
from tracker_cases import DIRECTION, NOW_NS, OFFSET_NS
from typer.testing import CliRunner

from spreadscan.cli.ctl import app
from spreadscan.cli.history_view import sparkline
from spreadscan.cli.main import app as spreadscan
from spreadscan.config import load_config
from spreadscan.ops.compact import compact
from spreadscan.ops.export import FORMATS, export
from spreadscan.ops.history import EpisodeQuery, History
from spreadscan.tracker.parts import Part, ledger_parts

WALL_NS = NOW_NS + OFFSET_NS
CONFIG = Path(__file__).parents[2] / "config" / "config.toml"


@pytest.fixture
def config_file(make_config):
    return make_config({})


@pytest.fixture(scope="module", params=["ledger", "compacted"])
def built(request, tmp_path_factory):
    """Three days, made once; each test has a copy."""
    path = tmp_path_factory.mktemp("history") / "data"
    three_days(path).store.close()
    if request.param == "compacted":
        shipped = load_config(CONFIG)
        tracker = msgspec.structs.replace(shipped.tracker, data_dir=str(path))
        compact(msgspec.structs.replace(shipped, tracker=tracker), WALL_NS + 3 * DAY_NS)
    return path


@pytest.fixture
def folder(built, config_file):
    config = load_config(config_file)
    path = config.path(config.tracker.data_dir)
    shutil.copytree(built, path)
    return path


def symbols(folder, **query):
    return [row.symbol for row in History(folder).summaries(EpisodeQuery(**query))]


def test_open_episodes_come_first_then_the_latest_ended(folder):
    assert symbols(folder) == ["SOL-USDT", "ETH-USDT", "BTC-USDT"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"symbol": "ETH-USDT"}, ["ETH-USDT"]),
        ({"direction": DIRECTION}, ["SOL-USDT", "ETH-USDT", "BTC-USDT"]),
        ({"direction": "none"}, []),
        ({"min_net_bps": 30.0}, ["ETH-USDT", "BTC-USDT"]),
        ({"reason": "converged"}, ["ETH-USDT", "BTC-USDT"]),
        ({"reason": "open"}, ["SOL-USDT"]),
        ({"reason": "lost"}, []),
        ({"since_wall_ns": WALL_NS + DAY_NS}, ["SOL-USDT"]),
        ({"since_wall_ns": WALL_NS + 1}, ["SOL-USDT", "ETH-USDT"]),
        ({"since_wall_ns": WALL_NS + 9 * DAY_NS}, []),
    ],
)
def test_query_finds_what_it_asks_for_on_all_days(folder, query, expected):
    assert symbols(folder, **query) == expected


@pytest.mark.parametrize("is_compacted", [False, True])
@pytest.mark.parametrize(
    ("days_off", "since_days", "expected"),
    [(-200, 0, ["SOL-USDT", "BTC-USDT"]), (200, 100, ["ETH-USDT"])],
    ids=["behind", "ahead"],
)
def test_since_finds_what_was_recorded_before_and_by_a_clock_that_was_wrong(
    config_file, days_off, since_days, expected, is_compacted
):
    config = load_config(config_file)
    days = Days(config.path(config.tracker.data_dir))
    for symbol_id, offset_ns in ((7, 0), (8, days_off * DAY_NS), (9, 0)):
        days.set_clock(offset_ns)
        days.open(symbol_id)
        days.close(symbol_id)
        days.next_day()
    days.store.close()
    if is_compacted:
        assert compact(config, WALL_NS).failed == ()

    since_wall_ns = WALL_NS + since_days * DAY_NS
    assert symbols(days.folder, since_wall_ns=since_wall_ns) == expected


def test_limit_is_a_limit(folder):
    found = History(folder).summaries(EpisodeQuery(), limit=2)

    assert [row.symbol for row in found] == ["SOL-USDT", "ETH-USDT"]


def test_episode_over_midnight_has_its_whole_path_in_order(folder):
    history = History(folder)
    (row,) = history.summaries(EpisodeQuery(symbol="ETH-USDT"))

    path = history.path(row.episode_id)

    assert [point.net_bps for point in path] == [51.0, 60.0]
    assert path[0].t_ms == 200
    assert (row.peak_net_bps, row.z_score, row.ending) == (60.0, 6.5, "converged")


def test_part_that_cannot_be_read_is_named_and_left_out(folder):
    newest = ledger_parts(folder)[-1].ledger(folder)
    newest.write_bytes(b"torn " * 3000)
    history = History(folder)

    found = history.summaries(EpisodeQuery())

    assert [row.symbol for row in found] == ["ETH-USDT", "BTC-USDT"]
    assert [newest.name in sentence for sentence in history.troubles] == [True]


@pytest.mark.parametrize("since_wall_ns", [None, 0])
def test_file_of_another_program_among_the_days_is_named_and_left_out(folder, since_wall_ns):
    foreign = Part(1, "2025-06-14").episodes(folder)
    foreign.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"price": [1.5]}), foreign)
    history = History(folder)

    found = history.summaries(EpisodeQuery(since_wall_ns=since_wall_ns))

    assert len(found) == 3
    assert [foreign.name in sentence for sentence in history.troubles] == [True]


@pytest.mark.parametrize("kind", FORMATS)
def test_export_has_every_episode_with_every_field(folder, kind):
    target = io.BytesIO()

    rows = export(History(folder), EpisodeQuery(), kind, target)

    text = target.getvalue()
    assert rows == 3
    if kind == "parquet":
        found = pq.read_table(io.BytesIO(text)).to_pylist()
    elif kind == "csv":
        found = list(csv.DictReader(io.StringIO(text.decode())))
    else:
        found = [json.loads(line) for line in text.splitlines()]
    assert [row["symbol"] for row in found] == ["SOL-USDT", "ETH-USDT", "BTC-USDT"]
    assert float(found[1]["peak_net_bps"]) == 60.0
    assert float(found[1]["first_spot_ask"]) == 100.0
    assert found[0]["ending"] in {None, ""}


def test_export_of_paths_has_the_snapshots_of_what_was_asked_for(folder):
    target = io.BytesIO()

    rows = export(
        History(folder), EpisodeQuery(symbol="ETH-USDT"), "parquet", target, is_paths=True
    )

    table = pq.read_table(io.BytesIO(target.getvalue()))
    assert rows == 2
    assert pa.compute.subtract(table["gross_bps"], table["cost_bps"]).to_pylist() == [51.0, 60.0]


def run(config_file, *words):
    return CliRunner().invoke(app, [*words, "--config", str(config_file)])


def test_history_command_lists_episodes(folder, config_file):
    plain = run(config_file, "history", "--reason", "converged")
    shown = run(config_file, "history", "--symbol", "ETH-USDT", "--json")

    assert plain.exit_code == 0
    assert [line.split()[3] for line in plain.stdout.splitlines()[1:]] == ["ETH-USDT", "BTC-USDT"]
    (row,) = json.loads(shown.stdout)["episodes"]
    assert (row["symbol"], row["ending"], row["peak_net_bps"]) == ("ETH-USDT", "converged", 60.0)


@pytest.mark.parametrize(
    ("since", "expected"), [("2025-06-16", ["SOL-USDT"]), ("20000d", None), ("2025-06-15", None)]
)
def test_since_is_a_day_or_a_span(folder, config_file, since, expected):
    shown = run(config_file, "history", "--since", since, "--json")

    found = [row["symbol"] for row in json.loads(shown.stdout)["episodes"]]
    assert found == (expected or ["SOL-USDT", "ETH-USDT", "BTC-USDT"])


@pytest.mark.parametrize("words", [("--reason", "vanished"), ("--since", "yesterday")])
def test_option_that_nothing_can_match_is_a_usage_error(folder, config_file, words):
    assert run(config_file, "history", *words).exit_code == 64


def test_episode_command_draws_the_path(folder, config_file):
    row = History(folder).summaries(EpisodeQuery(symbol="ETH-USDT"))[0]

    plain = run(config_file, "episode", str(row.episode_id))
    shown = run(config_file, "episode", str(row.episode_id), "--json")

    assert "▁█" in plain.stdout
    assert "6.5 deviations from what is usual" in plain.stdout
    assert [point["net_bps"] for point in json.loads(shown.stdout)["path"]] == [51.0, 60.0]


def test_unknown_episode_is_said_so(folder, config_file):
    done = run(config_file, "episode", "12345")

    assert done.exit_code == 64
    assert "found no episode 12345" in done.stderr


def test_export_command_writes_a_file(folder, config_file, tmp_path):
    target = tmp_path / "out.jsonl"

    done = run(config_file, "export", "--format", "jsonl", "--output", str(target))

    assert done.exit_code == 0
    assert "3 episodes" in done.stdout
    assert len(target.read_text().splitlines()) == 3


def test_statistics_command_shows_all_routes_and_each(folder, config_file):
    plain = run(config_file, "statistics")
    shown = run(config_file, "statistics", "--json")

    rows = json.loads(shown.stdout)["routes"]
    assert plain.exit_code == 0
    assert [row["count"] for row in rows] == [3, 1, 1, 1]
    assert rows[0]["share_converged"] == 1.0
    assert set(rows[0]["survival"]) == {"0.1", "1", "10", "60"}


def test_compact_command_says_what_it_did(folder, config_file):
    words = ["compact", "--config", str(config_file)]
    first = CliRunner().invoke(spreadscan, words)
    second = CliRunner().invoke(spreadscan, words)

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert second.stdout == "nothing to compact\n"


def test_history_without_a_ledger_exits_3(config_file):
    done = run(config_file, "history")

    assert done.exit_code == 3
    assert "has not run yet" in done.stderr


def test_sparkline_shows_the_highest_of_each_stretch_and_leaves_gaps_blank():
    assert sparkline([(0, 0.0), (100, 7.0)], 10) == "▁█"
    assert sparkline([(0, 3.0)], 10) == "▁"
    assert sparkline([(t, 1.0 if t == 500 else 0.0) for t in range(0, 1001, 100)], 3) == "▁█▁"
    assert sparkline([(0, 0.0), (100, 7.0), (1000, 3.0)], 3) == "█ ▄"
