"""One pass of the engine: what signals, what is suppressed and why, and that nothing is lost."""

import numpy as np
import pytest
from engine_cases import ENGINE, EPOCH, FEE_BPS, FUTURES, SPOT

from spreadscan.engine.channels import channels_of
from spreadscan.engine.spread import entry_spread_bps, executable_usd, exit_spread_bps
from spreadscan.kernel.scan import Scanner
from spreadscan.model import SignalType, SlotFlag
from spreadscan.shm.counters import EngineCounter, Gate, Histogram
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import Control, Prices, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions

OPEN, UPDATE, CLOSE = SignalType.OPEN, SignalType.UPDATE, SignalType.CLOSE
SYMBOL = 7


def test_opening_carries_both_legs_and_what_they_mean(market):
    market.watch(SYMBOL, direction=5)
    market.quote(SPOT, SYMBOL, 99.9, 100.0, qty=4.0, age_ms=20)
    market.quote(FUTURES, SYMBOL, 100.6, 100.7, qty=3.0)

    changed = market.scanner.scan()

    (found,) = market.signals()
    assert changed == 2
    assert (found["type"], found["direction"], found["symbol_id"]) == (OPEN, 5, SYMBOL)
    assert (found["spot_source"], found["futures_source"]) == (SPOT, FUTURES)
    assert (found["spot_epoch"], found["futures_epoch"], found["opening"]) == (EPOCH, EPOCH, 1)
    assert [found[name] for name in ("spot_bid", "spot_ask", "futures_bid", "futures_ask")] == [
        99.9, 100.0, 100.6, 100.7,
    ]  # fmt: skip
    assert (found["spot_ask_qty"], found["futures_bid_qty"]) == (4.0, 3.0)
    assert found["gross_bps"] == entry_spread_bps(100.0, 100.6)
    assert found["net_bps"] == entry_spread_bps(100.0, 100.6) - FEE_BPS
    assert found["exit_bps"] == np.float32(exit_spread_bps(99.9, 100.7))
    assert found["executable_usd"] == np.float32(executable_usd(100.0, 4.0, 100.6, 3.0))
    assert 20_000 <= found["spot_age_us"] < 5_000_000
    assert found["futures_age_us"] < found["spot_age_us"]
    assert (found["version"], found["length"], found["sequence"]) == (2, 104, 1)


def test_route_opens_updates_by_steps_and_closes_with_hysteresis(market):
    market.watch(SYMBOL)
    seen = []
    # Opens at 5, updates from steps of 2, closes at 0 and not before, opens again at 5.
    for net_bps in (4.9, 5.1, 6.0, 8.0, 7.0, 3.0, 0.1, 4.0, -0.1, 1.0, 4.9, 5.1):
        market.spread(net_bps)
        market.scanner.scan()
        seen.append(market.types())

    assert seen == [
        [],
        [OPEN],
        [],
        [UPDATE],
        [],
        [UPDATE],
        [UPDATE],
        [UPDATE],
        [CLOSE],
        [],
        [],
        [OPEN],
    ]
    assert market.scanner.open_routes == 1
    assert market.counter(EngineCounter.SIGNALS_OPEN) == 2
    assert market.counter(EngineCounter.SIGNALS_CLOSE) == 1


def test_each_opening_of_a_route_has_its_own_number(market):
    market.watch(SYMBOL)
    for net_bps in (10, -10) * 3:
        market.spread(net_bps)
        market.scanner.scan()

    assert market.signals()["opening"].tolist() == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("futures", "reason"),
    [
        ({"flags": SlotFlag.DISCONNECTED}, EngineCounter.SUPPRESSED + Gate.UNUSABLE),
        ({"flags": SlotFlag.ONE_SIDED}, EngineCounter.SUPPRESSED + Gate.UNUSABLE),
        ({"epoch": EPOCH - 2}, EngineCounter.SUPPRESSED + Gate.DEAD_EPOCH),
        ({"age_ms": 10_001}, EngineCounter.SUPPRESSED + Gate.STALE),
        ({"qty": 0.5}, EngineCounter.SUPPRESSED + Gate.SIZE),
    ],
)
def test_leg_that_may_not_be_believed_opens_nothing_and_the_reason_is_counted(
    market, futures, reason
):
    market.watch(SYMBOL)
    market.spread(10, **futures)

    market.scanner.scan()

    assert market.types() == []
    reasons = [EngineCounter.SUPPRESSED + gate for gate in Gate]
    assert [which for which in reasons if market.counter(which)] == [reason]


