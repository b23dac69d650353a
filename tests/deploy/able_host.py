"""Whether this host can run containers with a systemd of their own; tried, not told by its name.

`python able_host.py` prints what is in the way, if anything is, and ends with 1 then. Debian's
packages and the image are fetched on the way, so the first time takes minutes.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from leftovers import end_in_order, workshop
from machine_images import is_root, root_file_system
from room import Room

__all__ = ["why_no_box", "why_no_machine"]

TRIAL_S = 60
# What the first process of a container does before anything else.
TRIAL = "mkdir /sys/fs/cgroup/trial && mount -t tmpfs trial /mnt && ip link show lo >/dev/null"


def why_no_machine(build: Callable[[], Path]) -> str:
    """Return in one line why an image cannot be had here; "" when it can, and is built."""
    if not is_root():
        return "found an ordinary user, expected root"
    if shutil.which("apt-get") is None:
        return "found no apt-get, expected Debian or Ubuntu"
    try:
        build()
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        return f"no machine can be built: {_last_words(error)}"
    return ""


def why_no_box() -> str:
    """Return in one line why no container runs here; "" when one does."""
    if reason := why_no_machine(root_file_system):
        return reason
    with workshop() as folder:
        try:
            room = Room(f"spreadtrial-{os.getpid()}", root_file_system(), folder / "room")
            try:
                subprocess.run(
                    room.command("sh", "-c", TRIAL), env=room.environment(), check=True,
                    capture_output=True, text=True, timeout=TRIAL_S, stdin=subprocess.DEVNULL,
                )  # fmt: skip
            finally:
                room.clear()
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
            return f"no container runs here: {_last_words(error)}"
    return ""


def _last_words(error: Exception) -> str:
    said = str(getattr(error, "stderr", None) or "").strip().splitlines()
    return said[-1] if said else " ".join(str(error).split())


if __name__ == "__main__":
    end_in_order()
    why = why_no_box()
    sys.stdout.write(f"{why}\n" if why else "")
    sys.exit(1 if why else 0)
