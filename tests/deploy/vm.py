"""A machine with a kernel of its own: QEMU without acceleration, thrown away at the end.

Emulated, because a kernel of our own needs nothing from the host then; four CPUs on the host's two,
which proves what is configured and says nothing about speed. Its disk is an overlay over the cached
image; it reaches nothing but the simulated exchanges.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from ssh_way import SshWay

__all__ = ["EXCHANGES_ADDRESS", "Vm"]

# Inside the machine; each connection is handed to a program of this host.
EXCHANGES_ADDRESS = "10.0.2.100"
CPUS = 4
MEMORY_MIB = 2048
BOOT_S = 600
STOP_S = 20
FORWARD = """\
#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/"$1"
cat <&3 &
cat >&3
kill $!
"""


class Vm:
    """One machine; started by the constructor.

    Args:
        image: raw disk, not written to.
        folder: for everything that is written.
        ports: of this host's loopback that it may reach, at EXCHANGES_ADDRESS.
    """

    def __init__(self, image: Path, folder: Path, ports: list[int]) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._serial = folder / "serial.log"
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        try:
            self.ssh = SshWay(folder / "ssh", "spreadvm", port, key=image.with_suffix(".key"))
            disk = folder / "disk.qcow2"
            subprocess.run(
                ["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", disk],
                check=True,
            )
            self._process = self._started(disk, port, ports)
            self.wait_until_up()
        except BaseException:
            self.stop()
            raise

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
            time.sleep(1)
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
            # The group: programs that carry connections to the exchanges are in it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _started(self, disk: Path, port: int, ports: list[int]) -> subprocess.Popen[bytes]:
        forward = self._folder / "forward"
        forward.write_text(FORWARD)
        forward.chmod(0o755)
        network = ["user", "id=n0", "restrict=on", f"hostfwd=tcp:127.0.0.1:{port}-:22"]
        network += [
            f"guestfwd=tcp:{EXCHANGES_ADDRESS}:{inner}-cmd:{forward} {inner}" for inner in ports
        ]
        command = [
            "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512",
            # The oldest processor that numpy's wheels run on.
            "-cpu", "Nehalem", "-smp", str(CPUS), "-m", str(MEMORY_MIB),
            "-display", "none", "-monitor", "none", "-serial", f"file:{self._serial}",
            "-drive", f"file={disk},if=virtio,cache=unsafe",
            "-netdev", ",".join(network), "-device", "virtio-net-pci,netdev=n0",
            "-device", "virtio-rng-pci",
        ]  # fmt: skip
        with self._serial.open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
