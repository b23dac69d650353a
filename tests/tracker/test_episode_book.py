import math

import numpy as np
import pytest
from tracker_cases import (
    BOOT,
    CLOCKS,
    DIRECTION,
    NOW_NS,
    OFFSET_NS,
    SECOND_NS,
    WALL_NS,
    Case,
    names_of,
    opened_case,
    record,
    signals,
)

from spreadscan.model import SignalType
from spreadscan.tracker.episode import MAX_CLOCK_STEP_NS, Clocks, Ending, resumed
from spreadscan.tracker.table import FIRST_ROWS, MAX_REFRESHED

CLOSE, UPDATE = SignalType.CLOSE, SignalType.UPDATE


def test_opening_keeps_route_times_and_quotes_of_its_signal():
    subject = opened_case(net_bps=20.0)

    (episode,) = subject.open
    assert episode.route.key == (DIRECTION, "BTC-USDT")
    assert (episode.opened_ns, episode.opened_wall_ns) == (NOW_NS, WALL_NS)
    assert episode.first == episode.peak == episode.last
    assert episode.first[1:] == (50.0, 20.0, 201.0, 99.9, 100.0, 4.0, 3.0, 100.5, 100.6, 2.0, 1.0)
    assert episode.previous_id is None
    assert subject.store() == [episode]
    assert subject.book.tally.opened == 1


def test_opening_keeps_what_its_signal_says_of_baseline_and_funding():
    known = opened_case(z_score=4.5, net_after_funding_bps=-2.25)
    known.signal(time_ns=NOW_NS + 1, z_score=9.0)
    unknown = opened_case()

    (episode,) = known.open
    assert (episode.z_score, episode.net_after_funding_bps) == (4.5, -2.25)
    assert (unknown.open[0].z_score, unknown.open[0].net_after_funding_bps) == (None, None)


def test_opening_of_an_open_route_is_a_re_signal_of_the_same_episode():
    subject = opened_case()

    subject.signal(time_ns=NOW_NS + 5, net_bps=33.0)

    (episode,) = subject.open
    assert (episode.re_signals, episode.peak.net_bps) == (1, 33.0)
    assert subject.book.tally.re_signals == 1


def test_other_symbol_opens_its_own_episode():
    subject = opened_case()

    subject.signal(symbol_id=8)

    first, second = subject.open
    assert second.episode_id > first.episode_id
    assert second.previous_id is None


def test_close_converges_the_episode_at_the_time_of_the_signal():
    subject = opened_case()

    times = subject.signal(CLOSE, time_ns=NOW_NS + 80, net_bps=-1.0)

    (episode,) = subject.all
    assert (episode.ending, episode.ended_ns) == (Ending.CONVERGED, NOW_NS + 80)
    assert episode.last.net_bps == -1.0
    assert subject.open == []
    assert times == [NOW_NS + 80]


def test_close_dated_before_the_opening_gives_no_negative_life():
    subject = opened_case()

    subject.signal(CLOSE, time_ns=NOW_NS - 50)

    (episode,) = subject.all
    assert (episode.ended_ns, episode.ended_wall_ns) == (episode.opened_ns, WALL_NS)


@pytest.mark.parametrize(("kind", "net_bps"), [(UPDATE, 0.0), (CLOSE, -1.0), (CLOSE, 20.0)])
def test_close_or_update_that_is_no_spread_of_a_route_without_episode_invents_none(kind, net_bps):
    subject = Case()

    subject.signal(kind, net_bps=net_bps)

    assert subject.all == []
    assert subject.book.tally.ignored == 1


