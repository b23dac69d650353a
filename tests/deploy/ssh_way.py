"""The way into a machine: a key, an ssh_config and one shared connection, all in a folder."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = ["SshWay", "make_key"]


def make_key(file: Path) -> None:
    """Write a key without a pass phrase, and its public half beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)


class SshWay:
    """Runs commands on a machine as one of its users.

    Args:
        folder: for key, configuration and the socket of the shared connection; made here.
        host: how the machine is called in the inventory.
        port: where its sshd is.
        key: that it lets in already; None makes a new one.
        proxy: command whose standard streams lead to its sshd; None is a plain connection.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        port: int,
        *,
        key: Path | None = None,
        proxy: str | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.host = host
        self.key = key or folder / "key"
        self.config = folder / "ssh_config"
        if key is None:
            make_key(self.key)
        lines = [
            f"Host {host}",
            "HostName 127.0.0.1",
            f"Port {port}",
            f"IdentityFile {self.key}",
            "IdentitiesOnly yes",
            "StrictHostKeyChecking no",
            "UserKnownHostsFile /dev/null",
            "LogLevel ERROR",
            "ConnectTimeout 60",
            "ServerAliveInterval 5",
            "ServerAliveCountMax 6",
            # One connection a user; a machine that goes down takes it along (`forget`).
            "ControlMaster auto",
            f"ControlPath {folder}/%r",
            "ControlPersist 60",
        ]
        if proxy is not None:
            lines.append(f"ProxyCommand {proxy}")
        self.config.write_text("\n  ".join(lines) + "\n")

    @property
    def public_key(self) -> str:
        """What belongs into authorized_keys."""
        return self.key.with_name(f"{self.key.name}.pub").read_text()

    def run(
        self, *command: str, user: str = "root", timeout_s: float = 120, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command there; each argument is taken by the shell as it is."""
        ran = subprocess.run(
            ["ssh", "-F", self.config, "-l", user, self.host, " ".join(command)],
            capture_output=True, text=True, timeout=timeout_s, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if check and ran.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {ran.returncode}\n{ran.stdout}{ran.stderr}")
        return ran

    @contextlib.contextmanager
    def following(self, command: str, user: str, timeout_s: float = 120) -> Iterator[Iterator[str]]:
        """Run a command that goes on for ever; its lines come until the time is up."""
        with subprocess.Popen(
            ["ssh", "-F", self.config, "-l", user, self.host, f"timeout {timeout_s:g} {command}"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            try:
                yield iter(process.stdout)
            finally:
                process.terminate()

    def add_user(self, user: str) -> None:
        """Make an ordinary account there that is let in with the same key."""
        self.run(f"useradd --create-home --shell /bin/bash {user}")
        self.run(f"install -d -m 700 -o {user} -g {user} ~{user}/.ssh")
        self.run(f"install -m 600 -o {user} -g {user} ~/.ssh/authorized_keys ~{user}/.ssh/")

    def ansible_variables(self) -> dict[str, str]:
        """How Ansible gets there."""
        return {
            "ansible_user": "root",
            "ansible_host": self.host,
            "ansible_ssh_common_args": f"-F {self.config}",
            "ansible_python_interpreter": "/usr/bin/python3",
        }

    def forget(self) -> None:
        """End the shared connections: the machine behind them goes away."""
        for socket in self.config.parent.iterdir():
            if socket.is_socket():
                subprocess.run(
                    ["ssh", "-F", self.config, "-O", "exit", "-l", socket.name, self.host],
                    capture_output=True, check=False, timeout=30,
                )  # fmt: skip

    def is_there(self) -> bool:
        """Whether somebody answers."""
        try:
            return self.run("true", timeout_s=60, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            return False
