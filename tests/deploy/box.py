"""A box: a bare Debian with a systemd of its own as PID 1, in systemd-nspawn; thrown away after.

Its root is an overlay over the cached image and survives a reboot; its network is a namespace of
its own with loopback alone. Everything that it leaves in the kernel (namespace, mounts, control
groups, processes) is taken back by ``stop``, in whatever state it is.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from ssh_way import SshWay

__all__ = ["Box"]

CGROUP = Path("/sys/fs/cgroup")
# Under --keep-unit a reboot inside ends systemd-nspawn with this.
ASKS_FOR_REBOOT = 133
BOOT_S = 180
STOP_S = 20
# Real ones that nspawn takes away by default; production has them.
CAPABILITIES = "CAP_IPC_LOCK,CAP_SYS_NICE"


class Box:
    """One machine; started by the constructor.

    Args:
        name: of the machine, its namespace and its control groups.
        image: root file system, not written to.
        folder: for everything that is written.
    """

    def __init__(self, name: str, image: Path, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._root = folder / "root"
        self._log = folder / "console.log"
        self._is_stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        self._boots = threading.Thread(target=self._keep_booting, daemon=True)
        try:
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
            self._mount(image)
            proxy = (
                f"ip netns exec {name} bash -c "
                "'exec 3<>/dev/tcp/127.0.0.1/22; cat <&3 & cat >&3; kill $!'"
            )
            self.ssh = SshWay(folder / "ssh", name, 22, proxy=proxy)
            self._let_in("root", self._root / "root/.ssh")
            self._boots.start()
            self.wait_until_up()
        except BaseException:
            self.stop()
            raise

    def in_network(self, *command: str) -> list[str]:
        """Return a command that runs on this host and in the box's network."""
        return ["ip", "netns", "exec", self.name, *command]

    def add_user(self, user: str) -> None:
        """Make an ordinary account that can log in."""
        self.ssh.run(f"useradd --create-home --shell /bin/bash {user}")
        self.ssh.run(f"install -d -m 700 -o {user} -g {user} ~{user}/.ssh")
        self.ssh.run(f"install -m 600 -o {user} -g {user} ~/.ssh/authorized_keys ~{user}/.ssh/")

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
        for group in self._groups():
            self._kill_group(group)
        while os.path.ismount(self._root):
            subprocess.run(["umount", "--lazy", self._root], check=False)
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(
                ["ip", "netns", "delete", self.name], check=True, stderr=subprocess.DEVNULL
            )
        shutil.rmtree(self._folder, ignore_errors=True)

    def _mount(self, image: Path) -> None:
        upper, work = self._folder / "upper", self._folder / "work"
        for folder in (upper, work, self._root):
            folder.mkdir(parents=True, exist_ok=True)
        layers = f"lowerdir={image},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self._root], check=True)

    def _let_in(self, user: str, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "authorized_keys").write_text(self.ssh.public_key)
        (folder / "authorized_keys").chmod(0o600)

    def _keep_booting(self) -> None:
        # Groups of its own: boxes would share those that this process happens to be in.
        entering = "".join(
            f"mkdir -p {group}; echo $$ > {group}/cgroup.procs; " for group in self._groups()
        )
        command = [
            "sh", "-c", f'{entering}exec "$@"', "sh",
            "systemd-nspawn", "--quiet", f"--directory={self._root}", f"--machine={self.name}",
            f"--hostname={self.name}", "--boot", "--register=no", "--keep-unit",
            "--link-journal=no", "--settings=no", "--console=pipe",
            f"--network-namespace-path=/run/netns/{self.name}", f"--capability={CAPABILITIES}",
        ]  # fmt: skip
        environment = os.environ | {
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            # The settings of its own network are its own; the rest of /proc/sys is this host's.
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
        }
        while not self._is_stopping:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=environment, start_new_session=True,
                )  # fmt: skip
                if self._process.wait() != ASKS_FOR_REBOOT:
                    return

    def _groups(self) -> list[Path]:
        hierarchies = [CGROUP / "systemd", CGROUP / "unified"]
        found = [path / self.name for path in hierarchies if path.is_dir()]
        return found or [CGROUP / self.name]

    def _kill_group(self, group: Path) -> None:
        if not group.is_dir():
            return
        folders = [*(path for path in group.rglob("*") if path.is_dir()), group]
        for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
            deadline_s = time.monotonic() + STOP_S
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
