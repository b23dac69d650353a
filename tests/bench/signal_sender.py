"""Second process of bench_wire: sends quotes and, between two, is the engine that waits for them.

``signal_sender.py FOLDER`` says its port and serves one connection after another until standard
input ends. The path ``/signals/N/HZ`` is N frames at a steady rate; after each the engine spins
until its signal stands in the ring or the next frame is due. When a connection is over, one line
says how long each took, in nanoseconds from just before its send. Sender and engine share a core
without disturbing each other: one has nothing to do while the other works, and the clock is one.
"""

import select
import socket
import sys
import time

import numpy as np
from engine_market import engine_config
from mapped_regions import MappedRegions
from quote_frames import SYMBOL_COUNT
from sending import CLOSE, Sender, handshake

from spreadscan.kernel.scan import Scanner
from spreadscan.shm.layout import PRICE_DTYPE, SIGNAL_DTYPE, Prices
from spreadscan.shm.price_store import slot_of

FRAMES = 20_000
SPOT, FUTURES = 0, 5
HEALTH_SLOT = 8
EVERYTHING_BPS = 1e12


class Engine:
    """A scanner whose every route is open and tells of every change of its spot leg."""

    def __init__(self, regions: MappedRegions) -> None:
        self._ring = regions.ring
        self._batch = np.empty(64, SIGNAL_DTYPE).view(np.uint8)
        state = Prices.SOURCE_STATES + FUTURES * Prices.SOURCE_STATE_BYTES
        regions.prices.mapping.store_word(state + Prices.SOURCE_EPOCH, 1)
        record = np.zeros(1, PRICE_DTYPE)
        record["bid"], record["ask"], record["bid_qty"], record["ask_qty"] = 1.0, 1.1, 1e6, 1e6
        record["received_ns"], record["epoch"] = time.monotonic_ns(), 1
        for symbol in range(SYMBOL_COUNT):
            regions.prices.write(slot_of(FUTURES, symbol), record.view(np.uint8))
        self._scanner = Scanner(regions.engine_channels(HEALTH_SLOT))
        self._scanner.configure(
            engine_config(
                open_net_bps=-EVERYTHING_BPS / 2, rearm_net_bps=-EVERYTHING_BPS,
                max_spread_bps=EVERYTHING_BPS, update_step_bps=1e-9, min_executable_usd=0.0,
            )
        )  # fmt: skip
        self._scanner.set_routes(
            (slot_of(SPOT, symbol), slot_of(FUTURES, symbol), 0, symbol, 20.0)
            for symbol in range(SYMBOL_COUNT)
        )

    def has_signalled(self) -> bool:
        """Do a pass; say whether a signal stands in the ring, and consume it."""
        self._scanner.scan()
        found = self._ring.peek(self._batch)
        if found:
            self._ring.advance(found)
        return found > 0


def serve(client: socket.socket, sender: Sender, engine: Engine) -> list[int]:
    """Send as the path says; return how long each frame's signal took, ns."""
    _, count, rate_hz = handshake(client)
    gap_ns = 1_000_000_000 // int(rate_hz)
    taken_ns = []
    next_ns = time.monotonic_ns() + gap_ns
    for number in range(int(count)):
        while time.monotonic_ns() < next_ns:
            engine.has_signalled()
        frame = sender.stamped(number)
        sent_ns = time.monotonic_ns()
        client.sendall(frame)
        next_ns = max(next_ns, sent_ns - gap_ns) + gap_ns
        while (now_ns := time.monotonic_ns()) < next_ns:
            if engine.has_signalled():
                taken_ns.append(now_ns - sent_ns)
                break
    client.sendall(CLOSE)
    client.settimeout(10.0)
    client.recv(4096)
    return taken_ns


def main(folder: str) -> None:
    sender, engine = Sender(FRAMES), Engine(MappedRegions(folder))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            client, _ = listener.accept()
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                taken_ns = serve(client, sender, engine)
            sys.stdout.write(" ".join(map(str, taken_ns)) + "\n")
            sys.stdout.flush()


main(sys.argv[1])
