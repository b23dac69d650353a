"""A machine with a kernel of its own: QEMU without acceleration, thrown away at the end.

Emulated, because a kernel of our own needs nothing from the host then; four CPUs on the host's two,
which proves what is configured and says nothing about speed. Its disk is an overlay over the cached
image. Its network is QEMU's, inside a namespace with loopback alone: the machine reaches what
listens there at HOST_ADDRESS, and nothing else.
"""

import shutil
import signal
import subprocess
import time
from pathlib import Path

from lifeline import bound
from lone_network import LoneNetwork
from ssh_way import SshWay

__all__ = ["HOST_ADDRESS", "Vm", "emulator", "overlay"]

# How QEMU calls the loopback of the host, seen from inside.
HOST_ADDRESS = "10.0.2.2"
CPUS = 4
MEMORY_MIB = 2560
SSH_PORT = 2222
BOOT_S = 600
STOP_S = 20


def overlay(image: Path, disk: Path) -> None:
    """Make a disk over a raw image that is not written to."""
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", disk], check=True
    )


def emulator(disk: Path, *options: str) -> list[str]:
    """Return the command that runs a machine with this disk, before its last options."""
    return [
        "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512",
        # The oldest processor that numpy's wheels run on.
        "-cpu", "Nehalem", "-smp", str(CPUS), "-m", str(MEMORY_MIB),
        "-nodefaults", "-vga", "none", "-display", "none",
        "-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{SSH_PORT}-:22",
        "-device", "virtio-net-pci,netdev=n0", "-device", "virtio-rng-pci",
        "-drive", f"file={disk},format=qcow2,if=none,id=d0,cache=unsafe",
        # One interrupt, that the kernel has to keep away from isolated cores; not one a core.
        "-device", "virtio-blk-pci,drive=d0,num-queues=1", *options,
    ]  # fmt: skip


class Vm:
    """One machine; started by the constructor.

    Args:
        name: of the machine and its network.
        image: raw disk, not written to.
        folder: for everything that is written.
    """

    def __init__(self, name: str, image: Path, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._serial = folder / "serial.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._network: LoneNetwork | None = None
        try:
            self._network = LoneNetwork(name)
            self.ssh = SshWay(
                folder / "ssh",
                name,
                SSH_PORT,
                key=image.with_suffix(".key"),
                proxy=self._network.proxy(SSH_PORT),
            )
            disk = folder / "disk.qcow2"
            overlay(image, disk)
            self._process = self._started(disk)
            self.wait_until_up()
        except BaseException:
            self.stop()
            raise

    def in_network(self, *command: str) -> list[str]:
        """Return a command of this host whose loopback is at HOST_ADDRESS of the machine."""
        assert self._network is not None
        return self._network.command(*command)

    def wait_until_up(self) -> None:
        """Wait until everything has been started and sshd answers.

        Raises:
            AssertionError: it does not come up.
        """
        deadline_s = time.monotonic() + BOOT_S
        while time.monotonic() < deadline_s:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            if self.ssh.is_there():
                self.ssh.run("systemctl is-system-running --wait", check=False, timeout_s=BOOT_S)
                return
            time.sleep(0.5)
        console = self._serial.read_text(errors="replace") if self._serial.exists() else "nothing"
        raise AssertionError(f"the machine does not come up:\n{console[-3000:]}")

    def boot_id(self) -> str:
        """Return what tells one boot from the next."""
        return self.ssh.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()

    def stop(self) -> None:
        """End it and take everything back; may be called in any state, and again."""
        if hasattr(self, "ssh"):
            self.ssh.forget()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._network is not None:
            self._network.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _started(self, disk: Path) -> subprocess.Popen[bytes]:
        command = self.in_network(*bound(*emulator(disk, "-serial", f"file:{self._serial}")))
        with (self._folder / "qemu.log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
