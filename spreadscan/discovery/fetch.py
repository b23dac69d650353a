"""One source's listing, prices and volumes, over REST or from recorded files, as raw bodies.

What cannot be had is a DiscoveryError of that source alone. Waiting and chance are handed in, so
that a test sees every delay.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import msgspec
import orjson
from yarl import URL

from spreadscan.errors import DiscoveryError
from spreadscan.exchanges import Source
from spreadscan.exchanges._adapter import RestRequest
from spreadscan.manners.bans import ban_s
from spreadscan.manners.gates import RestGate

__all__ = ["FetchPolicy", "fetch_listing", "fetch_tickers", "read_recorded"]

RETRY_BASE_S = 0.5
RETRY_CAP_S = 30.0
MAX_PAGES = 50
CHUNK_BYTES = 65_536
TOO_MANY_REQUESTS, BANNED, TURNED_AWAY = 429, 418, 403


class FetchPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How hard to try."""

    attempts: int
    """For each page."""
    max_body_bytes: int
    """After decompression."""
    sleep: Callable[[float], Awaitable[None]]
    """Seconds."""
    jitter: Callable[[], float]
    """A number from 0 to 1, new at each call."""
    gate: RestGate | None = None
    """The way to the host, shared with all who ask it; None: nobody else does."""


class _Retry(Exception):  # noqa: N818 - it is no error yet, only a reason to try again
    """A page may be had later."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        self.reason = reason
        self.after_s = after_s
        super().__init__(reason)


async def fetch_listing(
    session: aiohttp.ClientSession, source: Source, rest_url: str, policy: FetchPolicy
) -> list[bytes]:
    """Return all pages of a source's listing.

    Args:
        session: carries the time-out of one request.
        source: whose listing.
        rest_url: base address of its market.
        policy: retries and limits.

    Raises:
        DiscoveryError: the listing cannot be had; the message names the source.
    """
    bodies: list[bytes] = []
    request: RestRequest | None = source.spec.instruments
    while request is not None:
        if len(bodies) == MAX_PAGES:
            raise DiscoveryError(f"{source.name}: more than {MAX_PAGES} pages")
        body = await _page(session, source.name, rest_url + request.path, request, policy)
        bodies.append(body)
        try:
            request = source.spec.next_page(body)
        except DiscoveryError as error:
            raise DiscoveryError(f"{source.name}: {error}") from None
    return bodies


async def fetch_tickers(
    session: aiohttp.ClientSession, source: Source, rest_url: str, policy: FetchPolicy
) -> list[bytes | DiscoveryError]:
    """Return the answer to each of a source's ticker requests, or why there is none, in order."""
    found: list[bytes | DiscoveryError] = []
    for ticker in source.spec.tickers:
        url = rest_url + ticker.request.path
        try:
            found.append(await _page(session, source.name, url, ticker.request, policy))
        except DiscoveryError as error:
            found.append(error)
    return found


async def _page(
    session: aiohttp.ClientSession,
    name: str,
    url: str,
    request: RestRequest,
    policy: FetchPolicy,
) -> bytes:
    """Get one page, with retries after a growing, jittered pause."""
    for attempt in range(1, policy.attempts + 1):
        try:
            return await _get(session, url, request, policy)
        except _Retry as retry:
            pause_s = _pause_s(attempt, retry, policy)
            if attempt == policy.attempts or pause_s > RETRY_CAP_S:
                raise DiscoveryError(
                    f"{name}: {url}: {retry.reason}, after {attempt} of {policy.attempts} attempts"
                ) from None
        except DiscoveryError as error:
            raise DiscoveryError(f"{name}: {url}: {error}") from None
        await policy.sleep(pause_s)
    raise AssertionError("attempts is at least 1")


def _pause_s(attempt: int, retry: _Retry, policy: FetchPolicy) -> float:
    """Return the wait before the next attempt; what the server asks for is not shortened."""
    if retry.after_s is not None:
        return retry.after_s
    ceiling_s = min(RETRY_CAP_S, RETRY_BASE_S * 2.0 ** (attempt - 1))
    return float(ceiling_s * (0.5 + 0.5 * policy.jitter()))


async def _get(
    session: aiohttp.ClientSession, url: str, request: RestRequest, policy: FetchPolicy
) -> bytes:
    """Do one request, when it is its turn.

    Raises:
        _Retry: the server is busy, broken or out of reach.
        DiscoveryError: the answer will not get better.
    """
    if policy.gate is not None and not await policy.gate.turn(RETRY_CAP_S):
        raise DiscoveryError(f"not asked: the host said no, for {policy.gate.banned_s:.0f} s more")
    try:
        async with session.get(_url(url, request), allow_redirects=False) as response:
            if response.status in {TOO_MANY_REQUESTS, BANNED} or response.status >= 500:
                raise _Retry(f"status {response.status}", _refused(response, policy))
            if response.status == TURNED_AWAY:
                _refused(response, policy)
            if response.status != 200:
                raise DiscoveryError(f"found status {response.status}, expected 200")
            body = bytearray()
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                body += chunk
                if len(body) > policy.max_body_bytes:
                    allowed = f"the {policy.max_body_bytes} bytes allowed"
                    raise DiscoveryError(f"found more than {allowed}")
            if policy.gate is not None:
                policy.gate.admitted()
            return bytes(body)
    except TimeoutError:
        raise _Retry("no answer in time") from None
    except aiohttp.ClientError as error:
        # Some of them speak in several lines.
        raise _Retry(" ".join(str(error).split()) or type(error).__name__) from None


def _url(address: str, request: RestRequest) -> URL:
    """Return where to ask; the query is final, so that no part of it is encoded twice."""
    parts = [urlencode(request.query), request.encoded_query]
    query = "&".join(part for part in parts if part)
    return URL(f"{address}?{query}" if query else address, encoded=True)


def _refused(response: aiohttp.ClientResponse, policy: FetchPolicy) -> float | None:
    """Return for how long to stay away, and tell everybody else who asks this host."""
    header = response.headers.get("Retry-After", "")
    if policy.gate is not None:
        return policy.gate.refused(response.status, header)
    return ban_s(response.status, header)


def read_recorded(directory: Path, name: str, max_body_bytes: int) -> list[bytes]:
    """Return the bodies in ``<name>.json``: one body, or a JSON array of bodies.

    Raises:
        DiscoveryError: there is no such file, it is too big, or it is no JSON.
    """
    file = directory / f"{name}.json"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DiscoveryError(f"{name}: {file}: {error.strerror}") from None
    if len(content) > max_body_bytes:
        found = f"found {len(content)} bytes, more than the {max_body_bytes} allowed"
        raise DiscoveryError(f"{name}: {file}: {found}")
    if not content.lstrip().startswith(b"["):
        return [content]
    try:
        return [orjson.dumps(body) for body in orjson.loads(content)]
    except orjson.JSONDecodeError as error:
        raise DiscoveryError(f"{name}: {file}: no JSON: {error}") from None
