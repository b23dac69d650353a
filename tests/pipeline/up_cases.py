"""Looking at a ``spreadscan up --sim`` from outside."""

import os
import sysconfig
import time
from pathlib import Path

from spreadscan.config import load_config
from spreadscan.errors import RegionMissing
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import ProcessState, RegionKind
from spreadscan.shm.regions import attach_regions
from spreadscan.topology import programs

SPREADSCAN = Path(sysconfig.get_path("scripts")) / "spreadscan"
SOURCES = {
    f"{exchange}_{market}"
    for exchange in ("binance", "bybit", "okx", "mexc")
    for market in ("spot", "futures")
}
DEADLINE_S = 60.0


def children_of(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return {Path(f"/proc/{child}/cmdline").read_bytes(): int(child) for child in text.split()}


def child_named(pid, name):
    found = [child for words, child in children_of(pid).items() if name.encode() in words]
    return found[0] if found else None


def is_everything_running(config_dir):
    shm = load_config(config_dir / "config.toml", is_sim=True).shm
    try:
        regions = attach_regions(shm, reads=[RegionKind.HEALTH], writes=[], timeout_s=0.0)
    except RegionMissing:
        return False
    health = HealthReader(regions.health)
    slots = [row.health_slot for row in programs().values() if row.health_slot is not None]
    return all(health.slot(slot).state is ProcessState.RUNNING for slot in slots)


def wait_until(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.02)


def read_terminal(descriptor, screen):
    while True:
        try:
            screen += os.read(descriptor, 65_536)
        except OSError:  # EIO: the other side is closed
            return
