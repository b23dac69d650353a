"""A way that can be cut: ports of a machine's network that lead to other ports of it."""

import os
import signal
import subprocess

from box import Box

__all__ = ["Relay"]


class Relay:
    """Leads connections on, once it is open.

    Args:
        box: in whose network.
        ports: where each port leads to.
    """

    def __init__(self, box: Box, ports: dict[int, int]) -> None:
        self._commands = [
            box.in_network("socat", f"TCP-LISTEN:{port},reuseaddr,fork", f"TCP:127.0.0.1:{target}")
            for port, target in ports.items()
        ]
        self._processes: list[subprocess.Popen[bytes]] = []

    def open(self) -> None:
        """Let connections through."""
        self._processes = [
            # A connection is a process, and goes with its group.
            subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
            for command in self._commands
        ]

    def cut(self) -> None:
        """End every connection and refuse the next; may be called again."""
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes = []
