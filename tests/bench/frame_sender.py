"""Second process of the socket benchmarks: a WebSocket server that only sends quotes.

``frame_sender.py COUNT [CA_FILE]`` makes COUNT frames, says its port and serves one connection
after another until standard input ends. With CA_FILE it serves over TLS and writes there whose
certificates are to be believed; each frame is then a record of its own, as exchanges send them.
The path says what a client gets, then the connection is closed: ``/burst/N`` the first N frames
back to back, ``/paced/N/HZ`` N frames at a steady rate, each with the time just before its send
(CLOCK_MONOTONIC, ns) as its update id.
"""

import base64
import hashlib
import select
import socket
import ssl
import struct
import sys
import time
from pathlib import Path

from quote_frames import frames
from tls_channel import TlsChannel

from spreadscan.sim.tls import server_context

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
            before, after = self._parts[number % len(self._parts)]
            while time.monotonic_ns() < next_ns:
                pass
            client.sendall(server_frame(before + b"%d" % time.monotonic_ns() + after))
            # A sender that was kept from its core goes on from now, not with all that it missed.
            next_ns = max(next_ns, time.monotonic_ns() - gap_ns) + gap_ns


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


def serve(client: Client, sender: Sender) -> None:
    way, *numbers = handshake(client)
    if way == "burst":
        sender.burst(client, int(numbers[0]))
    else:
        sender.paced(client, int(numbers[0]), int(numbers[1]))
    client.sendall(CLOSE)
    # The client's own close, or its end; nothing else is expected of it.
    client.settimeout(10.0)
    client.recv(4096)


def main(count: int, ca_file: Path | None) -> None:
    sender = Sender(count)
    context: ssl.SSLContext | None = None if ca_file is None else server_context(ca_file)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            client, _ = listener.accept()
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    serve(client if context is None else TlsChannel(client, context), sender)
                except OSError as error:
                    sys.stderr.write(f"frame_sender: {error}\n")


main(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
