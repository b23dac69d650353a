"""The sink is the only way into the store, and lets nothing in that may not be believed."""

import os
import time

import numpy as np
import pytest
from frame_cases import FLAT, LEGS, NESTED, flat, nested

from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.sink import FeedSink
from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.shm.counters import FeedCounter, Histogram
from spreadscan.shm.health import HealthReader, HealthWriter
from spreadscan.shm.layout import MAX_SYMBOLS, PRICE_DTYPE, Prices, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions
from spreadscan.shm.wakeup import WakeupServer

SOURCE = 3
BTC = 7


@pytest.fixture
def make_sink(regions):
    def make(plan=FLAT):
        health = HealthWriter(regions.health, SOURCE, "feed")
        extractor = Extractor(plan, LEGS)
        return FeedSink(SOURCE, extractor, regions.prices.slots, regions.dirty.bits, health.slot)

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


def set_sequence(regions, slot, value):
    regions.prices.slots.mapping.store_word(Prices.SEQ + slot * Prices.SEQ_ENTRY_BYTES, value)


def test_quote_stands_in_the_store_and_its_symbol_is_dirty(regions, sink, stored, counters):
    status = sink.feed(flat())

    row = stored()
    assert status == QuoteStatus.QUOTE
    assert [row[name] for name in ("bid", "bid_qty", "ask", "ask_qty")] == [100.5, 2, 100.6, 3]
    assert (row["exchange_ns"], row["update_id"], row["flags"]) == (1_700_000_000_000, 100, 0)
    assert row["epoch"] == sink.epoch == 1
    assert regions.dirty.take(SOURCE) == [BTC]
    assert (sink.live_count, sink.is_live(BTC), sink.is_live(8)) == (1, True, False)
    found = counters()
    assert found[FeedCounter.FRAMES] == found[FeedCounter.QUOTES] == 1
    assert found[FeedCounter.SYMBOLS_LIVE] == 1
    assert found[FeedCounter.BYTES] == len(flat())
    assert (
        HealthReader(regions.health).histogram(SOURCE, Histogram.FEED_RECEIVE_TO_STORE).sum() == 1
    )


def test_receive_time_is_the_monotonic_clock(sink, stored):
    before_ns = time.monotonic_ns()

    sink.feed(flat())

    after_ns = time.monotonic_ns()
    assert before_ns <= stored()["received_ns"] <= after_ns
    assert 0 <= stored()["publish_delay_ns"] < after_ns - before_ns + 1


