"""Hand the engine's eventfd to the feeds.

An eventfd has no name, so the engine passes it over a Unix socket (SCM_RIGHTS, unix(7)) to every
feed that connects. A feed that sees the connection end connects again; its eventfd is dead, unless
the engine said that it keeps it for its next life (``runtime/fd_store.py``): then the feed goes on
writing it, and the next engine is woken before the feed has found it. All of this is a hint: the
bitmap is the truth and the engine's wait is bounded.
"""

import contextlib
import os
import socket
from pathlib import Path

from spreadscan.errors import PortInUse

__all__ = ["WakeupClient", "WakeupServer"]


# What comes along with the eventfd: whether it ends with this engine.
ENDS, IS_KEPT = b"e", b"k"


class WakeupServer:
    """The engine's side: makes the eventfd and gives it to whoever asks.

    Args:
        path: of the socket.
        kept: an eventfd of an earlier life, to go on with; closed by ``close`` like a new one.

    Concurrency: one process, the holder of the engine's lock.

    Raises:
        PortInUse: the socket's path cannot be bound.
    """

    def __init__(self, path: Path, kept: int | None = None) -> None:
        self.eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if kept is None else kept
        self.is_kept = kept is not None
        """Whether somebody keeps the eventfd for the next engine; feeds are told."""
        # A predecessor that was killed left its socket; the engine's lock proves that it is dead.
        path.unlink(missing_ok=True)
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._listener.bind(str(path))
        except OSError as error:
            # sun_path holds 107 bytes.
            raise PortInUse(f"{path} ({error})") from None
        path.chmod(0o660)
        self._listener.listen(16)
        self._clients: list[socket.socket] = []

    def serve(self) -> int:
        """Give the eventfd to feeds that connected since the last call; return how many."""
        served = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _ = self._listener.accept()
                with contextlib.suppress(OSError):
                    socket.send_fds(client, [IS_KEPT if self.is_kept else ENDS], [self.eventfd])
                # Kept open: its end tells the feed that this engine is gone.
                self._clients.append(client)
                served += 1
        self._clients = [client for client in self._clients if _is_connected(client)]
        return served

    def close(self) -> None:
        """Stop serving; feeds notice at once."""
        for client in self._clients:
            client.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)
        os.close(self.eventfd)


class WakeupClient:
    """A feed's side: holds the eventfd of the living engine or of the one to come, or none.

    Concurrency: one thread. Never blocks.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._server: socket.socket | None = None
        self._is_answered = False
        self._is_kept = False
        self.eventfd = -1

    def refresh(self) -> int:
        """Return the eventfd to write now, -1 while there is none; call it now and then."""
        if self._server is not None and not _is_connected(self._server):
            self._hang_up()
            if not self._is_kept:
                self._drop_eventfd()
        if self._server is None:
            self._connect()
        elif not self._is_answered:
            self._receive(self._server)
        return self.eventfd

    def close(self) -> None:
        """Forget the engine."""
        self._hang_up()
        self._drop_eventfd()

    def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._is_answered = False

    def _drop_eventfd(self) -> None:
        if self.eventfd >= 0:
            os.close(self.eventfd)
            self.eventfd = -1

    def _connect(self) -> None:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            server.connect(str(self._path))
        except OSError:
            # No engine yet, or its queue is full: next time.
            server.close()
            return
        self._server = server
        self._receive(server)

    def _receive(self, server: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            word, descriptors, _, _ = socket.recv_fds(server, 1, 1, socket.MSG_CMSG_CLOEXEC)
            if descriptors:
                self._drop_eventfd()
                self.eventfd = descriptors[0]
                self._is_kept = word == IS_KEPT
                self._is_answered = True


def _is_connected(peer: socket.socket) -> bool:
    try:
        # Accepted sockets block, whatever their listener does.
        return peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
