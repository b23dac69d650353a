"""The configuration a running program goes by: written by it, read by an operator's tool.

What is on disk may have been edited since; what a process works with can only be told by itself. A
file of its own, replaced as a whole, and removed when the program ends in order: one that is left
says nothing while nobody holds the role's lock.
"""

import contextlib
from pathlib import Path

import msgspec

from spreadscan.config import Config

__all__ = ["config_in_force", "forget_config", "publish_config"]


def publish_config(run_dir: Path, program: str, config: Config) -> None:
    """Write what a program goes by from now on.

    Raises:
        OSError: the file cannot be written.

    Concurrency: one writer, the holder of the role's lock.
    """
    file = _file(run_dir, program)
    fresh = file.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(config))
    fresh.replace(file)


def forget_config(run_dir: Path, program: str) -> None:
    """Remove what was written; the program ends."""
    with contextlib.suppress(OSError):
        _file(run_dir, program).unlink()


def config_in_force(run_dir: Path, program: str) -> Config | None:
    """Return what a program last wrote; None when it has not, or it is of another build."""
    try:
        return msgspec.json.decode(_file(run_dir, program).read_bytes(), type=Config)
    except (OSError, msgspec.DecodeError):
        return None


def _file(run_dir: Path, program: str) -> Path:
    return run_dir / f"{program}.config.json"