@pytest.mark.parametrize("source", [SPOT, FUTURES])
def test_prices_of_a_source_whose_feed_is_gone_open_nothing(market, source):
    market.watch(SYMBOL)
    market.set_epoch(source, EPOCH + 1)
    market.spread(10)

    market.scanner.scan()

    assert market.types() == []
    assert market.counter(EngineCounter.SUPPRESSED + Gate.DEAD_EPOCH) > 0


def test_spread_beyond_belief_is_suppressed(market):
    market.watch(SYMBOL)
    market.spread(2_500)

    market.scanner.scan()

    assert market.types() == []
    assert market.counter(EngineCounter.SUPPRESSED + Gate.INSANE) > 0


def test_stale_leg_does_not_close_an_open_route(market):
    market.watch(SYMBOL)
    market.spread(10)
    market.scanner.scan()
    market.types()

    market.spread(-10, age_ms=20_000)
    market.scanner.scan()

    assert market.types() == []
    assert market.scanner.open_routes == 1


PAUSES = [
    {"PAUSE_ALL": 1},
    {"PAUSED_SOURCES": 1 << SPOT},
    {"PAUSED_SOURCES": 1 << FUTURES},
    {"PAUSED_DIRECTIONS": 1 << 5},
    {"PAUSED_SYMBOLS": 1 << SYMBOL},
]


def resume(market, pause):
    market.command(**dict.fromkeys(pause, 0))


@pytest.mark.parametrize("pause", PAUSES, ids=lambda pause: next(iter(pause)))
def test_paused_route_is_silent_until_it_is_resumed(market, pause):
    market.watch(SYMBOL, direction=5)
    market.command(**pause)
    market.spread(10)
    market.scanner.scan()
    paused = market.types()

    resume(market, pause)
    market.scanner.scan()

    assert paused == []
    assert market.counter(EngineCounter.SUPPRESSED + Gate.PAUSED) > 0
    assert market.types() == [OPEN]


def test_pause_holds_before_the_engine_has_noticed_it(market):
    market.watch(SYMBOL)
    market.control.command(PAUSE_ALL=1)
    market.spread(10)

    market.scanner.scan()

    assert market.types() == []


def test_route_that_fell_back_during_a_pause_opens_anew_after_it(market):
    market.watch(SYMBOL)
    market.spread(10)
    market.scanner.scan()
    market.command(PAUSE_ALL=1)
    market.spread(-50)
    market.scanner.scan()
    resume(market, {"PAUSE_ALL": 1})

    market.spread(10)
    market.scanner.scan()

    assert market.types() == [OPEN, OPEN]


def test_pause_of_other_sources_directions_and_symbols_changes_nothing(market):
    market.watch(SYMBOL, direction=5)
    everything = 2**64 - 1
    market.command(
        PAUSED_SOURCES=everything & ~(1 << SPOT | 1 << FUTURES),
        PAUSED_DIRECTIONS=everything & ~(1 << 5),
        PAUSED_SYMBOLS=everything & ~(1 << SYMBOL),
    )
    market.spread(10)

    market.scanner.scan()

    assert market.types() == [OPEN]


def test_last_symbol_can_be_paused(market):
    market.watch(1023, 1022)
    offset = Control.PAUSED_SYMBOLS + 15 * 8
    market.regions.control.mapping.store_word(offset, 1 << 63)
    market.spread(10, symbol=1023)
    market.spread(10, symbol=1022)

    market.scanner.scan()

    assert market.signals()["symbol_id"].tolist() == [1022]


def test_half_written_leg_opens_nothing_and_is_read_once_it_is_whole(market):
    market.watch(SYMBOL)
    market.spread(10)
    slot = slot_of(FUTURES, SYMBOL)
    offset = Prices.SEQ + slot * Prices.SEQ_ENTRY_BYTES
    market.regions.prices.slots.mapping.store_word(offset, 3)

    market.scanner.scan()
    half = market.types()
    market.spread(10)
    market.scanner.scan()

    assert half == []
    assert market.counter(EngineCounter.TORN_READS) == 1
    assert market.types() == [OPEN]


