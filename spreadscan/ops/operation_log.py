"""Who held or let go of what, when and why: one JSON object a line, beside the ledger."""

import os
import pwd
from pathlib import Path

import msgspec

from spreadscan.config import Config
from spreadscan.holds import Holds

__all__ = ["note_operation", "operations_file"]


def operations_file(config: Config) -> Path:
    """Return where it stands."""
    return config.path(config.tracker.data_dir) / "operations.jsonl"


def note_operation(config: Config, command: str, holds: Holds, reason: str) -> None:
    """Add what this process's user has just done.

    Raises:
        OSError: it cannot be written.

    Concurrency: one write, so that lines of two operators never mix.
    """
    line = {
        "at": holds.since,
        "by": _user(),
        "command": command,
        "reason": reason,
        "holds": msgspec.to_builtins(holds),
    }
    with operations_file(config).open("ab", buffering=0) as log:
        log.write(msgspec.json.encode(line) + b"\n")


def _user() -> str:
    if os.getuid() == 0 and (name := os.environ.get("SUDO_USER")):
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