REFUSED = {
    "crossed": (flat(b="101"), QuoteStatus.CROSSED),
    "locked": (flat(b="100.6"), QuoteStatus.CROSSED),
    "negative": (flat(b="-1"), QuoteStatus.NOT_POSITIVE),
    "nan": (flat(b="NaN"), QuoteStatus.BAD_NUMBER),
    "infinite": (flat(a="Infinity"), QuoteStatus.BAD_NUMBER),
    "overflowing": (flat(a="1e400"), QuoteStatus.BAD_NUMBER),
    "huge price": (flat(a="1e10"), QuoteStatus.IMPLAUSIBLE),
    "huge quantity": (flat(A="1e30"), QuoteStatus.IMPLAUSIBLE),
    "truncated": (flat()[:-3], QuoteStatus.MALFORMED),
    "incomplete": (flat(a=None), QuoteStatus.MISSING_FIELD),
    "unknown": (flat(s="NOPE"), QuoteStatus.UNKNOWN_SYMBOL),
    "old": (flat(u=99), QuoteStatus.OLD_UPDATE),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_frame_is_counted_by_reason_and_its_numbers_stay_out_of_the_store(
    regions, sink, stored, counters, case
):
    frame, reason = REFUSED[case]
    sink.feed(flat())
    regions.dirty.take(SOURCE)
    before = stored()

    status = sink.feed(frame)

    after = stored()
    assert status == reason
    assert [after[name] for name in ("bid", "ask", "bid_qty", "ask_qty")] == [
        before[name] for name in ("bid", "ask", "bid_qty", "ask_qty")
    ]
    found = counters()
    assert found[FeedCounter.REFUSED + reason] == 1
    assert sum(found[FeedCounter.REFUSED : FeedCounter.REFUSED + 16]) == 1
    assert (found[FeedCounter.FRAMES], found[FeedCounter.QUOTES]) == (2, 1)


def test_price_before_a_refused_frame_is_unusable_until_the_next_quote(regions, sink, stored):
    crossed, _ = REFUSED["crossed"]
    sink.feed(flat())
    regions.dirty.take(SOURCE)

    sink.feed(crossed)

    assert stored()["flags"] == SlotFlag.REFUSED
    assert regions.dirty.take(SOURCE) != []
    assert sink.live_count == 0
    sink.feed(flat())
    assert stored()["flags"] == 0
    assert sink.live_count == 1


def test_control_frame_is_neither_a_quote_nor_a_refusal(sink, counters):
    assert sink.feed(b'{"result":null,"id":1}') == QuoteStatus.NOT_A_QUOTE

    assert sum(counters()[FeedCounter.REFUSED :]) == 0


def test_equal_update_id_is_proof_of_life(sink, stored):
    sink.feed(flat())
    first_ns = stored()["received_ns"]

    status = sink.feed(flat())

    assert status == QuoteStatus.QUOTE
    assert stored()["received_ns"] > first_ns


def test_ids_of_one_symbol_do_not_bind_another(sink):
    sink.feed(flat(u=1_000))

    assert sink.feed(flat(u=1, s="A")) == QuoteStatus.QUOTE


def test_symbol_marked_unusable_comes_back_with_its_next_quote_of_any_id(
    regions, sink, stored, counters
):
    sink.feed(flat(u=1_000))
    regions.dirty.take(SOURCE)

    sink.mark(BTC, SlotFlag.DISCONNECTED)
    marked, live = stored(), sink.live_count
    dirty = regions.dirty.take(SOURCE)
    status = sink.feed(flat(u=1))

    assert (marked["flags"], live, dirty) == (SlotFlag.DISCONNECTED, 0, [BTC])
    assert status == QuoteStatus.QUOTE
    assert (stored()["flags"], sink.live_count) == (0, 1)
    assert counters()[FeedCounter.SYMBOLS_LIVE] == 1


def test_marking_twice_counts_once(sink):
    sink.feed(flat())

    sink.mark(BTC, SlotFlag.DISCONNECTED)
    sink.mark(BTC, SlotFlag.DISCONNECTED)
    sink.mark(BTC, SlotFlag.UNSUBSCRIBED)

    assert sink.live_count == 0


def test_one_sided_book_makes_its_symbol_unusable_until_both_sides_are_back(make_sink, regions):
    sink = make_sink(NESTED)
    sink.feed(nested())
    swap = slot_of(SOURCE, 9)

    status = sink.feed(nested(bids=[], seqId=101))
    one_sided = regions.prices.read(swap)
    sink.feed(nested(seqId=102))

    assert status == QuoteStatus.ONE_SIDED
    assert one_sided["flags"] == SlotFlag.ONE_SIDED
    assert regions.prices.read(swap)["flags"] == 0


def test_new_owner_makes_every_older_price_unusable(regions, make_sink, stored):
    first = make_sink()
    first.feed(flat())

    second = make_sink()

    assert (first.epoch, second.epoch) == (1, 3)
    assert regions.prices.source_epoch(SOURCE) == 3
    assert stored()["flags"] == SlotFlag.NEVER_WRITTEN
    assert second.live_count == 0


def test_new_owner_heals_what_a_killed_one_left_half_written(regions, make_sink, stored):
    make_sink()
    for symbol_id in (0, BTC, MAX_SYMBOLS - 1):
        set_sequence(regions, slot_of(SOURCE, symbol_id), 99)
    assert stored() is None

    make_sink().feed(flat())

    slots = np.arange(slot_of(SOURCE, 0), slot_of(SOURCE, 0) + MAX_SYMBOLS, dtype=np.int32)
    rows, stable = regions.prices.read_many(slots)
    assert stable.all()
    assert rows["flags"].sum() == (MAX_SYMBOLS - 1) * SlotFlag.NEVER_WRITTEN


def test_taking_a_source_leaves_its_neighbours_alone(regions, make_sink):
    row = np.ones((), PRICE_DTYPE)
    for slot in (slot_of(SOURCE, 0) - 1, slot_of(SOURCE + 1, 0)):
        regions.prices.write(slot, row)

    make_sink()

    assert regions.prices.read(slot_of(SOURCE, 0) - 1) == row
    assert regions.prices.read(slot_of(SOURCE + 1, 0)) == row


def test_source_given_up_has_an_even_epoch_and_the_next_owner_an_odd_one(regions, make_sink):
    make_sink().close()
    given_up = regions.prices.source_epoch(SOURCE)

    second = make_sink()

    assert (given_up, second.epoch) == (2, 3)


def test_sleeping_engine_is_woken_once_and_the_wake_up_counted(regions, sink, counters, tmp_path):
    server = WakeupServer(tmp_path / "wakeup.sock")
    sink.set_wake_fd(server.eventfd)
    regions.dirty.bits.engine_sleeping = True

    sink.feed(flat())
    sink.feed(flat())

    assert os.eventfd_read(server.eventfd) == 1
    assert counters()[FeedCounter.WAKEUPS] == 1
    server.close()


@pytest.mark.parametrize("symbol_id", [-1, MAX_SYMBOLS])
def test_symbol_that_does_not_exist_is_refused(sink, symbol_id):
    with pytest.raises(IndexError):
        sink.mark(symbol_id, 1)
    with pytest.raises(IndexError):
        sink.is_live(symbol_id)


def test_sink_needs_writable_regions_and_a_source_that_exists(shm, regions):
    health = HealthWriter(regions.health, SOURCE, "feed").slot
    read_only = attach_regions(shm, reads=RegionKind, writes=(), timeout_s=0)
    extractor = Extractor(FLAT, LEGS)

    with pytest.raises(PermissionError):
        FeedSink(SOURCE, extractor, read_only.prices.slots, regions.dirty.bits, health)
    with pytest.raises(PermissionError):
        FeedSink(SOURCE, extractor, regions.prices.slots, read_only.dirty.bits, health)
    with pytest.raises(IndexError):
        FeedSink(8, extractor, regions.prices.slots, regions.dirty.bits, health)


def test_kernel_loop_counts_the_same_quotes_as_single_frames(sink):
    assert sink.bench_consume([flat(), b"pong", flat(b="200")], 4) == 4


def test_slot_of_an_instrument_that_is_gone_stays_as_it_was_marked(regions, stored):
    health = HealthWriter(regions.health, SOURCE, "feed")
    extractor = Extractor(FLAT, LEGS)
    sink = FeedSink(SOURCE, extractor, regions.prices.slots, regions.dirty.bits, health.slot)
    sink.feed(flat())

    extractor.set_legs([("ETHUSDT", 1, 1.0, 1.0)])
    sink.mark(BTC, SlotFlag.UNSUBSCRIBED)
    status = sink.feed(flat(u=200))

    assert status == QuoteStatus.UNKNOWN_SYMBOL
    assert stored()["flags"] == SlotFlag.UNSUBSCRIBED
    assert sink.feed(flat(s="ETHUSDT")) == QuoteStatus.QUOTE
    assert sink.live_count == 1
