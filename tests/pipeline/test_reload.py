"""Another universe under the whole running pipeline: by spread-ctl, by SIGHUP, by nobody."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading

import msgspec
import pytest
from up_cases import DEADLINE_S, SOURCES, is_everything_running, wait_until

from spreadscan.config import load_config
from spreadscan.ops.ledger import LedgerReader
from spreadscan.shm.control import ControlReader
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions
from spreadscan.topology import programs
from spreadscan.universe import load_universe, write_universe

SLOTS = {row.name: row.health_slot for row in programs().values() if row.health_slot is not None}
FEEDS = [name for name in SLOTS if name.startswith("feed-")]


class Pipeline:
    """A running ``spreadscan up --sim`` and its universe."""

    def __init__(self, process, config_file):
        self.process = process
        self.config_file = config_file
        self.config = load_config(config_file, is_sim=True)
        self.folder = self.config.path(self.config.runtime.generated_dir)
        self.universe = load_universe(self.folder)
        regions = attach_regions(
            self.config.shm,
            reads=[RegionKind.HEALTH, RegionKind.CONTROL],
            writes=(),
            timeout_s=0.0,
        )
        self.health = HealthReader(regions.health)
        self.asked_generation = ControlReader(regions.control).generation

    def slot(self, name):
        return self.health.slot(SLOTS[name])

    def generations(self):
        return {self.slot(name).universe_generation for name in SLOTS}

    def live(self):
        """Symbols with usable data by feed, beside those it should have."""
        counters = {name: self.slot(name).counters for name in FEEDS}
        return {
            name: (found[FeedCounter.SYMBOLS_LIVE], found[FeedCounter.SYMBOLS_EXPECTED])
            for name, found in counters.items()
        }

    def publish(self, generation, without=()):
        """Write the first universe again, without some of its symbols."""
        left = {row.symbol_id for row in self.universe.symbols if row.name in without}
        write_universe(
            self.folder,
            msgspec.structs.replace(
                self.universe,
                generation=generation,
                symbols=tuple(row for row in self.universe.symbols if row.symbol_id not in left),
                directions=tuple(
                    msgspec.structs.replace(
                        row, symbols=tuple(each for each in row.symbols if each not in left)
                    )
                    for row in self.universe.directions
                ),
                next_symbol_id=self.universe.first_free_id,
            ),
        )

    def reload(self):
        """Run spread-ctl reload; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "spreadscan.cli.ctl", "reload", "--sim", "--json",
             "--timeout", "30s", "--config", self.config_file],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def episodes(self):
        with LedgerReader(self.config.path(self.config.tracker.data_dir)) as ledger:
            return ledger.recent_episodes(10_000)

    def expected(self, without=()):
        """How many symbols each feed has in a universe."""
        return {
            name: sum(
                row.instruments[SLOTS[name]] is not None and row.name not in without
                for row in self.universe.symbols
            )
            for name in FEEDS
        }


@pytest.fixture
def pipeline(up, config_dir):
    process = up("--json")
    wait_until(lambda: is_everything_running(config_dir))
    return Pipeline(process, config_dir / "config.toml")


