"""An engine that is killed and begins again: no opening lost, none told under two numbers."""

import pytest
from engine_cases import FUTURES, SPOT

from spreadscan.model import SignalType
from spreadscan.shm.counters import EngineCounter
from spreadscan.shm.layout import Routes
from spreadscan.shm.record_table import route_index

OPEN, UPDATE, CLOSE = SignalType.OPEN, SignalType.UPDATE, SignalType.CLOSE
SYMBOL = 7


def restart(market, *symbols):
    """Kill the engine, as the system does: nothing of it is left but the regions."""
    market.scanner = market.new_scanner()
    market.watch(*symbols or (SYMBOL,))


def scanned(market):
    market.scanner.scan()
    found = market.signals()
    return list(zip(found["type"].tolist(), found["opening"].tolist(), strict=True))


def state(market, symbol=SYMBOL, direction=0):
    return market.regions.routes.read(route_index(direction, symbol))


def opened(market, *symbols):
    market.watch(*symbols or (SYMBOL,))
    for symbol in symbols or (SYMBOL,):
        market.spread(10, symbol=symbol)
    market.scanner.scan()
    return market.signals()


def test_last_signal_of_a_route_stands_in_its_state(market):
    (opening,) = opened(market)
    after_opening = state(market)
    market.spread(-10)
    market.scanner.scan()
    (ending,) = market.signals()
    after_ending = state(market)

    for found, signal, is_open in ((after_opening, opening, 1), (after_ending, ending, 0)):
        assert found["time_ns"] == signal["time_ns"]
        assert (found["type"], found["opening"]) == (signal["type"], 1)
        assert (found["is_open"], found["net_bps"]) == (is_open, signal["net_bps"])


def test_route_still_beyond_the_threshold_is_told_again_under_its_number(market):
    opened(market)

    restart(market)

    assert market.scanner.open_routes == 1
    assert scanned(market) == [(OPEN, 1)]
    assert scanned(market) == []
    assert market.counter(EngineCounter.RESUMED) == 1


def test_route_that_fell_back_meanwhile_ends_under_its_number(market):
    opened(market)
    market.spread(-10)

    restart(market)

    assert scanned(market) == [(CLOSE, 1)]
    market.spread(10)
    assert scanned(market) == [(OPEN, 2)]


def test_route_in_between_waits_until_it_crosses_or_falls(market):
    opened(market, 7, 8)
    for symbol in (7, 8):
        market.spread(3, symbol=symbol)

    restart(market, 7, 8)
    in_between = scanned(market)
    market.spread(8, symbol=7)
    market.spread(-1, symbol=8)

    assert in_between == []
    assert sorted(scanned(market)) == [(OPEN, 1), (CLOSE, 1)]


def test_resumed_route_goes_on_by_steps_after_it_has_spoken(market):
    opened(market)
    restart(market)
    scanned(market)

    market.spread(11)
    small = scanned(market)
    market.spread(15)

    assert (small, scanned(market)) == ([], [(UPDATE, 1)])


def test_numbers_of_openings_go_on_over_restarts(market):
    market.watch(SYMBOL)
    told = []
    for _ in range(3):
        for net_bps in (10, -10):
            market.spread(net_bps)
            told += scanned(market)
        restart(market)

    assert told == [(OPEN, 1), (CLOSE, 1), (OPEN, 2), (CLOSE, 2), (OPEN, 3), (CLOSE, 3)]


def test_opening_that_never_reached_the_ring_is_made_anew(market):
    market.watch(SYMBOL)
    market.fill_ring()
    market.spread(10)
    market.scanner.scan()
    assert market.scanner.spilled == 1

    restart(market)
    market.signals()

    assert scanned(market) == [(OPEN, 1)]


@pytest.mark.parametrize("is_torn", [False, True])
def test_engine_killed_between_a_signal_and_its_state_loses_nothing(market, is_torn):
    opened(market)
    # As if it had been killed after the push: nothing, or half of a state, was written.
    mapping = market.regions.routes.table.mapping
    offset = Routes.STATES + route_index(0, SYMBOL) * Routes.STATE_BYTES
    for word in range(1, 4):
        mapping.store_word(offset + 8 * word, 0)
    mapping.store_word(offset, 1 if is_torn else 2)
    market.spread(-10)

    restart(market)

    assert scanned(market) == [(CLOSE, 1)]


def test_route_that_the_engine_dropped_does_not_come_back_open(market):
    opened(market)
    market.watch()

    restart(market)

    assert scanned(market) == [(OPEN, 2)]


def test_route_that_a_pause_ended_quietly_does_not_come_back_open(market):
    opened(market)
    market.command(PAUSE_ALL=1)
    market.spread(-10)
    market.scanner.scan()
    assert state(market)["is_open"] == 0
    market.spread(10)

    restart(market)
    market.command(PAUSE_ALL=0)

    assert scanned(market) == [(OPEN, 2)]


def test_leg_that_may_not_be_believed_keeps_a_resumed_route_waiting(market):
    opened(market)
    market.spread(-10, flags=1)

    restart(market)
    doubtful = scanned(market)
    market.spread(-10)

    assert doubtful == []
    assert scanned(market) == [(CLOSE, 1)]


def test_other_engine_over_other_legs_finds_only_its_own_routes(market):
    opened(market)
    market.quote(3, 8, 100.0, 100.1)

    market.scanner = market.new_scanner()
    market.watch(8, spot=SPOT, futures=FUTURES)

    assert market.scanner.open_routes == 0


def test_id_that_means_another_coin_inherits_nothing(market):
    table = market.regions.routes
    assert table.meet({SYMBOL: "OLD-USDT", 8: "BTC-USDT"}) == []
    opened(market, SYMBOL, 8)

    market.scanner = market.new_scanner()
    assert table.meet({SYMBOL: "NEW-USDT", 8: "BTC-USDT"}) == ["NEW-USDT"]
    market.watch(SYMBOL, 8)
    open_routes = market.scanner.open_routes
    told = scanned(market)

    assert open_routes == 1
    # The other coin's is a new opening, under a number that was not used.
    assert sorted(told) == [(OPEN, 1), (OPEN, 2)]
    assert table.meet({SYMBOL: "NEW-USDT", 8: "BTC-USDT"}) == []


def test_id_that_means_another_coin_is_not_taken_for_suspect(market):
    table = market.regions.routes
    table.meet({SYMBOL: "OLD-USDT"})
    mapping = table.table.mapping
    offset = Routes.SUSPECTS + Routes.SUSPECT_BLOCK_BYTES * SPOT
    mapping.store_word(offset, 1 << SYMBOL | 1 << 8)

    table.meet({SYMBOL: "NEW-USDT"})

    assert mapping.load_word(offset) == 1 << 8
