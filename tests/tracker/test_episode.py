import pytest
from tracker_cases import BOOT, CLOCKS, NOW_NS, SECOND_NS, WALL_NS, opened_case

from spreadscan.tracker.columns import ENDING_CODES
from spreadscan.tracker.episode import Clocks, Ending, EpisodeIds, resumed


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


def test_codes_of_endings_are_those_of_the_kernel_and_never_change():
    assert [ENDING_CODES[ending] for ending in Ending] == [1, 2, 3, 4, 5]
    assert ENDING_CODES[Ending.CONVERGED] == 1


@pytest.mark.parametrize("step_s", [0, 3600, -3600])
def test_restart_within_a_boot_keeps_every_time_whatever_the_wall_clock_says(step_s):
    (episode,) = opened_case().open
    now = Clocks(BOOT, NOW_NS + 7, WALL_NS + step_s * SECOND_NS)

    kept = resumed(episode, CLOCKS, now)

    assert (kept.opened_ns, kept.first, kept.last) == (NOW_NS, episode.first, episode.last)
    assert (kept.gaps, kept.gap_ns) == (1, 7)
    assert kept.suspended_since_ns == NOW_NS


@pytest.mark.parametrize("step_s", [0, 3600, -3600])
def test_reboot_marks_the_gap_and_lets_the_life_go_on_from_where_it_was_stored(step_s):
    subject = opened_case()
    subject.look(50.0, NOW_NS + 4 * SECOND_NS)
    (episode,) = subject.open
    before = Clocks(BOOT, NOW_NS + 5 * SECOND_NS, WALL_NS + 5 * SECOND_NS)
    now = Clocks("other-boot", 3 * SECOND_NS, WALL_NS + (25 + step_s) * SECOND_NS)

    moved = resumed(episode, before, now)

    assert moved.boot_id == "other-boot"
    assert now.monotonic_ns - moved.opened_ns == 5 * SECOND_NS
    assert moved.peak.time_ns - moved.opened_ns == 4 * SECOND_NS
    assert moved.first.time_ns == moved.opened_ns
    assert (moved.gaps, moved.gap_ns) == (1, max(0, 20 + step_s) * SECOND_NS)
    assert moved.suspended_since_ns == now.monotonic_ns
    assert moved.opened_wall_ns == episode.opened_wall_ns


def test_episode_that_was_out_of_sight_before_a_restart_stays_so_since_then():
    subject = opened_case()
    subject.look(None, NOW_NS + SECOND_NS)
    (episode,) = subject.open
    before = Clocks(BOOT, NOW_NS + 2 * SECOND_NS, WALL_NS + 2 * SECOND_NS)

    kept = resumed(episode, before, Clocks(BOOT, NOW_NS + 9 * SECOND_NS, WALL_NS))

    assert kept.suspended_since_ns == NOW_NS + SECOND_NS
