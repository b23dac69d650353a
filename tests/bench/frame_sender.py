"""Second process of the socket benchmarks: a WebSocket server that only sends quotes.

``frame_sender.py COUNT [CA_FILE]`` makes COUNT frames, says its port and serves one connection
after another until standard input ends. With CA_FILE it serves over TLS and writes there whose
certificates are to be believed; each frame is then a record of its own, as exchanges send them.
The path says what a client gets, then the connection is closed: ``/burst/N`` the first N frames
back to back, ``/paced/N/HZ`` N frames at a steady rate, each with the time just before its send
(CLOCK_MONOTONIC, ns) as its update id.
"""

import select
import socket
import ssl
import sys
from pathlib import Path

from sending import CLOSE, Client, Sender, handshake
from tls_channel import TlsChannel

from spreadscan.sim.tls import server_context


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
