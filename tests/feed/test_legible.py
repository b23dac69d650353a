"""Frames that nobody can read any more are told from a broken one."""

import pytest

from spreadscan.feed.legible import Legible

S = 1_000_000_000


def told(*steps):
    """Whether most is illegible after each step (seconds, frames, of them illegible)."""
    legible, now_ns, frames, illegible, found = Legible(), 0, 0, 0, []
    for seconds, more, bad in steps:
        now_ns, frames, illegible = now_ns + seconds * S, frames + more, illegible + bad
        found.append(legible.look(now_ns, frames, illegible))
    return found


def test_most_frames_of_five_seconds_tell_a_changed_format_and_it_heals():
    broken, whole = [(1, 100, 60)] * 8, [(1, 100, 0)] * 8

    found = told((1, 100, 0), *broken, *whole)

    # More than half of the last five seconds, first when they are over.
    assert found == [False] * 5 + [True] * 4 + [False] * 8


@pytest.mark.parametrize(
    "steps", [[(1, 100, 50)] * 20, [(1, 1, 1)] * 20, [(1, 0, 0)] * 20], ids=["half", "few", "none"]
)
def test_half_of_them_or_a_handful_or_silence_tell_nothing(steps):
    assert not any(told(*steps))
