"""How long to stay away: what the exchange says, else what is known of it."""

import pytest

from spreadscan.manners.bans import LONGEST_S, ban_s


@pytest.mark.parametrize("status", [429, 418, 403, 503])
def test_time_that_the_exchange_names_is_obeyed_whatever_the_status(status):
    assert ban_s(status, "17", earlier=5) == 17.0


@pytest.mark.parametrize(("status", "seconds"), [(429, 30.0), (418, 120.0), (403, 600.0)])
def test_answer_without_a_time_is_obeyed_for_as_long_as_is_known(status, seconds):
    assert ban_s(status, "") == seconds


@pytest.mark.parametrize("status", [200, 404, 500, 503])
def test_other_answers_forbid_nothing(status):
    assert ban_s(status, "") is None


def test_repeated_bans_grow_from_two_minutes_to_three_days():
    assert [ban_s(418, "", earlier) for earlier in range(3)] == [120.0, 240.0, 480.0]
    assert ban_s(418, "", 10_000) == LONGEST_S == 3 * 24 * 3600


@pytest.mark.parametrize(
    "header", ["", "-1", "soon", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "\u0663"]
)
def test_header_that_is_no_number_of_seconds_counts_as_missing(header):
    assert ban_s(429, header) == 30.0


def test_time_without_sense_is_bounded():
    assert ban_s(429, "9" * 400) == LONGEST_S
    assert ban_s(429, "0") == 1.0
