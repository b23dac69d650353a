"""The supervisor's decisions, without a single process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spreadscan.ops.reconcile import (
    Child,
    Desired,
    Kill,
    Phase,
    Policy,
    Start,
    Terminate,
    exited,
    held,
    is_stopped,
    let_start,
    ready,
    reconcile,
    started,
    terminated,
)

SECOND = 1_000_000_000
POLICY = Policy(
    first_delay_s=1.0,
    longest_delay_s=8.0,
    start_attempts=3,
    run_attempts=6,
    healthy_after_s=60.0,
    stop_timeout_s=5.0,
)
INIT = Desired(name="init", is_oneshot=True)
TRACKER = Desired(name="tracker", starts_after=("init",), stop_wave=1)
FEED = Desired(name="feed", starts_after=("init",), stop_wave=2)
PIPELINE = (INIT, TRACKER, FEED)


def decide(children, now_ns=0, *, is_stopping=False):
    return reconcile(PIPELINE, children, now_ns, is_stopping=is_stopping, policy=POLICY)


def all_in(phase):
    return {wanted.name: Child(phase=phase) for wanted in PIPELINE}


def test_only_what_depends_on_nothing_starts_first():
    actions = decide(all_in(Phase.WAITING))

    assert actions == [Start("init")]


def test_nothing_starts_while_its_dependency_is_only_starting():
    actions = decide(all_in(Phase.WAITING) | {"init": Child(phase=Phase.STARTING)})

    assert actions == []


def test_dependents_start_once_a_one_shot_is_done():
    actions = decide(all_in(Phase.WAITING) | {"init": Child(phase=Phase.DONE)})

    assert actions == [Start("tracker"), Start("feed")]


def test_one_shot_that_ends_well_is_done_and_not_started_again():
    child = exited(INIT, started(Child(), 0), 0, SECOND, POLICY)

    assert child.phase is Phase.DONE
    assert decide(all_in(Phase.READY) | {"init": child}, 99 * SECOND) == []


def test_crash_is_followed_by_a_start_after_the_delay_and_not_before():
    child = exited(FEED, ready(started(Child(), 0)), -9, 2 * SECOND, POLICY)
    children = all_in(Phase.READY) | {"init": Child(phase=Phase.DONE), "feed": child}

    assert decide(children, 2 * SECOND) == []
    assert decide(children, 3 * SECOND - 1) == []
    assert decide(children, 3 * SECOND) == [Start("feed")]


def test_long_running_program_that_ends_with_zero_has_failed():
    child = exited(FEED, ready(started(Child(), 0)), 0, SECOND, POLICY)

    assert (child.phase, child.failures) == (Phase.WAITING, 1)


def test_delay_doubles_up_to_its_bound():
    child, delays = Child(), []
    for _ in range(5):
        child = exited(FEED, ready(started(child, 0)), 1, 0, POLICY)
        delays.append(child.due_ns // SECOND)

    assert delays == [1, 2, 4, 8, 8]


def test_restarts_are_counted_and_the_first_start_is_none():
    first = started(Child(), 0)

    second = started(exited(FEED, first, 1, SECOND, POLICY), 2 * SECOND)

    assert (first.restarts, second.restarts) == (0, 1)


def test_long_healthy_life_makes_the_next_failure_the_first_again():
    child = exited(FEED, ready(started(Child(failures=5), 0)), 1, 60 * SECOND, POLICY)

    assert child.failures == 1
    assert child.due_ns == 61 * SECOND


def test_configuration_error_is_given_up_at_once():
    child = exited(FEED, started(Child(), 0), 78, SECOND, POLICY)

    assert child.phase is Phase.GIVEN_UP
    assert child.exit_code == 78


@pytest.mark.parametrize(("was_ready", "attempts"), [(False, 3), (True, 6)])
def test_program_that_keeps_failing_is_given_up_after_its_attempts(was_ready, attempts):
    child = Child(was_ready=was_ready)
    phases = []
    for _ in range(attempts):
        child = exited(FEED, started(child, 0), 75, 0, POLICY)
        phases.append(child.phase)

    assert phases == [Phase.WAITING] * (attempts - 1) + [Phase.GIVEN_UP]


def test_failing_one_shot_is_tried_again_and_then_given_up():
    child = Child()
    for _ in range(3):
        child = exited(INIT, started(child, 0), 1, 0, POLICY)

    assert child.phase is Phase.GIVEN_UP


def test_highest_wave_stops_first_and_the_next_waits_for_it():
    running = all_in(Phase.READY) | {"init": Child(phase=Phase.DONE)}

    assert decide(running, is_stopping=True) == [Terminate("feed")]
    running["feed"] = terminated(running["feed"], 0, is_killed=False)
    assert decide(running, SECOND, is_stopping=True) == []
    running["feed"] = exited(FEED, running["feed"], 0, SECOND, POLICY)
    assert decide(running, SECOND, is_stopping=True) == [Terminate("tracker")]


def test_process_that_ignores_the_request_is_killed_once_after_the_timeout():
    running = all_in(Phase.WAITING) | {
        "feed": terminated(Child(phase=Phase.READY), SECOND, is_killed=False)
    }

    assert decide(running, 6 * SECOND - 1, is_stopping=True) == []
    assert decide(running, 6 * SECOND, is_stopping=True) == [Kill("feed")]
    running["feed"] = terminated(running["feed"], 6 * SECOND, is_killed=True)
    assert decide(running, 9 * SECOND, is_stopping=True) == []


def test_nothing_is_started_while_stopping():
    assert decide(all_in(Phase.WAITING), 99 * SECOND, is_stopping=True) == []
    assert is_stopped(all_in(Phase.WAITING))


def test_exit_that_was_asked_for_is_no_failure():
    child = exited(FEED, terminated(Child(phase=Phase.READY), 0, is_killed=False), -15, 1, POLICY)

    assert child.failures == 0
    assert child.phase is Phase.WAITING


@given(codes=st.lists(st.integers(-64, 255), max_size=40), stop_after=st.integers(0, 40))
def test_every_run_comes_to_an_end(codes, stop_after):
    children = all_in(Phase.WAITING)
    wanted = {each.name: each for each in PIPELINE}
    exits = iter(codes)

    for step in range(1, 400):
        now_ns, is_stopping = step * SECOND, step > stop_after
        for action in decide(children, now_ns, is_stopping=is_stopping):
            child = children[action.name]
            if isinstance(action, Start):
                assert not is_stopping
                assert not child.is_running
                children[action.name] = started(child, now_ns)
            else:
                is_killed = isinstance(action, Kill)
                children[action.name] = terminated(child, now_ns, is_killed=is_killed)
        for name, child in children.items():
            code = -9 if child.is_killed else next(exits, None)
            if child.is_running and code is not None:
                children[name] = exited(wanted[name], child, code, now_ns, POLICY)
        if is_stopping and is_stopped(children):
            break

    assert is_stopped(children)


def test_restart_that_was_asked_for_is_neither_a_failure_nor_a_restart():
    running = ready(started(Child(failures=2), 0))
    asked = terminated(running, 5 * SECOND, is_killed=False)

    ended = exited(FEED, asked, 0, 6 * SECOND, POLICY)
    actions = decide(all_in(Phase.READY) | {"feed": ended, "init": Child(phase=Phase.DONE)})
    again = started(ended, 7 * SECOND)

    assert (ended.phase, ended.failures) == (Phase.WAITING, 0)
    assert actions == [Start("feed")]
    assert (again.restarts, again.terminated_ns) == (0, None)


def test_program_that_an_operator_stopped_stays_down_until_it_is_started():
    running = ready(started(Child(), 0))
    stopped = exited(
        FEED, terminated(held(running), 0, is_killed=False), 0, SECOND, POLICY
    )  # fmt: skip
    others = all_in(Phase.READY) | {"init": Child(phase=Phase.DONE)}

    assert stopped.phase is Phase.HELD
    assert decide(others | {"feed": stopped}, 100 * SECOND) == []
    assert decide(others | {"feed": let_start(stopped)}) == [Start("feed")]
    assert is_stopped({"feed": stopped})


def test_program_that_does_not_end_when_an_operator_asks_is_killed():
    running = ready(started(Child(), 0))
    asked = terminated(held(running), 0, is_killed=False)
    others = all_in(Phase.READY) | {"init": Child(phase=Phase.DONE), "feed": asked}

    assert decide(others, 4 * SECOND) == []
    assert decide(others, 5 * SECOND) == [Kill("feed")]
