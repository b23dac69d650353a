"""Fixtures every test may use: a configuration of its own, a clock that stands still."""

import contextlib
import random
import shutil
import signal
import socket
import tomllib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import tomli_w

CONFIG = Path(__file__).parents[1] / "config"

# A shell that runs the tests in the background has SIGINT ignored, and so would every program that
# they start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, and none fails because the machine is busy or emulated.
hypothesis.settings.register_profile("spreadscan", deadline=None, derandomize=True)
hypothesis.settings.load_profile("spreadscan")


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, monotonic_ns: int = 1_000_000_000_000) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ns = 1_750_000_000_000_000_000

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def wall_ns(self) -> int:
        return self._wall_ns

    def step_wall(self, seconds: float) -> None:
        self._wall_ns += round(seconds * 1e9)

    def advance(self, seconds: float) -> None:
        self._monotonic_ns += round(seconds * 1e9)
        self._wall_ns += round(seconds * 1e9)


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def shm_prefix() -> Iterator[str]:
    """A prefix nobody else uses; what a test leaves under it is removed."""
    prefix = f"t{uuid.uuid4().hex[:12]}"

    yield prefix

    for region in Path("/dev/shm").glob(f"{prefix}*"):  # its simulated twin too
        region.unlink(missing_ok=True)


def free_port() -> int:
    """A port that nobody listens on, below those that outgoing connections are given."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


ConfigFactory = Callable[[dict[str, object]], Path]


@pytest.fixture
def make_config(tmp_path: Path, shm_prefix: str) -> ConfigFactory:
    """Write the shipped configuration into a folder of the test's own; return its config.toml.

    Overrides are dotted paths, ``{"engine.open_net_bps": 3.0}``; those that begin with
    ``exchanges.`` or ``sim.`` go to exchanges.toml, ``fees.`` to fees.toml, ``direction`` to
    directions.toml, ``listing`` to identity.toml, the rest to config.toml. A value of None removes
    the key.
    """

    def make(overrides: dict[str, object]) -> Path:
        return write_config(tmp_path, shm_prefix, overrides)

    return make


def write_config(root: Path, prefix: str, overrides: dict[str, object]) -> Path:
    """Write the shipped configuration below ``root``, with memory and ports of its own."""
    folder = root / "config"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(CONFIG, folder)
    isolated: dict[str, object] = {
        "shm.prefix": prefix,
        "shm.lock_memory": False,
        "runtime.run_dir": "run",
        "runtime.generated_dir": "generated",
        "tracker.data_dir": "data",
        "sim.rest_base": f"http://127.0.0.1:{free_port()}",
        "sim.ws_base": f"ws://127.0.0.1:{free_port()}",
    }
    for dotted, value in (isolated | overrides).items():
        _override(folder / _file_of(dotted), dotted, value)
    return folder / "config.toml"


@pytest.fixture(scope="session")
def config_writer() -> Callable[[Path, str, dict[str, object]], Path]:
    """``write_config``, for fixtures that serve more than one test."""
    return write_config


@pytest.fixture
def config_dir(make_config: ConfigFactory) -> Path:
    """The shipped configuration with memory, folders and ports of this test alone."""
    return make_config({}).parent


def _file_of(dotted: str) -> str:
    first = dotted.partition(".")[0]
    files = {
        "exchanges": "exchanges.toml",
        "sim": "exchanges.toml",
        "fees": "fees.toml",
        "direction": "directions.toml",
        "listing": "identity.toml",
    }
    return files.get(first, "config.toml")


def _override(file: Path, dotted: str, value: object) -> None:
    tree: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    *branches, last = dotted.split(".")
    branch: Any = tree
    for step in branches:
        branch = branch[int(step)] if isinstance(branch, list) else branch.setdefault(step, {})
    if value is None:
        del branch[last]
    else:
        branch[last] = value
    file.write_text(tomli_w.dumps(tree), encoding="utf-8")
