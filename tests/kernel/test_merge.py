"""A delta is merged with the side that stays, and never with one that is not the present one."""

import math

import pytest
from frame_cases import LEGS, flat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spreadscan.exchanges._adapter import JsonPlan, PartialQuote
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.sink import FeedSink
from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthReader, HealthWriter
from spreadscan.shm.price_store import slot_of

SOURCE, BTC, PEPE = 3, 7, 8
BOOK = JsonPlan(
    symbol=("s",),
    bid=("b.0.0",),
    bid_qty=("b.0.1",),
    ask=("a.0.0",),
    ask_qty=("a.0.1",),
    exchange_ms=("T",),
    update_id=("u",),
)


@pytest.fixture
def make_sink(regions):
    def make(**rules):
        health = HealthWriter(regions.health, SOURCE, "feed").slot
        extractor = Extractor(BOOK, LEGS)
        return FeedSink(
            SOURCE, extractor, regions.prices.slots, regions.dirty.bits, health, **rules
        )

    return make


@pytest.fixture
def sink(make_sink):
    return make_sink()


@pytest.fixture
def stored(regions):
    return lambda symbol_id=BTC: regions.prices.read(slot_of(SOURCE, symbol_id))


@pytest.fixture
def counters(regions):
    return lambda: HealthReader(regions.health).slot(SOURCE).counters


def snapshot(bids=(("100.5", "2"),), asks=(("100.6", "3"),), u=100, s="BTCUSDT", ms=1_700_000):
    return flat(s=s, u=u, T=ms, b=bids, B=None, a=asks, A=None)


def delta(symbol="BTCUSDT", bid=None, ask=None, u=101, ms=1_700_001, **removed):
    return PartialQuote(
        symbol=symbol, bid=bid, ask=ask, update_id=u, exchange_ms=ms, **removed
    )  # fmt: skip


def sides(row):
    return [row[name] for name in ("bid", "bid_qty", "ask", "ask_qty")]


def test_changed_side_is_replaced_and_the_other_stays(regions, sink, stored, counters):
    sink.feed(snapshot())
    regions.dirty.take(SOURCE)

    status = sink.merge(delta(bid=(100.55, 7.0)))

    row = stored()
    assert status == QuoteStatus.QUOTE
    assert sides(row) == [100.55, 7.0, 100.6, 3.0]
    assert (row["update_id"], row["exchange_ns"], row["flags"]) == (101, 1_700_001_000_000, 0)
    assert row["received_ns"] > 0
    assert regions.dirty.take(SOURCE) == [BTC]
    assert counters()[FeedCounter.QUOTES] == 2


def test_scaled_coin_is_merged_per_single_coin_and_the_other_side_is_not_touched(sink, stored):
    sink.feed(snapshot(s="1000PEPEUSDT", bids=[("0.0070110", "52")], asks=[("0.0070130", "7")]))
    ask_before = sides(stored(PEPE))[2:]

    sink.merge(delta("1000PEPEUSDT", bid=(0.0070120, 3.0)))

    assert sides(stored(PEPE)) == [0.0070120 / 1000, 3000.0, *ask_before]


def test_delta_without_a_side_is_proof_of_life(sink, stored):
    sink.feed(snapshot())
    first_ns = stored()["received_ns"]
    sink.feed(b"pong")

    assert sink.merge(delta()) == QuoteStatus.QUOTE
    assert sides(stored()) == [100.5, 2.0, 100.6, 3.0]
    assert stored()["received_ns"] >= first_ns


@pytest.mark.parametrize(
    ("removed", "back"),
    [
        ({"removed_bid": True}, {"bid": (100.4, 1.0)}),
        ({"removed_ask": True}, {"ask": (100.7, 1.0)}),
        ({"bid": (100.5, 0.0)}, {"bid": (100.4, 1.0)}),
    ],
)
def test_removed_side_makes_its_symbol_unusable_until_it_is_back(
    sink, stored, counters, removed, back
):
    sink.feed(snapshot())

    status = sink.merge(delta(u=101, **removed))
    flags, live = stored()["flags"], sink.live_count
    returned = sink.merge(delta(u=102, **back))

    assert (status, flags, live) == (QuoteStatus.ONE_SIDED, SlotFlag.ONE_SIDED, 0)
    assert counters()[FeedCounter.REFUSED + QuoteStatus.ONE_SIDED] == 1
    assert returned == QuoteStatus.QUOTE
    assert (stored()["flags"], sink.live_count) == (0, 1)


@pytest.mark.parametrize(
    "before",
    [
        lambda _sink: None,
        lambda sink: (sink.feed(snapshot()), sink.mark(BTC, SlotFlag.DISCONNECTED)),
        lambda sink: sink.feed(snapshot(bids=())),
    ],
    ids=["nothing", "another connection", "a one-sided snapshot"],
)
def test_side_is_not_merged_with_what_stood_there_before(sink, stored, before):
    before(sink)

    first = sink.merge(delta(bid=(100.4, 1.0)))
    after_first = stored()["flags"]
    second = sink.merge(delta(ask=(100.7, 2.0), u=102))

    assert first == QuoteStatus.ONE_SIDED
    assert after_first != 0
    assert second == QuoteStatus.QUOTE
    assert sides(stored()) == [100.4, 1.0, 100.7, 2.0]


