"""The real tracker process, killed at random instants of a busy run, against an exact oracle."""

import contextlib
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter

import pytest
from tracker_cases import quote, record

from spreadscan.config import load_config
from spreadscan.model import SignalType
from spreadscan.ops.ledger import LedgerReader
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import NUM_SOURCES, Prices, ProcessState, RegionKind, TrackerCounter
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions, create_regions, remove_regions
from spreadscan.shm.ring import RingWriter
from spreadscan.symbols import SymbolRecord
from spreadscan.topology import program_named
from spreadscan.tracker.schema import LEDGER_NAME
from spreadscan.universe import Universe, write_universe

KILLS = 25
SYMBOLS = 12
PROGRAM = (
    "import sys; from spreadscan.runtime.process import run;"
    " from spreadscan.tracker.process import main;"
    " sys.exit(run('spread-tracker', main, sys.argv[1:]))"
)


def until(condition, what, timeout_s=20.0):
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.002)


class Engine:
    """Pushes openings and closes of twelve routes in random order and remembers every one."""

    def __init__(self, regions, direction, chance):
        self.ring = RingWriter(regions.ring)
        self.direction = direction
        self.chance = chance
        self.open = {}
        self.ended = []
        self.re_signals = Counter()

    def push(self):
        symbol_id = self.chance.randrange(SYMBOLS)
        time_ns = time.monotonic_ns()
        opened_ns = self.open.get(symbol_id)
        if opened_ns is None:
            kind = SignalType.OPEN
            self.open[symbol_id] = time_ns
        elif self.chance.random() < 0.5:
            kind = SignalType.CLOSE
            self.ended.append((f"COIN{symbol_id}-USDT", opened_ns, time_ns))
            del self.open[symbol_id]
        else:
            kind = SignalType.OPEN
            self.re_signals[f"COIN{symbol_id}-USDT", opened_ns] += 1
        assert self.ring.push(
            record(
                kind,
                time_ns=time_ns,
                symbol_id=symbol_id,
                direction=self.direction.direction_id,
                spot_source=self.direction.spot_source,
                futures_source=self.direction.futures_source,
            )
        )


class Host:
    """Regions, universe and prices of one test, and the tracker processes started on them."""

    def __init__(self, config_file):
        self.config_file = config_file
        self.config = load_config(config_file)
        create_regions(self.config.shm)
        self.regions = attach_regions(
            self.config.shm, reads=(), writes=tuple(RegionKind), timeout_s=0
        )
        self.direction = self.config.directions[0]
        self.slot = program_named("spread-tracker").health_slot
        self.children = []
        symbols = tuple(
            SymbolRecord(symbol_id=n, name=f"COIN{n}-USDT", instruments=(None,) * NUM_SOURCES)
            for n in range(SYMBOLS)
        )
        folder = self.config.path(self.config.runtime.generated_dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_universe(folder, Universe(generation=1, timestamp="", symbols=symbols, directions=()))
        self.put_prices()

    def put_prices(self):
        """Spreads far above the fees on quotes that stay fresh, so that paths are written too."""
        prices = self.regions.prices
        for source, book in (
            (self.direction.spot_source, (99.0, 100.0)),
            (self.direction.futures_source, (103.0, 103.1)),
        ):
            offset = Prices.SOURCE_STATES + source * Prices.SOURCE_STATE_BYTES
            prices.slots.mapping.store_word(offset + Prices.SOURCE_EPOCH, 3)
            for symbol_id in range(SYMBOLS):
                prices.write(
                    slot_of(source, symbol_id), quote(*book, received_ns=time.monotonic_ns())
                )

    def start(self):
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "--config", str(self.config_file)],
            stderr=subprocess.DEVNULL,
        )
        self.children.append(child)
        until(lambda: self.health().pid == child.pid, "the tracker took its slot")
        until(lambda: self.health().state == ProcessState.RUNNING, "the tracker is ready")
        return child

    def health(self):
        return HealthReader(self.regions.health).slot(self.slot)

    def counter(self, which):
        return self.health().counters[which]

    @property
    def data_dir(self):
        return self.config.path(self.config.tracker.data_dir)

    def episodes(self):
        with contextlib.closing(sqlite3.connect(self.data_dir / LEDGER_NAME)) as connection:
            return connection.execute(
                "SELECT episode_id, symbol, opened_ns, ended_ns, re_signals FROM episodes"
            ).fetchall()

    def close(self):
        for child in self.children:
            child.kill()
            child.wait()
        remove_regions(self.config.shm)


