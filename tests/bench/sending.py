"""A WebSocket server's end: the handshake, and quotes back to back or at a steady rate."""

import base64
import hashlib
import socket
import struct
import time

from quote_frames import frames
from tls_channel import TlsChannel

SOURCE = "binance_spot"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSE = b"\x88\x02\x03\xe8"
STAMP = b'"u":'

Client = socket.socket | TlsChannel


def server_frame(payload: bytes) -> bytes:
    """One unmasked text frame, RFC 6455 section 5.2."""
    if len(payload) < 126:
        return struct.pack(">BB", 0x81, len(payload)) + payload
    return struct.pack(">BBH", 0x81, 126, len(payload)) + payload


class Sender:
    """The prepared frames."""

    def __init__(self, count: int) -> None:
        made = list(frames(SOURCE, count))
        self._ends = []
        joined = bytearray()
        for payload in made:
            joined += server_frame(payload)
            self._ends.append(len(joined))
        self._joined = bytes(joined)
        self._parts = [_around_stamp(payload) for payload in made[:20_000]]

    def burst(self, client: Client, count: int) -> None:
        view = memoryview(self._joined)
        if isinstance(client, TlsChannel):
            starts = [0, *self._ends[: count - 1]]
            client.send_records(
                [view[start:end] for start, end in zip(starts, self._ends[:count], strict=True)]
            )
        else:
            client.sendall(view[: self._ends[count - 1]])

    def paced(self, client: Client, count: int, rate_hz: int) -> None:
        gap_ns = 1_000_000_000 // rate_hz
        next_ns = time.monotonic_ns() + gap_ns
        for number in range(count):
            while time.monotonic_ns() < next_ns:
                pass
            client.sendall(self.stamped(number))
            # A sender that was kept from its core goes on from now, not with all that it missed.
            next_ns = max(next_ns, time.monotonic_ns() - gap_ns) + gap_ns

    def stamped(self, number: int) -> bytes:
        """One frame with the present time as its update id."""
        before, after = self._parts[number % len(self._parts)]
        return server_frame(before + b"%d" % time.monotonic_ns() + after)


def _around_stamp(payload: bytes) -> tuple[bytes, bytes]:
    before, _, rest = payload.partition(STAMP)
    return before + STAMP, rest[rest.index(b",") :]


def handshake(client: Client) -> list[str]:
    """Answer the upgrade request; return the parts of its path."""
    request = b""
    while b"\r\n\r\n" not in request:
        received = client.recv(4096)
        if not received:
            raise ConnectionError("closed within the request")
        request += received
    first, *lines = request.split(b"\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in lines)
    }
    accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + GUID).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    return first.split(b" ")[1].decode().strip("/").split("/")
