"""Listings over real sockets: pages, retries, limits."""

import asyncio
import gzip
import socket

import aiohttp
import pytest
from aiohttp import web

from spreadscan.discovery.fetch import FetchPolicy, fetch_listing, read_recorded
from spreadscan.errors import DiscoveryError
from spreadscan.exchanges import source_named
from spreadscan.exchanges._adapter import RestRequest

SOURCE = source_named("okx_spot")
URL_PATH = SOURCE.spec.instruments.path


class Pages:
    """A source whose listing has several pages; the body of a page is its number."""

    def __init__(self, count):
        self.name = "paged"
        self.spec = self
        self.instruments = RestRequest(path=URL_PATH, query=(("cursor", "0"),))
        self.count = count

    def next_page(self, body):
        number = int(body) + 1
        if number == self.count:
            return None
        return RestRequest(path=URL_PATH, query=(("cursor", str(number)),))


def fetched(answers, source=SOURCE, attempts=3, max_body_bytes=1000, timeout_s=5.0):
    """Fetch from a server that gives these answers in turn; return (bodies, pauses, requests)."""
    pauses, requests = [], []

    async def answer(request):
        requests.append(request)
        reply = answers(request) if callable(answers) else answers[len(requests) - 1]
        return await reply if asyncio.iscoroutine(reply) else reply

    async def sleep(seconds):
        pauses.append(seconds)

    async def run():
        app = web.Application()
        app.router.add_get(URL_PATH, answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        policy = FetchPolicy(
            attempts=attempts, max_body_bytes=max_body_bytes, sleep=sleep, jitter=lambda: 1.0
        )
        try:
            timeout = aiohttp.ClientTimeout(total=timeout_s)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                return await fetch_listing(session, source, f"http://127.0.0.1:{port}", policy)
        finally:
            await runner.cleanup()

    return asyncio.run(run()), pauses, requests


def ok(body=b"listing", **headers):
    return web.Response(body=body, headers=headers)


def failed(status, **headers):
    return web.Response(status=status, headers=headers)


def test_listing_is_asked_for_as_the_adapter_says():
    bodies, pauses, requests = fetched([ok()])

    assert (bodies, pauses) == ([b"listing"], [])
    assert requests[0].query == {"instType": "SPOT"}


def test_compressed_listing_is_unpacked():
    bodies, _, requests = fetched([ok(gzip.compress(b"unpacked"), **{"Content-Encoding": "gzip"})])

    assert bodies == [b"unpacked"]
    assert "gzip" in requests[0].headers["Accept-Encoding"]


def test_pages_are_followed_to_the_last():
    bodies, _, requests = fetched(lambda request: ok(request.query["cursor"].encode()), Pages(3))

    assert bodies == [b"0", b"1", b"2"]
    assert len(requests) == 3


def test_cursor_that_comes_encoded_is_not_encoded_again():
    class Cursor(Pages):
        def next_page(self, body):
            if body == b"last":
                return None
            return RestRequest(
                path=URL_PATH, query=(("limit", "1000"),), encoded_query="cursor=a%3DB%26c%3D%2Bd"
            )

    def answer(request):
        return ok(b"last" if "cursor=a" in request.raw_path else b"first")

    bodies, _, requests = fetched(answer, Cursor(2))

    assert bodies == [b"first", b"last"]
    assert requests[1].raw_path == f"{URL_PATH}?limit=1000&cursor=a%3DB%26c%3D%2Bd"


def test_query_of_other_letters_is_encoded_once():
    class Letters(Pages):
        def next_page(self, body):
            return None if body == b"b" else RestRequest(path=URL_PATH, query=(("q", "币 &%"),))

    _, _, requests = fetched([ok(b"a"), ok(b"b")], Letters(2))

    assert requests[1].query == {"q": "币 &%"}


def test_listing_without_an_end_is_refused():
    with pytest.raises(DiscoveryError, match="more than 50 pages"):
        fetched(lambda _: ok(b"0"), Pages(None))


@pytest.mark.parametrize("status", [500, 502, 503])
def test_busy_server_is_asked_again_after_growing_pauses(status):
    bodies, pauses, _ = fetched([failed(status), failed(status), ok()])

    assert bodies == [b"listing"]
    assert pauses == [0.5, 1.0]


def test_too_many_requests_without_a_time_is_asked_again_after_half_a_minute():
    _, pauses, _ = fetched([failed(429), ok()])

    assert pauses == [30.0]


def test_pause_that_the_server_asks_for_is_kept():
    _, pauses, _ = fetched([failed(429, **{"Retry-After": "7"}), ok()])

    assert pauses == [7.0]


def test_server_that_asks_for_too_long_a_pause_is_left_alone():
    with pytest.raises(DiscoveryError, match=r"okx_spot.*status 418, after 1 of 3"):
        fetched([failed(418, **{"Retry-After": "3600"})])


def test_attempts_end_with_the_source_and_the_reason():
    with pytest.raises(DiscoveryError, match=r"okx_spot.*status 503, after 3 of 3"):
        fetched([failed(503) for _ in range(3)])


@pytest.mark.parametrize("status", [301, 400, 403, 404])
def test_answer_that_will_not_get_better_is_not_asked_for_again(status):
    with pytest.raises(DiscoveryError, match=f"status {status}"):
        fetched([failed(status)])


def test_body_beyond_the_limit_is_refused_after_unpacking():
    packed = gzip.compress(b" " * 100_000)

    with pytest.raises(DiscoveryError, match="more than the 1000 bytes"):
        fetched([ok(packed, **{"Content-Encoding": "gzip"})])
    assert len(packed) < 1000


def test_server_that_does_not_answer_in_time_is_a_failure():
    async def never():
        await asyncio.Event().wait()

    with pytest.raises(DiscoveryError, match="no answer in time"):
        fetched([never()], attempts=1, timeout_s=0.05)


def test_server_that_is_not_there_is_a_failure():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed_port = probe.getsockname()[1]
    policy = FetchPolicy(
        attempts=2, max_body_bytes=10, sleep=lambda _: asyncio.sleep(0), jitter=lambda: 0.0
    )

    async def run():
        async with aiohttp.ClientSession() as session:
            await fetch_listing(session, SOURCE, f"http://127.0.0.1:{closed_port}", policy)

    with pytest.raises(DiscoveryError, match="after 2 of 2"):
        asyncio.run(run())


def test_jitter_halves_a_pause_at_most():
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    policy = FetchPolicy(attempts=8, max_body_bytes=10, sleep=sleep, jitter=lambda: 0.0)

    async def run():
        async with aiohttp.ClientSession() as session:
            await fetch_listing(session, SOURCE, "http://127.0.0.1:1", policy)

    with pytest.raises(DiscoveryError):
        asyncio.run(run())
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0]


@pytest.mark.parametrize(
    ("content", "bodies"),
    [(b'{"a":1}', [b'{"a":1}']), (b' [{"a":1},{"b":0.1}]', [b'{"a":1}', b'{"b":0.1}'])],
)
def test_recorded_listing_is_one_body_or_an_array_of_pages(tmp_path, content, bodies):
    (tmp_path / "okx_spot.json").write_bytes(content)

    assert read_recorded(tmp_path, "okx_spot", 100) == bodies


@pytest.mark.parametrize("content", [None, b"[", b" " * 101])
def test_recorded_listing_that_is_absent_broken_or_too_big_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "okx_spot.json").write_bytes(content)

    with pytest.raises(DiscoveryError, match=r"okx_spot"):
        read_recorded(tmp_path, "okx_spot", 100)