@pytest.mark.parametrize(
    "field",
    [
        *({name: value} for name in ("gross_bps", "net_bps", "executable_usd", "spot_ask",
                                     "futures_bid_qty", "futures_ask")
          for value in (math.nan, math.inf, -math.inf)),
        {"spot_bid": 0.0}, {"futures_bid": -1.0}, {"type": 0}, {"type": 4}, {"spot_source": 8},
        {"futures_source": 200}, {"direction": 64}, {"symbol_id": 1024}, {"symbol_id": 65535},
    ],
)  # fmt: skip
def test_signal_that_cannot_be_true_changes_nothing_and_is_counted(field):
    subject = opened_case()
    (before,) = subject.open

    subject.signal(**({"kind": CLOSE} | field))

    assert subject.open == [before]
    assert subject.book.tally.refused == 1


def test_late_signal_raises_the_peak_but_does_not_turn_the_last_moment_back():
    subject = opened_case(net_bps=20.0)

    subject.signal(UPDATE, time_ns=NOW_NS + 5, net_bps=10.0)
    subject.signal(UPDATE, time_ns=NOW_NS + 3, net_bps=40.0)

    (episode,) = subject.open
    assert (episode.peak.time_ns, episode.peak.net_bps) == (NOW_NS + 3, 40.0)
    assert (episode.last.time_ns, episode.last.net_bps) == (NOW_NS + 5, 10.0)


def test_equal_spread_later_leaves_the_peak_at_its_first_time():
    subject = opened_case(net_bps=20.0)

    subject.signal(UPDATE, time_ns=NOW_NS + 9, net_bps=20.0)

    assert subject.open[0].peak.time_ns == NOW_NS


def test_opening_after_an_ending_is_a_new_episode_linked_to_the_one_before():
    subject = opened_case()
    subject.signal(CLOSE, time_ns=NOW_NS + 1)

    subject.signal(time_ns=NOW_NS + 2)

    first, second = subject.store()
    assert second.previous_id == first.episode_id
    assert (first.ending, second.ending) == (Ending.CONVERGED, None)


def test_batch_gives_what_its_signals_give_one_by_one():
    chance = np.random.default_rng(5)
    kinds = chance.choice([SignalType.OPEN, UPDATE, CLOSE], 3_000, p=[0.3, 0.4, 0.3])
    records = [
        record(kind, symbol_id=7 + int(chance.integers(3)), time_ns=NOW_NS + step,
               net_bps=float(chance.uniform(1.0, 90.0)))
        for step, kind in enumerate(kinds)
    ]  # fmt: skip
    one_by_one, at_once = Case(), Case()

    for each in records:
        one_by_one.book.apply(signals(each), OFFSET_NS)
    at_once.book.apply(signals(*records), OFFSET_NS)

    assert len(at_once.all) > 400
    assert at_once.all == one_by_one.all
    assert at_once.book.tally == one_by_one.book.tally


def test_table_grows_with_the_number_of_open_episodes():
    subject = Case()
    records = [
        record(direction=direction, symbol_id=number)
        for direction in range(9)
        for number in range(1024)
    ]

    subject.book.apply(signals(*records), OFFSET_NS)

    assert len(subject.book) == 9 * 1024 > FIRST_ROWS
    assert len({episode.episode_id for episode in subject.open}) == 9 * 1024


def test_numbers_without_a_name_still_open_an_episode():
    subject = Case()

    subject.signal(direction=5, symbol_id=17)

    assert subject.open[0].route.key == ("#5", "#17")


def test_snapshot_on_fresh_legs_extends_the_path():
    subject = opened_case()

    frame = subject.look(25.0, NOW_NS + 200_000_000)

    (episode,) = subject.open
    assert frame.episode_ids.tolist() == [episode.episode_id]
    assert (frame.t_ms[0], frame.gross_bps[0], frame.cost_bps[0]) == (200, 55.0, 30.0)
    assert (episode.snapshots, episode.peak.net_bps) == (1, 25.0)
    assert episode.last.time_ns == NOW_NS + 200_000_000
    assert episode.last[4:] == (99.9, 100.0, 2.0, 2.0, 100.5, 100.6, 2.0, 2.0)


