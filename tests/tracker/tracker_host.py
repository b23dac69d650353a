"""The real tracker process, and an engine that remembers everything it pushed."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from enum import StrEnum

from neighbours import Neighbours
from tracker_cases import quote, record, universe

from spreadscan.config import load_config
from spreadscan.model import SignalType
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import Prices, ProcessState, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions, create_regions, remove_regions
from spreadscan.shm.ring import RingReader, RingWriter
from spreadscan.topology import program_named
from spreadscan.tracker.parts import ledger_parts
from spreadscan.universe import write_universe

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


class Stage(StrEnum):
    """How far a tracker has come that is to be killed next, however fast the machine is."""

    READY = "ready"
    STARTING = "about to open its ledger"
    STORING = "storing what the ring holds"


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
        self._send(kind, symbol_id, time_ns)

    def open_route(self, symbol_id):
        self._send(SignalType.OPEN, symbol_id, time.monotonic_ns())

    def _send(self, kind, symbol_id, time_ns):
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
        self.neighbours = Neighbours(self.config, self.regions)
        self.direction = self.config.directions[0]
        self.slot = program_named("spread-tracker").health_slot
        self.children = []
        self.said = config_file.parent / "tracker.log"
        self.program = [sys.executable, "-c", PROGRAM]
        self.list_coins(range(SYMBOLS), generation=1)
        self.put_prices()

    def list_coins(self, numbers, generation):
        """Write a universe of these coins."""
        write_universe(
            self.config.path(self.config.runtime.generated_dir),
            universe(
                {number: f"COIN{number}-USDT" for number in numbers},
                generation=generation,
                retired={
                    f"COIN{number}-USDT": number
                    for number in range(SYMBOLS)
                    if number not in numbers
                },
                direction_id=self.direction.direction_id,
                spot=self.direction.spot_source,
                futures=self.direction.futures_source,
            ),
        )

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

    def run_once(self):
        """Run a tracker that is expected to end by itself."""
        return subprocess.run(
            [*self.program, "--config", str(self.config_file)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def start(self, environment=None, stage=Stage.READY):
        """Start a tracker and await how far it has come."""
        stored = self.stored()
        child = subprocess.Popen(
            [*self.program, "--config", str(self.config_file)],
            stderr=self.said.open("wb"),
            env=os.environ | (environment or {}),
        )
        self.children.append(child)

        def has_come_so_far():
            assert child.poll() is None, self.said.read_text()
            health = self.health()
            return (
                health.pid == child.pid
                and (stage is Stage.STARTING or health.state == ProcessState.RUNNING)
                and (stage is not Stage.STORING or self.stored() > stored)
            )

        # Longer than anything else may take: a start is seconds of CPU on a busy machine.
        until(has_come_so_far, f"the tracker is {stage}", timeout_s=60.0)
        return child

    def stored(self):
        """Sequence up to which the ledger holds what the ring held."""
        return RingReader(self.regions.ring).head()

    def health(self):
        return HealthReader(self.regions.health).slot(self.slot)

    def counter(self, which):
        return self.health().counters[which]

    @property
    def data_dir(self):
        return self.config.path(self.config.tracker.data_dir)

    def episodes(self):
        """Id, symbol, opening, ending, re-signals of every episode."""
        found = {}
        for part in ledger_parts(self.data_dir):
            with contextlib.closing(sqlite3.connect(part.ledger(self.data_dir))) as connection:
                rows = connection.execute(
                    "SELECT episode_id, symbol, opened_ns, ended_ns, re_signals FROM episodes"
                ).fetchall()
            found.update((row[0], row) for row in rows)
        return list(found.values())

    def open_ids(self):
        """Ids of the episodes that the ledger holds open."""
        return {row[0] for row in self.episodes() if row[3] is None}

    def close(self):
        for child in self.children:
            child.kill()
            child.wait()
        self.neighbours.close()
        remove_regions(self.config.shm)
