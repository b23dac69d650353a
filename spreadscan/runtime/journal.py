"""journald's own protocol: a record with fields instead of a line of text.

systemd.io/JOURNAL_NATIVE_PROTOCOL: one datagram of ``NAME=value`` lines; a value with line breaks
goes as its name, its length and its bytes. Sent without waiting: a journald that is behind must not
hold a feed, so what it has no room for is dropped and counted.
"""

import logging
import os
import socket
import struct
from collections.abc import Mapping

__all__ = ["JournalHandler", "is_journal"]

JOURNAL_SOCKET = "/run/systemd/journal/socket"
# Far below the smallest send buffer, so that the memfd way of larger ones is not needed.
MAX_VALUE_BYTES = 32_768
PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))


def is_journal(descriptor: int, environment: Mapping[str, str]) -> bool:
    """Tell whether a descriptor leads to journald: systemd names its device and inode."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class JournalHandler(logging.Handler):
    """Sends records to journald.

    Args:
        program: SYSLOG_IDENTIFIER of every record.
        address: of journald's socket.

    Concurrency: any thread; logging's own lock.
    """

    def __init__(self, program: str, address: str = JOURNAL_SOCKET) -> None:
        super().__init__()
        self._program = program
        self._address = address
        self._socket = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:  # type: ignore[explicit-override] # 3.12
        """Send a record; one that cannot be sent now is counted in the next."""
        fields = {
            "MESSAGE": self.format(record),
            "PRIORITY": next(number for level, number in PRIORITIES if record.levelno >= level),
            "SYSLOG_IDENTIFIER": self._program,
            "LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": record.lineno,
            "CODE_FUNC": record.funcName,
        }
        if self._dropped:
            fields["SPREADSCAN_DROPPED"] = self._dropped
        datagram = b"".join(_field(name, str(value)) for name, value in fields.items())
        try:
            self._socket.sendto(datagram, self._address)
        except OSError:
            self._dropped += 1
        else:
            self._dropped = 0

    def close(self) -> None:  # type: ignore[explicit-override] # typing has it from 3.12
        """Close the socket."""
        self._socket.close()
        super().close()


def _field(name: str, value: str) -> bytes:
    data = value.encode(errors="replace")[:MAX_VALUE_BYTES]
    if b"\n" not in data:
        return b"%s=%s\n" % (name.encode(), data)
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(data)), data)
