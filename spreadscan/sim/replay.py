"""Plays a recording through the real endpoint of its source, at its own pace or faster."""

import asyncio
from collections.abc import Callable

import msgspec

from spreadscan.sim.gate import SimClock
from spreadscan.sim.hub import Hub
from spreadscan.sim.recording import Recording
from spreadscan.sim.server import Servers

__all__ = ["Player", "ReplaySettings"]

# Back to back means as fast as the slowest listener reads, with this much under way.
MAX_UNDER_WAY_BYTES = 512 * 1024
FRAMES_BETWEEN_BREATHS = 64


class ReplaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How recordings are played."""

    speed: float = 1.0
    """Times the recorded pace; 0 is back to back."""
    is_looping: bool = False
    """Begin again at the end, on fresh connections: update ids begin anew too."""


class Player:
    """One recording on its way out.

    A recording begins when the first client listens to one of its symbols, so that nothing of it
    is lost; frames go out exactly as recorded, to everybody who listens to their symbol.
    """

    def __init__(self, recording: Recording, hub: Hub, servers: Servers, clock: SimClock) -> None:
        self.recording = recording
        self.played = 0
        self._hub = hub
        self._servers = servers
        self._clock = clock
        hub.speak_for(recording.rows)

    async def play(self, settings: ReplaySettings, say: Callable[[str], None]) -> None:
        """Play to the end, or until cancelled when looping; say so in one line."""
        while True:
            await self._hub.first_listener(self.recording.rows)
            await self._once(settings.speed)
            if not settings.is_looping:
                break
            listeners = self._hub.listeners(self.recording.rows)
            self._servers.close_links(listeners, 1012, "recording starts again")
        skipped = f", {self.recording.skipped} skipped" if self.recording.skipped else ""
        name = self.recording.file.name
        say(f"replay of {self.recording.source} ended: {self.played} frames of {name}{skipped}")

    async def _once(self, speed: float) -> None:
        start_s = self._clock.monotonic_s()
        first_ns: int | None = None
        for recorded in self.recording.frames():
            first_ns = recorded.received_ns if first_ns is None else first_ns
            if speed > 0:
                due_s = start_s + (recorded.received_ns - first_ns) / 1e9 / speed
                wait_s = due_s - self._clock.monotonic_s()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
            now_s = self._clock.monotonic_s()
            self._hub.publish_recorded(recorded.row, recorded.frame, recorded.quoted_mid, now_s)
            self.played += 1
            if self.played % FRAMES_BETWEEN_BREATHS == 0:
                await self._breathe(recorded.row)

    async def _breathe(self, row: int) -> None:
        """Let the loop write, and wait for listeners that fell behind."""
        await asyncio.sleep(0)
        while self._is_behind(row):  # noqa: ASYNC110 - a socket's buffer tells nobody that it fell
            await asyncio.sleep(0.001)

    def _is_behind(self, row: int) -> bool:
        listeners = self._hub.listeners((row,))
        return any(link.buffered_bytes() > MAX_UNDER_WAY_BYTES for link in listeners)
