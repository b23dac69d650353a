"""What a terminal of 80 columns shows."""

from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from spreadscan.cli.board_view import (
    MIN_ROUTES,
    Choice,
    board_screen,
    plain_line,
    routes_that_fit,
    sparkline,
    starting_screen,
)
from spreadscan.ops.board import BoardState, Episodes, Order, RouteRow, SourceRow
from spreadscan.ops.ledger import EpisodeSummary
from spreadscan.ops.reconcile import Child, Phase

STATE = BoardState(
    uptime_s=3_725.4,
    sources=tuple(
        SourceRow(
            name=name,
            state="running",
            status="",
            live=59,
            expected=64,
            messages=1_234_567,
            messages_per_s=2_345.6,
            newest_age_ms=age,
            restarts=0,
        )
        for name, age in (("binance_spot", 12.0), ("okx_futures", None))
    ),
    routes=(
        RouteRow(
            symbol="1000PEPE-USDT",
            spot_source="binance_spot",
            futures_source="okx_futures",
            gross_bps=152.34,
            net_bps=122.34,
            executable_usd=12_345.6,
            spot_age_ms=12.0,
            futures_age_ms=3_456.0,
        ),
    ),
    usable_routes=118,
    all_routes=128,
    signals=12,
    episodes=Episodes(opened=9, open=4, converged=4, expired=0, delisted=1),
    recent=(
        EpisodeSummary(
            episode_id=1, direction="binance_spot_okx_futures", symbol="BTC-USDT",
            opened_wall_ns=0, life_ns=2_500_000_000, seen_ns=2_500_000_000, ending="converged",
            first_net_bps=8.0, peak_net_bps=21.5, last_net_bps=-0.3, peak_gross_bps=51.5,
            peak_after_ns=0, peak_usd=900.0, re_signals=0, snapshots=12, snapshots_unusable=0,
        ),
    ),
    latency_p50_ns=4_200,
    latency_p99_ns=88_000,
)  # fmt: skip


def drawn(screen, width=80):
    console = Console(width=width, height=40, force_terminal=False, record=True, file=open_null())
    console.print(screen)
    return console.export_text()


def open_null():
    return Path("/dev/null").open("w", encoding="utf-8")


def test_board_says_everything_within_80_columns():
    text = drawn(board_screen("spreadscan on simulated exchanges", STATE))

    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
    for words in (
        "1:02:05", "binance_spot", "59/64", "1,234,567", "2,346", "12 ms", "none",
        "1000PEPE-USDT", "binance > okx", "+122.3", "12,346", "12/3456",
        "118 of 128 usable", "converged", "+21.5", "2.5 s",
        "12 signals; 9 episodes: 4 open, 4 converged, 0 expired, 1 delisted",
        "p50 4.2 µs, p99 88.0 µs", "Ctrl-C stops",
    ):  # fmt: skip
        assert words in text, words


def test_chosen_row_order_and_filter_are_shown_with_the_keys():
    routes = (
        STATE.routes[0],
        msgspec.structs.replace(
            STATE.routes[0], symbol="BTC-USDT", z_score=3.21, funding_bps=-1.5, funding_s=3_661.0
        ),
    )
    state = msgspec.structs.replace(STATE, routes=routes, held_back="okx_spot (maintenance)")
    choice = Choice(order=Order.Z_SCORE, only="usdt", selected=1, keys="q quit")

    narrow = drawn(board_screen("x", state, choice=choice))
    wide = drawn(board_screen("x", state, width=200, choice=choice), width=200)

    for text in (narrow, wide):
        assert "routes by z-score (118 of 128 usable, only 'usdt')" in text
        assert "held back: okx_spot (maintenance)" in text
        assert "+3.2" in text
        assert "1:01:01" in text
        assert "q quit" in text
    assert "-1.50" not in narrow
    assert "-1.50" in wide
    assert all(len(line.rstrip()) <= 80 for line in narrow.splitlines())


def test_open_episode_is_drawn_with_its_path():
    row = msgspec.structs.replace(STATE.recent[0], ending=None)
    state = msgspec.structs.replace(STATE, recent=(row,), paths={1: (0.0, 5.0, 10.0, 5.0)})

    assert "open ▁▅█▅" in drawn(board_screen("x", state))


@pytest.mark.parametrize(
    ("values", "bars"), [((), ""), ((1.0,), ""), ((2.0, 2.0), "▁▁"), ((9.0, 0.0, 1.0, 2.0), "▁▅█")]
)
def test_sparkline_shows_the_last_values_between_their_bounds(values, bars):
    assert sparkline(values, 3) == bars


def test_board_fits_the_terminal_it_was_measured_for():
    for height in (24, 30, 50):
        room = routes_that_fit(height, sources=4)
        state = msgspec.structs.replace(
            STATE,
            sources=STATE.sources * 2,
            routes=STATE.routes * room,
            recent=STATE.recent * 8,
        )

        lines = drawn(board_screen("spreadscan", state)).rstrip("\n").splitlines()

        assert len(lines) <= height or room == MIN_ROUTES


def test_board_that_measured_nothing_yet_invents_nothing():
    state = msgspec.structs.replace(
        STATE, routes=(), recent=(), latency_p50_ns=0, latency_p99_ns=0, usable_routes=0
    )

    text = drawn(board_screen("spreadscan", state))

    assert "0 of 128 usable" in text
    assert "its scan: -" in text


def test_note_of_trouble_stands_below_the_header():
    text = drawn(board_screen("spreadscan", STATE, ["feed-okx-spot: restarted 2 times"]))

    assert text.splitlines()[1].startswith("feed-okx-spot: restarted 2 times")


def test_first_screen_tells_what_is_up_and_what_is_to_come():
    children = {
        "shm-init": Child(phase=Phase.DONE),
        "pair-discovery": Child(phase=Phase.STARTING),
        "spread-engine": Child(phase=Phase.WAITING, failures=2),
    }

    text = drawn(starting_screen("spreadscan on okx", children))

    assert "spreadscan on okx" in text
    assert "✓  shm-init" in text
    assert "…  pair-discovery" in text
    assert "waiting (attempt 3)" in text
    assert "Ctrl-C stops" in text


@pytest.mark.parametrize(("routes", "widest"), [
    (STATE.routes, "widest=+122.3bps 1000PEPE-USDT binance > okx"), ((), "widest=none"),
])  # fmt: skip
def test_plain_line_is_one_line_with_every_number(routes, widest):
    line = plain_line(msgspec.structs.replace(STATE, routes=routes))

    assert "\n" not in line
    assert "binance_spot=59/64" in line
    assert widest in line
    assert "signals=12 episodes opened=9 open=4 converged=4 expired=0 delisted=1" in line
