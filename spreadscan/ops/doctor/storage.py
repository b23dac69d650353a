"""Disks: whether they take what is written, how soon, and how much more."""

import os
import shutil
import time
from pathlib import Path

from spreadscan.config import Config
from spreadscan.ops.doctor.finding import Finding, fail, ok, warn

__all__ = ["storage_checks"]

MIN_FREE_MIB = 1_024
# Locks and a socket, in memory on a host: systemd gives /run a tenth of it, Debian's initramfs too.
MIN_FREE_RUN_MIB = 64
SLOW_SYNC_MS = 100.0
MIB = 1024 * 1024


def storage_checks(config: Config) -> list[Finding]:
    """Return a finding for each folder that is written; a small file comes and goes in each."""
    folders = {
        "run folder": (config.runtime.run_dir, MIN_FREE_RUN_MIB),
        "universe folder": (config.runtime.generated_dir, MIN_FREE_MIB),
        "ledger folder": (config.tracker.data_dir, MIN_FREE_MIB),
    }
    if config.record.enabled:
        folders["recordings"] = (config.record.dir, MIN_FREE_MIB)
    return [
        _folder(f"disk: {what}", config.path(path), min_free_mib)
        for what, (path, min_free_mib) in folders.items()
    ]


def _folder(check: str, folder: Path, min_free_mib: int) -> Finding:
    place = next(path for path in (folder, *folder.parents) if path.is_dir())
    trial = place / f".doctor-{os.getpid()}"
    try:
        began_s = time.monotonic()
        with trial.open("xb") as stream:
            stream.write(b"\0" * 4096)
            stream.flush()
            os.fsync(stream.fileno())
        took_ms = (time.monotonic() - began_s) * 1e3
        trial.unlink()
        free_mib = shutil.disk_usage(place).free // MIB
    except OSError as error:
        return fail(check, f"{place}: {error.strerror}", "make it writable for the programs' user")
    found = f"{place}: {free_mib:,} MiB free, a synced write takes {took_ms:.1f} ms"
    if free_mib < min_free_mib:
        return fail(check, found, f"free at least {min_free_mib} MiB")
    if took_ms > SLOW_SYNC_MS:
        return warn(check, found, "look for what else writes to this disk")
    return ok(check, found)
