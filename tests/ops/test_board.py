"""The board against real regions that the test writes as feeds, engine and tracker would."""

import msgspec
import numpy as np
import pytest

from spreadscan.config import load_config
from spreadscan.directions import DirectionRecord
from spreadscan.errors import RegionMissing, UniverseError
from spreadscan.model import Instrument, SlotFlag
from spreadscan.ops.board import Board, closing_summary
from spreadscan.runtime.clock import SystemClock
from spreadscan.shm.counters import EngineCounter, FeedCounter, Histogram, TrackerCounter
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import PRICE_DTYPE, ProcessState, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions, create_regions
from spreadscan.symbols import SymbolRecord
from spreadscan.topology import ENGINE_SLOT, TRACKER_SLOT
from spreadscan.universe import Universe, write_universe

BINANCE_SPOT, OKX_FUTURES = 0, 5
EPOCH = 1
DIRECTION = 1  # binance_spot, okx_futures in config/directions.toml
MILLISECOND = 1_000_000


@pytest.fixture
def config(make_config):
    return load_config(
        make_config({"engine.max_leg_age_ms": 1_000, "engine.max_spread_bps": 500.0})
    )


@pytest.fixture
def universe():
    leg = Instrument(
        exchange_symbol="X", price_multiplier=1.0, contract_size=1.0, tick_size=0.0,
        qty_step=0.0, min_qty=0.0, min_notional=0.0, tradable_via_api=True,
    )  # fmt: skip
    legs = tuple(leg if source in {BINANCE_SPOT, OKX_FUTURES} else None for source in range(8))
    names = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
    return Universe(
        generation=1,
        timestamp="2026-01-01T00:00:00Z",
        symbols=tuple(
            SymbolRecord(symbol_id=number, name=name, instruments=legs)
            for number, name in enumerate(names)
        ),
        directions=(
            DirectionRecord(
                direction_id=DIRECTION,
                spot_source=BINANCE_SPOT,
                futures_source=OKX_FUTURES,
                symbols=(0, 1, 2),
            ),
        ),
    )


@pytest.fixture
def clock(manual_clock):
    # Slots are stamped by the kernel's own clock, so the board's must agree with it.
    now_ns = SystemClock().monotonic_ns()
    manual_clock.advance((now_ns - manual_clock.monotonic_ns()) / 1e9)
    return manual_clock


@pytest.fixture
def regions(config):
    create_regions(config.shm)
    regions = attach_regions(config.shm, reads=(), writes=RegionKind, timeout_s=0.0)
    for source in (BINANCE_SPOT, OKX_FUTURES):
        # The epoch goes up by one: from even, nobody's, to odd, a feed's.
        assert regions.prices.retire_source(source, EPOCH - 1)
    return regions


@pytest.fixture
def board(config, universe, regions, clock):
    write_universe(config.path(config.runtime.generated_dir), universe)
    return Board(config, clock, began_ns=clock.monotonic_ns() - 1_000 * MILLISECOND)


@pytest.fixture
def quote(regions, clock):
    def write(source, symbol, bid, ask, *, age_ms=0, flags=0, epoch=EPOCH):
        record = np.zeros((), PRICE_DTYPE)
        record["bid"], record["ask"], record["bid_qty"], record["ask_qty"] = bid, ask, 2.0, 3.0
        record["received_ns"] = clock.monotonic_ns() - age_ms * MILLISECOND
        record["flags"], record["epoch"] = flags, epoch
        regions.prices.write(slot_of(source, symbol), record)

    return write


def test_widest_route_stands_first_with_its_fees_taken_off(board, quote):
    quote(BINANCE_SPOT, 0, 99.9, 100.0)
    quote(OKX_FUTURES, 0, 100.5, 100.6, age_ms=40)
    quote(BINANCE_SPOT, 1, 9.99, 10.0, age_ms=7)
    quote(OKX_FUTURES, 1, 10.1, 10.2)

    state = board.read(10)

    assert [row.symbol for row in state.routes] == ["ETH-USDT", "BTC-USDT"]
    btc = state.routes[1]
    assert btc.gross_bps == pytest.approx(50.0)
    assert btc.net_bps == pytest.approx(20.0)
    assert btc.executable_usd == pytest.approx(min(100.0 * 3.0, 100.5 * 2.0))
    assert (btc.spot_source, btc.futures_source) == ("binance_spot", "okx_futures")
    assert (btc.spot_age_ms, btc.futures_age_ms) == (0.0, 40.0)
    assert (state.usable_routes, state.all_routes) == (2, 3)


