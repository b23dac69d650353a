"""A whole pipeline on simulated exchanges that fail as they are told to, watched from outside."""

import itertools
import json
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import msgspec
import numpy as np
from oracle import Oracle
from random_faults import last_end_s, write_scenario
from watch import Watch

from spreadscan.config import load_config
from spreadscan.errors import RegionError
from spreadscan.exchanges import sources
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import ProcessState, RegionKind
from spreadscan.shm.regions import attach_regions
from spreadscan.sim.truth import Fate, Preface, load_truth
from spreadscan.topology import programs
from spreadscan.universe import load_universe

SPREADSCAN = Path(sysconfig.get_path("scripts")) / "spreadscan"
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 60.0
# Sockets, queues of the scheduler, and a machine that does something else meanwhile.
IN_FLIGHT_S = 1.0


class FaultRun:
    """One ``spreadscan up --sim`` under faults; begun, watched, ended, judged."""

    def __init__(self, config_file, folder, faults):
        self.config = load_config(config_file, is_sim=True)
        self.faults = faults
        self._truth_file = folder / "truth.bin"
        scenario = write_scenario(folder / "faults.toml", faults)
        options = ["--scenario", scenario, "--truth", self._truth_file, "--json"]
        self.process = subprocess.Popen(
            [SPREADSCAN, "up", "--sim", "--config", config_file, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def watch(self):
        """Wait until everything runs and begin to look."""
        deadline = time.monotonic() + START_DEADLINE_S
        while not self._is_everything_running():
            assert self.process.poll() is None, self.process.communicate()[1].decode()
            assert time.monotonic() < deadline, "it never ran"
            time.sleep(0.02)
        self.universe = load_universe(self.config.path(self.config.runtime.generated_dir))
        self.eyes = Watch(self.config, self.universe, self._pids())
        self.eyes.start()
        with self._truth_file.open("rb") as file:
            # Second 0 of the scenario, CLOCK_MONOTONIC.
            self.started_ns = msgspec.json.decode(file.readline(), type=Preface).started_ns
        first_s = min(fault["at_s"] for fault in self.faults)
        assert self.second < first_s, "the faults began before everything ran"

    def wait_until_s(self, second):
        """Wait until that second of the scenario; the run must live."""
        self._wait(lambda: self.second >= second)

    def wait_until_fresh(self, last_s):
        """Wait until every listing is usable, at most until that second of the scenario."""
        self._wait(lambda: self.eyes.freshness.usable.all() or self.second >= last_s)

    def stop(self):
        """End in order; returns the exit status."""
        self.eyes.stop()
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=STOP_DEADLINE_S)
        self.closing = json.loads(out)
        self.errors = err.decode()
        self.truth = load_truth(self._truth_file)
        log = self.config.path(self.config.runtime.run_dir) / "log" / "simulator.log"
        self.simulator_log = log.read_text(encoding="utf-8")
        return self.process.returncode

    @property
    def second(self):
        """Of the scenario, now."""
        return (time.monotonic_ns() - self.started_ns) / 1e9

    def verdicts(self, signals):
        """Let the oracle judge signals of this run."""
        oracle = Oracle(
            self.truth,
            self.universe,
            in_flight_s=IN_FLIGHT_S,
            max_leg_age_s=self.config.engine.max_leg_age_ms / 1000,
        )
        return [oracle.judge(record) for record in signals]

    def departures(self):
        """Return times and numbers of the quotes that left, by source id and symbol id."""
        records = self.truth.records[self.truth.records["fate"] == Fate.LEFT]
        records = records[np.argsort(records["row"], kind="stable")]
        names = [tuple(name) for name in self.truth.preface.rows]
        bounds = np.searchsorted(records["row"], range(len(names) + 1))
        of_name = {
            name: (records["time_ns"][first:last], records["number"][first:last])
            for name, (first, last) in zip(names, itertools.pairwise(bounds), strict=True)
        }
        return {
            (source.source_id, symbol_id): of_name[source.name, symbol]
            for source in sources().values()
            for symbol, symbol_id, *_ in self.universe.legs(source.source_id)
            if (source.name, symbol) in of_name
        }

    def late(self, within_s):
        """Return the listings that were not fresh again in time."""

        def ends_s(source, symbol):
            return last_end_s(self.faults, source, symbol)

        return self.eyes.freshness.late(ends_s, self.started_ns, within_s)

    def overruns(self):
        """Return the simulator's own words about every limit that was broken."""
        return [line for line in self.simulator_log.splitlines() if line.startswith("overrun at")]

    def _wait(self, condition):
        while not condition():
            assert self.process.poll() is None, self.process.communicate()[1].decode()
            time.sleep(0.05)

    def _is_everything_running(self):
        try:
            regions = attach_regions(
                self.config.shm, reads=[RegionKind.HEALTH], writes=(), timeout_s=0.0
            )
        except RegionError:  # absent, or being made
            return False
        self._health = HealthReader(regions.health)
        return all(
            self._health.slot(row.health_slot).state is ProcessState.RUNNING
            for row in programs().values()
            if row.health_slot is not None
        )

    def _pids(self):
        return {
            row.name: self._health.slot(row.health_slot).pid
            for row in programs().values()
            if row.health_slot is not None
        }
