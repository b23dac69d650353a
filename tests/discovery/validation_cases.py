"""What tests of validation share: a witness of its progress, and a server that speaks a script."""

import asyncio
import contextlib

import orjson
import websockets

PATIENCE_S = 30.0


class Recorder:
    """Remembers the latest word on each source."""

    def __init__(self):
        self.counts = {}
        self.ended_sources = {}

    def began(self, source, expected):
        self.counts[source] = (0, expected)

    def changed(self, source, counts):
        self.counts[source] = counts

    def ended(self, source, counts, failure):
        self.counts[source] = counts
        self.ended_sources[source] = failure


async def until(condition):
    """Wait for a condition; whoever brings it about is on the same loop."""
    deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s, "the condition never came true"
        await asyncio.sleep(0.005)


class Script:
    """A server whose answers to each frame are what ``answer(tree)`` returns; None hangs up."""

    def __init__(self, answer, admit=lambda _number: None, greet_s=0.0):
        self.answer = answer
        self.admit = admit
        self.handshakes = 0
        self.greet_s = greet_s
        self.arrived_s = []
        self.requests = []
        self.sizes = []

    async def greet(self, connection, _request):
        self.handshakes += 1
        self.arrived_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.greet_s)
        if (refusal := self.admit(self.handshakes)) is None:
            return None
        status, headers = refusal
        response = connection.respond(status, "")
        response.headers.update(headers)
        return response

    async def serve(self, connection):
        with contextlib.suppress(websockets.ConnectionClosed):
            # Whoever does not answer pings hears nothing.
            await (await connection.ping())
            async for message in connection:
                self.sizes.append(len(message))
                self.requests.append(orjson.loads(message))
                for reply in self.answer(self.requests[-1]):
                    if reply is None:
                        return
                    await connection.send(reply)
