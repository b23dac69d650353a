"""GETs below a source's REST address, as seldom and as small as a feed needs them.

One request is one connection; when it may be made is the governor's word. The HTTP library that
discovery uses is a sixth of a feed's memory, so feeds speak HTTP with one that does no I/O and
weighs nothing (ADR 0018).
"""

import asyncio
import zlib
from typing import Any
from urllib.parse import urlencode, urlsplit

import h11
import msgspec

from spreadscan.errors import DiscoveryError
from spreadscan.exchanges._adapter import RestRequest
from spreadscan.manners.bans import DEFAULT_S as BANS
from spreadscan.manners.gates import RestGate
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.trust import Trust

__all__ = ["Barred", "RestDoor"]

MAX_BODY_BYTES = 67_108_864
CHUNK_BYTES = 65_536
PORTS = {"http": 80, "https": 443}
GZIP_WBITS = 31
"""For zlib: a gzip header, and nothing else."""


class Barred(Exception):  # noqa: N818 - told to ask less is no error of anybody
    """The exchange wants no more requests for a while."""


class _Answer(msgspec.Struct):
    """What came back."""

    status: int
    retry_after: str
    is_packed: bool
    body: bytes


class RestDoor:
    """The way to one source's REST, shared by all in a feed who ask it.

    Args:
        rest_url: of its market.
        timeout_s: for one request, from the first packet to the last byte.
        gate: shared by all who ask this address.
        trust: whose certificates are believed.
        clock: monotonic time.

    Concurrency: one event loop.
    """

    def __init__(
        self, *, rest_url: str, timeout_s: float, gate: RestGate, trust: Trust, clock: Clock
    ) -> None:
        self._rest_url = rest_url
        self._timeout_s = timeout_s
        self._gate = gate
        self._trust = trust
        self._clock = clock

    @property
    def banned_s(self) -> float:
        """Return for how long nobody may ask."""
        return self._gate.banned_s

    async def get(self, request: RestRequest) -> tuple[bytes, int]:
        """Return a body, and when it was asked for (monotonic ns), when it is its turn.

        Raises:
            Barred: the exchange wants no more requests.
            DiscoveryError: another status, no HTTP, or too long a body; the message has the
                address.
            OSError: no connection, no TLS, or no answer in time (TimeoutError).
        """
        if not await self._gate.turn(patience_s=0.0):
            raise Barred("somebody was told to ask no more for now")
        asked_ns = self._clock.monotonic_ns()
        query = "&".join(filter(None, (urlencode(request.query), request.encoded_query)))
        address = self._rest_url + request.path + (f"?{query}" if query else "")
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._answer(address)
        except (h11.ProtocolError, EOFError, DiscoveryError) as error:
            raise DiscoveryError(f"{address}: {error}") from None
        if answer.status != 200:
            barred_s = self._gate.refused(answer.status, answer.retry_after)
            if answer.status in BANS:
                raise Barred(f"status {answer.status}, no more questions for {barred_s:g} s")
            raise DiscoveryError(f"{address}: found status {answer.status}, expected 200")
        self._gate.admitted()
        if not answer.is_packed:
            return answer.body, asked_ns
        try:
            # Off the quotes' loop, and it needs no interpreter meanwhile.
            return await asyncio.to_thread(_unpacked, answer.body), asked_ns
        except DiscoveryError as error:
            raise DiscoveryError(f"{address}: {error}") from None

    async def _answer(self, address: str) -> _Answer:
        url = urlsplit(address)
        assert url.hostname is not None, address
        reader, writer = await asyncio.open_connection(
            url.hostname,
            url.port or PORTS[url.scheme],
            ssl=self._trust.context() if url.scheme == "https" else None,
            limit=CHUNK_BYTES,
        )
        try:
            connection = h11.Connection(h11.CLIENT)
            headers = [
                ("Host", url.netloc),
                ("User-Agent", "spreadscan"),
                ("Accept", "application/json"),
                ("Accept-Encoding", "gzip"),
                ("Connection", "close"),
            ]
            target = url.path + (f"?{url.query}" if url.query else "")
            asked: Any = h11.Request(method="GET", target=target, headers=headers)
            writer.write(connection.send(asked) or b"")
            connection.send(h11.EndOfMessage())
            return await _read(connection, reader)
        finally:
            # Nothing more is expected of it, a farewell neither.
            writer.transport.abort()


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> _Answer:
    answer = _Answer(0, "", is_packed=False, body=b"")
    body = bytearray()
    while True:
        event: Any = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(CHUNK_BYTES)
            if not data and answer.status == 0:
                raise EOFError("the server hung up")
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            named = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            answer.status = event.status_code
            answer.retry_after = named.get("retry-after", "")
            packing = named.get("content-encoding", "identity").lower()
            if packing not in {"identity", "gzip"}:
                raise DiscoveryError(f"found content encoding {packing!r}, expected gzip or none")
            answer.is_packed = packing == "gzip"
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY_BYTES:
                raise DiscoveryError(f"more than {MAX_BODY_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage):
            answer.body = bytes(body)
            return answer


def _unpacked(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(GZIP_WBITS)
    try:
        unpacked = unpacker.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise DiscoveryError(f"no gzip: {error}") from None
    if len(unpacked) > MAX_BODY_BYTES:
        raise DiscoveryError(f"more than {MAX_BODY_BYTES} bytes")
    if not unpacker.eof:
        raise DiscoveryError(f"a gzip of {len(body)} bytes without its end")
    return unpacked
