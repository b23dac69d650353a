"""The truth gate: what holds a signal back, for how long, and that it is counted and seen."""

import math
import time

import numpy as np
import pytest
from engine_cases import EPOCH, FUTURES, SPOT

from spreadscan.kernel.scan import numbers
from spreadscan.model import SignalType, SlotFlag
from spreadscan.shm.counters import EngineCounter, Gate
from spreadscan.shm.price_store import slot_of

OPEN, UPDATE, CLOSE = SignalType.OPEN, SignalType.UPDATE, SignalType.CLOSE
SYMBOL = 7
DIRECTION = 5
MS = 1_000_000
SECOND = 1_000 * MS


def held_back(market):
    """Every gate that held something back, and how often, by direction."""
    counts = market.regions.routes.suppressed()
    return {(int(d), Gate(int(g))): int(counts[d, g]) for d, g in np.argwhere(counts)}


def scanned(market):
    market.scanner.scan()
    return market.types()


def test_numbers_in_the_kernel_are_those_of_layout_and_model():
    found = numbers()

    assert [(name, here) for name, here, _ in found] == [(name, there) for name, _, there in found]
    assert {name for name, *_ in found} >= {f"Gate.{gate.name}" for gate in Gate}


@pytest.mark.parametrize(
    ("leg", "gate"),
    [
        ({"flags": SlotFlag.NEVER_WRITTEN}, Gate.UNUSABLE),
        ({"flags": SlotFlag.UNSUBSCRIBED}, Gate.UNUSABLE),
        ({"flags": SlotFlag.HELD}, Gate.QUARANTINED),
        ({"flags": SlotFlag.LATE}, Gate.QUARANTINED),
        ({"flags": SlotFlag.REFUSED | SlotFlag.DISCONNECTED}, Gate.QUARANTINED),
        ({"flags": SlotFlag.HALTED}, Gate.HALTED),
        ({"flags": SlotFlag.HALTED | SlotFlag.DISCONNECTED}, Gate.HALTED),
        ({"epoch": EPOCH - 2}, Gate.DEAD_EPOCH),
        ({"age_ms": 10_001}, Gate.STALE),
        ({"qty": 0.5}, Gate.SIZE),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_each_reason_is_counted_for_its_direction_and_in_all(market, leg, gate):
    market.watch(SYMBOL, direction=DIRECTION)
    market.spread(10, **leg)

    assert scanned(market) == []
    assert set(held_back(market)) == {(DIRECTION, gate)}
    count = held_back(market)[DIRECTION, gate]
    assert market.counter(EngineCounter.SUPPRESSED + gate) == count > 0


def test_leg_whose_bid_is_not_below_its_ask_raises_nothing(market):
    market.watch(SYMBOL, direction=DIRECTION)
    market.quote(SPOT, SYMBOL, 100.0, 100.0)
    market.quote(FUTURES, SYMBOL, 101.0, 101.1)

    assert scanned(market) == []
    assert set(held_back(market)) == {(DIRECTION, Gate.CROSSED)}


def test_reasons_of_two_directions_are_told_apart(market):
    routes = [
        (slot_of(SPOT, SYMBOL), slot_of(source, SYMBOL), direction, SYMBOL, 30.0)
        for direction, source in ((2, FUTURES), (63, 3))
    ]
    market.scanner.set_routes(routes)
    market.quote(3, SYMBOL, 101.0, 101.1, flags=SlotFlag.HALTED)
    market.spread(10, qty=0.5)

    assert scanned(market) == []
    assert set(held_back(market)) == {(2, Gate.SIZE), (63, Gate.HALTED)}


def test_counts_outlive_the_engine(market):
    market.watch(SYMBOL)
    market.spread(10, qty=0.5)
    scanned(market)
    before = held_back(market)

    market.scanner = market.new_scanner()
    market.watch(SYMBOL)
    scanned(market)

    assert held_back(market)[0, Gate.SIZE] > before[0, Gate.SIZE]


# The operator's kill.


def test_no_signal_leaves_once_kill_is_set_though_nobody_has_noticed_it(market):
    market.watch(SYMBOL, 8)
    market.spread(10)
    scanned(market)

    market.control.command(KILL=1)
    market.spread(20)
    market.spread(10, symbol=8)

    assert scanned(market) == []
    assert set(held_back(market)) == {(0, Gate.KILLED)}
    assert market.scanner.open_routes == 0


def test_what_waits_for_room_in_the_ring_does_not_leave_after_a_kill(market):
    market.watch(SYMBOL)
    market.fill_ring()
    market.spread(10)
    market.scanner.scan()
    assert market.scanner.spilled == 1

    market.control.command(KILL=1)
    market.signals()
    first = scanned(market)
    market.command(KILL=0)

    assert first == []
    assert market.scanner.spilled == 0
    # What still is beyond the threshold is a new crossing.
    assert scanned(market) == [OPEN]


def test_after_a_kill_every_crossing_is_a_new_one_and_no_ending_is_told(market):
    market.watch(SYMBOL, 8)
    for symbol in (SYMBOL, 8):
        market.spread(10, symbol=symbol)
    market.scanner.scan()
    market.signals()
    market.command(KILL=1)
    market.spread(-10, symbol=8)
    market.scanner.scan()

    market.command(KILL=0)
    market.scanner.scan()

    (found,) = market.signals()
    assert (found["type"], found["symbol_id"], found["opening"]) == (OPEN, SYMBOL, 2)


def test_engine_that_starts_under_a_kill_says_nothing(market):
    market.watch(SYMBOL)
    market.spread(10)
    scanned(market)
    market.control.command(KILL=1)

    market.scanner = market.new_scanner()
    market.watch(SYMBOL)

    assert scanned(market) == []
    assert market.scanner.open_routes == 0


def test_kill_that_is_taken_back_before_the_engine_looks_ends_what_was_open(market):
    market.watch(SYMBOL)
    market.spread(10)
    scanned(market)

    market.control.command(KILL=1)
    market.control.command(KILL=0)
    market.scanner.scan()

    # The tracker may have ended its episode, so what is still beyond is a new opening.
    market.scanner.scan()
    (found,) = market.signals()
    assert (found["type"], found["opening"]) == (OPEN, 2)


def test_kill_that_is_taken_back_while_no_engine_runs_ends_what_was_open(market):
    market.watch(SYMBOL)
    market.spread(10)
    scanned(market)
    market.control.command(KILL=1)
    market.control.command(KILL=0)

    market.scanner = market.new_scanner()
    market.watch(SYMBOL)
    market.scanner.scan()
    market.scanner.scan()

    (found,) = market.signals()
    assert (found["type"], found["opening"]) == (OPEN, 2)


def test_what_waits_for_room_does_not_leave_after_a_kill_that_is_taken_back(market):
    market.watch(SYMBOL)
    market.fill_ring()
    market.spread(10)
    market.scanner.scan()
    market.control.command(KILL=1)
    market.control.command(KILL=0)
    market.spread(-10)
    market.signals()

    assert scanned(market) == []


def test_what_waits_for_room_does_not_leave_in_a_turn_under_a_kill(market):
    market.watch(SYMBOL)
    market.fill_ring()
    market.spread(10)
    market.scanner.scan()

    market.control.command(KILL=1)
    market.signals()
    # No leg changes, so there is no pass that would notice.
    market.scanner.run(2 * MS)

    assert market.types() == []


# Confirmation.


def test_crossing_opens_with_the_quote_that_confirms_it(make_market):
    market = make_market(confirm_updates=3)
    market.watch(SYMBOL, direction=DIRECTION)
    market.spread(-50)
    scanned(market)

    seen = []
    for net_bps in (6, 7, 8):
        bid = 100.0 * (1 + (net_bps + 30) / 10_000)
        market.quote(FUTURES, SYMBOL, bid, bid + 0.01)
        seen.append(scanned(market))

    assert seen == [[], [], [OPEN]]
    assert held_back(market) == {(DIRECTION, Gate.UNCONFIRMED): 2}


def test_crossing_that_is_gone_in_between_begins_anew(make_market):
    market = make_market(confirm_updates=2)
    market.watch(SYMBOL)
    market.spread(-50)
    seen = []
    for net_bps in (6, -1, 6, 7):
        bid = 100.0 * (1 + (net_bps + 30) / 10_000)
        market.quote(FUTURES, SYMBOL, bid, bid + 0.01)
        seen.append(scanned(market))

    assert seen == [[], [], [], [OPEN]]


def test_quote_that_may_not_be_believed_ends_a_confirmation(make_market):
    market = make_market(confirm_updates=2)
    market.watch(SYMBOL)
    market.spread(-50)
    scanned(market)
    seen = []
    for net_bps, flags in ((6, 0), (7, SlotFlag.HELD), (8, 0), (9, 0)):
        bid = 100.0 * (1 + (net_bps + 30) / 10_000)
        market.quote(FUTURES, SYMBOL, bid, bid + 0.01, flags=flags)
        seen.append(scanned(market))

    assert seen == [[], [], [], [OPEN]]


def test_crossing_opens_when_it_has_lasted_without_another_quote(make_market):
    market = make_market(confirm_ms=50)
    market.watch(SYMBOL)
    market.spread(10)
    now_ns = time.monotonic_ns()

    at_once, early, due, later = (
        [market.scanner.scan_at(now_ns + after_ms * MS), market.types()][1]
        for after_ms in (0, 49, 50, 100)
    )

    assert (at_once, early, due, later) == ([], [], [OPEN], [])


def test_crossing_that_did_not_last_opens_nothing(make_market):
    market = make_market(confirm_ms=50)
    market.watch(SYMBOL)
    now_ns = time.monotonic_ns()
    for after_ms, net_bps in ((0, 10), (20, -10), (40, 10), (60, 11)):
        market.spread(net_bps)
        market.scanner.scan_at(now_ns + after_ms * MS)

    assert market.types() == []
    market.scanner.scan_at(now_ns + 90 * MS)
    assert market.types() == [OPEN]


def test_either_enough_quotes_or_enough_time_confirms(make_market):
    market = make_market(confirm_updates=2, confirm_ms=50)
    market.watch(SYMBOL, 8)
    for symbol in (SYMBOL, 8):
        market.spread(-50, symbol=symbol)
    now_ns = time.monotonic_ns()
    market.scanner.scan_at(now_ns)
    bid = 100.0 * 1.004
    for symbol in (SYMBOL, 8):
        market.quote(FUTURES, symbol, bid, bid + 0.01)
    market.scanner.scan_at(now_ns + MS)
    market.quote(FUTURES, 8, bid + 0.01, bid + 0.02)
    market.scanner.scan_at(now_ns + 2 * MS)
    by_quotes = market.signals()["symbol_id"].tolist()

    market.scanner.scan_at(now_ns + 51 * MS)

    assert by_quotes == [8]
    assert market.signals()["symbol_id"].tolist() == [SYMBOL]


def test_engine_that_sleeps_wakes_for_a_confirmation(make_market):
    market = make_market(confirm_ms=30, wait_bound_ms=1_000, wait="eventfd")
    market.watch(SYMBOL)
    market.spread(10)

    deadline_s = time.monotonic() + 30
    while not market.reader.depth():
        assert time.monotonic() < deadline_s
        market.scanner.run(200 * MS)

    assert market.types() == [OPEN]


def test_many_crossings_that_wait_are_all_confirmed_once(make_market):
    market = make_market(confirm_ms=50)
    symbols = range(300)
    market.watch(*symbols)
    now_ns = time.monotonic_ns()
    for symbol in symbols:
        market.spread(10, symbol=symbol)
    market.scanner.scan_at(now_ns)
    for symbol in symbols[::3]:
        market.spread(-10, symbol=symbol)
    market.scanner.scan_at(now_ns + 10 * MS)

    for after_ms in (50, 51, 70):
        market.scanner.scan_at(now_ns + after_ms * MS)

    found = market.signals()
    assert set(found["type"].tolist()) == {OPEN}
    assert sorted(found["symbol_id"].tolist()) == [s for s in symbols if s % 3]


def test_reload_begins_a_confirmation_anew(make_market):
    market = make_market(confirm_ms=50)
    market.watch(SYMBOL)
    market.spread(10)
    now_ns = time.monotonic_ns()
    market.scanner.scan_at(now_ns)

    market.watch(SYMBOL)
    market.scanner.scan_at(now_ns + 40 * MS)
    market.scanner.scan_at(now_ns + 60 * MS)
    early = market.types()
    market.scanner.scan_at(now_ns + 90 * MS)

    assert (early, market.types()) == ([], [OPEN])


def test_limits_and_thresholds_change_between_two_passes(make_market):
    market = make_market(confirm_ms=60_000)
    market.watch(SYMBOL)
    market.spread(10)
    before = scanned(market)

    market.reconfigure(confirm_ms=0)
    at_once = scanned(market)
    market.reconfigure(open_net_bps=20.0, rearm_net_bps=15.0)

    assert (before, at_once, scanned(market)) == ([], [OPEN], [CLOSE])


def test_being_looked_at_again_without_a_quote_confirms_nothing(make_market):
    market = make_market(confirm_updates=2)
    market.watch(SYMBOL)
    market.spread(-50)
    scanned(market)
    bid = 100.0 * 1.0036
    market.quote(FUTURES, SYMBOL, bid, bid + 0.01)
    first = scanned(market)

    market.command(PAUSED_SYMBOLS=1 << 9)
    by_nobody = scanned(market)
    market.quote(FUTURES, SYMBOL, bid, bid + 0.01)

    assert (first, by_nobody, scanned(market)) == ([], [], [OPEN])


def test_leg_without_a_price_in_between_begins_a_confirmation_anew(make_market):
    market = make_market(confirm_ms=50)
    market.watch(SYMBOL)
    market.spread(10)
    now_ns = time.monotonic_ns()
    market.scanner.scan_at(now_ns)

    market.quote(SPOT, SYMBOL, 0.0, 0.0, flags=SlotFlag.NEVER_WRITTEN)
    market.scanner.scan_at(now_ns + 10 * MS)
    market.quote(SPOT, SYMBOL, 99.99, 100.0)
    market.scanner.scan_at(now_ns + 60 * MS)
    early = market.types()
    market.scanner.scan_at(now_ns + 110 * MS)

    assert (early, market.types()) == ([], [OPEN])


def test_feed_that_died_and_came_back_unseen_begins_a_confirmation_anew(make_market):
    market = make_market(confirm_ms=1_000)
    market.watch(SYMBOL)
    market.spread(10)
    now_ns = time.monotonic_ns()
    market.scanner.scan_at(now_ns)

    market.set_epoch(SPOT, EPOCH + 2)
    market.quote(SPOT, SYMBOL, 99.99, 100.0, epoch=EPOCH + 2)
    market.scanner.scan_at(now_ns + 900 * MS)
    market.scanner.scan_at(now_ns + 1_000 * MS)
    early = market.types()
    market.scanner.scan_at(now_ns + 1_900 * MS)

    assert (early, market.types()) == ([], [OPEN])


# What the legs are at the time of the signal.


def test_death_of_a_feed_is_seen_in_every_pass(market):
    market.watch(SYMBOL)
    market.spread(-50)
    market.scanner.scan()
    market.set_epoch(SPOT, EPOCH + 1)
    bid = 100.0 * 1.01
    market.quote(FUTURES, SYMBOL, bid, bid + 0.01)

    assert scanned(market) == []
    assert set(held_back(market)) == {(0, Gate.DEAD_EPOCH)}


def test_each_signal_carries_its_own_time_and_not_that_of_its_pass(market):
    symbols = range(50)
    market.watch(*symbols)
    for symbol in symbols:
        market.spread(10, symbol=symbol)
    market.scanner.scan()

    times = market.signals()["time_ns"].tolist()
    assert times == sorted(times)
    assert len(set(times)) > len(symbols) // 2


@pytest.mark.parametrize("side", [SPOT, FUTURES])
def test_size_that_is_no_number_opens_nothing(market, side):
    market.watch(SYMBOL)
    market.quote(SPOT, SYMBOL, 99.99, 100.0, qty=math.nan if side == SPOT else 10.0)
    market.quote(FUTURES, SYMBOL, 101.0, 101.1, qty=math.nan if side == FUTURES else 10.0)

    assert scanned(market) == []
    assert {gate for _, gate in held_back(market)} == {Gate.SIZE}
