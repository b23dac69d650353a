import pytest
from tracker_cases import (
    DIRECTION,
    NOW_NS,
    OFFSET_NS,
    SECOND_NS,
    WALL_NS,
    book,
    moment,
    names_of,
    opened_book,
    signal,
)

from spreadscan.model import SignalType
from spreadscan.tracker.episode import Ending


def snapshot(subject, seen, now_ns):
    return subject.observe(subject.open_episodes(), seen, now_ns, OFFSET_NS)


def test_opening_keeps_route_times_and_quotes_of_its_signal():
    subject, episode = opened_book(net_bps=20.0)

    assert episode.route.key == (DIRECTION, "BTC-USDT")
    assert (episode.opened_ns, episode.opened_wall_ns) == (NOW_NS, WALL_NS)
    assert episode.first == episode.peak == episode.last
    assert (episode.first.spot_ask, episode.first.futures_bid) == (100.0, 100.5)
    assert subject.changed_episodes() == [episode]
    assert subject.tally.opened == 1


def test_opening_of_an_open_route_is_a_re_signal_of_the_same_episode():
    subject, episode = opened_book()

    subject.apply(signal(time_ns=NOW_NS + 5, net_bps=33.0), OFFSET_NS)

    assert subject.open_episodes() == [episode]
    assert (episode.re_signals, episode.peak.net_bps) == (1, 33.0)
    assert subject.tally.re_signals == 1


def test_other_symbol_opens_its_own_episode():
    subject, episode = opened_book()

    subject.apply(signal(symbol_id=8), OFFSET_NS)

    assert len(subject.open_episodes()) == 2
    assert subject.open_episodes()[1].episode_id > episode.episode_id


def test_close_converges_the_episode_at_the_time_of_the_signal():
    subject, episode = opened_book()

    subject.apply(signal(SignalType.CLOSE, time_ns=NOW_NS + 80, net_bps=-1.0), OFFSET_NS)

    assert (episode.ending, episode.ended_ns) == (Ending.CONVERGED, NOW_NS + 80)
    assert episode.last.net_bps == -1.0
    assert subject.open_episodes() == []


@pytest.mark.parametrize("kind", [SignalType.UPDATE, SignalType.CLOSE])
def test_update_or_close_of_a_route_without_episode_invents_none(kind):
    subject = book()

    subject.apply(signal(kind), OFFSET_NS)

    assert subject.open_episodes() == subject.changed_episodes() == []
    assert subject.tally.ignored == 1


def test_signal_that_cannot_be_true_changes_nothing_and_is_counted():
    subject, episode = opened_book()

    subject.apply(signal(SignalType.CLOSE, net_bps=float("nan")), OFFSET_NS)

    assert episode.ending is None
    assert subject.tally.refused == 1


def test_opening_after_an_ending_is_a_new_episode():
    subject, episode = opened_book()
    subject.apply(signal(SignalType.CLOSE, time_ns=NOW_NS + 1), OFFSET_NS)

    subject.apply(signal(time_ns=NOW_NS + 2), OFFSET_NS)

    (second,) = subject.open_episodes()
    assert second.episode_id > episode.episode_id
    assert subject.changed_episodes() == [episode, second]


def test_numbers_without_a_name_still_open_an_episode():
    subject = book()

    subject.apply(signal(direction=5, symbol_id=17), OFFSET_NS)

    assert subject.open_episodes()[0].route.key == ("#5", "#17")


def test_snapshot_on_fresh_legs_extends_the_path():
    subject, episode = opened_book()
    now_ns = NOW_NS + 200_000_000

    rows = snapshot(subject, [moment(episode, net_bps=25.0, time_ns=now_ns)], now_ns)

    assert [tuple(row) for row in rows] == [(episode.episode_id, 200, 55.0, 25.0, 201.0)]
    assert (episode.snapshots, episode.peak.net_bps) == (1, 25.0)


