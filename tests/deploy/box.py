"""A box: a bare Debian with a systemd of its own as PID 1, in systemd-nspawn; thrown away after.

Its root is an overlay over the cached image and survives a reboot.
"""

import signal
import subprocess
import threading
import time
from pathlib import Path

from room import Room
from ssh_way import SshWay

__all__ = ["Box"]

# Under --keep-unit a reboot inside ends systemd-nspawn with this.
ASKS_FOR_REBOOT = 133
BOOT_S = 180
STOP_S = 20


class Box:
    """One machine; started by the constructor.

    Args:
        name: of the machine, its network and its control groups.
        image: root file system, not written to.
        folder: for everything that is written.
    """

    def __init__(self, name: str, image: Path, folder: Path) -> None:
        self.name = name
        self._log = folder / "console.log"
        self._is_stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        self._boots = threading.Thread(target=self._keep_booting, daemon=True)
        self._room = Room(name, image, folder)
        try:
            self.ssh = SshWay(folder / "ssh", name, 22, proxy=self._room.network.proxy(22))
            self._let_in(self._room.root / "root/.ssh")
            self._boots.start()
            self.wait_until_up()
        except BaseException:
            self.stop()
            raise

    def in_network(self, *command: str) -> list[str]:
        """Return a command that runs on this host and in the box's network."""
        return self._room.network.command(*command)

    def wait_until_up(self) -> None:
        """Wait until systemd says that everything has been started and sshd answers.

        Raises:
            AssertionError: it does not come up.
        """
        deadline_s = time.monotonic() + BOOT_S
        while time.monotonic() < deadline_s:
            if not self._boots.is_alive():
                break
            if self.ssh.is_there():
                self.ssh.run("systemctl is-system-running --wait", check=False)
                return
            time.sleep(0.1)
        console = self._log.read_text(errors="replace") if self._log.exists() else "no console"
        raise AssertionError(f"{self.name} does not come up:\n{console[-3000:]}")

    def reboot(self) -> None:
        """Reboot it and wait until it is up again.

        Raises:
            AssertionError: it does not come up.
        """
        old = self._process
        self.ssh.run("systemctl --no-block reboot", check=False)
        self.ssh.forget()
        deadline_s = time.monotonic() + BOOT_S
        while self._process is old and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert self._process is not old, f"{self.name} does not go down"
        self.wait_until_up()

    def stop(self) -> None:
        """End it and take everything back; may be called in any state, and again."""
        self._is_stopping = True
        if hasattr(self, "ssh"):
            self.ssh.forget()
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._boots.is_alive():
            self._boots.join(STOP_S)
        self._room.clear()

    def _let_in(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "authorized_keys").write_text(self.ssh.public_key)
        (folder / "authorized_keys").chmod(0o600)

    def _keep_booting(self) -> None:
        while not self._is_stopping:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._room.command("--boot"), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=self._room.environment(), start_new_session=True,
                )  # fmt: skip
                if self._process.wait() != ASKS_FOR_REBOOT:
                    return
