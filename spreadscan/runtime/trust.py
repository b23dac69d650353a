"""Whose certificates a client of ours believes.

The system's authorities; beside them, for a simulated pipeline, the throw-away one of the
simulator. Names and dates are always checked, and nothing older than TLS 1.2 is spoken.
"""

import ssl
from pathlib import Path

from spreadscan.config import Config

__all__ = ["Trust", "trust_of"]


class Trust:
    """Makes the contexts of outgoing TLS connections.

    Args:
        ca_file: a further authority's certificate; None for the system's alone.
    """

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file
        self._context: ssl.SSLContext | None = None
        self._read_as: tuple[int, ...] = ()

    def context(self) -> ssl.SSLContext:
        """Return the context for the next connection.

        With a file it is made anew when the file has changed: the simulator replaces its authority
        at every start. A context is most of a megabyte, so connections share it.

        Raises:
            OSError: the file cannot be read, or holds no certificate (ssl.SSLError).
        """
        version: tuple[int, ...] = ()
        if self._ca_file is not None:
            found = self._ca_file.stat()
            version = (found.st_ino, found.st_mtime_ns, found.st_size)
        if self._context is None or version != self._read_as:
            context = ssl.create_default_context()
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self._ca_file is not None:
                context.load_verify_locations(self._ca_file)
            self._context, self._read_as = context, version
        return self._context


def trust_of(config: Config) -> Trust:
    """Return what a configuration trusts; the simulator's authority only where it is simulated."""
    is_extended = config.is_sim and config.sim.ca_file is not None
    return Trust(config.path(str(config.sim.ca_file)) if is_extended else None)
