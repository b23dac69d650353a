"""How the engine waits, and what becomes of signals that find the ring full."""

import ctypes
import gc
import multiprocessing
import os
import signal
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from engine_cases import ENGINE, FEE_BPS, FUTURES, SPOT

from spreadscan.engine.channels import channels_of
from spreadscan.kernel.scan import Scanner
from spreadscan.model import SignalType
from spreadscan.shm.counters import EngineCounter
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import RING_CAPACITY, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions
from spreadscan.shm.ring import RingWriter

OPEN, UPDATE, CLOSE = SignalType.OPEN, SignalType.UPDATE, SignalType.CLOSE
SYMBOL = 7
NO_PAUSE = (False, 0, 0)


def test_full_ring_keeps_openings_and_endings_in_order_and_conflates_updates(market):
    market.watch(1, 2)
    market.fill_ring()
    for net_bps in (10, 20, -10):
        market.spread(net_bps, symbol=1)
        market.scanner.scan()
    market.spread(10, symbol=2)
    market.scanner.scan()
    spilled = market.scanner.spilled
    market.signals()

    market.scanner.scan()

    found = market.signals()
    assert spilled == 3
    assert market.scanner.spilled == 0
    assert list(zip(found["type"].tolist(), found["symbol_id"].tolist(), strict=True)) == [
        (OPEN, 1), (CLOSE, 1), (OPEN, 2),
    ]  # fmt: skip
    assert market.counter(EngineCounter.CONFLATED) == 1
    assert market.counter(EngineCounter.SPILLED) == 3


def test_signals_behind_a_spilled_one_do_not_overtake_it(market):
    market.watch(1)
    market.fill_ring()
    market.spread(10, symbol=1)
    market.scanner.scan()
    market.reader.peek(4_096)
    market.reader.advance(1)

    market.spread(-10, symbol=1)
    market.scanner.scan()
    market.reader.advance(RING_CAPACITY - 1)
    market.scanner.scan()

    assert market.types() == [OPEN, CLOSE]


def test_more_openings_than_the_spill_holds_are_late_but_not_lost(market):
    directions = range(6)
    routes = [
        (slot_of(SPOT, symbol), slot_of(FUTURES, symbol), direction, symbol, FEE_BPS)
        for direction in directions
        for symbol in range(1_000)
    ]
    market.scanner.set_routes(routes)
    market.fill_ring()
    for symbol in range(1_000):
        market.spread(10, symbol=symbol)
    market.scanner.scan()
    open_while_full = market.scanner.open_routes
    market.signals()

    for symbol in range(1_000):
        market.spread(10, symbol=symbol)
    # What waited goes first, then those that were turned away are looked at.
    market.scanner.scan()
    market.scanner.scan()

    found = market.signals()
    assert open_while_full == 4_096
    assert (found["type"] == OPEN).sum() == len(routes)
    assert len(np.unique(found[["direction", "symbol_id"]])) == len(routes)


@pytest.mark.parametrize("wait", ["spin", "adaptive", "eventfd"])
def test_lost_wake_ups_cost_no_more_than_the_bound_of_the_wait(make_market, wait):
    market = make_market(wait=wait, wait_bound_ms=5, spin_us=20.0)
    market.watch(SYMBOL)
    market.scanner.set_wake_fd(-1)
    market.scanner.run(1_000_000)
    late_ms = []
    stop = threading.Event()

    def run_engine():
        while not stop.is_set():
            market.scanner.run(1_000_000_000)

    engine = threading.Thread(target=run_engine)
    engine.start()
    for net_bps in (10, -10) * 20:
        began = time.monotonic()
        market.spread(net_bps)
        while market.reader.depth() == 0:
            assert time.monotonic() - began < 5
            time.sleep(0.0005)
        late_ms.append((time.monotonic() - began) * 1_000)
        market.signals()
    stop.set()
    engine.join()

    # Without the bound each would wait for the turn's end, a second; half of forty is no hiccup.
    assert sorted(late_ms)[20] < 250


