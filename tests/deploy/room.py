"""What a container stands in: a lone network, a throw-away root over an image, control groups.

Everything that it takes of the kernel is given back by ``clear``, in whatever state it is.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from lifeline import bound
from lone_network import LoneNetwork

__all__ = ["Room", "end_groups", "groups_of", "named_groups"]

CGROUP = Path("/sys/fs/cgroup")
CLEAR_S = 20
# Real ones that nspawn takes away by default; production has them. Without CAP_NET_ADMIN systemd
# 257 starts a unit in the network that it should not see, and says so in the journal alone.
CAPABILITIES = "CAP_IPC_LOCK,CAP_NET_ADMIN,CAP_SYS_NICE"


class Room:
    """One container's surroundings; made by the constructor, or taken back by it.

    Args:
        name: of the container, its network and its control groups.
        image: root file system, not written to.
        folder: for everything that is written.
    """

    def __init__(self, name: str, image: Path, folder: Path) -> None:
        self.name = name
        self.root = folder / "root"
        self._folder = folder
        try:
            self.network = LoneNetwork(name)
            upper, work = folder / "upper", folder / "work"
            for each in (upper, work, self.root):
                each.mkdir(parents=True, exist_ok=True)
            layers = f"lowerdir={image},upperdir={upper},workdir={work}"
            subprocess.run(
                ["mount", "-t", "overlay", "overlay", "-o", layers, self.root],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
        except BaseException:
            self.clear()
            raise

    def command(self, *options: str) -> list[str]:
        """Return what runs a container here: systemd-nspawn with these options and words."""
        # Groups of its own: containers would share those that this process happens to be in.
        entering = "".join(
            f"mkdir -p {group}; echo $$ > {group}/cgroup.procs; " for group in groups_of(self.name)
        )
        return [
            *bound("sh", "-c", f'set -e; {entering}exec "$@"', "sh"),
            "systemd-nspawn", "--quiet", f"--directory={self.root}", f"--machine={self.name}",
            f"--hostname={self.name}", "--register=no", "--keep-unit", "--link-journal=no",
            "--settings=no", "--console=pipe", f"--network-namespace-path=/run/netns/{self.name}",
            f"--capability={CAPABILITIES}", *options,
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """Return the variables of that command."""
        return os.environ | {
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            # The settings of its own network are its own; the rest of /proc/sys is this host's.
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
        }

    def clear(self) -> None:
        """End what is still in it and take everything back; may be called again."""
        end_groups(self.name)
        while os.path.ismount(self.root):
            subprocess.run(["umount", "--lazy", self.root], check=False)
        if hasattr(self, "network"):
            self.network.remove()
        shutil.rmtree(self._folder, ignore_errors=True)


def groups_of(name: str) -> list[Path]:
    """Return where the control groups of a container are, if it has any."""
    return [folder / name for folder in _hierarchies()]


def named_groups() -> list[Path]:
    """Return the control groups at the top of where containers have theirs."""
    return [path for folder in _hierarchies() for path in folder.iterdir() if path.is_dir()]


def end_groups(name: str) -> None:
    """End all that runs in a container's control groups, and take them back; none is fine."""
    for group in groups_of(name):
        _kill_group(group)


def _hierarchies() -> list[Path]:
    found = [path for path in (CGROUP / "systemd", CGROUP / "unified") if path.is_dir()]
    return found or [CGROUP]


def _kill_group(group: Path) -> None:
    if not group.is_dir():
        return
    folders = [*(path for path in group.rglob("*") if path.is_dir()), group]
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        deadline_s = time.monotonic() + CLEAR_S
        while time.monotonic() < deadline_s:
            with contextlib.suppress(OSError):
                for pid in (folder / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
            try:
                folder.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.05)
