"""The engine's process under load while its universe changes: nothing doubled, nothing missed."""

import random
import signal
import time
from itertools import pairwise

import numpy as np
import pytest
from program_cases import Programs, until, write_small_universe

from spreadscan.model import SignalType
from spreadscan.runtime.lock import RoleLock
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import PRICE_DTYPE, Prices, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions, create_regions
from spreadscan.shm.ring import RingReader
from spreadscan.topology import program_named

ENGINE = "spread-engine"
SPOT, FUTURES = 4, 1
FEEDS = {SPOT: "feed-okx-spot", FUTURES: "feed-binance-futures"}
EPOCH = 3
COINS = [f"COIN{number}" for number in range(30)]
OPEN, UPDATE, CLOSE = SignalType.OPEN, SignalType.UPDATE, SignalType.CLOSE


class Market:
    """Both feeds and the tracker of a real engine."""

    def __init__(self, programs):
        config = programs.config
        create_regions(config.shm)
        self.regions = attach_regions(config.shm, reads=(), writes=RegionKind, timeout_s=0)
        run_dir = config.path(config.runtime.run_dir)
        # The engine retires a source whose feed is dead or does not beat.
        self.locks = [RoleLock(run_dir, name) for name in FEEDS.values()]
        for source, name in FEEDS.items():
            slot = HealthWriter(self.regions.health, program_named(name).health_slot, name)
            slot.beat(time.monotonic_ns() + 600_000_000_000)
            offset = Prices.SOURCE_STATES + source * Prices.SOURCE_STATE_BYTES
            self.regions.prices.slots.mapping.store_word(offset + Prices.SOURCE_EPOCH, EPOCH)
        self.ring = RingReader(self.regions.ring)
        self.told = {number: [] for number in range(len(COINS))}

    def quote(self, source, symbol, bid, ask):
        row = np.zeros((), PRICE_DTYPE)
        row["bid"], row["ask"], row["bid_qty"], row["ask_qty"] = bid, ask, 10.0, 10.0
        row["received_ns"], row["epoch"] = time.monotonic_ns(), EPOCH
        self.regions.prices.write(slot_of(source, symbol), row)
        self.regions.dirty.mark(source, symbol)

    def spread(self, symbol, gross_bps):
        self.quote(SPOT, symbol, 99.99, 100.0)
        bid = 100.0 * (1 + gross_bps / 10_000)
        self.quote(FUTURES, symbol, bid, bid + 0.01)

    def listen(self):
        while len(batch := self.ring.peek(4_096)):
            self.ring.advance(len(batch))
            for signal_ in batch:
                self.told[int(signal_["symbol_id"])].append(
                    (int(signal_["type"]), int(signal_["opening"]))
                )

    def signals_of_the_first(self, count):
        return sum(len(self.told[number]) for number in range(count))

    def close(self):
        for lock in self.locks:
            lock.release()


@pytest.fixture
def programs(make_config):
    programs = Programs(make_config({"engine.wait_bound_ms": 2}))
    yield programs
    programs.close()


@pytest.fixture
def market(programs):
    market = Market(programs)
    yield market
    market.close()


@pytest.mark.parametrize("seed", [11, 12])
def test_engine_keeps_what_is_open_over_reloads_under_load(programs, market, seed):
    draw = random.Random(seed)
    write_small_universe(programs.config, COINS, generation=1)
    process = programs.start(ENGINE)
    until(lambda: programs.slot(ENGINE).universe_generation == 1, "the first universe")
    gross_bps = dict.fromkeys(range(len(COINS)), 0.0)

    for generation in range(2, 10):
        # Numbers below `kept` stay; those above go and come back.
        kept = draw.randint(10, len(COINS))
        write_small_universe(programs.config, COINS[:kept], generation=generation)
        process.send_signal(signal.SIGHUP)
        quotes, heard = 0, market.signals_of_the_first(10)
        # However seldom a busy machine lets the engine look.
        while (
            quotes < 200
            or programs.slot(ENGINE).universe_generation != generation
            or market.signals_of_the_first(10) < heard + 7
        ):
            quotes += 1
            symbol = draw.randrange(len(COINS))
            gross_bps[symbol] = draw.choice((0.0, 80.0, 90.0))
            market.spread(symbol, gross_bps[symbol])
            market.listen()
        for symbol in range(kept, len(COINS)):
            market.told[symbol].append(None)
    write_small_universe(programs.config, COINS, generation=10)
    process.send_signal(signal.SIGHUP)
    until(lambda: programs.slot(ENGINE).universe_generation == 10, "the last universe")

    def is_settled():
        market.listen()
        return all(is_open(market.told[n]) == (gross > 0) for n, gross in gross_bps.items())

    until(is_settled, "the state that the prices ask for")
    status, errors, _ = programs.finish(process)
    market.listen()

    assert status == 0, errors
    assert is_settled()
    always = [market.told[number] for number in range(10)]
    assert all(None not in history for history in always)
    for history in always:
        assert_alternates(history)
    assert sum(map(len, always)) > 25


def is_open(history):
    return bool(history) and history[-1] is not None and history[-1][0] != CLOSE


def assert_alternates(history):
    """OPEN, then updates, then CLOSE, under one number, and so on."""
    for before, (kind, opening) in pairwise([(CLOSE, 0), *history]):
        if before[0] == CLOSE:
            assert (kind, opening) == (OPEN, before[1] + 1)
        else:
            assert kind in {UPDATE, CLOSE}
            assert opening == before[1]
