"""Allowances: the budget holds in every window, over any number of processes, whoever dies."""

import itertools
import multiprocessing
import os
import signal
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spreadscan.shm.governor import Allowance, Budget, RequestKind, Turns, private_words
from spreadscan.shm.layout import Governor, RegionKind
from spreadscan.shm.regions import attach_regions

SPAWN = multiprocessing.get_context("spawn")
S = 1_000_000_000


def most_in_a_window(times_ns, window_s):
    """The most requests in any half-open window."""
    ordered = sorted(times_ns)
    window_ns = round(window_s * S)
    return max(
        (bisect_left(ordered, start + window_ns) - index for index, start in enumerate(ordered)),
        default=0,
    )


def allowance(count=5, window_s=1.0, row=0, words=None):
    return Allowance(words or private_words(), row, Budget(count=count, window_s=window_s))


@given(
    st.integers(1, 20),
    st.floats(0.01, 300.0),
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 2.0)), max_size=80),
)
def test_no_window_ever_holds_more_than_the_budget(count, window_s, asks):
    gate = allowance(count, window_s)
    now_ns, granted = 5 * S, []
    for again, pause in asks:
        now_ns += round(pause * window_s * S)
        granted += [now_ns + gate.take(now_ns) for _ in range(again)]

    assert most_in_a_window(granted, window_s) <= count
    assert gate.taken == len(granted)


@given(st.integers(2, 12), st.lists(st.integers(1, 12), min_size=1, max_size=30))
def test_a_dear_request_counts_as_many(count, costs):
    gate = allowance(count)
    granted = []
    for cost in costs:
        turn_ns = 7 * S + gate.take(7 * S, cost)
        granted += [turn_ns] * min(cost, count)

    assert most_in_a_window(granted, 1.0) <= count


def test_half_of_the_budget_goes_at_once_and_all_of_it_in_a_window():
    gate = allowance(count=10)

    waits_ns = [gate.take(S) for _ in range(11)]

    assert waits_ns[:5] == [0] * 5
    assert all(early < late for early, late in itertools.pairwise(waits_ns[4:]))
    assert waits_ns[9] < S <= waits_ns[10]


def test_an_idle_allowance_is_whole_again():
    gate = allowance(count=4)
    for _ in range(4):
        gate.take(S)

    assert gate.take(3 * S) == 0


def test_nobody_asks_before_a_ban_is_over_and_then_not_all_at_once():
    gate = allowance(count=4, window_s=1.0)
    gate.ban(0, 20 * S)
    gate.ban(0, 11 * S)

    granted = [10 * S + gate.take(10 * S) for _ in range(6)]

    assert granted[0] == gate.banned_until_ns == 20 * S
    assert most_in_a_window(granted, 1.0) <= 4
    assert gate.bans == 1


def test_bans_in_a_row_are_counted_by_all_processes_together_and_a_longer_end_is_the_same_ban():
    words = private_words()
    row = Allowance.row_of(0, RequestKind.REST)
    mine, theirs = (Allowance(words, row, Budget(count=4, window_s=1.0)) for _ in range(2))

    mine.ban(1 * S, 3 * S)
    theirs.ban(2 * S, 4 * S)  # was on the way when the first one came
    counted = [(mine.bans, mine.bans_in_a_row)]
    theirs.ban(5 * S, 9 * S)
    counted.append((mine.bans, mine.bans_in_a_row))
    mine.forgive()
    counted.append((theirs.bans, theirs.bans_in_a_row))

    assert counted == [(2, 1), (3, 2), (3, 0)]


def test_rows_do_not_touch_each_other():
    words = private_words()
    rows = [
        Allowance(words, Allowance.row_of(source_id, kind), Budget(count=1, window_s=60.0))
        for source_id in range(8)
        for kind in RequestKind
    ]

    assert [row.take(S) for row in rows] == [0] * len(rows)
    assert all(row.take(S) > 0 for row in rows)


def take_many(shm, count, granted):
    regions = attach_regions(shm, reads=(), writes=[RegionKind.GOVERNOR], timeout_s=0)
    gate = Allowance(regions.governor.mapping, 3, Budget(count=100, window_s=1.0))
    granted.put([gate.take(S) for _ in range(count)])


