"""The engine killed and started again under load, with a real tracker at the ring's other end."""

import itertools
import random
import signal
import threading
import time

import pytest
from engine_feed_cases import Market
from program_cases import Programs, until, write_small_universe

from spreadscan.ops.ledger import LedgerReader
from spreadscan.shm.control import ControlWriter
from spreadscan.shm.counters import EngineCounter, Gate
from spreadscan.shm.layout import ProcessState

ENGINE, TRACKER = "spread-engine", "spread-tracker"
COINS = [f"COIN{number}" for number in range(30)]
WIDE_BPS, NARROW_BPS = 80.0, 0.0
KILLS = 3


@pytest.fixture
def programs(make_config):
    programs = Programs(make_config({"tracker.snapshot_interval_ms": 50}))
    yield programs
    programs.close()


@pytest.fixture
def market(programs):
    market = Market(programs, len(COINS))
    yield market
    market.close()


class Quotes:
    """Quotes every coin again and again, as wide as it is asked to."""

    def __init__(self, market):
        self.gross_bps = dict.fromkeys(range(len(COINS)), NARROW_BPS)
        self.rounds = 0
        self._market = market
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def next_round(self):
        """Wait until every coin was quoted as it is asked for now."""
        wanted = self.rounds + 2
        until(lambda: self.rounds >= wanted, "a round of quotes")

    def stop(self):
        self._stop.set()
        self._thread.join()

    def _run(self):
        noise = random.Random(5)
        while not self._stop.is_set():
            for symbol, gross_bps in self.gross_bps.items():
                self._market.spread(symbol, gross_bps + noise.uniform(-1.0, 1.0))
            self.rounds += 1
            time.sleep(0.002)


def open_symbols(programs):
    folder = programs.config.path(programs.config.tracker.data_dir)
    with LedgerReader(folder) as ledger:
        names = [row.symbol for row in ledger.open_episodes(1_000)]
    assert len(names) == len(set(names)), "two open episodes of one route"
    return {COINS.index(name.removesuffix("-USDT")) for name in names}


def has_signalled(programs, pid):
    slot = programs.slot(ENGINE)
    return slot.pid == pid and slot.counters[EngineCounter.SIGNALS_OPEN] > 0


def all_episodes(programs):
    folder = programs.config.path(programs.config.tracker.data_dir)
    with LedgerReader(folder) as ledger:
        return ledger.recent_episodes(10_000)


def test_no_opening_is_lost_or_doubled_when_the_engine_is_killed_under_load(programs, market):
    write_small_universe(programs.config, COINS)
    tracker = programs.start(TRACKER)
    engine = programs.start(ENGINE)
    for name in (ENGINE, TRACKER):
        until(lambda name=name: programs.slot(name).state is ProcessState.RUNNING, name)
    quotes = Quotes(market)
    try:
        always, never = {0, 1, 2, 3}, {4, 5, 6, 7}
        changing = set(range(len(COINS))) - always - never
        wide = always | {symbol for symbol in changing if symbol % 2}
        crossings = dict.fromkeys(range(len(COINS)), 0)
        for _ in range(KILLS):
            for symbol in wide:
                crossings[symbol] += quotes.gross_bps[symbol] == NARROW_BPS
            quotes.gross_bps |= {
                symbol: WIDE_BPS if symbol in wide else NARROW_BPS for symbol in crossings
            }
            until(lambda wide=wide: open_symbols(programs) == wide, f"the openings of {wide}")
            opened = wide
            engine.send_signal(signal.SIGKILL)
            engine.wait()
            # While nobody looks: half of the changing ones open, the others fall back.
            wide = always | (changing - wide)
            for symbol in changing & wide:
                crossings[symbol] += 1
            quotes.gross_bps |= {
                symbol: WIDE_BPS if symbol in wide else NARROW_BPS for symbol in crossings
            }
            quotes.next_round()
            engine = programs.start(ENGINE)
            until(lambda pid=engine.pid: has_signalled(programs, pid), "the new engine's signal")
            # It knew what was open, and did not merely find it again.
            assert programs.slot(ENGINE).counters[EngineCounter.RESUMED] >= len(opened)
            until(lambda wide=wide: open_symbols(programs) == wide, f"the openings of {wide}")
    finally:
        quotes.stop()
    for process in (engine, tracker):
        status, errors, _ = programs.finish(process)
        assert status == 0, errors

    found = all_episodes(programs)
    counts = {
        COINS.index(name.removesuffix("-USDT")): len(list(rows))
        for name, rows in itertools.groupby(
            sorted(found, key=lambda row: row.symbol), key=lambda row: row.symbol
        )
    }
    # One episode a crossing: those that stood wide throughout have one, over all the kills.
    assert counts == {symbol: count for symbol, count in crossings.items() if count}
    assert all(counts[symbol] == 1 for symbol in always)


def test_kill_holds_though_the_engine_is_stopped_when_it_is_asked_for(programs, market):
    write_small_universe(programs.config, COINS)
    engine = programs.start(ENGINE)
    until(lambda: programs.slot(ENGINE).state is ProcessState.RUNNING, ENGINE)
    market.spread(0, WIDE_BPS)
    until(lambda: market.ring.depth() > 0, "the first signal")
    market.listen()

    engine.send_signal(signal.SIGSTOP)
    for symbol in range(1, len(COINS)):
        market.spread(symbol, WIDE_BPS)
    generation = ControlWriter(market.regions.control).command(KILL=1)
    engine.send_signal(signal.SIGCONT)
    # By then it has been through its loop, with everything in front of it.
    until(lambda: programs.slot(ENGINE).obeyed_generation == generation, "the engine's answer")
    for symbol in range(len(COINS)):
        market.spread(symbol, WIDE_BPS)
    held_back = EngineCounter.SUPPRESSED + Gate.KILLED
    until(lambda: programs.slot(ENGINE).counters[held_back] >= len(COINS), "a look at every coin")

    assert market.ring.depth() == 0
    status, errors, _ = programs.finish(engine)
    assert status == 0, errors