def test_engine_that_sleeps_is_woken_by_its_eventfd(make_market):
    market = make_market(wait="eventfd", wait_bound_ms=60_000)
    market.watch(SYMBOL)
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    market.scanner.set_wake_fd(eventfd)
    market.scanner.scan()
    engine = threading.Thread(target=market.scanner.run, args=(1_000_000_000,))
    engine.start()
    bits = market.regions.dirty.bits
    while not bits.engine_sleeping:
        time.sleep(0.001)

    market.spread(10)
    woken = bits.wake(eventfd)
    engine.join()
    os.close(eventfd)

    assert woken
    assert market.types() == [OPEN]
    assert market.counter(EngineCounter.SLEEPS) >= 1


def test_signal_to_the_process_ends_a_sleep_early(make_market):
    market = make_market(wait="eventfd", wait_bound_ms=60_000)
    market.watch(SYMBOL)
    market.scanner.scan()
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    began = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.05)

    market.scanner.run(30_000_000_000)

    signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 10


def test_way_of_waiting_changes_between_two_turns(make_market):
    market = make_market(wait="eventfd", wait_bound_ms=1)
    market.watch(SYMBOL)
    sleeps = []
    for wait in ("eventfd", "spin", "adaptive", "spin"):
        market.reconfigure(wait=wait, spin_us=10.0)
        # What the change itself made worth looking at is none of the waiting.
        market.scanner.scan()
        before = market.counter(EngineCounter.SLEEPS)
        market.scanner.run(20_000_000)
        sleeps.append(market.counter(EngineCounter.SLEEPS) - before)

    assert [count > 0 for count in sleeps] == [True, False, True, False]


# Prctl(2), seccomp(2): a filter of one instruction that kills whoever makes any system call. The
# strict mode will not do, as it forbids reading the processor's clock too.
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
BPF_RET_K, SECCOMP_RET_KILL_PROCESS = 0x06, 0x80000000
NO_SECCOMP = 3
BEGUN = 77


def spin_without_the_system(shm, config):
    """Body of an engine that may not call the system any more."""
    regions = attach_regions(shm, reads=(), writes=RegionKind, timeout_s=0)
    health = HealthWriter(regions.health, ENGINE, "spread-engine").slot
    ring = RingWriter(regions.ring).ring
    scanner = Scanner(channels_of(regions, ring, health))
    scanner.configure(config)
    scanner.set_routes([(slot_of(SPOT, SYMBOL), slot_of(FUTURES, SYMBOL), 0, SYMBOL, FEE_BPS)])
    scanner.run(1_000_000)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    instruction = ctypes.create_string_buffer(
        struct.pack("=HBBI", BPF_RET_K, 0, 0, SECCOMP_RET_KILL_PROCESS), 8
    )
    program = ctypes.create_string_buffer(struct.pack("@HP", 1, ctypes.addressof(instruction)), 16)
    forbid = (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program)
    say, run, minutes_ns = health.set, scanner.run, 120_000_000_000
    gc.disable()
    if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(*forbid):
        os._exit(NO_SECCOMP)
    say(63, BEGUN)
    run(minutes_ns)


def test_spinning_engine_calls_nobody_between_a_price_and_its_signal(make_market, shm):
    clock = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    if clock.exists() and clock.read_text().strip() not in {"tsc", "kvm-clock", "arch_sys_counter"}:
        pytest.skip("reading this machine's clock is a system call")
    market = make_market(wait="spin")
    engine = multiprocessing.get_context("spawn").Process(
        target=spin_without_the_system, args=(shm, market.config)
    )
    engine.start()
    try:
        deadline_s = time.monotonic() + 60
        while market.counter(63) != BEGUN:
            if not engine.is_alive() and engine.exitcode == NO_SECCOMP:
                pytest.skip("this machine does not let a process give up its system calls")
            assert engine.is_alive(), engine.exitcode
            assert time.monotonic() < deadline_s
            time.sleep(0.001)
        seen = []
        for net_bps in (10, 20, -10) * 20:
            market.spread(net_bps)
            while not market.reader.depth():
                assert engine.is_alive(), engine.exitcode
                assert time.monotonic() < deadline_s
            seen += market.types()
        assert engine.is_alive()
    finally:
        engine.kill()
        engine.join()

    assert {OPEN, CLOSE} <= set(seen)
