"""Tables of the past at the widths of terminals: what the next command needs is never cut."""

import io

import pytest
from rich.console import Console

from spreadscan.cli.history_view import episodes_table, statistics_table
from spreadscan.ops.ledger import EpisodeSummary
from spreadscan.ops.statistics import route_statistics

S = 1_000_000_000
ID = 1_883_199_000_018_949


def summary(**values):
    return EpisodeSummary(
        **{
            "episode_id": ID, "direction": "binance_spot_bybit_futures", "symbol": "PENDLE-USDT",
            "opened_wall_ns": 1_764_422_834 * S, "life_ns": 118 * S, "seen_ns": 118 * S,
            "ending": "converged", "first_net_bps": 12.5, "peak_net_bps": 1_999.9,
            "last_net_bps": -1.0, "peak_gross_bps": 2_020.0, "peak_after_ns": 3 * S,
            "peak_usd": 123_456.0, "re_signals": 3, "snapshots": 590, "snapshots_unusable": 0,
        }
        | values
    )  # fmt: skip


def lines(table, width):
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 100, 139, 200])
def test_episode_is_told_by_its_whole_id_at_every_width(width):
    rows = [summary(), summary(ending=None, symbol="1000000MOG-USDT", life_ns=10_000 * S)]

    _, first, second = lines(episodes_table(rows, width), width)

    assert max(len(first), len(second)) <= width
    assert first.startswith(str(ID))
    assert first.rstrip().endswith("converged")
    assert second.rstrip().endswith("open")
    assert "1999.9" in first


@pytest.mark.parametrize("width", [80, 200])
def test_statistics_of_all_and_of_each_route_fit(width):
    table = statistics_table(route_statistics([summary()], {}), width)

    found = lines(table, width)

    assert max(map(len, found)) <= width
    assert found[1].startswith("*")
    assert "PENDLE-USDT" in found[2]
    assert "100%" in found[2]