@pytest.mark.parametrize(("net_bps", "ending"), [(0.0, Ending.CONVERGED), (0.01, None)])
def test_snapshot_at_the_threshold_converges_and_above_it_does_not(net_bps, ending):
    subject = opened_case()

    frame = subject.look(net_bps, NOW_NS + 1)

    assert subject.all[0].ending is ending
    assert frame.size == 1


def test_leg_out_of_sight_suspends_and_ends_nothing():
    subject = opened_case()

    frame = subject.look(None, NOW_NS + 30 * SECOND_NS)

    (episode,) = subject.open
    assert frame is None
    assert episode.suspended_since_ns == NOW_NS + 30 * SECOND_NS
    assert episode.snapshots_unusable == 1


@pytest.mark.parametrize("how", ["snapshot", "signal"])
def test_episode_back_in_sight_goes_on_and_counts_the_time_that_it_was_not(how):
    subject = opened_case()
    subject.look(None, NOW_NS + 1 * SECOND_NS)
    subject.look(None, NOW_NS + 2 * SECOND_NS)

    if how == "snapshot":
        subject.look(9.0, NOW_NS + 4 * SECOND_NS)
    else:
        subject.signal(UPDATE, time_ns=NOW_NS + 4 * SECOND_NS)

    (episode,) = subject.open
    assert (episode.suspended_since_ns, episode.suspended_ns) == (None, 3 * SECOND_NS)


def test_episode_out_of_sight_for_its_limit_is_lost_and_never_converged():
    subject = opened_case()
    subject.look(None, NOW_NS + 1 * SECOND_NS)
    subject.look(None, NOW_NS + 40 * SECOND_NS)
    before = len(subject.open)

    subject.look(None, NOW_NS + 41 * SECOND_NS)

    (episode,) = subject.all
    assert before == 1
    assert (episode.ending, episode.suspended_ns) == (Ending.LOST, 40 * SECOND_NS)
    assert subject.book.tally.lost == 1


@pytest.mark.parametrize("net_bps", [20.0, None])
def test_episode_expires_at_its_maximum_life_seen_or_not(net_bps):
    subject = opened_case()

    subject.look(net_bps, NOW_NS + 60 * SECOND_NS)

    (episode,) = subject.all
    assert (episode.ending, episode.ended_ns) == (Ending.EXPIRED, NOW_NS + 60 * SECOND_NS)
    assert subject.book.tally.expired == 1


def test_spread_found_gone_after_the_maximum_life_has_expired_before():
    subject = opened_case()

    subject.look(-5.0, NOW_NS + 60 * SECOND_NS)

    assert subject.all[0].ending is Ending.EXPIRED
    assert (subject.book.tally.converged, subject.book.tally.expired) == (0, 1)


@pytest.mark.parametrize("net_bps", [-1.0, 50.0])
@pytest.mark.parametrize("was_away", [True, False], ids=["suspended", "tracker-hung"])
def test_first_look_after_too_long_out_of_sight_loses_the_episode_whatever_it_shows(
    net_bps, was_away
):
    subject = opened_case()
    subject.look(None if was_away else 9.0, NOW_NS + SECOND_NS)

    frame = subject.look(net_bps, NOW_NS + 41 * SECOND_NS)

    (episode,) = subject.all
    assert (episode.ending, episode.suspended_ns) == (Ending.LOST, 40 * SECOND_NS)
    assert episode.last.time_ns <= NOW_NS + SECOND_NS
    assert frame is None


def test_episodes_that_are_not_over_are_looked_at_beside_one_that_is():
    subject = opened_case()
    subject.signal(symbol_id=8, time_ns=NOW_NS + 30 * SECOND_NS)
    subject.signal(symbol_id=9, time_ns=NOW_NS + 30 * SECOND_NS)

    frame = subject.look({"BTC-USDT": 5.0, "ETH-USDT": -1.0}, NOW_NS + 60 * SECOND_NS)

    bitcoin, ether, sol = subject.all
    assert (bitcoin.ending, ether.ending, sol.ending) == (Ending.EXPIRED, Ending.CONVERGED, None)
    assert sol.suspended_since_ns == NOW_NS + 60 * SECOND_NS
    assert frame.episode_ids.tolist() == [ether.episode_id]


