"""Openings and endings that wait for room in the ring are judged again when there is some."""

import numpy as np
import pytest
from engine_cases import EPOCH, FEE_BPS, FUTURES, SPOT

from spreadscan.model import SignalType
from spreadscan.shm.counters import EngineCounter, Gate
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.record_table import route_index

OPEN, UPDATE, CLOSE = SignalType.OPEN, SignalType.UPDATE, SignalType.CLOSE
SYMBOL = 7
MS = 1_000_000


@pytest.fixture
def spilled(market):
    """An opening that waits for room."""
    market.watch(SYMBOL)
    market.fill_ring()
    market.spread(10)
    market.scanner.scan()
    assert market.scanner.spilled == 1
    return market


def scanned(market):
    market.scanner.scan()
    found = market.signals()
    return list(zip(found["type"].tolist(), found["opening"].tolist(), strict=True))


def is_open(market):
    """Whether the route is open: to those who read shared memory, and to the engine."""
    state = market.regions.routes.read(route_index(0, SYMBOL))
    return bool(state["is_open"]), bool(market.scanner.open_routes)


def test_opening_does_not_leave_while_its_route_is_paused(spilled):
    spilled.command(PAUSE_ALL=1)
    spilled.signals()

    assert scanned(spilled) == []
    assert is_open(spilled) == (False, False)
    assert spilled.counter(EngineCounter.SUPPRESSED + Gate.PAUSED) > 0
    spilled.command(PAUSE_ALL=0)
    assert scanned(spilled) == [(OPEN, 2)]


def test_opening_that_fell_back_during_a_pause_is_not_told_after_it(spilled):
    spilled.command(PAUSE_ALL=1)
    spilled.spread(-10)
    spilled.scanner.scan()

    spilled.command(PAUSE_ALL=0)
    spilled.signals()

    assert scanned(spilled) == []
    assert is_open(spilled) == (False, False)


def test_opening_does_not_leave_once_a_leg_is_of_a_dead_feed(spilled):
    spilled.set_epoch(SPOT, EPOCH + 1)
    spilled.signals()

    assert scanned(spilled) == []
    assert is_open(spilled) == (False, False)


@pytest.mark.parametrize("says", [{"flags": 1}, {"age_ms": 10_001}])
def test_opening_does_not_leave_over_a_leg_that_has_become_doubtful(spilled, says):
    spilled.quote(SPOT, SYMBOL, 99.99, 100.0, **says)
    spilled.signals()

    assert scanned(spilled) == []
    assert is_open(spilled) == (False, False)


def test_opening_from_before_a_feed_began_anew_is_made_anew(spilled):
    spilled.set_epoch(SPOT, EPOCH + 2)
    spilled.quote(SPOT, SYMBOL, 99.99, 100.0, epoch=EPOCH + 2)
    spilled.signals()

    spilled.scanner.scan()
    spilled.scanner.scan()

    (found,) = spilled.signals()
    assert (found["type"], found["opening"], found["spot_epoch"]) == (OPEN, 2, EPOCH + 2)


def test_opening_whose_route_is_gone_is_not_told(spilled):
    spilled.watch(8)
    spilled.signals()

    assert scanned(spilled) == []
    assert is_open(spilled) == (False, False)


def test_opening_whose_route_went_and_came_back_is_told_once_and_under_a_new_number(spilled):
    spilled.watch(8)
    spilled.watch(SYMBOL)
    spilled.signals()

    assert scanned(spilled) == [(OPEN, 2)]


def test_opening_told_again_after_a_restart_stays_resumed_when_it_may_not_leave(market):
    market.watch(SYMBOL)
    market.spread(10)
    assert scanned(market) == [(OPEN, 1)]
    market.fill_ring()
    market.scanner = market.new_scanner()
    market.watch(SYMBOL)
    market.scanner.scan()
    assert market.scanner.spilled == 1

    market.set_epoch(SPOT, EPOCH + 1)
    market.signals()
    while_dead = scanned(market)
    market.set_epoch(SPOT, EPOCH)
    market.scanner.look_again()

    assert while_dead == []
    assert scanned(market) == [(OPEN, 1)]


def test_ending_of_an_opening_that_was_told_leaves_though_a_feed_died_since(market):
    market.watch(SYMBOL)
    market.spread(10)
    assert scanned(market) == [(OPEN, 1)]
    market.fill_ring()
    market.spread(-10)
    market.scanner.scan()

    market.set_epoch(SPOT, EPOCH + 1)
    market.signals()

    assert scanned(market) == [(CLOSE, 1)]
    assert is_open(market) == (False, False)


def test_ending_does_not_leave_without_its_opening(spilled):
    spilled.spread(-10)
    spilled.scanner.scan()
    assert spilled.scanner.spilled == 2

    spilled.set_epoch(SPOT, EPOCH + 1)
    spilled.signals()

    assert scanned(spilled) == []
    assert is_open(spilled) == (False, False)


def test_more_openings_than_the_spill_holds_are_told_without_another_quote(market):
    routes = [
        (slot_of(SPOT, symbol), slot_of(FUTURES, symbol), direction, symbol, FEE_BPS)
        for direction in range(6)
        for symbol in range(1_000)
    ]
    market.scanner.set_routes(routes)
    market.fill_ring()
    for symbol in range(1_000):
        market.spread(10, symbol=symbol)
    market.scanner.scan()
    assert market.scanner.open_routes == 4_096
    market.signals()

    market.scanner.run(5 * MS)
    market.scanner.run(5 * MS)

    found = market.signals()
    assert len(np.unique(found[["direction", "symbol_id"]])) == len(found) == len(routes)


def test_update_that_found_no_room_is_told_when_there_is_some(market):
    market.watch(SYMBOL)
    market.spread(10)
    assert scanned(market) == [(OPEN, 1)]
    market.fill_ring()
    market.spread(60)
    market.scanner.scan()
    market.signals()

    # The spread stays where it is, and nobody is quoted.
    market.scanner.run(5 * MS)
    market.scanner.run(5 * MS)

    (found,) = market.signals()
    assert (found["type"], found["opening"]) == (UPDATE, 1)
    assert found["net_bps"] == pytest.approx(60, abs=0.01)
    assert market.counter(EngineCounter.CONFLATED) == 1
    assert market.counter(EngineCounter.SIGNALS_UPDATE) == 1