@pytest.mark.parametrize(("net_bps", "ending"), [(0.0, Ending.CONVERGED), (0.01, None)])
def test_snapshot_at_the_threshold_converges_and_above_it_does_not(net_bps, ending):
    subject, episode = opened_book()

    rows = snapshot(subject, [moment(episode, net_bps=net_bps, time_ns=NOW_NS + 1)], NOW_NS + 1)

    assert episode.ending is ending
    assert len(rows) == 1


def test_snapshot_without_usable_legs_ends_nothing_and_stores_no_point():
    subject, episode = opened_book()

    rows = snapshot(subject, [None], NOW_NS + 59 * SECOND_NS)

    assert rows == []
    assert (episode.ending, episode.snapshots_unusable) == (None, 1)


@pytest.mark.parametrize("is_seen", [True, False])
def test_episode_expires_at_its_maximum_life_seen_or_not(is_seen):
    subject, episode = opened_book()
    now_ns = NOW_NS + 60 * SECOND_NS
    seen = moment(episode, net_bps=20.0, time_ns=now_ns) if is_seen else None

    snapshot(subject, [seen], now_ns)

    assert (episode.ending, episode.ended_ns) == (Ending.EXPIRED, now_ns)
    assert subject.tally.expired == 1


def test_fresh_convergence_in_the_tick_of_expiry_is_a_convergence():
    subject, episode = opened_book()
    now_ns = NOW_NS + 60 * SECOND_NS

    snapshot(subject, [moment(episode, net_bps=-5.0, time_ns=now_ns)], now_ns)

    assert episode.ending is Ending.CONVERGED
    assert (subject.tally.converged, subject.tally.expired) == (1, 0)


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_wall_clock_step_changes_no_duration_and_ends_nothing(step_s):
    subject, episode = opened_book()
    offset_ns = OFFSET_NS + step_s * SECOND_NS

    subject.observe([episode], [None], NOW_NS + SECOND_NS, offset_ns)
    still_open = episode.ending is None
    subject.apply(signal(SignalType.CLOSE, time_ns=NOW_NS + 2 * SECOND_NS), offset_ns)

    assert still_open
    assert episode.ended_ns - episode.opened_ns == 2 * SECOND_NS


def test_quiet_episode_is_stored_again_every_fifth_snapshot_only():
    subject, episode = opened_book()
    subject.mark_stored()
    stored = []

    for tick in range(1, 11):
        now_ns = NOW_NS + tick
        snapshot(subject, [moment(episode, net_bps=5.0, time_ns=now_ns)], now_ns)
        stored.append(len(subject.changed_episodes()))
        subject.mark_stored()

    assert sum(stored) == 2


def test_new_peak_is_stored_at_once():
    subject, episode = opened_book()
    subject.mark_stored()

    for tick in range(1, 4):
        snapshot(subject, [moment(episode, net_bps=20.0 + tick, time_ns=NOW_NS + tick)], NOW_NS)
        assert subject.changed_episodes() == [episode]
        subject.mark_stored()


def test_restored_episode_follows_its_symbol_to_a_new_number():
    _, episode = opened_book()
    renumbered = names_of({7: "ETH-USDT", 40: "BTC-USDT"}, direction_id=3)
    subject = book(names=renumbered)

    subject.restore([episode])
    subject.apply(signal(symbol_id=40, direction=3, time_ns=NOW_NS + 1), OFFSET_NS)
    subject.apply(signal(symbol_id=7, direction=3, time_ns=NOW_NS + 2), OFFSET_NS)

    assert (episode.route.direction_id, episode.route.symbol_id) == (3, 40)
    assert episode.re_signals == 1
    assert len(subject.open_episodes()) == 2


def test_restored_episode_of_an_unlisted_symbol_has_no_readable_legs():
    _, episode = opened_book()
    subject = book(names=names_of({7: "ETH-USDT"}))

    subject.restore([episode])

    assert episode.route.symbol_id == -1


def test_membership_changes_with_every_opening_ending_and_restore():
    subject, episode = opened_book()
    seen = [subject.membership]

    snapshot(subject, [moment(episode, net_bps=9.0, time_ns=NOW_NS + 1)], NOW_NS + 1)
    seen.append(subject.membership)
    subject.apply(signal(SignalType.CLOSE, time_ns=NOW_NS + 2), OFFSET_NS)
    seen.append(subject.membership)

    assert seen[0] == seen[1] != seen[2]


