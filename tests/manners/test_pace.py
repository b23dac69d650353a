"""No window of time ever holds more events than the exchange allows."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spreadscan.manners.pace import Pace


def turns(pace, asked_at_s):
    return [now_s + pace.take(now_s) for now_s in asked_at_s]


def test_events_within_the_limit_do_not_wait():
    assert turns(Pace(3, 1.0), [0.0, 0.0, 0.5]) == [0.0, 0.0, 0.5]


def test_event_beyond_the_limit_waits_for_the_window_to_pass():
    assert turns(Pace(2, 1.0), [0.0, 0.25, 0.5, 0.5]) == [0.0, 0.25, 1.0, 1.25]


def test_burst_is_spread_over_windows():
    assert turns(Pace(2, 10.0), [5.0] * 6) == [5.0, 5.0, 15.0, 15.0, 25.0, 25.0]


def test_old_events_do_not_count():
    assert turns(Pace(1, 1.0), [0.0, 100.0]) == [0.0, 100.0]


def test_limit_of_no_events_at_all_is_a_mistake():
    with pytest.raises(AssertionError):
        Pace(0, 1.0)


@given(
    count=st.integers(1, 8),
    window_s=st.floats(0.1, 300.0),
    gaps_s=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=120),
)
def test_any_window_holds_at_most_the_limit(count, window_s, gaps_s):
    pace = Pace(count, window_s)
    now_s, taken_s = 0.0, []
    for gap_s in gaps_s:
        now_s += gap_s
        taken_s += turns(pace, [now_s])

    # Equal turns may differ by a rounding: they are told as waits.
    assert all(after - first >= -1e-9 for first, after in itertools.pairwise(taken_s))
    for first, after in zip(taken_s, taken_s[count:], strict=False):
        assert after - first >= window_s * (1 - 1e-9)


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=50))
def test_nobody_waits_longer_than_the_queue_ahead_needs(gaps_s):
    pace = Pace(2, 1.0)
    now_s = 0.0
    for number, gap_s in enumerate(gaps_s):
        now_s += gap_s

        assert 0.0 <= pace.take(now_s) <= number // 2 + 1e-9