@pytest.mark.parametrize("net_bps", [-1.0, 50.0])
def test_first_look_after_an_unexplained_gap_loses_the_episode_whatever_it_shows(net_bps):
    (episode,) = opened_case().open
    away_ns = 60 * SECOND_NS + MAX_CLOCK_STEP_NS + 1
    subject = Case(boot_id="other")
    now = Clocks("other", 5 * SECOND_NS, WALL_NS + away_ns)
    subject.book.restore([resumed(episode, CLOCKS, now)])

    subject.look(net_bps, 6 * SECOND_NS)

    assert subject.all[0].ending is Ending.LOST


@pytest.mark.parametrize(
    ("kind", "seconds", "ending", "is_open"),
    [(UPDATE, 41, Ending.LOST, True), (SignalType.OPEN, 41, Ending.LOST, True),
     (CLOSE, 41, Ending.LOST, False), (UPDATE, 60, Ending.EXPIRED, False),
     (SignalType.OPEN, 60, Ending.EXPIRED, True), (CLOSE, 60, Ending.EXPIRED, False)],
)  # fmt: skip
def test_signal_after_too_long_ends_the_episode_first_and_may_begin_the_next(
    kind, seconds, ending, is_open
):
    subject = opened_case(opening=3)
    subject.look(None, NOW_NS + SECOND_NS)

    subject.signal(kind, time_ns=NOW_NS + seconds * SECOND_NS, opening=3)

    first, *rest = subject.all
    assert first.ending is ending
    assert first.suspended_ns == (seconds - 1) * SECOND_NS
    assert [each.previous_id for each in rest] == [first.episode_id] * is_open
    assert len(subject.open) == is_open


@pytest.mark.parametrize("how", ["lost", "converged", "halted"])
def test_update_of_a_route_that_the_engine_still_holds_open_begins_a_linked_episode(how):
    subject = opened_case(opening=3)
    ended_ns = NOW_NS + SECOND_NS
    if how == "lost":
        subject.look(None, NOW_NS + 1)
        ended_ns = NOW_NS + 41 * SECOND_NS
        subject.look(None, ended_ns)
    elif how == "converged":
        subject.look(-1.0, ended_ns)
    else:
        subject.book.halt(ended_ns, OFFSET_NS)

    subject.signal(UPDATE, opening=3, net_bps=60.0, time_ns=ended_ns - 1)
    early = len(subject.open)
    subject.signal(UPDATE, opening=3, net_bps=60.0, time_ns=ended_ns + 1)

    first, second = subject.all
    assert early == 0
    assert first.ending == how
    assert (second.previous_id, second.opening, second.ending) == (first.episode_id, 3, None)
    assert (subject.book.tally.opened, subject.book.tally.ignored) == (2, 1)


def test_update_of_the_opening_whose_episode_expired_begins_none_but_the_next_opening_does():
    subject = opened_case(opening=3)
    subject.look(20.0, NOW_NS + 60 * SECOND_NS)
    later_ns = NOW_NS + 61 * SECOND_NS

    subject.signal(UPDATE, opening=3, net_bps=60.0, time_ns=later_ns)
    same = len(subject.open)
    subject.book.adopt(names_of({40: "BTC-USDT"}))
    subject.signal(UPDATE, opening=3, symbol_id=40, net_bps=60.0, time_ns=later_ns)
    renumbered = len(subject.open)
    subject.signal(UPDATE, opening=4, symbol_id=40, net_bps=60.0, time_ns=later_ns)

    assert (same, renumbered, len(subject.open)) == (0, 0, 1)