@pytest.mark.parametrize("spot", [0, 6])
def test_two_legs_that_move_together_never_show_a_spread_that_never_was(market, spot):
    market.watch(SYMBOL, spot=spot, futures=3)
    for factor in (1.0, 0.9, 1.1, 0.8, 1.2) * 20:
        market.quote(spot, SYMBOL, 99.9 * factor, 100 * factor)
        market.quote(3, SYMBOL, 100 * factor, 100.1 * factor)
        market.scanner.scan()

    assert market.types() == []


def test_leg_that_moved_after_the_pass_began_raises_nothing_from_its_old_price(market):
    market.watch(SYMBOL)
    market.spread(-50)
    market.scanner.scan()
    # The spot has fallen, but its feed has not come to set the mark; then the future falls.
    market.write(SPOT, SYMBOL, 79.9, 80.0)
    market.quote(FUTURES, SYMBOL, 110.0, 110.1)

    market.scanner.scan()
    before_the_mark = market.types()
    market.write(FUTURES, SYMBOL, 80.0, 80.1)
    market.regions.dirty.mark(FUTURES, SYMBOL)
    market.regions.dirty.mark(SPOT, SYMBOL)
    market.scanner.scan()

    assert before_the_mark == []
    assert market.types() == []


def test_price_that_did_not_change_is_not_evaluated_again(market):
    market.watch(SYMBOL)
    market.spread(10)
    market.scanner.scan()
    evaluated = market.counter(EngineCounter.ROUTES_EVALUATED)

    market.regions.dirty.mark(SPOT, SYMBOL)
    changed = market.scanner.scan()

    assert changed == 0
    assert market.counter(EngineCounter.ROUTES_EVALUATED) == evaluated


def test_symbols_without_a_route_are_ignored(market):
    market.watch(SYMBOL)
    market.scanner.scan()
    market.spread(50, symbol=SYMBOL + 1)

    assert market.scanner.scan() == 0
    assert market.types() == []


def test_prices_written_before_the_routes_were_set_are_picked_up(market):
    market.spread(10, symbol=3)
    market.regions.dirty.take(SPOT)
    market.regions.dirty.take(FUTURES)

    market.watch(3, 1023)
    market.scanner.scan()

    assert market.types() == [OPEN]


@pytest.mark.parametrize(
    "route",
    [
        (-1, 0, 0, 0, 1.0),
        (0, 8192, 0, 0, 1.0),
        (0, 1024, 0, 1024, 1.0),
        (0, 1024, 0, -1, 1.0),
        (0, 1024, 64, 0, 1.0),
    ],
)
def test_route_to_a_slot_or_symbol_that_does_not_exist_is_refused(market, route):
    with pytest.raises(IndexError):
        market.scanner.set_routes([route])


def test_scanner_needs_what_it_writes_to_be_writable(shm, market):
    read_only = attach_regions(shm, reads=[RegionKind.DIRTY], writes=(), timeout_s=0)
    channels = channels_of(market.regions, market.ring.ring, market.health.slot)

    with pytest.raises(PermissionError):
        Scanner(channels._replace(dirty=read_only.dirty.bits))


def test_leg_that_is_only_looked_at_again_is_no_sample_of_latency(market):
    market.watch(SYMBOL)
    market.spread(10, age_ms=0)
    market.scanner.scan()
    reader = HealthReader(market.regions.health)

    def samples():
        found = (Histogram.ENGINE_RECEIVE_TO_SCAN, Histogram.ENGINE_STORE_TO_SCAN)
        return [sum(reader.buckets(ENGINE, which)) for which in found]

    at_the_start = samples()
    market.spread(10)
    market.scanner.scan()
    of_quotes = samples()
    market.scanner.look_again()
    market.scanner.scan()
    market.watch(SYMBOL)
    market.scanner.scan()

    # Those of before the routes were set were there already.
    assert (at_the_start, of_quotes, samples()) == ([0, 0], [2, 2], [2, 2])
