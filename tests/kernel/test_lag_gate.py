"""What waited in a backlog is not the present price, and is never shown as one."""

import itertools

import numpy as np
import pytest
from gate_cases import BTC, CLOCKS_APART_NS, MS, SOURCE, START_NS, A, S, Stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spreadscan.exchanges._adapter import PartialQuote
from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.shm.counters import FeedCounter, Histogram
from spreadscan.shm.layout import DELAY_NOT_MEASURED
from spreadscan.shm.price_store import is_usable, slot_of

QUOTE, LATE, OLD = QuoteStatus.QUOTE, QuoteStatus.LATE, QuoteStatus.OLD_UPDATE


@pytest.fixture
def make_stream(regions):
    return lambda **rules: Stream(regions, **rules)


@pytest.fixture
def stream(make_stream):
    made = make_stream()
    made.calm()
    return made


def usable(stream, symbol_id=BTC):
    """What the tracker and the board say of the slot."""
    slots = np.array([slot_of(SOURCE, symbol_id)], np.int32)
    rows, stable = stream.regions.prices.read_many(slots)
    epochs = stream.regions.prices.epochs_of(slots)
    return bool(is_usable(rows, stable, epochs, stream.now_ns, 10 * S)[0])


def test_backlog_is_late_from_where_it_exceeds_the_bound_until_it_is_drained(stream):
    lags_ms = [0, 900, 1_100, 2_000, 1_500, 1_001, 999, 0]

    found = [stream.send(after_ms=1_000, lag_ms=lag_ms) for lag_ms in lags_ms]

    assert found == [QUOTE, QUOTE, LATE, LATE, LATE, LATE, QUOTE, QUOTE]
    assert stream.counter(FeedCounter.REFUSED + LATE) == 4


def test_late_quote_makes_its_symbol_unusable_and_its_numbers_stay_out(stream):
    stream.send(mid=100.0)
    stream.regions.dirty.take(SOURCE)
    received_ns = stream.stored()["received_ns"]
    was_usable = usable(stream)

    status = stream.send(after_ms=3_000, lag_ms=3_000, mid=101.0)

    assert (status, was_usable) == (LATE, True)
    assert (stream.flags(), usable(stream)) == (SlotFlag.LATE, False)
    assert (stream.mid(), stream.stored()["received_ns"]) == (100.0, received_ns)
    assert stream.regions.dirty.take(SOURCE) == [BTC]
    assert stream.sink.live_count == stream.counter(FeedCounter.SYMBOLS_LIVE) == 0
    assert stream.send(mid=102.0) == QUOTE
    assert (stream.flags(), stream.mid(), stream.sink.live_count) == (0, 102.0, 1)


def test_late_one_among_timely_ones_is_a_quiet_book_that_is_repeated(stream):
    stream.send(symbol="A")

    among = stream.send(after_ms=200, lag_ms=60_000)
    alone = stream.send(after_ms=300, lag_ms=60_000)

    assert (among, alone) == (QUOTE, LATE)


@pytest.mark.parametrize("skew_ns", [5 * S, -5 * S, -CLOCKS_APART_NS])
def test_clock_that_is_wrong_all_the_time_makes_nothing_late(make_stream, skew_ns):
    stream = make_stream(skew_ns=skew_ns)

    found = {stream.send(after_ms=400, lag_ms=number % 7 * 100) for number in range(300)}

    assert found == {QUOTE}
    assert stream.histogram(Histogram.FEED_LAG).sum() == 300


@pytest.mark.parametrize("step_s", [-3_600, -30, -5, 5, 30])
def test_clock_step_is_followed_at_once_forward_and_after_some_frames_back(stream, step_s):
    stream.calm(50)
    stream.skew_ns += step_s * S

    found = [stream.send(after_ms=500) for _ in range(140)]

    assert set(found[2:]) == {QUOTE}
    assert (LATE in found) == (step_s < 0)


