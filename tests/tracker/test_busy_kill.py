"""The real tracker process, killed while everything else goes on: spreads, days, compactions."""

import contextlib
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from busy_market import Market
from ledger_oracle import judge, kept_in
from shifted_tracker import SHIFT_VARIABLE, WallShift
from tracker_host import SYMBOLS, Host, Stage, until

from spreadscan.ops.compact import compact
from spreadscan.shm.control import ControlWriter
from spreadscan.shm.counters import TrackerCounter
from spreadscan.tracker.parts import archived_parts, ledger_parts

HERE = Path(__file__).parent
DAY_NS = 86_400_000_000_000
LEAVING = SYMBOLS - 1
STAGES = tuple(Stage)


class BusyHost(Host):
    """A host whose days pass as the test likes, with a compaction that never rests."""

    def __init__(self, config_file):
        super().__init__(config_file)
        self.program = [sys.executable, str(HERE / "shifted_tracker.py")]
        shift_file = config_file.parent / "shift"
        self.shift = WallShift.made(shift_file)
        self.environment = {SHIFT_VARIABLE: str(shift_file)}
        self.generation = 1
        self.between_compactions = threading.Lock()
        self._must_stop = threading.Event()
        self._compacting = ThreadPoolExecutor(1)
        self.compaction = self._compacting.submit(self._compact)

    def _compact(self):
        """Return what went wrong."""
        troubles = []
        while not self._must_stop.wait(0.02):
            with self.between_compactions:
                done = compact(self.config, time.time_ns() + self.shift.ns)
            troubles += done.failed
        return troubles

    def stop_compacting(self):
        self._must_stop.set()
        return self.compaction.result()

    def pass_midnight(self):
        """Let a day pass and the tracker go over to its part."""
        before = ledger_parts(self.data_dir)[-1]
        self.shift.ns += DAY_NS
        until(lambda: ledger_parts(self.data_dir)[-1] > before, "a part of the next day")

    def relist(self, market):
        """Take the last coin out of the universe, or back into it, and have that obeyed."""
        if LEAVING in market.listed:
            market.unlist(LEAVING)
        else:
            market.listed.append(LEAVING)
        self.generation += 1
        self.list_coins(sorted(market.listed), self.generation)
        ControlWriter(self.regions.control).ask_for_reload()

    def close(self):
        self._must_stop.set()
        self._compacting.shutdown()
        super().close()


@pytest.fixture
def host(make_config):
    overrides = {
        "tracker.snapshot_interval_ms": 5,
        "engine.max_leg_age_ms": 60_000,
        # Years pass here, and all of them are compared.
        "tracker.retention_days": 36_500,
    }
    with contextlib.closing(BusyHost(make_config(overrides))) as subject:
        yield subject


def live(host, market, chance, seconds):
    """Let the market and the days move for so long."""
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        market.move()
        if chance.random() < 0.01:
            host.shift.ns += DAY_NS
        time.sleep(chance.uniform(0.0, 0.002))


def judged(host, market):
    assert not host.compaction.done()
    with host.between_compactions:
        kept = kept_in(host.data_dir)
    verdict = judge(kept, market)
    assert verdict[:4] == ([], [], [], [])
    return kept, verdict.seen


@pytest.mark.parametrize(
    ("kills", "look_every"),
    [(20, 1), pytest.param(1_000, 10, marks=[pytest.mark.nightly, pytest.mark.timeout(7_200)])],
)
def test_tracker_killed_in_a_busy_market_loses_doubles_and_invents_nothing(host, kills, look_every):
    chance = random.Random(20261129)
    market = Market(host, SYMBOLS, chance)

    for kill in range(kills):
        for _ in range(chance.randrange(4)):
            market.move()  # what the one before did not live to see
        while not market.ring.ring.depth:
            market.move()
        stage = STAGES[kill // 4 % len(STAGES)]
        child = host.start(host.environment, stage)
        if kill % 4 == 0 and stage is not Stage.STARTING:
            host.pass_midnight()
        if kill % 3 == 0:
            host.relist(market)
        live(host, market, chance, chance.uniform(0.0, 0.25))
        if chance.random() < 0.5:
            # Killed as the day changes: while a part is made, or just after.
            host.shift.ns += DAY_NS
            time.sleep(chance.uniform(0.0, 0.05))
        child.kill()
        child.wait()
        if kill and kill % look_every == 0:
            judged(host, market)
    last = host.start(host.environment)
    market.settle()
    market.hold_on()
    held = {f"COIN{symbol_id}-USDT" for symbol_id, is_open in market.is_open.items() if is_open}
    until(lambda: market.ring.ring.depth == 0, "the backlog is drained")
    until(lambda: host.counter(TrackerCounter.EPISODES_OPEN) == len(held), "what is over has ended")
    last.terminate()

    assert last.wait(timeout=10) == 0
    kept, seen = judged(host, market)
    assert {row["symbol"] for row in kept.open} == held
    assert kept.applied == market.sequence
    assert host.stop_compacting() == []
    # It was the run that it was meant to be.
    assert set(seen) == {
        "begun by OPEN", "begun by UPDATE", "re-signals", "was suspended",
        "converged, told", "converged, seen", "delisted, seen",
    }, seen  # fmt: skip
    assert min(seen.values()) > 0
    assert len(archived_parts(host.data_dir)) > kills / 5
    assert len(ledger_parts(host.data_dir)) <= 3