def test_processes_share_one_budget(regions, shm):
    answers = SPAWN.Queue()
    workers = [SPAWN.Process(target=take_many, args=(shm, 500, answers)) for _ in range(4)]
    for worker in workers:
        worker.start()

    granted = sorted(turn for _ in workers for turn in answers.get(timeout=60))
    for worker in workers:
        worker.join()

    alone = allowance(count=100)
    assert granted == [alone.take(S) for _ in range(2000)]


def take_for_ever(shm):
    regions = attach_regions(shm, reads=(), writes=[RegionKind.GOVERNOR], timeout_s=0)
    gate = Allowance(regions.governor.mapping, 3, Budget(count=100, window_s=1.0))
    while True:
        gate.take(S)


def test_a_process_killed_while_it_takes_leaves_nothing_locked(regions, shm):
    gate = Allowance(regions.governor.mapping, 3, Budget(count=100, window_s=1.0))
    for _ in range(5):
        worker = SPAWN.Process(target=take_for_ever, args=(shm,))
        worker.start()
        before = gate.taken
        while gate.taken < before + 100:
            pass
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()

        assert gate.take(S) < gate.take(S)


def test_reader_may_look_but_not_take(regions, shm):
    read_only = attach_regions(shm, reads=[RegionKind.GOVERNOR], writes=(), timeout_s=0)
    gate = Allowance(read_only.governor.mapping, 0, Budget(count=1, window_s=1.0))

    assert (gate.taken, gate.banned_until_ns) == (0, 0)
    with pytest.raises(PermissionError):
        gate.take(S)


def test_every_row_is_inside_the_region():
    rows = {Allowance.row_of(source_id, kind) for source_id in range(8) for kind in RequestKind}

    assert len(rows) == 24
    assert max(rows) < Governor.CAPACITY


def turns(count=3, window_s=1.0, longest_s=10.0, words=None):
    budget = Budget(count=count, window_s=window_s)
    return Turns(words or private_words(), 0, budget, longest_s)


@given(
    st.integers(1, 40),
    st.floats(0.1, 300.0),
    st.lists(st.tuples(st.floats(0, 1.0), st.floats(0, 1.0)), min_size=1, max_size=60),
)
def test_no_window_holds_more_wherever_in_a_request_the_exchange_counts(count, window_s, asks):
    longest_s = 2.0
    gate = turns(count, window_s, longest_s)
    now_ns, spans, under_way = 5 * S, [], []
    for pause, length in asks:
        now_ns += round(pause * window_s / count * S)
        for end_ns, turn in [row for row in under_way if row[0] <= now_ns]:
            gate.give_back(turn, end_ns)
        under_way = [row for row in under_way if row[0] > now_ns]
        if turn := gate.take(now_ns):
            end_ns = now_ns + round(length * longest_s * S)
            under_way.append((end_ns, turn))
            spans.append((now_ns, end_ns))

    window_ns = round(window_s * S)
    # The most that an adversary can count in a window: everything that touches it.
    for _, from_ns in spans:
        assert sum(begin < from_ns + window_ns and end >= from_ns for begin, end in spans) <= count
    assert gate.taken == len(spans)


def test_turn_is_free_a_window_after_it_was_given_back():
    gate = turns(count=1, window_s=3.0)
    turn = gate.take(S)

    assert gate.take(5 * S) is None
    gate.give_back(turn, 6 * S)

    assert (gate.take(9 * S - 1), gate.free_ns(6 * S)) == (None, 3 * S)
    assert gate.take(9 * S) is not None


def test_turn_of_a_process_that_was_killed_is_free_when_its_time_is_over():
    gate = turns(count=1, window_s=3.0, longest_s=10.0)
    lost = gate.take(S)

    assert gate.take(14 * S - 1) is None
    assert gate.take(14 * S) is not None
    # Its owner was only slow: what is somebody else's by now stays so.
    gate.give_back(lost, 15 * S)
    assert gate.take(18 * S) is None


def test_nobody_gets_a_turn_during_a_ban():
    few, many = turns(count=3), turns(count=100)
    for gate in (few, many):
        gate.ban(0, 20 * S)

        assert (gate.take(20 * S - 1), gate.free_ns(15 * S)) == (None, 5 * S)
        assert gate.take(20 * S) is not None