def test_late_update_of_a_route_that_is_not_listed_begins_no_episode():
    subject = opened_case()
    subject.book.adopt(names_of({8: "ETH-USDT"}))
    subject.book.end_unlisted(NOW_NS + 1, OFFSET_NS)

    subject.signal(UPDATE, time_ns=NOW_NS + 2)

    assert subject.open == []
    assert len(subject.all) == 1


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_wall_clock_step_changes_no_duration_and_ends_nothing(step_s):
    subject = opened_case()
    offset_ns = OFFSET_NS + step_s * SECOND_NS

    subject.look(None, NOW_NS + SECOND_NS, offset_ns)
    still_open = len(subject.open) == 1
    subject.signal(CLOSE, time_ns=NOW_NS + 2 * SECOND_NS, offset_ns=offset_ns)

    (episode,) = subject.all
    assert still_open
    assert episode.ended_ns - episode.opened_ns == 2 * SECOND_NS
    assert episode.suspended_ns == SECOND_NS


def test_kill_ends_every_episode_as_halted():
    subject = opened_case()
    subject.signal(symbol_id=8)

    subject.book.halt(NOW_NS + 9, OFFSET_NS)

    assert [episode.ending for episode in subject.all] == [Ending.HALTED] * 2
    assert subject.open == []
    assert subject.book.tally.halted == 2


def test_quiet_episode_is_handed_out_again_only_now_and_then():
    subject = opened_case()
    subject.store()

    handed = []
    for tick in range(1, 101):
        subject.look(5.0, NOW_NS + tick)
        handed.append(len(subject.store()))

    assert sum(handed) == 2


def test_new_peak_is_handed_out_at_once():
    subject = opened_case()
    subject.store()

    for tick in range(1, 4):
        subject.look(20.0 + tick, NOW_NS + tick)
        assert [episode.peak.net_bps for episode in subject.store()] == [20.0 + tick]


def test_peaks_of_many_episodes_are_handed_out_in_turns_and_all_of_them_soon():
    subject = Case()
    records = [record(symbol_id=n, net_bps=1.0) for n in range(1000)]
    subject.book.apply(signals(*records), OFFSET_NS)
    subject.store()

    subject.look(30.0, NOW_NS + 1)
    first = subject.store()
    seen = {episode.episode_id for episode in first}
    for tick in range(2, 5):
        subject.look(5.0, NOW_NS + tick)
        seen |= {episode.episode_id for episode in subject.store()}

    assert len(first) == MAX_REFRESHED
    assert len(seen) == 1000


def restored(episode, **more):
    subject = Case(**more)
    subject.book.restore([resumed(episode, CLOCKS, Clocks(BOOT, NOW_NS, WALL_NS))])
    return subject


def test_restored_episode_follows_its_symbol_to_a_new_number():
    (episode,) = opened_case().open
    renumbered = names_of({7: "ETH-USDT", 40: "BTC-USDT"}, direction_id=3)
    subject = restored(episode, names=renumbered)

    subject.signal(symbol_id=40, direction=3, time_ns=NOW_NS + 1)
    subject.signal(symbol_id=7, direction=3, time_ns=NOW_NS + 2)

    bitcoin = next(each for each in subject.open if each.episode_id == episode.episode_id)
    assert (bitcoin.route.direction_id, bitcoin.route.symbol_id) == (3, 40)
    assert bitcoin.re_signals == 1
    assert len(subject.open) == 2


def test_restored_episode_is_equal_but_for_its_gap():
    subject = opened_case(net_bps=31.0)
    subject.signal(time_ns=NOW_NS + 1, net_bps=44.0)
    subject.look(12.0, NOW_NS + 2)
    (episode,) = subject.open
    expected = resumed(episode, CLOCKS, Clocks(BOOT, NOW_NS, WALL_NS))

    again = restored(episode)

    assert again.open == [expected]


def test_restored_episode_of_an_unlisted_symbol_has_no_readable_legs():
    (episode,) = opened_case().open

    subject = restored(episode, names=names_of({7: "ETH-USDT"}))

    assert subject.open[0].route.symbol_id == -1


