"""A network namespace with loopback alone: what runs in it reaches itself and nothing else."""

import subprocess
from pathlib import Path

__all__ = ["NETWORKS", "LoneNetwork", "delete_network"]

# Where ip(8) keeps the names.
NETWORKS = Path("/run/netns")


def delete_network(name: str) -> None:
    """Let go of a namespace, if there is one; what still runs in it keeps it alive."""
    if (NETWORKS / name).exists():
        subprocess.run(["ip", "netns", "delete", name], check=True)


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
        """Let go of it. May be called again."""
        delete_network(self.name)