def test_side_that_crosses_the_other_shows_that_the_other_is_outdated(sink, stored):
    sink.feed(snapshot())

    crossing = sink.merge(delta(bid=(100.8, 1.0), u=101))
    flags = stored()["flags"]
    followed = sink.merge(delta(ask=(100.9, 1.0), u=102))

    assert (crossing, flags) == (QuoteStatus.CROSSED, SlotFlag.ONE_SIDED)
    assert followed == QuoteStatus.QUOTE
    assert sides(stored()) == [100.8, 1.0, 100.9, 1.0]


def test_delta_that_is_crossed_in_itself_leaves_nothing_known(sink, stored):
    sink.feed(snapshot())

    crossed = sink.merge(delta(bid=(101.0, 1.0), ask=(100.9, 1.0), u=101))
    one_side = sink.merge(delta(ask=(101.1, 1.0), u=102))

    assert crossed == QuoteStatus.CROSSED
    assert one_side == QuoteStatus.ONE_SIDED
    assert stored()["flags"] == SlotFlag.ONE_SIDED


@pytest.mark.parametrize(
    ("partial", "status"),
    [
        (delta("NOPE", bid=(1.0, 1.0)), QuoteStatus.UNKNOWN_SYMBOL),
        (delta(bid=(1.0, 1.0), u=99), QuoteStatus.OLD_UPDATE),
        (delta(bid=(1.0, 1.0), u=2**63), QuoteStatus.IMPLAUSIBLE),
        (delta(bid=(1.0, 1.0), u=-1), QuoteStatus.IMPLAUSIBLE),
        (delta(bid=(1.0, 1.0), ms=2**62), QuoteStatus.IMPLAUSIBLE),
    ],
)
def test_delta_that_may_not_be_believed_leaves_the_store_alone(
    sink, stored, counters, partial, status
):
    sink.feed(snapshot())
    before = stored()

    assert sink.merge(partial) == status

    assert stored() == before
    assert counters()[FeedCounter.REFUSED + status] == 1


@pytest.mark.parametrize(
    ("level", "status"),
    [
        ((1e10, 1.0), QuoteStatus.IMPLAUSIBLE),
        ((100.7, 1e30), QuoteStatus.IMPLAUSIBLE),
        ((math.nan, 1.0), QuoteStatus.ONE_SIDED),
        ((math.inf, 1.0), QuoteStatus.ONE_SIDED),
        ((100.7, -1.0), QuoteStatus.ONE_SIDED),
    ],
)
def test_impossible_level_makes_its_symbol_unusable(sink, stored, level, status):
    sink.feed(snapshot())

    assert sink.merge(delta(ask=level)) == status

    assert stored()["flags"] == SlotFlag.ONE_SIDED
    assert all(math.isfinite(value) for value in sides(stored()))


def test_delta_without_an_id_or_a_time_is_merged(sink, stored):
    sink.feed(snapshot())

    status = sink.merge(delta(ask=(100.7, 1.0), u=None, ms=None))

    assert status == QuoteStatus.QUOTE
    assert (stored()["update_id"], stored()["exchange_ns"]) == (-1, -1)


def test_restart_id_is_never_old_and_begins_a_new_series(make_sink):
    sink = make_sink(restart_update_id=1)
    sink.feed(snapshot(u=5_000))

    assert sink.feed(snapshot(u=2)) == QuoteStatus.OLD_UPDATE
    assert sink.feed(snapshot(u=1)) == QuoteStatus.QUOTE
    assert sink.feed(snapshot(u=2)) == QuoteStatus.QUOTE


def test_lower_id_with_a_later_time_is_a_restart_only_where_the_exchange_restarts(make_sink):
    told_by_time = make_sink(is_restart_told_by_time=True)
    told_by_time.feed(snapshot(u=5_000, ms=1_700_000))
    same_time = told_by_time.feed(snapshot(u=2, ms=1_700_000))
    later = told_by_time.feed(snapshot(u=2, ms=1_700_001))
    plain = make_sink()
    plain.feed(snapshot(u=5_000, ms=1_700_000))

    assert (same_time, later) == (QuoteStatus.OLD_UPDATE, QuoteStatus.QUOTE)
    assert plain.feed(snapshot(u=2, ms=1_700_001)) == QuoteStatus.OLD_UPDATE


LEVELS = st.none() | st.just("removed") | st.tuples(st.integers(1, 9), st.integers(1, 5))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(changes=st.lists(st.tuples(LEVELS, LEVELS), max_size=25))
def test_any_series_of_deltas_ends_like_a_book_kept_by_hand(make_sink, stored, changes):
    sink = make_sink(max_jump_pct=0)
    bid, ask = (3.0, 1.0), (6.0, 1.0)
    sink.feed(snapshot(bids=[("3", "1")], asks=[("6", "1")]))
    for number, (bid_change, ask_change) in enumerate(changes):
        levels = {
            name: None if change in (None, "removed") else tuple(map(float, change))
            for name, change in (("bid", bid_change), ("ask", ask_change))
        }
        sink.merge(
            delta(
                u=101 + number,
                removed_bid=bid_change == "removed",
                removed_ask=ask_change == "removed",
                **levels,
            )
        )
        bid = levels["bid"] if bid_change else bid
        ask = levels["ask"] if ask_change else ask
        if bid and ask and bid[0] >= ask[0]:
            # What came alone is the present side; both at once contradict each other.
            came = [level is not None for level in levels.values()]
            bid = bid if came == [True, False] else None
            ask = ask if came == [False, True] else None

        row = stored()
        if bid and ask:
            assert row["flags"] == 0
            assert sides(row) == [*bid, *ask]
        else:
            assert row["flags"] == SlotFlag.ONE_SIDED