def test_backlog_that_keeps_its_order_is_never_taken_for_a_clock_set_back(stream):
    stream.calm()

    stream.now_ns += 5 * S
    found = [stream.send(after_ms=2, lag_ms=5_000) for _ in range(500)]

    assert set(found) == {LATE}


def test_older_book_sent_again_is_no_sign_of_a_clock_set_back(stream):
    stream.send(symbol="A", update_id=500)
    stream.calm(5)
    found = [
        # Its id tells: other than a clock's step, an order that was lost has it smaller.
        stream.send(after_ms=300, lag_ms=4_000, symbol="A", update_id=update_id)
        for update_id in (499, 498, 497, 496)
    ]

    assert found == [OLD] * 4
    assert stream.send(after_ms=4_000, lag_ms=4_000) == LATE


def test_single_time_from_the_future_makes_nothing_late(stream):
    assert stream.send(lag_ms=-3_600_000) == QUOTE

    assert {stream.send(after_ms=400) for _ in range(200)} == {QUOTE}


@pytest.mark.parametrize("time", [0, None, 9_223_372_036_854])
def test_quote_without_a_believable_time_is_not_judged_by_it(stream, time):
    before = stream.histogram(Histogram.FEED_LAG).sum()

    assert stream.send(after_ms=5_000, T=time) == QUOTE

    assert stream.histogram(Histogram.FEED_LAG).sum() == before


def test_gate_of_bound_zero_lets_everything_in(make_stream):
    stream = make_stream(max_lag_ms=0)
    stream.calm()

    assert stream.send(after_ms=5_000, lag_ms=5_000) == QUOTE
    assert stream.histogram(Histogram.FEED_LAG).sum() == 21


@pytest.mark.parametrize(
    "flag", [None, SlotFlag.DISCONNECTED, SlotFlag.UNSUBSCRIBED, SlotFlag.DISCONNECTED | 0x20]
)
def test_first_quote_of_a_subscription_is_never_late_but_has_its_true_age(stream, flag):
    if flag is not None:
        stream.send(symbol="A")
        stream.send(after_ms=3_000, lag_ms=3_000 if flag & 0x20 else 0, symbol="A")
        stream.sink.mark(A, SlotFlag(flag & ~0x20))

    status = stream.send(after_ms=500, lag_ms=7_000, symbol="A")

    assert status == QUOTE
    assert stream.flags(A) == 0
    assert stream.stored(A)["received_ns"] == stream.now_ns - 7_000 * MS
    assert stream.sink.last_ns(A) == stream.now_ns


@pytest.mark.parametrize(("lag_ms", "age_ns"), [(10**9, START_NS), (-(10**9), 0)])
def test_absurd_age_is_bounded_by_the_clocks_start_and_by_now(stream, lag_ms, age_ns):
    stream.send(lag_ms=lag_ms, symbol="A", after_ms=0)

    assert stream.now_ns - stream.stored(A)["received_ns"] == pytest.approx(age_ns, abs=S)


def test_repeat_of_a_quiet_book_is_proof_of_life_whatever_its_time(stream):
    stream.send(update_id=500)

    status = stream.send(after_ms=60_000, lag_ms=60_000, update_id=500)

    assert (status, stream.flags()) == (QUOTE, 0)
    assert stream.stored()["received_ns"] == stream.sink.last_ns(BTC) == stream.now_ns


def test_copy_of_a_quote_is_old_where_only_changes_are_sent(make_stream):
    stream = make_stream(sends_unchanged=False)
    stream.send(update_id=500)
    received_ns = stream.stored()["received_ns"]

    found = [stream.send(after_ms=60_000, lag_ms=lag_ms, update_id=500) for lag_ms in (60_000, 0)]

    assert found == [OLD, OLD]
    assert (stream.stored()["received_ns"], stream.sink.last_ns(BTC)) == (received_ns, received_ns)
    # But it may be what a new subscription begins with.
    stream.sink.mark(BTC, SlotFlag.DISCONNECTED)
    assert (stream.send(update_id=500), stream.flags()) == (QUOTE, 0)