def test_no_more_routes_than_asked_for(board, quote):
    for symbol in range(3):
        quote(BINANCE_SPOT, symbol, 99.0, 100.0)
        quote(OKX_FUTURES, symbol, 100.0 + symbol, 104.0)

    state = board.read(2)

    assert [row.symbol for row in state.routes] == ["SOL-USDT", "ETH-USDT"]
    assert state.usable_routes == 3


@pytest.mark.parametrize(
    "spoiled",
    [
        {"age_ms": 1_001},
        {"flags": SlotFlag.DISCONNECTED},
        {"flags": SlotFlag.ONE_SIDED},
        {"epoch": EPOCH + 2},
    ],
)
def test_route_with_a_leg_that_cannot_be_believed_is_not_shown(board, quote, spoiled):
    quote(BINANCE_SPOT, 0, 99.0, 100.0)
    quote(OKX_FUTURES, 0, 101.0, 102.0, **spoiled)

    state = board.read(10)

    assert state.routes == ()
    assert state.usable_routes == 0


def test_source_without_a_living_feed_spoils_its_routes(board, quote, regions):
    quote(BINANCE_SPOT, 0, 99.0, 100.0)
    quote(OKX_FUTURES, 0, 101.0, 102.0)
    regions.prices.retire_source(OKX_FUTURES, EPOCH)

    state = board.read(10)

    assert state.routes == ()
    assert state.sources[-1].newest_age_ms is None


def test_spread_beyond_belief_is_not_shown_as_an_opportunity(board, quote):
    quote(BINANCE_SPOT, 0, 99.0, 100.0)
    quote(OKX_FUTURES, 0, 106.0, 107.0)

    assert board.read(10).routes == ()


def test_source_shows_its_feeds_counters_and_newest_quote(board, quote, regions):
    feed = HealthWriter(regions.health, BINANCE_SPOT, "feed-binance-spot")
    feed.set(FeedCounter.SYMBOLS_EXPECTED, 3)
    feed.set(FeedCounter.SYMBOLS_LIVE, 2)
    feed.add(FeedCounter.FRAMES, 7)
    feed.set_state(ProcessState.RUNNING)
    feed.set_status("3 symbols")
    quote(BINANCE_SPOT, 0, 99.0, 100.0, age_ms=30)
    quote(BINANCE_SPOT, 1, 99.0, 100.0, age_ms=12)

    row = board.read(0).sources[0]

    assert (row.name, row.state, row.status) == ("binance_spot", "running", "3 symbols")
    assert (row.live, row.expected, row.messages, row.restarts) == (2, 3, 7, 0)
    assert row.newest_age_ms == 12.0


def test_feed_that_does_not_beat_is_shown_as_one_that_hangs(board, regions, clock):
    feed = HealthWriter(regions.health, BINANCE_SPOT, "feed-binance-spot")
    feed.set(FeedCounter.SYMBOLS_EXPECTED, 3)
    feed.set(FeedCounter.SYMBOLS_LIVE, 2)
    feed.set_state(ProcessState.RUNNING)
    feed.set_status("3 symbols")
    clock.advance(60)

    hanging = board.read(0).sources[0]
    feed.beat(clock.monotonic_ns())
    beating = board.read(0).sources[0]

    assert (hanging.state, hanging.live, hanging.status) == ("hangs", 0, "3 symbols")
    assert (beating.state, beating.live) == ("running", 2)


def test_rate_is_what_came_between_two_looks(board, regions, clock):
    feed = HealthWriter(regions.health, BINANCE_SPOT, "feed-binance-spot")
    first = board.read(0).sources[0]
    feed.add(FeedCounter.FRAMES, 50)
    clock.advance(0.5)

    second = board.read(0).sources[0]

    assert first.messages_per_s == 0.0
    assert second.messages_per_s == pytest.approx(100.0)


def test_counters_go_on_when_a_process_is_started_again(board, regions):
    HealthWriter(regions.health, BINANCE_SPOT, "feed").add(FeedCounter.FRAMES, 5)
    HealthWriter(regions.health, ENGINE_SLOT, "engine").add(EngineCounter.SIGNALS_OPEN, 2)
    board.read(0)
    HealthWriter(regions.health, BINANCE_SPOT, "feed").add(FeedCounter.FRAMES, 3)
    HealthWriter(regions.health, ENGINE_SLOT, "engine").add(EngineCounter.SIGNALS_OPEN, 1)

    state = board.read(0)

    assert state.sources[0].messages == 8
    assert state.sources[0].restarts == 1
    assert state.signals == 3


