"""A small pipeline of real programs for spread-ctl: regions, a universe, engine and tracker."""

import os
import signal
import subprocess
import sys
import time

from typer.testing import CliRunner

from spreadscan.cli.ctl import app
from spreadscan.config import load_config
from spreadscan.directions import DirectionRecord
from spreadscan.model import Instrument
from spreadscan.shm.control import ControlReader
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.region import attach_region
from spreadscan.shm.regions import attach_regions, create_regions
from spreadscan.symbols import SymbolRecord
from spreadscan.topology import program_named
from spreadscan.universe import Universe, write_universe

PATIENCE_S = 30.0
LEG = Instrument(
    exchange_symbol="X", price_multiplier=1.0, contract_size=1.0, tick_size=0.0, qty_step=0.0,
    min_qty=0.0, min_notional=0.0, tradable_via_api=True,
)  # fmt: skip


def until(condition, what):
    """Wait until something is true, and return it."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"{what} never came"
        time.sleep(0.005)
    return found


def ctl(site, *words):
    """Run ``spread-ctl`` here; return exit status, standard output and error."""
    done = CliRunner().invoke(app, [*words, "--config", str(site.config_file)])
    return done.exit_code, done.stdout, done.stderr


def block(site):
    """Return what the control block asks for."""
    return ControlReader(attach_region(site.config.shm, RegionKind.CONTROL, writable=False)).state()


class Site:
    """One configuration with everything that belongs to it."""

    def __init__(self, config_file, make_config=None):
        self.config_file = config_file
        self._make_config = make_config
        self.config = load_config(config_file)
        self.folder = self.config.path(self.config.runtime.generated_dir)
        self.run_dir = self.config.path(self.config.runtime.run_dir)
        self.started = []
        create_regions(self.config.shm)

    def configure(self, overrides):
        """Edit the configuration in place; ports and prefix stay."""
        sim = self.config.sim
        same = {"sim.rest_base": sim.rest_base, "sim.ws_base": sim.ws_base}
        assert self._make_config(same | overrides) == self.config_file

    def publish(self, generation, *coins, folder=None, numbers=None):
        """Write a universe of these coins in one direction; a coin keeps its number."""
        direction = self.config.directions[0]
        wanted = (direction.spot_source, direction.futures_source)
        legs = tuple(LEG if source in wanted else None for source in range(8))
        numbers = numbers or {coin: ord(coin[0]) - ord("A") for coin in coins}
        universe = Universe(
            generation=generation,
            timestamp="2026-01-01T00:00:00Z",
            symbols=tuple(
                SymbolRecord(symbol_id=number, name=f"{coin}-USDT", instruments=legs)
                for coin, number in numbers.items()
            ),
            directions=(
                DirectionRecord(
                    direction_id=direction.direction_id,
                    spot_source=direction.spot_source,
                    futures_source=direction.futures_source,
                    symbols=tuple(sorted(numbers.values())),
                ),
            ),
        )
        write_universe(folder or self.folder, universe)

    def start(self, *names):
        """Start programs side by side and wait until they work with their universe."""
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "spreadscan.cli.programs", name,
                 "--config", self.config_file],
                stderr=subprocess.DEVNULL,
            )
            for name in names
        ]  # fmt: skip
        self.started += processes
        for name in names:
            until(lambda name=name: self.slot(name).universe_generation > 0, f"{name} in its loop")
        return processes

    def hold(self, name):
        """Let a process that does nothing be a program, as far as its lock tells."""
        code = (
            "import pathlib, sys, time; from spreadscan.runtime.lock import RoleLock;"
            "lock = RoleLock(pathlib.Path(sys.argv[1]), sys.argv[2]); print(flush=True);"
            "time.sleep(600)"
        )
        command = [sys.executable, "-c", code, str(self.run_dir), name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.started.append(process)
        process.stdout.read(1)

    def ctl(self, *arguments):
        """Start ``spread-ctl`` as a process."""
        return subprocess.Popen(
            [sys.executable, "-m", "spreadscan.cli.ctl", *map(str, arguments),
             "--config", self.config_file],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"COLUMNS": "200"},
        )  # fmt: skip

    def reload(self, *arguments):
        """Run ``spread-ctl reload`` here; return exit status, standard output and error."""
        words = ["reload", *map(str, arguments), "--config", str(self.config_file)]
        done = CliRunner().invoke(app, words)
        return done.exit_code, done.stdout, done.stderr

    def slot(self, name):
        regions = attach_regions(self.config.shm, reads=[RegionKind.HEALTH], writes=(), timeout_s=0)
        return HealthReader(regions.health).slot(program_named(name).health_slot)

    def close(self):
        for process in self.started:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
