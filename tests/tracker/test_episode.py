import math

import pytest
from tracker_cases import BOOT, NOW_NS, OFFSET_NS, SECOND_NS, WALL_NS, opened_book, signal

from spreadscan.model import SignalType
from spreadscan.tracker.episode import Ending, EpisodeIds, is_sound, rebased


def test_ids_grow_with_the_wall_clock_and_stay_exact_as_doubles():
    ids = EpisodeIds(0)

    first, second = ids.next(WALL_NS), ids.next(WALL_NS)

    assert (first, second) == (1_750_000_000 << 20, (1_750_000_000 << 20) + 1)
    assert int(float(second)) == second


def test_ids_do_not_repeat_when_the_wall_clock_steps_back():
    ids = EpisodeIds(0)
    given = [ids.next(WALL_NS + step * SECOND_NS) for step in (0, 1, -3600, -3600, 2, -3600)]

    assert given == sorted(set(given))


def test_ids_continue_above_the_highest_stored_one():
    assert EpisodeIds(WALL_NS).next(WALL_NS) == WALL_NS + 1


@pytest.mark.parametrize(
    "field",
    ["gross_bps", "net_bps", "executable_usd", "spot_ask", "futures_bid_qty", "futures_ask"],
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_signal_with_a_number_that_is_none_is_not_sound(field, value):
    assert is_sound(signal())

    assert not is_sound(signal(**{field: value}))


@pytest.mark.parametrize(
    "field", [{"spot_bid": 0.0}, {"futures_bid": -1.0}, {"type": 0}, {"type": 4},
              {"spot_source": 8}, {"futures_source": 200}],
)  # fmt: skip
def test_signal_with_an_impossible_field_is_not_sound(field):
    assert not is_sound(signal(**field))


def test_late_signal_raises_the_peak_but_does_not_turn_the_last_moment_back():
    _, episode = opened_book(net_bps=20.0)
    last = episode.first._replace(time_ns=NOW_NS + 5, net_bps=10.0)
    late = episode.first._replace(time_ns=NOW_NS + 3, net_bps=40.0)

    episode.observe(last)
    is_peak = episode.observe(late)

    assert is_peak
    assert (episode.peak, episode.last) == (late, last)


def test_equal_spread_later_leaves_the_peak_at_its_first_time():
    _, episode = opened_book(net_bps=20.0)

    is_peak = episode.observe(episode.first._replace(time_ns=NOW_NS + 9))

    assert not is_peak
    assert episode.peak.time_ns == NOW_NS


def test_episode_cannot_end_twice():
    _, episode = opened_book()
    episode.end(Ending.EXPIRED, NOW_NS + 1, OFFSET_NS)

    with pytest.raises(AssertionError):
        episode.end(Ending.CONVERGED, NOW_NS + 2, OFFSET_NS)

    assert episode.ending is Ending.EXPIRED


def test_ending_dated_before_the_opening_gives_no_negative_life():
    _, episode = opened_book()

    episode.end(Ending.CONVERGED, NOW_NS - 50, OFFSET_NS)

    assert episode.ended_ns == episode.opened_ns
    assert episode.ended_wall_ns == WALL_NS


def test_episode_of_this_boot_keeps_its_times_whatever_the_wall_clock_says():
    _, episode = opened_book()

    kept = rebased(episode, BOOT, NOW_NS + 7, WALL_NS - 3600 * SECOND_NS)

    assert kept is episode


def test_episode_that_outlived_a_reboot_keeps_its_age_by_the_wall_clock():
    _, episode = opened_book()
    episode.observe(episode.first._replace(time_ns=NOW_NS + 4 * SECOND_NS, net_bps=50.0))

    moved = rebased(episode, "other-boot", 3 * SECOND_NS, WALL_NS + 100 * SECOND_NS)

    assert moved.boot_id == "other-boot"
    assert moved.opened_ns == -97 * SECOND_NS
    assert moved.peak.time_ns - moved.opened_ns == 4 * SECOND_NS
    assert moved.last.time_ns == moved.peak.time_ns
    assert moved.first.time_ns == moved.opened_ns
    assert moved.opened_wall_ns == episode.opened_wall_ns


def test_reboot_with_a_wall_clock_before_the_opening_counts_the_life_from_now():
    _, episode = opened_book()

    moved = rebased(episode, "other-boot", 3 * SECOND_NS, WALL_NS - 3600 * SECOND_NS)

    assert moved.opened_ns == 3 * SECOND_NS


def test_signal_types_are_those_the_soundness_check_spans():
    assert [is_sound(signal(kind)) for kind in SignalType] == [True] * 3
