"""A price that jumps is held until somebody bears it out."""

import math

import pytest
from gate_cases import BTC, CLOCKS_APART_NS, MS, SOURCE, A, S, Stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spreadscan.exchanges._adapter import PartialQuote
from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.shm.counters import FeedCounter

QUOTE, JUMP, LATE = QuoteStatus.QUOTE, QuoteStatus.JUMP, QuoteStatus.LATE


@pytest.fixture
def make_stream(regions):
    return lambda **rules: Stream(regions, **rules)


@pytest.fixture
def stream(make_stream):
    made = make_stream()
    made.calm()
    return made


@pytest.mark.parametrize(
    ("mid", "status"), [(109.9, QUOTE), (110.1, JUMP), (90.1, QUOTE), (89.9, JUMP)]
)
def test_price_beyond_the_bound_is_a_jump(stream, mid, status):
    assert stream.send(mid=mid) == status


def test_jump_is_not_published_and_its_symbol_unusable(stream):
    before = stream.stored()
    stream.regions.dirty.take(SOURCE)

    status = stream.send(mid=100_000.0)

    assert (status, stream.flags(), stream.mid()) == (JUMP, SlotFlag.HELD, 100.0)
    assert stream.stored()["received_ns"] == before["received_ns"]
    assert stream.sink.held() == {BTC: stream.now_ns}
    assert stream.sink.live_count == 0
    assert stream.counter(FeedCounter.REFUSED + JUMP) == 1
    assert stream.regions.dirty.take(SOURCE) == [BTC]


def test_second_quote_that_agrees_is_believed_with_all_that_follow(stream):
    found = [stream.send(mid=mid) for mid in (200.0, 205.0, 201.0)]

    assert found == [JUMP, QUOTE, QUOTE]
    assert (stream.mid(), stream.flags(), stream.sink.held()) == (201.0, 0, {})
    assert stream.sink.live_count == 1


def test_quote_back_at_the_last_good_price_drops_the_candidate(stream):
    found = [stream.send(mid=mid) for mid in (200.0, 101.0, 200.0)]

    assert found == [JUMP, QUOTE, JUMP]
    assert stream.mid() == 101.0


def test_other_jump_is_the_new_candidate_and_keeps_the_time_of_the_first(stream):
    stream.send(mid=200.0)
    since_ns = stream.now_ns

    found = [stream.send(mid=mid) for mid in (300.0, 200.0)]

    assert found == [JUMP, JUMP]
    assert stream.sink.held() == {BTC: since_ns}
    assert stream.send(mid=200.0) == QUOTE


def test_same_statement_again_is_no_second_one(stream):
    stream.send(mid=200.0, update_id=500)

    assert stream.send(mid=200.0, update_id=500) == JUMP
    assert stream.send(mid=200.0, update_id=501) == QUOTE


def test_without_ids_a_later_frame_is_a_second_one(stream):
    first = stream.send(mid=200.0, u=None)
    same_read = stream.send(after_ms=0, mid=200.0, u=None)
    later = stream.send(after_ms=1, mid=200.0, u=None)

    assert (first, same_read, later) == (JUMP, JUMP, QUOTE)


@pytest.mark.parametrize(
    ("price", "is_borne_out"),
    [
        (219.0, True),
        (181.0, True),
        (221.0, False),
        (100.0, False),
        (math.nan, False),
        (math.inf, False),
        (-200.0, False),
    ],
)
def test_independent_price_bears_a_candidate_out_or_not(stream, price, is_borne_out):
    stream.send(mid=200.0)
    held_ns = stream.now_ns
    stream.now_ns += 5 * S

    assert stream.sink.confirm(BTC, price) is is_borne_out

    assert (stream.flags() == 0, stream.mid() == 200.0) == (is_borne_out, is_borne_out)
    assert (stream.sink.held() == {}) is is_borne_out
    if is_borne_out:
        # The price is as old as the quote that carried it.
        assert stream.stored()["received_ns"] == held_ns
        assert stream.send(mid=201.0) == QUOTE


def test_word_about_a_symbol_that_is_not_held_changes_nothing(stream):
    before = stream.stored()

    assert stream.sink.confirm(BTC, 100.0) is False
    assert stream.sink.confirm(A, 100.0) is False
    assert stream.stored() == before
    with pytest.raises(IndexError):
        stream.sink.confirm(1_024, 1.0)


def test_borne_out_candidate_of_a_book_that_broke_since_waits_for_a_sound_quote(stream):
    stream.send(mid=200.0)
    stream.send(mid=200.0, b="300")

    assert stream.sink.confirm(BTC, 200.0) is True

    assert stream.flags() == SlotFlag.REFUSED
    assert (stream.send(mid=202.0), stream.flags()) == (QUOTE, 0)