def test_repeat_from_a_backlog_proves_life_at_its_own_time_only(stream):
    stream.send(symbol="A")
    stream.send(update_id=500)
    before_ns = stream.now_ns
    stream.send(after_ms=8_000, lag_ms=5_000, symbol="A")

    status = stream.send(after_ms=0, lag_ms=60_000, update_id=500)

    assert (status, stream.flags()) == (QUOTE, 0)
    assert stream.stored()["received_ns"] == stream.now_ns - 5_000 * MS > before_ns


def test_late_book_is_believed_when_it_is_repeated_after_the_backlog(stream):
    stream.send(after_ms=5_000, lag_ms=5_000, update_id=500)

    at_once = stream.send(after_ms=0, lag_ms=4_000, update_id=500)
    later = stream.send(after_ms=3_000, lag_ms=8_000, update_id=500)

    assert (at_once, later) == (LATE, QUOTE)
    assert stream.send(update_id=499) == OLD


def test_change_passes_the_same_gate_and_is_kept_for_the_next_one(stream):
    def change(bid, update_id, exchange_ms):
        return stream.sink.merge(
            PartialQuote(
                symbol="BTCUSDT",
                bid=(bid, 1.0),
                ask=None,
                update_id=update_id,
                exchange_ms=exchange_ms,
            )
        )

    def arrive(after_ms):
        stream.now_ns += after_ms * MS
        stream.sink.feed_at(b"pong", stream.now_ns)
        return (stream.now_ns + CLOCKS_APART_NS) // MS

    stream.send()
    ask = stream.stored()["ask"]
    now_ms = arrive(5_000)

    late = change(99.95, 1_001, now_ms - 4_000)
    flags = stream.flags()
    timely = change(99.97, 1_002, arrive(10))

    assert (late, flags) == (LATE, SlotFlag.LATE)
    assert timely == QUOTE
    assert (stream.stored()["bid"], stream.stored()["ask"], stream.flags()) == (99.97, ask, 0)
    assert stream.counter(FeedCounter.REFUSED + LATE) == 1


def test_change_after_a_late_whole_quote_is_not_merged_with_the_one_before(stream):
    stream.send(after_ms=5_000, lag_ms=5_000, mid=101.0)

    partial = PartialQuote(symbol="BTCUSDT", bid=(100.0, 1.0), ask=None, update_id=10_000)

    assert stream.sink.merge(partial) == QuoteStatus.ONE_SIDED
    assert stream.flags() == SlotFlag.LATE | SlotFlag.ONE_SIDED


def test_book_that_is_dated_back_by_its_age_has_no_delay_of_publication(stream):
    stream.send(symbol="A", lag_ms=0)
    timely = int(stream.stored(A)["publish_delay_ns"])
    stream.sink.mark(A, SlotFlag.DISCONNECTED)
    stream.send(after_ms=500, lag_ms=7_000, symbol="A")

    assert stream.stored(A)["received_ns"] == stream.now_ns - 7_000 * MS
    assert (timely, int(stream.stored(A)["publish_delay_ns"])) == (0, DELAY_NOT_MEASURED)


def test_replay_reads_no_clock(stream):
    stream.send()

    assert stream.stored()["received_ns"] == stream.now_ns
    assert stream.stored()["publish_delay_ns"] == 0
    assert stream.histogram(Histogram.FEED_RECEIVE_TO_STORE).sum() == 0


def test_silent_symbols_are_those_heard_before_a_moment(stream):
    stream.send(symbol="A", update_id=500)
    at_ns = stream.now_ns
    stream.calm(3)

    assert stream.sink.silent(at_ns) == []
    assert stream.sink.silent(at_ns + 1) == [A]
    stream.send(symbol="A", update_id=500)
    assert stream.sink.silent(at_ns + 1) == []
    stream.sink.mark(A, SlotFlag.DISCONNECTED)
    assert stream.sink.silent(stream.now_ns + 1) == [BTC]
    stream.sink.mark(BTC, SlotFlag.UNSUBSCRIBED)
    assert (stream.sink.silent(stream.now_ns + 1), stream.sink.last_ns(BTC)) == ([], 0)


