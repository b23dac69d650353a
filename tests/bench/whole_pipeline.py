"""A real pipeline on simulated exchanges over TLS, with memory, folders and ports of its own."""

import contextlib
import importlib
import os
import shutil
import socket
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import spreadscan
from spreadscan.config import Config, load_config
from spreadscan.ops.benchmark import CannotMeasure
from spreadscan.ops.pipeline import pipeline
from spreadscan.ops.reconcile import Policy
from spreadscan.ops.supervisor import Supervisor
from spreadscan.runtime.clock import SystemClock
from spreadscan.shm.regions import remove_regions

CONFIG = Path(spreadscan.__file__).parents[1] / "config"
START_PATIENCE_S = 60.0
STEP_S = 0.05


class WholePipeline:
    """Every process of one configuration; call ``run_until`` instead of waiting."""

    def __init__(self, config: Config, supervisor: Supervisor) -> None:
        self.config = config
        self._supervisor = supervisor

    def pid(self, program: str) -> int:
        return self._supervisor.pid(program)

    def run_until(self, condition: Callable[[], bool], patience_s: float) -> bool:
        """Look after the processes until something is true; return whether it came in time.

        Raises:
            AssertionError: a process was given up, in its own words.
        """
        deadline_s = time.monotonic() + patience_s
        while not (is_true := condition()) and time.monotonic() < deadline_s:
            self._supervisor.step()
            failure = self._supervisor.failure
            assert failure is None, failure.line()
            time.sleep(STEP_S)
        return is_true


@contextlib.contextmanager
def whole_pipeline(symbols: int, rate_hz: float) -> Iterator[WholePipeline]:
    """Start everything and wait until it is ready; nothing of it is left afterwards.

    Args:
        symbols: coins of the simulated world.
        rate_hz: quotes per second over all sources.

    Raises:
        CannotMeasure: packages that only development needs are not installed.
    """
    for name in ("trustme", "tomli_w"):
        _required(name)
    with tempfile.TemporaryDirectory(prefix="spreadscan-bench-") as folder:
        config = load_config(_own_config(Path(folder)), is_sim=True)
        options = ["--universe-size", str(symbols), "--rate", str(rate_hz)]
        supervisor = Supervisor(
            pipeline(config, simulator_options=options),
            config.shm,
            Path(folder) / "log",
            Policy(),
            SystemClock(),
        )
        running = WholePipeline(config, supervisor)
        try:
            assert running.run_until(lambda: supervisor.is_ready, START_PATIENCE_S), (
                supervisor.never_ready
            )
            yield running
        finally:
            supervisor.kill_all()
            while not supervisor.is_finished:
                supervisor.step()
                time.sleep(STEP_S)
            remove_regions(config.shm)


def _own_config(folder: Path) -> Path:
    shutil.copytree(CONFIG, folder / "config")
    own: dict[str, dict[str, dict[str, object]]] = {
        "config.toml": {
            "shm": {"prefix": f"bench-{os.getpid()}"},
            "runtime": {"run_dir": "run", "generated_dir": "generated"},
            "tracker": {"data_dir": "data"},
        },
        "exchanges.toml": {
            "sim": {
                "rest_base": f"https://127.0.0.1:{_free_port()}",
                "ws_base": f"wss://127.0.0.1:{_free_port()}",
                "ca_file": "ca.pem",
            }
        },
    }
    for name, branches in own.items():
        file = folder / "config" / name
        tree: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        for branch, keys in branches.items():
            tree[branch] |= keys
        file.write_text(_required("tomli_w").dumps(tree), encoding="utf-8")
    return folder / "config" / "config.toml"


def _required(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError:
        raise CannotMeasure(f"needs the package {package}") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
