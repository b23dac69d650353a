"""Other routes under a running scanner: what was open stays open, and nothing is told twice."""

import random
import threading
from itertools import pairwise

import pytest
from engine_cases import FEE_BPS, FUTURES, SPOT

from spreadscan.model import SignalType
from spreadscan.shm.price_store import slot_of

OPEN, UPDATE, CLOSE = SignalType.OPEN, SignalType.UPDATE, SignalType.CLOSE
SYMBOL = 7


def route(symbol, *, fee_bps=FEE_BPS, direction=0, futures=FUTURES):
    return (slot_of(SPOT, symbol), slot_of(futures, symbol), direction, symbol, fee_bps)


def scanned(market):
    market.scanner.scan()
    return market.types()


def opened(market, *symbols):
    market.watch(*symbols)
    for symbol in symbols:
        market.spread(10, symbol=symbol)
    assert scanned(market) == [OPEN] * len(symbols)


def test_open_route_stays_open_and_closes_under_its_number(market):
    opened(market, SYMBOL)

    market.scanner.set_routes([route(3), route(SYMBOL), route(900)])
    after_the_reload = scanned(market)
    market.spread(-10)
    market.scanner.scan()

    (closing,) = market.signals()
    assert after_the_reload == []
    assert (closing["type"], closing["symbol_id"], closing["opening"]) == (CLOSE, SYMBOL, 1)


def test_last_signalled_spread_is_kept_so_that_only_a_step_from_it_is_an_update(market):
    opened(market, SYMBOL)

    market.watch(SYMBOL)
    market.spread(11)
    small = scanned(market)
    market.spread(12.5)

    assert (small, scanned(market)) == ([], [UPDATE])


def test_kept_route_is_measured_with_its_new_fee(market):
    opened(market, SYMBOL)

    market.scanner.set_routes([route(SYMBOL, fee_bps=FEE_BPS + 20)])

    assert scanned(market) == [CLOSE]


def test_route_that_is_gone_says_nothing_and_is_not_counted_as_open(market):
    opened(market, SYMBOL, 8)

    market.watch(8)
    market.spread(-10)

    assert scanned(market) == []
    assert market.scanner.open_routes == 1


def test_new_route_signals_on_prices_that_were_there_before_it(market):
    market.watch(SYMBOL)
    market.spread(10, symbol=8)
    before = scanned(market)

    market.watch(SYMBOL, 8)

    assert (before, scanned(market)) == ([], [OPEN])


def test_change_that_nobody_looked_at_before_the_reload_is_seen_after_it(market):
    opened(market, SYMBOL)
    market.spread(-10)

    market.watch(SYMBOL)

    assert scanned(market) == [CLOSE]


def test_route_that_comes_back_begins_closed_and_goes_on_counting_its_openings(market):
    opened(market, SYMBOL)
    market.watch(8)
    market.scanner.scan()

    market.watch(SYMBOL, 8)
    market.scanner.scan()
    market.watch(SYMBOL)
    market.watch()
    market.watch(SYMBOL)
    market.scanner.scan()

    found = market.signals()
    assert found["type"].tolist() == [OPEN, OPEN]
    assert found["opening"].tolist() == [2, 3]


@pytest.mark.parametrize("other", [{"direction": 1}, {"futures": 5}])
def test_same_symbol_over_other_legs_or_in_another_direction_is_another_route(market, other):
    opened(market, SYMBOL)
    market.quote(5, SYMBOL, 100.9, 101.0)

    market.scanner.set_routes([route(SYMBOL, **other)])

    assert scanned(market) == [OPEN]


def test_leg_that_may_not_be_believed_does_not_close_a_route_over_a_reload(market):
    opened(market, SYMBOL)
    market.spread(-50, flags=1)

    market.watch(SYMBOL)

    assert scanned(market) == []
    assert market.scanner.open_routes == 1


def test_refused_routes_leave_everything_as_it_was(market):
    opened(market, SYMBOL)

    with pytest.raises(IndexError):
        market.scanner.set_routes([route(8), (0, 1024, 0, 1024, 1.0)])
    market.spread(-10)

    assert scanned(market) == [CLOSE]


@pytest.mark.parametrize("seed", range(3))
def test_reloads_under_load_double_miss_and_invent_nothing(market, seed):
    draw = random.Random(seed)
    symbols = range(40)
    stop = threading.Event()
    net_bps = dict.fromkeys(symbols, -10.0)

    def feed(chance):
        while not stop.is_set():
            symbol = chance.randrange(len(symbols))
            net_bps[symbol] = chance.choice((-10.0, -1.0, 10.0, 15.0))
            market.spread(net_bps[symbol], symbol=symbol)

    market.watch()
    feeder = threading.Thread(target=feed, args=(random.Random(seed + 100),))
    feeder.start()
    told = {symbol: [] for symbol in symbols}
    listed = set()
    for _ in range(40):
        following = set(draw.sample(symbols, 25)) | (listed & set(range(10)))
        for symbol in listed - following:
            told[symbol].append(None)
        listed = following
        market.watch(*draw.sample(sorted(listed), len(listed)))
        market.scanner.run(5_000_000)
        for signal in market.signals():
            assert signal["symbol_id"] in listed
            told[signal["symbol_id"]].append((signal["type"], signal["opening"]))
    stop.set()
    feeder.join()
    market.scanner.scan()
    for signal in market.signals():
        told[signal["symbol_id"]].append((signal["type"], signal["opening"]))

    for symbol, history in told.items():
        assert_sound(history)
        is_open = bool(history) and history[-1] is not None and history[-1][0] != CLOSE
        if symbol in listed:
            assert is_open == (net_bps[symbol] > 0)
    assert sum(len(history) for history in told.values()) > 200


def assert_sound(history):
    """OPEN, then updates, then CLOSE, all under one number; None is a time without the route."""
    numbers = [step[1] for step in history if step and step[0] == OPEN]
    assert numbers == list(range(1, len(numbers) + 1))
    for before, after in pairwise([None, *history]):
        if after is None:
            continue
        kind, opening = after
        if before is None or before[0] == CLOSE:
            assert kind == OPEN
        else:
            assert kind in {UPDATE, CLOSE}
            assert opening == before[1]