class Model:
    """One connection's clock and one symbol, kept with lists and no care for speed."""

    def __init__(self):
        self.halves = [[]]
        self.turn_ns = None
        self.timely_ns = self.late_ns = -(10**30)
        self.late_by_ns = 0
        self.stored_id = None
        self.is_first = True
        self.is_late = False
        self.received_ns = 0
        self.count = 0
        self.exchange_ns = 0
        self.back = []

    def was_set_back(self, now_ns, exchange_ns):
        """Whether three late ones agree, the first of which ran back."""
        difference = now_ns - exchange_ns
        if self.back and abs(difference - min(self.back)) <= 250 * MS:
            self.back.append(difference)
        elif not self.is_first and exchange_ns < self.exchange_ns - 250 * MS:
            self.back = [difference]
        if len(self.back) < 3:
            return False
        self.halves = [[min(self.back)] * 2]
        self.turn_ns = now_ns + 30 * S
        self.count, self.back = 3, []
        self.timely_ns = self.late_ns = -(10**30)
        return True

    def lag(self, now_ns, exchange_ns):
        if self.turn_ns is None:
            self.turn_ns = now_ns + 30 * S
        elif now_ns >= self.turn_ns:
            self.halves = [self.halves[-1], []]
            self.turn_ns = now_ns + 30 * S
        self.halves[-1].append(now_ns - exchange_ns)
        self.count += 1
        lowest = sorted(itertools.chain(*self.halves))[:2]
        offset = lowest[-1] if self.count >= 8 else lowest[0]
        return max(0, now_ns - exchange_ns - offset)

    def judge(self, now_ns, exchange_ns, update_id):
        if self.stored_id is not None and update_id < self.stored_id:
            return OLD
        if update_id == self.stored_id:
            self.exchange_ns = exchange_ns
            lag = self.late_by_ns if now_ns - self.late_ns < 250 * MS else 0
            if self.is_late and lag > 1_000 * MS:
                return LATE
            self.received_ns = max(self.received_ns, now_ns - lag)
            self.is_late = False
            return QUOTE
        lag = self.lag(now_ns, exchange_ns)
        if lag > 1_000 * MS and self.was_set_back(now_ns, exchange_ns):
            lag = now_ns - exchange_ns - self.halves[0][0]
        is_late = lag > 1_000 * MS and now_ns - self.timely_ns > 250 * MS
        if lag <= 1_000 * MS:
            self.timely_ns, self.late_ns, self.back = now_ns, -(10**30), []
        self.stored_id = update_id
        self.exchange_ns = exchange_ns
        if is_late and not self.is_first:
            self.late_ns, self.late_by_ns, self.is_late = now_ns, lag, True
            return LATE
        self.received_ns = now_ns - (min(lag, now_ns, 3_600 * S) if self.is_first else 0)
        self.is_first = self.is_late = False
        return QUOTE


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 100, 249, 250, 251, 400, 3_000, 29_990, 31_000]),
            st.sampled_from([-5_000, -1, 0, 3, 200, 999, 1_000, 1_001, 2_000, 8_000]),
            st.sampled_from([-1, 0, 0, 1, 1, 1, 2]),
        ),
        max_size=60,
    )
)
def test_any_series_is_judged_like_a_slow_model(make_stream, steps):
    stream, model = make_stream(), Model()
    update_id = 1_000
    for after_ms, lag_ms, id_step in steps:
        update_id += id_step
        status = stream.send(after_ms=after_ms, lag_ms=lag_ms, update_id=update_id)
        exchange_ns = stream.now_ns - lag_ms * MS + CLOCKS_APART_NS
        expected = model.judge(stream.now_ns, exchange_ns, update_id)

        assert status == expected
        row = stream.stored()
        assert row["flags"] == (SlotFlag.LATE if model.is_late else 0)
        assert row["received_ns"] == model.received_ns
