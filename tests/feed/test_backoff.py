"""Waiting between tries to connect: at once, then longer, never all at the same moment."""

import random

from hypothesis import given
from hypothesis import strategies as st

from spreadscan.feed.backoff import Backoff

BASE_S, CAP_S = 0.5, 60.0


def bounds(count):
    backoff = Backoff(BASE_S, CAP_S, lambda: 1.0)
    return [backoff.next_delay_s() for _ in range(count)]


def test_first_retry_is_immediate_and_the_bounds_double_up_to_the_cap():
    assert bounds(9) == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]


def test_reset_starts_anew():
    backoff = Backoff(BASE_S, CAP_S, lambda: 1.0)
    for _ in range(5):
        backoff.next_delay_s()

    backoff.reset()

    assert [backoff.next_delay_s(), backoff.next_delay_s()] == [0.0, 0.5]


def test_ten_thousand_failures_still_give_a_delay_within_the_cap():
    backoff = Backoff(BASE_S, CAP_S, lambda: 0.999)

    delays_s = [backoff.next_delay_s() for _ in range(10_000)]

    assert max(delays_s) < CAP_S


@given(st.integers(0, 2**32), st.integers(1, 80))
def test_every_delay_is_between_zero_and_its_bound(seed, failures):
    backoff = Backoff(BASE_S, CAP_S, random.Random(seed).random)

    delays_s = [backoff.next_delay_s() for _ in range(failures)]

    assert all(
        0 <= delay_s <= bound_s for delay_s, bound_s in zip(delays_s, bounds(failures), strict=True)
    )


def test_connections_cut_together_do_not_return_together():
    draw = random.Random(1)
    backoffs = [Backoff(BASE_S, CAP_S, draw.random) for _ in range(20)]
    for backoff in backoffs:
        for _ in range(4):
            backoff.next_delay_s()

    returns_s = [backoff.next_delay_s() for backoff in backoffs]

    assert len({round(delay_s, 2) for delay_s in returns_s}) > 15
