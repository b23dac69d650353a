"""What stands before a conversation: addresses, shut doors, ledgers, the WebSocket's own frames."""

import errno
import math
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple, TypeVar

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Event

from spreadscan.errors import PortInUse, SpreadscanError
from spreadscan.sim.manners import Ledger, SlidingCount
from spreadscan.sim.venues import Venue

__all__ = ["Refusal", "SimClock", "SimConnection", "bound", "ledgers_of", "shut"]

BoundT = TypeVar("BoundT")


class SimClock(NamedTuple):
    """The two clocks of the simulator, injected."""

    monotonic_s: Callable[[], float]
    wall_ms: Callable[[], int]


class Refusal(NamedTuple):
    """A shut door: what REST requests and handshakes of a source are answered for a while."""

    status: int
    until_s: float
    """Monotonic."""
    retry_after_s: float | None
    """What clients are told; None is what is left."""

    def told_s(self, now_s: float) -> int:
        """Return the value of Retry-After, whole seconds."""
        left_s = self.until_s - now_s if self.retry_after_s is None else self.retry_after_s
        return max(1, math.ceil(min(left_s, 86_400.0)))


class SimConnection(ServerConnection):
    """A connection that tells when the client sends a ping or a pong."""

    on_control: Callable[[], None] | None = None

    def process_event(self, event: Event) -> None:  # type: ignore[explicit-override] # from 3.12
        """Hand control frames on before they are answered."""
        super().process_event(event)
        is_control = isinstance(event, Frame) and event.opcode in (Opcode.PING, Opcode.PONG)
        if is_control and self.on_control is not None:
            self.on_control()


async def bound(address: str, binding: Awaitable[BoundT]) -> BoundT:
    """Wait for an address to be bound.

    Raises:
        PortInUse: another process listens there.
        SpreadscanError: it cannot be bound for another reason.
    """
    try:
        return await binding
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(address) from None
        raise SpreadscanError(f"{address}: cannot listen: {error.strerror or error}") from None


def shut(status: int, retry_after_s: int) -> Response:
    """Return the answer to a handshake that is refused for a while."""
    reason = HTTPStatus(status).phrase
    body = f"{reason}\n".encode()
    headers = Headers(
        {
            "Retry-After": str(retry_after_s),
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
    )
    return Response(status, reason, headers, body)


def ledgers_of(venues: Sequence[Venue], started_s: float) -> dict[str, Ledger]:
    """Return a ledger for each source; markets at one address share the window of connects."""
    windows: dict[str, SlidingCount] = {}
    ledgers = {}
    for venue in venues:
        address = venue.name if venue.shares_connects else venue.source
        window = windows.setdefault(address, SlidingCount(venue.limits.connects_window_s))
        ledgers[venue.source] = Ledger(venue.limits, window, started_s)
    return ledgers
