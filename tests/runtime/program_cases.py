"""Real programs with a configuration, regions and a universe of the test's own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

from spreadscan.config import load_config
from spreadscan.directions import DirectionRecord
from spreadscan.model import Instrument
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions
from spreadscan.symbols import SymbolRecord
from spreadscan.topology import program_named
from spreadscan.universe import Universe, write_universe

PATIENCE_S = 20.0


def until(condition, what="the condition"):
    """Wait until something is true, and return it."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"{what} never came"
        time.sleep(0.005)
    return found


def instrument(symbol):
    return Instrument(
        exchange_symbol=symbol,
        price_multiplier=1.0,
        contract_size=1.0,
        tick_size=0.01,
        qty_step=0.01,
        min_qty=0.0,
        min_notional=0.0,
        tradable_via_api=True,
    )


def write_small_universe(config, coins=("BTC", "ETH", "SOL"), generation=1):
    """Symbols 0, 1, … that Binance's and OKX's markets list, watched in direction 0's sources."""
    direction = next(row for row in config.directions if row.name == "okx_spot_binance_futures")
    symbols = []
    for symbol_id, coin in enumerate(coins):
        names = [f"{coin}USDT", f"{coin}USDT", None, None, f"{coin}-USDT", f"{coin}-USDT-SWAP"]
        legs = [name and instrument(name) for name in [*names, None, None]]
        symbols.append(
            SymbolRecord(symbol_id=symbol_id, name=f"{coin}-USDT", instruments=tuple(legs))
        )
    watched = DirectionRecord(
        direction_id=direction.direction_id,
        spot_source=direction.spot_source,
        futures_source=direction.futures_source,
        symbols=tuple(range(len(coins))),
    )
    universe = Universe(
        generation=generation,
        timestamp="2026-01-01T00:00:00Z",
        symbols=tuple(symbols),
        directions=(watched,),
    )
    write_universe(config.path(config.runtime.generated_dir), universe)


class Programs:
    """Starts programs the way systemd does and ends those that a test leaves."""

    def __init__(self, config_file, *, is_sim=False):
        self.config_file = config_file
        self.is_sim = is_sim
        self.config = load_config(config_file, is_sim=is_sim)
        self.started = []

    def start(self, name, **environment):
        command = [sys.executable, "-m", "spreadscan.cli.programs", name]
        command += ["--config", str(self.config_file), *(["--sim"] if self.is_sim else [])]
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=os.environ | environment
        )
        self.started.append(process)
        return process

    def finish(self, process, number=signal.SIGTERM):
        """Send a signal; return exit status, standard error and the seconds it took."""
        began_s = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE_S)
        return process.returncode, errors, time.monotonic() - began_s

    def slot(self, name):
        regions = attach_regions(self.config.shm, reads=[RegionKind.HEALTH], writes=(), timeout_s=0)
        return HealthReader(regions.health).slot(program_named(name).health_slot)

    def close(self):
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.communicate()


class NotifySocket:
    """systemd's end of sd_notify."""

    def __init__(self, path):
        self.path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(PATIENCE_S)

    def next_with(self, word):
        """Return the next message that holds a word."""
        while True:
            message = self._socket.recv(4096).decode()
            if word in message:
                return message

    def heard(self):
        """Return what came so far."""
        found = []
        self._socket.settimeout(0.0)
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self._socket.recv(4096).decode())
        self._socket.settimeout(PATIENCE_S)
        return found

    def close(self):
        self._socket.close()