def test_symbols_leave_and_come_back_while_everything_runs_on(pipeline):
    everything = pipeline.expected()
    wait_until(lambda: pipeline.live() == {name: (n, n) for name, n in everything.items()})
    wait_until(lambda: any(row.ending is None for row in pipeline.episodes()))
    open_now = [row.symbol for row in pipeline.episodes() if row.ending is None]
    started_ns = {name: pipeline.slot(name).started_ns for name in SLOTS}
    leaving = {open_now[0], *[row.name for row in pipeline.universe.symbols[:5]]}

    pipeline.publish(2, without=leaving)
    told = pipeline.reload()
    fewer = pipeline.expected(without=leaving)
    wait_until(lambda: pipeline.live() == {name: (n, n) for name, n in fewer.items()})
    after_the_first = pipeline.episodes()
    pipeline.publish(3)
    pipeline.process.send_signal(signal.SIGHUP)
    wait_until(lambda: pipeline.generations() == {3})
    wait_until(lambda: pipeline.live() == {name: (n, n) for name, n in everything.items()})
    pipeline.process.send_signal(signal.SIGTERM)
    out, err = pipeline.process.communicate(timeout=DEADLINE_S)

    assert set(told["obeyed"]) == set(SLOTS)
    assert (told["before"], told["generation"], told["missing"]) == ([1], 2, {})
    assert set(told["changes"]["symbols_removed"]) == leaving
    assert told["changes"]["symbols_added"] == []
    assert not [row for row in after_the_first if row.ending is None and row.symbol in leaving]
    delisted = [row for row in after_the_first if row.ending == "delisted"]
    assert {row.symbol for row in delisted} <= leaving
    # An opening of a route that was open is what a forgotten state would look like.
    assert sum(row.re_signals for row in pipeline.episodes()) == 0
    assert {name: pipeline.slot(name).started_ns for name in SLOTS} == started_ns
    closing = json.loads(out)
    assert pipeline.process.returncode == 0, err.decode()
    assert set(closing["sources"]) == SOURCES
    assert sum(row["expected"] for row in closing["sources"].values()) == sum(everything.values())
    assert closing["episodes"]["delisted"] == len(
        [row for row in pipeline.episodes() if row.ending == "delisted"]
    )
    assert "universe 3: all were asked to go over to it" in err.decode()
    routes = [int(found) for found in re.findall(r"routes=\d+/(\d+)", err.decode())]
    assert routes[-1] == sum(len(row.symbols) for row in pipeline.universe.directions)


def test_sighup_with_a_damaged_universe_changes_nothing(pipeline):
    wait_until(lambda: pipeline.generations() == {1})
    pipeline.publish(2)
    (pipeline.folder / "symbols.bin").write_bytes(b"damaged")

    pipeline.process.send_signal(signal.SIGHUP)
    line = next(text for text in iter(pipeline.process.stderr.readline, b"") if b"not re" in text)
    generations = pipeline.generations()
    pipeline.process.send_signal(signal.SIGTERM)
    out, _ = pipeline.process.communicate(timeout=DEADLINE_S)

    assert line.startswith(b"universe not reloaded: ")
    assert b"symbols.bin: found SHA-256" in line
    assert generations == {1}
    assert pipeline.process.returncode == 0
    assert json.loads(out)["uptime_s"] > 0


class TerminalUp:
    """``spreadscan up`` as a login over a network runs it: leader of its terminal's session."""

    def __init__(self, config_file):
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            words = [sys.executable, "-m", "spreadscan.cli.main", "up", "--sim", "--config"]
            os.execv(sys.executable, [*words, str(config_file)])
        self.screen = bytearray()
        self._is_closing = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        # The reader closes it: no other thread may close what this one is reading.
        while not self._is_closing.is_set():
            if select.select([self._terminal], [], [], 0.02)[0]:
                try:
                    self.screen += os.read(self._terminal, 65_536)
                except OSError:  # EIO: the other side is closed
                    break
        os.close(self._terminal)

    def hang_up(self):
        self._is_closing.set()
        self._reader.join()

    def close(self):
        self.hang_up()
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


@pytest.fixture
def terminal_up(config_dir):
    started = TerminalUp(config_dir / "config.toml")
    yield started
    started.close()


def test_sighup_with_a_terminal_reloads_and_without_it_stops_in_order(terminal_up, config_dir):
    wait_until(lambda: b"widest routes now" in terminal_up.screen)
    pipeline = Pipeline(None, config_dir / "config.toml")
    wait_until(lambda: pipeline.generations() == {1})
    asked = pipeline.asked_generation()

    os.kill(terminal_up.pid, signal.SIGHUP)
    wait_until(lambda: b"universe 1: all were asked" in terminal_up.screen)
    wait_until(lambda: {pipeline.slot(name).obeyed_generation for name in SLOTS} == {asked + 1})
    terminal_up.hang_up()
    _, status = os.waitpid(terminal_up.pid, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert {pipeline.slot(name).state.name for name in SLOTS} == {"STOPPED"}
