import pytest

from spreadscan.ops.ledger import EpisodeSummary
from spreadscan.ops.statistics import Usual, route_statistics, survival

SECOND_NS = 1_000_000_000


def episode(
    number, life_s, ending="converged", *, opened_s=0.0, previous=None, symbol="A", seen_s=None,
    **more,
):  # fmt: skip
    values = {
        "first_net_bps": 5.0, "peak_net_bps": 10.0 + number, "last_net_bps": 0.0,
        "peak_gross_bps": 40.0, "peak_after_ns": number * SECOND_NS, "peak_usd": 100.0,
        "re_signals": 0, "snapshots": 1, "snapshots_unusable": 0,
    } | more  # fmt: skip
    return EpisodeSummary(
        episode_id=number, previous_id=previous, direction="d", symbol=symbol,
        opened_wall_ns=round(opened_s * SECOND_NS), life_ns=round(life_s * SECOND_NS),
        seen_ns=round((life_s if seen_s is None else seen_s) * SECOND_NS),
        ending=ending, **values,
    )  # fmt: skip


def test_survival_without_broken_off_lives_is_the_share_that_lived_longer():
    lives = [episode(n, life) for n, life in enumerate((0.05, 0.5, 5.0, 50.0))]

    assert [survival(lives, after) for after in (0.1, 1.0, 10.0, 60.0)] == [0.75, 0.5, 0.25, 0.0]


def test_life_that_broke_off_counts_for_as_long_as_it_was_seen():
    lives = [episode(1, 1.0), episode(2, 2.0, "lost"), episode(3, 3.0), episode(4, 4.0)]

    # Kaplan-Meier by hand: 3/4 after 1 s; at 3 s two are at risk, one dies.
    assert survival(lives, 2.5) == pytest.approx(0.75)
    assert survival(lives, 3.5) == pytest.approx(0.375)


def test_time_out_of_sight_before_an_episode_was_given_up_is_no_life():
    lives = [episode(1, 0.5), episode(2, 120.4, "lost", seen_s=0.4)]

    assert survival(lives, 0.45) == 1.0
    assert survival(lives, 1.0) == 0.0


def test_nobody_knows_what_happens_after_the_longest_life_that_broke_off():
    lives = [episode(1, 1.0), episode(2, 2.0, None)]

    assert survival(lives, 1.5) == 0.5
    assert survival(lives, 10.0) is None
    assert survival([], 1.0) is None


def test_routes_are_counted_each_and_all_together():
    rows = route_statistics(
        [
            episode(1, 2.0, opened_s=0),
            episode(2, 4.0, opened_s=10, previous=1),
            episode(3, 9.0, "expired", opened_s=500, previous=2),
            episode(4, 1.0, None, opened_s=600, symbol="B"),
        ],
        {("d", "A"): Usual(12.5, 1.5, 99)},
    )

    everything, first, second = rows
    assert (everything.count, everything.open) == (4, 1)
    assert (first.symbol, first.count, first.median_life_s) == ("A", 3, 3.0)
    assert first.share_converged == pytest.approx(2 / 3)
    assert first.rearm_rate == pytest.approx(1 / 3)
    assert (first.median_peak_net_bps, first.median_time_to_peak_s) == (12.0, 2.0)
    assert (first.usual_gross_bps, first.usual_mad_bps) == (12.5, 1.5)
    assert everything.usual_gross_bps is second.usual_gross_bps is None
    assert (second.symbol, second.share_converged, second.rearm_rate) == ("B", None, None)


def test_nothing_has_no_statistics():
    assert route_statistics([], {}) == []