def test_episode_that_a_universe_does_not_list_is_delisted_and_the_others_go_on():
    subject, bitcoin = opened_book()
    subject.apply(signal(symbol_id=8), OFFSET_NS)
    (ether,) = [each for each in subject.open_episodes() if each is not bitcoin]
    now_ns = NOW_NS + SECOND_NS

    subject.adopt(names_of({8: "ETH-USDT"}))
    before = bitcoin.ending
    subject.end_unlisted(now_ns, OFFSET_NS)

    assert before is None
    assert (bitcoin.ending, bitcoin.ended_ns) == (Ending.DELISTED, now_ns)
    assert subject.open_episodes() == [ether]
    assert (subject.tally.delisted, subject.tally.converged, subject.tally.expired) == (1, 0, 0)


def test_route_without_its_direction_is_delisted_though_its_symbol_is_listed():
    subject, episode = opened_book()
    names = names_of({7: "BTC-USDT"})

    subject.adopt(names._replace(listed=frozenset()))
    subject.end_unlisted(NOW_NS, OFFSET_NS)

    assert episode.ending is Ending.DELISTED


def test_ending_that_was_signalled_before_the_universe_changed_is_that_ending():
    subject, episode = opened_book()

    subject.adopt(names_of({8: "ETH-USDT"}))
    subject.apply(signal(SignalType.CLOSE, time_ns=NOW_NS + 80), OFFSET_NS)
    subject.end_unlisted(NOW_NS + 90, OFFSET_NS)

    assert (episode.ending, episode.ended_ns) == (Ending.CONVERGED, NOW_NS + 80)


def test_late_opening_of_a_symbol_that_left_has_its_name_and_is_delisted():
    subject = book()
    subject.adopt(names_of({8: "ETH-USDT"}))
    subject.adopt(names_of({8: "ETH-USDT", 9: "SOL-USDT"}))

    subject.apply(signal(symbol_id=7), OFFSET_NS)
    (episode,) = subject.open_episodes()
    subject.end_unlisted(NOW_NS + 1, OFFSET_NS)

    assert episode.route.key == (DIRECTION, "BTC-USDT")
    assert episode.ending is Ending.DELISTED


def test_number_that_went_to_another_symbol_means_that_symbol():
    subject = book()
    subject.adopt(names_of({7: "DOGE-USDT"}))

    subject.apply(signal(symbol_id=7), OFFSET_NS)

    assert subject.open_episodes()[0].route.symbol == "DOGE-USDT"


def test_symbol_that_came_back_under_another_number_keeps_its_episode_and_reads_the_new_legs():
    subject, episode = opened_book()
    seen = subject.membership

    subject.adopt(names_of({40: "BTC-USDT"}))
    subject.end_unlisted(NOW_NS, OFFSET_NS)
    subject.apply(signal(SignalType.UPDATE, symbol_id=7, net_bps=44.0), OFFSET_NS)

    assert subject.open_episodes() == [episode]
    assert (episode.route.symbol_id, episode.peak.net_bps) == (40, 44.0)
    assert subject.membership != seen


def test_route_that_comes_back_opens_a_new_episode():
    subject, first = opened_book()
    subject.adopt(names_of({}))
    subject.end_unlisted(NOW_NS + 1, OFFSET_NS)
    subject.adopt(names_of({7: "BTC-USDT"}))

    subject.apply(signal(time_ns=NOW_NS + 2), OFFSET_NS)

    (second,) = subject.open_episodes()
    assert second.episode_id > first.episode_id
    assert subject.changed_episodes() == [first, second]


def test_restored_episode_whose_number_is_unknown_still_hears_its_close():
    _, episode = opened_book()
    subject = book(names=names_of({8: "ETH-USDT"}))

    subject.restore([episode])
    subject.apply(signal(SignalType.CLOSE, time_ns=NOW_NS + 5), OFFSET_NS)

    assert episode.ending is Ending.CONVERGED
