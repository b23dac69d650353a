"""Whether this host can run the machines of a leg; tried, not told by its name.

`python able_host.py box` (or `vm`) prints what is in the way, if anything is, and ends with 1 then.
Debian's packages and the image are fetched on the way, so the first time takes minutes.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from arm64 import arm64_root, run_there
from leftovers import end_in_order, workshop
from lifeline import bound
from lone_network import LoneNetwork
from machine_images import disk_image, is_root, root_file_system
from room import Room
from suites import chosen
from vm import emulator, overlay

__all__ = ["why_not"]

TRIAL_S = 60
# What an emulated machine does: mov dx, 0x501; mov al, 16; out dx, al; and QEMU ends.
BOOT_SECTOR = bytes.fromhex("ba0105b010ee").ljust(510, b"\0") + b"\x55\xaa"
DISK_BYTES = 2**20
ENDS_BY_GUEST = ("-device", "isa-debug-exit,iobase=0x501")
ENDED_BY_GUEST = 2 * 16 + 1
# What the first process of a container does before anything else.
TRIAL = "mkdir /sys/fs/cgroup/trial && mount -t tmpfs trial /mnt && ip link show lo >/dev/null"


@functools.cache
def why_not(leg: str) -> str:
    """Return in one line why a leg cannot run here; "" when it can, and its image is built."""
    build, trial = {
        "box": (functools.partial(root_file_system, chosen()), _try_box),
        "vm": (disk_image, _try_vm),
        "arm64": (arm64_root, _try_arm64),
    }[leg]
    if reason := _why_no_image(build):
        return reason
    with workshop() as folder:
        try:
            trial(f"spreadtrial-{os.getpid()}", folder)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
            return f"its trial failed: {_last_words(error)}"
    return ""


def _why_no_image(build: Callable[[], Path]) -> str:
    if not is_root():
        return "found an ordinary user, expected root"
    if shutil.which("apt-get") is None:
        return "found no apt-get, expected Debian or Ubuntu"
    try:
        build()
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError) as error:
        return f"no machine can be built: {_last_words(error)}"
    return ""


def _try_box(name: str, folder: Path) -> None:
    """Let the first process of a container do what systemd does."""
    room = Room(name, root_file_system(chosen()), folder / "room")
    try:
        subprocess.run(
            room.command("sh", "-c", TRIAL), env=room.environment(), check=True,
            capture_output=True, text=True, timeout=TRIAL_S, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    finally:
        room.clear()


def _try_vm(name: str, folder: Path) -> None:
    """Let a machine of the same build run its first instructions."""
    image, disk = folder / "image", folder / "disk"
    image.write_bytes(BOOT_SECTOR.ljust(DISK_BYTES, b"\0"))
    overlay(image, disk)
    network = LoneNetwork(name)
    try:
        command = network.command(*bound(*emulator(disk, *ENDS_BY_GUEST)))
        ran = subprocess.run(
            command, capture_output=True, text=True, timeout=TRIAL_S, stdin=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
        if ran.returncode != ENDED_BY_GUEST:
            raise subprocess.CalledProcessError(
                ran.returncode, "qemu-system-x86_64", stderr=ran.stderr
            )
    finally:
        network.remove()


def _try_arm64(_: str, folder: Path) -> None:
    """Let the emulated interpreter say which machine it takes itself for."""
    told = run_there(
        arm64_root(), folder, "python", "-c", "import platform; print(platform.machine())",
        timeout_s=TRIAL_S,
    )  # fmt: skip
    if told != (0, "aarch64\n"):
        raise OSError(f"found {told}, expected aarch64")


def _last_words(error: Exception) -> str:
    said = getattr(error, "stderr", None) or ""
    lines = (said.decode(errors="replace") if isinstance(said, bytes) else said).splitlines()
    return lines[-1] if lines else " ".join(str(error).split())


if __name__ == "__main__":
    end_in_order()
    why = why_not(sys.argv[1])
    sys.stdout.write(f"{why}\n" if why else "")
    sys.exit(1 if why else 0)