def test_slot_of_an_earlier_run_is_not_shown(config, universe, regions, clock):
    feed = HealthWriter(regions.health, BINANCE_SPOT, "feed-binance-spot")
    feed.set(FeedCounter.SYMBOLS_LIVE, 3)
    feed.add(FeedCounter.FRAMES, 7)
    feed.set_state(ProcessState.RUNNING)
    write_universe(config.path(config.runtime.generated_dir), universe)
    later = SystemClock().monotonic_ns() + MILLISECOND

    row = Board(config, clock, began_ns=later).read(0).sources[0]

    assert (row.state, row.live, row.messages) == ("not running", 0, 0)


def test_closing_summary_has_exactly_the_agreed_shape(board, regions):
    engine = HealthWriter(regions.health, ENGINE_SLOT, "spread-engine")
    engine.add(EngineCounter.SIGNALS_OPEN, 4)
    for _ in range(10):
        engine.record(Histogram.ENGINE_RECEIVE_TO_SCAN, 5_000)
    tracker = HealthWriter(regions.health, TRACKER_SLOT, "spread-tracker")
    tracker.add(TrackerCounter.EPISODES_OPENED, 3)
    tracker.set(TrackerCounter.EPISODES_OPEN, 1)
    tracker.add(TrackerCounter.EPISODES_CONVERGED, 1)
    tracker.add(TrackerCounter.EPISODES_DELISTED, 1)

    summary = closing_summary(board.read(0))

    nothing = {"live": 0, "expected": 0, "messages": 0}
    names = [
        f"{exchange}_{market}"
        for exchange in ("binance", "bybit", "okx", "mexc")
        for market in ("spot", "futures")
    ]
    latency = summary.pop("latency_ns")
    assert summary == {
        "sources": dict.fromkeys(names, nothing),
        "signals": 4,
        "episodes": {
            "opened": 3,
            "open": 1,
            "converged": 1,
            "expired": 0,
            "delisted": 1,
            "halted": 0,
            "lost": 0,
        },
        "uptime_s": 1.0,
    }
    assert latency["p50"] == latency["p99"] == pytest.approx(5_000, rel=0.07)


def working_with(regions, generation):
    engine = HealthWriter(regions.health, ENGINE_SLOT, "spread-engine")
    engine.set_generations(0, generation)
    return engine


def test_board_goes_over_to_the_universe_that_the_engine_works_with(
    board, quote, config, universe, regions
):
    folder = config.path(config.runtime.generated_dir)
    for symbol in range(4):
        quote(BINANCE_SPOT, symbol, 99.0, 100.0)
        quote(OKX_FUTURES, symbol, 101.0 + symbol / 10, 104.0)
    engine = working_with(regions, 1)
    write_universe(folder, with_another_symbol(universe))
    before = board.read(10)

    engine.set_generations(0, 2)
    after = board.read(10)

    assert (before.all_routes, before.routes[0].symbol) == (3, "SOL-USDT")
    assert (after.all_routes, after.routes[0].symbol) == (4, "XRP-USDT")


def with_another_symbol(universe):
    (direction,) = universe.directions
    newcomer = msgspec.structs.replace(universe.symbols[0], symbol_id=3, name="XRP-USDT")
    return msgspec.structs.replace(
        universe,
        generation=universe.generation + 1,
        symbols=(*universe.symbols, newcomer),
        directions=(msgspec.structs.replace(direction, symbols=(0, 1, 2, 3)),),
    )


def test_board_that_cannot_read_the_engines_universe_shows_the_old_one_and_looks_again(
    board, config, universe, regions, clock
):
    folder = config.path(config.runtime.generated_dir)
    working_with(regions, 2)
    absent = board.read(10)
    write_universe(folder, with_another_symbol(universe))

    too_early = board.read(10)
    clock.advance(1.0)
    later = board.read(10)

    assert [state.all_routes for state in (absent, too_early, later)] == [3, 3, 4]


def test_board_before_shm_init_is_told_so(config, clock):
    with pytest.raises(RegionMissing, match="run shm-init first"):
        Board(config, clock, 0)


def test_board_before_discovery_is_told_so(config, regions, clock):
    with pytest.raises(UniverseError):
        Board(config, clock, 0)