def test_held_quote_that_came_after_a_broken_book_or_a_reconnect_is_published_when_borne_out(
    stream,
):
    stream.sink.mark(BTC, SlotFlag.DISCONNECTED)
    stream.send(lag_ms=7_000, mid=200.0)
    flags, held_ns = stream.flags(), stream.now_ns

    assert flags == SlotFlag.HELD
    assert stream.sink.confirm(BTC, 200.0) is True
    assert (stream.flags(), stream.mid()) == (0, 200.0)
    # A first quote has its true age, however long it was held.
    assert stream.stored()["received_ns"] == held_ns - 7_000 * MS


def test_first_quote_ever_is_no_jump_and_others_do_not_matter(stream):
    assert stream.send(mid=70_000.0, symbol="A") == QUOTE


@pytest.mark.parametrize(("away_s", "status"), [(599, JUMP), (601, QUOTE)])
def test_last_good_price_counts_ten_minutes_over_a_reconnect(stream, away_s, status):
    stream.sink.mark(BTC, SlotFlag.DISCONNECTED)

    assert stream.send(after_ms=away_s * 1_000, mid=200.0) == status


def test_new_subscription_begins_without_a_last_price(stream):
    stream.sink.mark(BTC, SlotFlag.UNSUBSCRIBED)

    assert stream.send(mid=0.1) == QUOTE


def test_candidate_ends_with_its_connection(stream):
    stream.send(mid=200.0)

    stream.sink.mark(BTC, SlotFlag.DISCONNECTED)

    assert (stream.sink.held(), stream.flags()) == ({}, SlotFlag.DISCONNECTED)
    assert [stream.send(mid=200.0), stream.send(mid=200.0)] == [JUMP, QUOTE]


def test_late_quote_is_no_candidate_and_no_second(stream):
    stream.send(mid=200.0)

    late = stream.send(after_ms=5_000, lag_ms=5_000, mid=200.0)

    assert (late, stream.flags()) == (LATE, SlotFlag.HELD | SlotFlag.LATE)
    assert [stream.send(mid=200.0), stream.flags()] == [QUOTE, 0]


def test_bound_zero_holds_nothing(make_stream):
    stream = make_stream(max_jump_pct=0)

    assert [stream.send(mid=mid) for mid in (1.0, 1_000.0, 0.001)] == [QUOTE] * 3


@pytest.mark.parametrize(
    "rules", [{"max_lag_ms": -1}, {"max_jump_pct": -1}, {"max_jump_pct": math.nan}]
)
def test_bound_that_is_none_is_refused(make_stream, rules):
    with pytest.raises(ValueError, match="0 or more"):
        make_stream(**rules)


def test_changes_pass_the_same_gate_and_build_on_what_is_held(stream):
    def change(update_id, bid=None, ask=None):
        stream.now_ns += 10 * MS
        stream.sink.feed_at(b"pong", stream.now_ns)
        partial = PartialQuote(
            symbol="BTCUSDT", update_id=update_id,
            bid=bid and (bid, 1.0), ask=ask and (ask, 1.0),
            exchange_ms=(stream.now_ns + CLOCKS_APART_NS) // MS,
        )  # fmt: skip
        return stream.sink.merge(partial)

    first = change(1_001, ask=150.0)
    flags = stream.flags()
    same = change(1_001, ask=150.0)
    second = change(1_002, bid=99.0)

    assert (first, flags, same, second) == (JUMP, SlotFlag.HELD, JUMP, QUOTE)
    assert (stream.stored()["bid"], stream.stored()["ask"], stream.flags()) == (99.0, 150.0, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    mids=st.lists(
        st.sampled_from([100, 105, 111, 122, 200, 210, 225, 1_000, "reconnect", "rest 200"]),
        max_size=40,
    )
)
def test_any_series_is_judged_like_a_slow_model(make_stream, mids):
    stream = make_stream()
    good = candidate = None
    is_connected = False
    for mid in mids:
        if mid == "reconnect":
            stream.sink.mark(BTC, SlotFlag.DISCONNECTED)
            candidate, is_connected = None, False
        elif mid == "rest 200":
            is_near = candidate is not None and abs(200 / candidate - 1) <= 0.1
            assert stream.sink.confirm(BTC, 200.0) is is_near
            if is_near:
                good, candidate, is_connected = candidate, None, True
        else:
            near_good = good is None or abs(mid / good - 1) <= 0.1
            near_candidate = candidate is not None and abs(mid / candidate - 1) <= 0.1
            is_believed = near_good or near_candidate
            assert stream.send(mid=float(mid)) == (QUOTE if is_believed else JUMP)
            good, candidate = (mid, None) if is_believed else (good, mid)
            is_connected = is_connected or is_believed

        assert set(stream.sink.held()) == (set() if candidate is None else {BTC})
        assert stream.sink.is_live(BTC) == (is_connected and candidate is None and good is not None)
        if stream.sink.is_live(BTC):
            assert stream.mid() == good
