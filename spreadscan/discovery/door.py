"""The way into one source: who may connect when, and what an exchange said at the door."""

import asyncio
from collections.abc import Callable

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from spreadscan.config import MarketConfig
from spreadscan.exchanges import Source
from spreadscan.manners.allowances import Allowances, own_allowances
from spreadscan.manners.messages import MessagePace
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.trust import Trust
from spreadscan.shm.governor import Turn

__all__ = ["CLOSE_TIMEOUT_S", "Door", "ProbeSettings"]

USER_AGENT = "spreadscan"
CLOSE_TIMEOUT_S = 1.0


class ProbeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how hard to try, and with what."""

    window_s: float
    """How long a symbol may take to quote, from a shard's last subscription on."""
    connect_timeout_s: float
    """For TCP, TLS and the handshake together."""
    retry_base_s: float
    """First wait after a failure; each further one doubles, up to the cap."""
    retry_cap_s: float
    max_frame_bytes: int
    trust: Trust
    clock: Clock
    allowances: Callable[[Source], Allowances] | None = None
    """What a source may do, shared with the feeds; None: its own market's, known to nobody else."""


class Door:
    """What the connections of one source share.

    Args:
        source: with its adapter.
        market: its address and operating limits.
        settings: see there.
    """

    def __init__(self, source: Source, market: MarketConfig, settings: ProbeSettings) -> None:
        self.source = source
        self.market = market
        self.settings = settings
        self.admitted = asyncio.Event()
        """Set once a handshake has succeeded."""
        self.connections = 0
        """How many have."""
        self.refusal: str | None = None
        """What the exchange said when it last turned one away."""
        self._allowances = (
            settings.allowances(source)
            if settings.allowances
            else own_allowances(source, market, settings.connect_timeout_s)
        )
        self._gate = self._allowances.connect_gate(settings.clock)
        self._request_number = 0

    def now_s(self) -> float:
        """Return monotonic seconds."""
        return self.settings.clock.monotonic_ns() / 1e9

    def next_request(self) -> int:
        """Return a number that no request to this source has had."""
        self._request_number += 1
        return self._request_number

    def new_pace(self) -> MessagePace:
        """Return the pace of a new connection's messages."""
        return MessagePace(
            self.market, self.source.spec.limits, self._allowances.messages, self.settings.clock
        )

    def turned_away(self, refusal: InvalidStatus) -> bool:
        """Note what the exchange said, and keep everybody away for as long as it wants.

        Returns whether it forbids to come again for a while.
        """
        header = refusal.response.headers.get("Retry-After", "")
        self.refusal = f"refused with status {refusal.response.status_code}"
        if header.isascii() and header.isdigit():
            self.refusal += f", Retry-After {header} s"
        return self._gate.refused(refusal.response.status_code, header) is not None

    async def turn(self) -> Turn | None:
        """Wait until one more connection may be opened; None when that takes too long.

        Too long is a ban of more than a window. A turn is handed to ``enter`` at once.
        """
        return await self._gate.turn(self.settings.window_s)

    @property
    def banned_words(self) -> str:
        """Say why there is no turn."""
        return self.refusal or f"another process was turned away, for {self._gate.banned_s:.0f} s"

    async def enter(self, turn: Turn) -> ClientConnection:
        """Open a connection, and give the turn back.

        Raises:
            InvalidStatus: the exchange answered the handshake, and refused it.
            OSError: no connection, no TLS, or no answer in time (TimeoutError).
            EOFError: the server hung up.
            ValueError: it sends us on to what is no address.
            WebSocketException: the answer is none of a WebSocket.
        """
        try:
            async with asyncio.timeout(self.settings.connect_timeout_s):
                socket = await self._connect(self.market.ws_url)
        finally:
            self._gate.give_back(turn)
        self._gate.admitted()
        self.connections += 1
        self.admitted.set()
        return socket

    async def _connect(self, url: str) -> ClientConnection:
        return await connect(
            url,
            ssl=self.settings.trust.context() if url.startswith("wss") else None,
            # Like the feeds, which do not ask the environment for one.
            proxy=None,
            user_agent_header=USER_AGENT,
            compression=None,
            # The library answers pings; those that we would send count at some exchanges.
            ping_interval=None,
            open_timeout=None,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=self.settings.max_frame_bytes,
        )
