"""The way into one source: who may connect when, and what an exchange said at the door."""

import asyncio

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from spreadscan.config import MarketConfig
from spreadscan.exchanges import Source
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.trust import Trust

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
        self._turns = asyncio.Semaphore(market.connects_per_window)
        self._shut_until_s = 0.0
        self._request_number = 0

    def now_s(self) -> float:
        """Return monotonic seconds."""
        return self.settings.clock.monotonic_ns() / 1e9

    def next_request(self) -> int:
        """Return a number that no request to this source has had."""
        self._request_number += 1
        return self._request_number

    def shut_for(self, seconds: float, refusal: str) -> None:
        """Keep every connection from being opened for a while."""
        self.refusal = refusal
        self._shut_until_s = max(self._shut_until_s, self.now_s() + seconds)

    async def turn(self) -> bool:
        """Wait until one more connection may be opened; return False when that takes too long.

        Too long is more than a window.
        """
        while True:
            shut_s = self._shut_until_s - self.now_s()
            if shut_s > self.settings.window_s:
                return False
            if shut_s > 0:
                await asyncio.sleep(shut_s)
                continue
            await self._turns.acquire()
            # Another one may have been turned away meanwhile.
            if self.now_s() >= self._shut_until_s:
                return True
            self._turns.release()

    async def enter(self) -> ClientConnection:
        """Open a connection, and give its turn back when the limit's window has passed.

        The window is counted from the handshake's end, because nobody but the exchange knows when
        it counted: one that was long on its way and the next would else be too near each other.

        Raises:
            InvalidStatus: the exchange answered the handshake, and refused it.
            OSError: no connection, no TLS, or no answer in time (TimeoutError).
            EOFError: the server hung up.
            ValueError: it sends us on to what is no address.
            WebSocketException: the answer is none of a WebSocket.
        """
        window_s = self.market.connects_window_s
        try:
            async with asyncio.timeout(self.settings.connect_timeout_s):
                socket = await self._connect(self.market.ws_url)
        finally:
            asyncio.get_running_loop().call_later(window_s, self._turns.release)
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
