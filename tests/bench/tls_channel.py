"""The sending end of a TLS connection that makes its records first and sends them afterwards.

A server that encrypts between two sends is slower than any good receiver, and would be what is
measured. The records are the connection's own, so they cannot be made before it stands.
"""

import socket
import ssl

RECEIVE_BYTES = 16 * 1024


class TlsChannel:
    """A socket's three methods over TLS, and one for many records at once.

    Raises:
        ssl.SSLError, OSError: the client does not agree, or has gone.
    """

    def __init__(self, client: socket.socket, context: ssl.SSLContext) -> None:
        self._client = client
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_side=True)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._fill():
                    raise ConnectionError("closed within the handshake") from None
            else:
                break
        self._flush()

    def sendall(self, data: bytes) -> None:
        """Send in one record, more where they do not fit."""
        self._tls.write(data)
        self._flush()

    def send_records(self, parts: list[memoryview]) -> None:
        """Send one record for each part, all back to back."""
        for part in parts:
            self._tls.write(part)
        self._flush()

    def recv(self, size: int) -> bytes:
        """Return what the client sent next, b"" when it has gone."""
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                if not self._fill():
                    return b""
            except ssl.SSLZeroReturnError:
                return b""

    def settimeout(self, seconds: float) -> None:
        self._client.settimeout(seconds)

    def _flush(self) -> None:
        self._client.sendall(self._to_send.read())

    def _fill(self) -> bool:
        """Take what has come; return whether anything will."""
        received = self._client.recv(RECEIVE_BYTES)
        self._received.write(received)
        return bool(received)
