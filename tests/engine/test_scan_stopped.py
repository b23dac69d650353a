"""An engine that was stopped in the middle believes no leg that is too old when it goes on."""

import multiprocessing
import os
import signal
import time

import msgspec
import pytest
from engine_cases import ENGINE, FEE_BPS, FUTURES, SPOT

from spreadscan.engine.channels import channels_of
from spreadscan.kernel.scan import Scanner
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import Dirty, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions
from spreadscan.shm.ring import RingWriter

SYMBOL = 7
MAX_AGE_MS = 50
STOPS = 20
BEGUN = 77
DIRTY_WORD = Dirty.BLOCKS + FUTURES * Dirty.BLOCK_BYTES


def scan_for_ever(shm, config):
    """Body of an engine's process."""
    regions = attach_regions(shm, reads=(), writes=RegionKind, timeout_s=0)
    health = HealthWriter(regions.health, ENGINE, "spread-engine").slot
    scanner = Scanner(channels_of(regions, RingWriter(regions.ring).ring, health))
    scanner.configure(config)
    scanner.set_routes([(slot_of(SPOT, SYMBOL), slot_of(FUTURES, SYMBOL), 0, SYMBOL, FEE_BPS)])
    health.set(63, BEGUN)
    while True:
        scanner.run(10_000_000)


@pytest.mark.parametrize("wait", ["spin", "eventfd"])
def test_leg_that_grew_old_while_the_engine_was_stopped_signals_nothing(make_market, shm, wait):
    market = make_market()
    config = msgspec.structs.replace(market.config, wait=wait, max_leg_age_ms=MAX_AGE_MS)
    engine = multiprocessing.get_context("spawn").Process(target=scan_for_ever, args=(shm, config))
    engine.start()
    try:
        deadline_s = time.monotonic() + 60
        while market.counter(63) != BEGUN:
            assert engine.is_alive(), engine.exitcode
            assert time.monotonic() < deadline_s
            time.sleep(0.001)
        for _ in range(STOPS):
            market.spread(-50)
            time.sleep(0.005)
            market.signals()
            os.kill(engine.pid, signal.SIGSTOP)
            market.quote(SPOT, SYMBOL, 99.99, 100.0)
            # The last word of this leg, and it must be too old.
            time.sleep(2 * MAX_AGE_MS / 1_000)
            market.quote(FUTURES, SYMBOL, 100.5, 100.51)
            os.kill(engine.pid, signal.SIGCONT)
            while market.regions.dirty.bits.mapping.load_word(DIRTY_WORD):
                assert time.monotonic() < deadline_s
            time.sleep(0.005)

            assert market.types() == []
    finally:
        engine.kill()
        engine.join()
