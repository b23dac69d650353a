"""The way to a running ``spreadscan up``: one request a connection, one JSON line each way.

A Unix socket in the run folder, mode 0600: whoever may signal the supervisor may steer it. The
answer says that it is being done; whether it is done, the locks and health slots tell.
"""

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from spreadscan.errors import EXIT_TEMPORARY, PortInUse, SpreadscanError

__all__ = ["DoorClosed", "Reply", "Request", "SupervisorDoor", "ask_supervisor", "door_path"]

MAX_BYTES = 65_536
PATIENCE_S = 2.0


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wanted."""

    verb: Literal["start", "stop", "restart", "shutdown"]
    programs: tuple[str, ...] = ()


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of it."""

    programs: tuple[str, ...] = ()
    """Whom it concerns."""
    refusal: str = ""
    """Why nothing is done."""


class DoorClosed(SpreadscanError):  # noqa: N818 - named for what happened, as in errors.py
    """The supervisor does not answer."""

    exit_code = EXIT_TEMPORARY


def door_path(run_dir: Path) -> Path:
    """Return where a supervisor listens."""
    return run_dir / "up.sock"


class SupervisorDoor:
    """The supervisor's side.

    Args:
        path: of the socket; its lock proves that nobody else's is there.

    Raises:
        PortInUse: it cannot be bound.

    Concurrency: the supervisor's one thread; a visitor that says nothing holds it for no longer
    than it takes to look.
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._listener = socket.socket(
            socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        try:
            self._listener.bind(str(path))
        except OSError:
            self._listener.close()
            raise PortInUse(str(path)) from None
        path.chmod(0o600)
        self._listener.listen(8)
        self._visitors: list[socket.socket] = []

    def serve(self, answer: Callable[[Request], Reply]) -> None:
        """Answer who has asked; does not wait."""
        with contextlib.suppress(BlockingIOError):
            while True:
                visitor, _ = self._listener.accept()
                visitor.setblocking(False)  # noqa: FBT003 - the standard library's signature
                self._visitors.append(visitor)
        for visitor in list(self._visitors):
            if self._hear(visitor, answer):
                self._visitors.remove(visitor)
                visitor.close()

    def close(self) -> None:
        """Listen no more."""
        for visitor in self._visitors:
            visitor.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _hear(self, visitor: socket.socket, answer: Callable[[Request], Reply]) -> bool:
        """Answer one visitor; False while it has not spoken yet."""
        try:
            # A request is far smaller than what a Unix socket takes in one write.
            data = visitor.recv(MAX_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            return True
        if data:
            try:
                reply = answer(msgspec.json.decode(data, type=Request))
            except msgspec.DecodeError as error:
                reply = Reply(refusal=f"not understood: {error}")
            with contextlib.suppress(OSError):
                visitor.send(msgspec.json.encode(reply) + b"\n")
        return True


def ask_supervisor(run_dir: Path, request: Request) -> Reply:
    """Ask the supervisor of a run folder.

    Raises:
        DoorClosed: it does not answer.
    """
    path = door_path(run_dir)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as door:
        door.settimeout(PATIENCE_S)
        try:
            door.connect(str(path))
            door.sendall(msgspec.json.encode(request) + b"\n")
            return msgspec.json.decode(door.recv(MAX_BYTES), type=Reply)
        except (OSError, msgspec.DecodeError) as error:
            found = (
                os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
            )
            raise DoorClosed(
                f"{path}: found {found or 'no answer'}, expected the answer of `spreadscan up`"
            ) from None