@pytest.fixture
def host(make_config):
    overrides = {"tracker.snapshot_interval_ms": 5, "engine.max_leg_age_ms": 3_600_000}
    subject = Host(make_config(overrides))
    yield subject
    subject.close()


def test_tracker_killed_again_and_again_loses_doubles_and_invents_no_episode(host):
    chance = random.Random(20240808)
    engine = Engine(host.regions, host.direction, chance)

    for _ in range(KILLS):
        engine.push()  # the backlog that the killed one left grows while nobody reads
        child = host.start()
        kill_after_s = time.monotonic() + chance.uniform(0.0, 0.08)
        while time.monotonic() < kill_after_s:
            engine.push()
            time.sleep(chance.uniform(0.0, 0.002))
        child.kill()
        child.wait()
    last = host.start()
    until(lambda: engine.ring.ring.depth == 0, "the backlog is drained")
    last.terminate()

    assert last.wait(timeout=10) == 0
    found = host.episodes()
    assert len({row[0] for row in found}) == len(found)
    ended = [row[1:4] for row in found if row[3] is not None]
    assert sorted(ended) == sorted(engine.ended)
    assert {row[1:3] for row in found if row[3] is None} == {
        (f"COIN{symbol_id}-USDT", opened_ns) for symbol_id, opened_ns in engine.open.items()
    }
    assert {row[1:3]: row[4] for row in found if row[4]} == engine.re_signals
    assert len(found) > KILLS


def test_open_episodes_keep_their_ids_and_paths_over_a_kill(host):
    engine = Engine(host.regions, host.direction, random.Random(1))
    first = host.start()
    engine.push()
    until(lambda: host.counter(TrackerCounter.SNAPSHOTS) > 5, "a path is recorded")
    first.kill()
    first.wait()
    with LedgerReader(host.data_dir) as reader:
        (before,) = reader.open_episodes(5)
        path_before = reader.path(before.episode_id)

    second = host.start()
    until(lambda: host.counter(TrackerCounter.SNAPSHOTS) > 10, "the path goes on")
    second.terminate()

    assert second.wait(timeout=10) == 0
    with LedgerReader(host.data_dir) as reader:
        (after,) = reader.open_episodes(5)
        path_after = reader.path(before.episode_id)
    assert after.episode_id == before.episode_id
    assert path_after[: len(path_before)] == path_before
    assert len(path_after) > len(path_before)
    times_ms = [point.t_ms for point in path_after]
    assert times_ms == sorted(times_ms)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_tracker_told_to_stop_ends_in_order_with_everything_stored(host, stop):
    engine = Engine(host.regions, host.direction, random.Random(2))
    child = host.start()
    for _ in range(50):
        engine.push()

    child.send_signal(stop)

    assert child.wait(timeout=10) == 0
    assert engine.ring.ring.depth == 0
    assert host.health().state == ProcessState.STOPPED
    # Closed in order: everything stands in the file itself, nothing is left in its log.
    assert not (host.data_dir / f"{LEDGER_NAME}-wal").exists()
    assert len(host.episodes()) == len(engine.open) + len(engine.ended)


def test_tracker_whose_data_folder_is_a_file_says_so_and_exits_78(host):
    host.data_dir.write_text("in the way")

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--config", str(host.config_file)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert done.returncode == 78
    assert "tracker.data_dir" in done.stderr.splitlines()[-1]