def test_membership_changes_with_every_opening_ending_and_restore():
    subject = opened_case()
    seen = [subject.book.membership]

    subject.look(9.0, NOW_NS + 1)
    seen.append(subject.book.membership)
    subject.signal(CLOSE, time_ns=NOW_NS + 2)
    seen.append(subject.book.membership)

    assert seen[0] == seen[1] != seen[2]


def test_episode_that_a_universe_does_not_list_is_delisted_and_the_others_go_on():
    subject = opened_case()
    subject.signal(symbol_id=8)
    now_ns = NOW_NS + SECOND_NS

    subject.book.adopt(names_of({8: "ETH-USDT"}))
    before = len(subject.open)
    subject.book.end_unlisted(now_ns, OFFSET_NS)

    bitcoin, ether = subject.all
    assert before == 2
    assert (bitcoin.ending, bitcoin.ended_ns) == (Ending.DELISTED, now_ns)
    assert ether.ending is None
    tally = subject.book.tally
    assert (tally.delisted, tally.converged, tally.expired) == (1, 0, 0)


def test_route_without_its_direction_is_delisted_though_its_symbol_is_listed():
    subject = opened_case()
    names = names_of({7: "BTC-USDT"})

    subject.book.adopt(names._replace(listed=frozenset()))
    subject.book.end_unlisted(NOW_NS, OFFSET_NS)

    assert subject.all[0].ending is Ending.DELISTED


def test_ending_that_was_signalled_before_the_universe_changed_is_that_ending():
    subject = opened_case()

    subject.book.adopt(names_of({8: "ETH-USDT"}))
    subject.signal(CLOSE, time_ns=NOW_NS + 80)
    subject.book.end_unlisted(NOW_NS + 90, OFFSET_NS)

    (episode,) = subject.all
    assert (episode.ending, episode.ended_ns) == (Ending.CONVERGED, NOW_NS + 80)


def test_late_opening_of_a_symbol_that_left_has_its_name_and_is_delisted():
    subject = Case()
    subject.book.adopt(names_of({8: "ETH-USDT"}))
    subject.book.adopt(names_of({8: "ETH-USDT", 9: "SOL-USDT"}))

    subject.signal(symbol_id=7)
    subject.book.end_unlisted(NOW_NS + 1, OFFSET_NS)

    (episode,) = subject.all
    assert episode.route.key == (DIRECTION, "BTC-USDT")
    assert episode.ending is Ending.DELISTED


def test_number_that_went_to_another_symbol_means_that_symbol():
    subject = Case()
    subject.book.adopt(names_of({7: "DOGE-USDT"}))

    subject.signal(symbol_id=7)

    assert subject.open[0].route.symbol == "DOGE-USDT"


def test_symbol_that_came_back_under_another_number_keeps_its_episode_and_reads_the_new_legs():
    subject = opened_case()
    seen = subject.book.membership

    subject.book.adopt(names_of({40: "BTC-USDT"}))
    subject.book.end_unlisted(NOW_NS, OFFSET_NS)
    subject.signal(UPDATE, symbol_id=7, net_bps=44.0)

    (episode,) = subject.open
    assert (episode.route.symbol_id, episode.peak.net_bps) == (40, 44.0)
    assert subject.book.membership != seen


def test_route_that_comes_back_opens_a_new_episode():
    subject = opened_case()
    subject.book.adopt(names_of({}))
    subject.book.end_unlisted(NOW_NS + 1, OFFSET_NS)
    subject.book.adopt(names_of({7: "BTC-USDT"}))

    subject.signal(time_ns=NOW_NS + 2)

    first, second = subject.all
    assert (first.ending, second.ending) == (Ending.DELISTED, None)
    assert second.previous_id == first.episode_id


def test_restored_episode_whose_number_is_unknown_still_hears_its_close():
    (episode,) = opened_case().open
    subject = restored(episode, names=names_of({8: "ETH-USDT"}))

    subject.signal(CLOSE, time_ns=NOW_NS + 5)

    assert subject.all[0].ending is Ending.CONVERGED
