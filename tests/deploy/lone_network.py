"""A network namespace with loopback alone: what runs in it reaches itself and nothing else."""

import contextlib
import subprocess

__all__ = ["LoneNetwork"]


class LoneNetwork:
    """One namespace; made by the constructor.

    Args:
        name: of the namespace on this host.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)

    def command(self, *words: str) -> list[str]:
        """Return a command of this host that runs in the namespace."""
        return ["ip", "netns", "exec", self.name, *words]

    def proxy(self, port: int) -> str:
        """Return a command whose standard streams lead to a port of its loopback."""
        return (
            f"ip netns exec {self.name} bash -c "
            f"'exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3 & cat >&3; kill $!'"
        )

    def remove(self) -> None:
        """Let go of it; what still runs in it keeps it alive. May be called again."""
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(
                ["ip", "netns", "delete", self.name], check=True, stderr=subprocess.DEVNULL
            )
