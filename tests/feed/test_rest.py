"""A feed's way to REST over real sockets: what comes back, what is no answer, who is kept away."""

import asyncio
import gzip
import ssl

import pytest
import trustme

from spreadscan.errors import DiscoveryError
from spreadscan.exchanges._adapter import RestRequest
from spreadscan.feed.rest import Barred, RestDoor
from spreadscan.manners.gates import RestGate
from spreadscan.runtime.trust import Trust
from spreadscan.shm.governor import Allowance, Budget, private_words

BODY = b'{"rows":[1,2,3]}' * 9000
PATIENCE_S = 10.0


def answer(body=BODY, status="200 OK", **headers):
    headers.setdefault("Content_Length", len(body))
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def chunked(body, size=1000):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + framed + b"0\r\n\r\n"


class Server:
    """Answers every connection with the next of some bytes, and hangs up."""

    def __init__(self, *replies, hangs=False):
        self.replies = list(replies)
        self.heads = []
        self.hangs = hangs
        self.ended = None

    async def serve(self, reader, writer):
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(self.replies.pop(0))
        if self.hangs:
            await reader.read()
            self.ended.set()
        writer.close()


def asked(clock, server, body, *, tls=None, trust=None, timeout_s=PATIENCE_S, host="127.0.0.1"):
    """Run a body that is given a door to the server."""

    async def run():
        async with asyncio.timeout(2 * PATIENCE_S):
            listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
            port = listening.sockets[0].getsockname()[1]
            door = RestDoor(
                rest_url=f"http{'s' if tls else ''}://{host}:{port}/base",
                timeout_s=timeout_s,
                gate=RestGate(
                    Allowance(private_words(), 0, Budget(count=100, window_s=1.0)), clock
                ),
                trust=trust or Trust(None),
                clock=clock,
            )
            try:
                return await body(door)
            finally:
                listening.close()

    return asyncio.run(run())


REQUEST = RestRequest(path="/v1/list", query=(("a", "x y"),), encoded_query="cursor=p%3Dq")


@pytest.mark.parametrize(
    "reply",
    [
        answer(),
        answer(gzip.compress(BODY), Content_Encoding="gzip"),
        chunked(BODY),
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(),
        b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
    ],
    ids=["plain", "gzip", "chunked", "hints", "until-the-end"],
)
def test_body_is_had_however_it_is_packed(manual_clock, reply):
    server = Server(reply)

    body, asked_ns = asked(manual_clock, server, lambda door: door.get(REQUEST))

    assert body == BODY
    assert asked_ns == manual_clock.monotonic_ns()


def test_request_is_made_as_declared_and_its_cursor_is_not_encoded_twice(manual_clock):
    server = Server(answer())

    asked(manual_clock, server, lambda door: door.get(REQUEST))

    first, *headers = server.heads[0].split("\r\n")
    assert first == "GET /base/v1/list?a=x+y&cursor=p%3Dq HTTP/1.1"
    assert {"User-Agent: spreadscan", "Connection: close"} <= set(headers)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(status="503 Busy"), "found status 503, expected 200"),
        (answer(status="302 Found", Location="/elsewhere"), "found status 302"),
        (answer()[:-1], "peer closed connection"),
        (b"", "hung up"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "illegal status line"),
        (answer(b"no gzip", Content_Encoding="gzip"), "no gzip"),
        (answer(gzip.compress(BODY)[:-20], Content_Encoding="gzip"), "without its end"),
        (answer(Content_Encoding="br"), "found content encoding 'br'"),
    ],
    ids=["busy", "redirect", "cut", "nothing", "foreign", "no-gzip", "half-a-gzip", "unknown"],
)
def test_what_is_no_answer_is_told_with_its_address(manual_clock, reply, words):
    with pytest.raises(DiscoveryError, match=words) as told:
        asked(manual_clock, Server(reply), lambda door: door.get(REQUEST))

    assert "/base/v1/list?a=x+y" in str(told.value)


@pytest.mark.parametrize("packed", [answer(), answer(gzip.compress(BODY), Content_Encoding="gzip")])
def test_body_without_end_is_refused(manual_clock, monkeypatch, packed):
    monkeypatch.setattr("spreadscan.feed.rest.MAX_BODY_BYTES", len(BODY) - 1)

    with pytest.raises(DiscoveryError, match="more than"):
        asked(manual_clock, Server(packed), lambda door: door.get(REQUEST))


def test_who_is_told_to_stay_away_asks_no_more_until_then(manual_clock):
    server = Server(answer(status="429 Too Many", Retry_After="7"), answer())

    async def body(door):
        with pytest.raises(Barred, match="7 s"):
            await door.get(REQUEST)
        with pytest.raises(Barred):
            await door.get(REQUEST)
        assert door.banned_s == 7.0
        manual_clock.advance(7.0)
        return await door.get(REQUEST)

    found, _ = asked(manual_clock, server, body)

    assert found == BODY
    assert len(server.heads) == 2


def test_answer_that_does_not_come_is_given_up_and_its_connection_with_it(manual_clock):
    server = Server(answer()[:100], hangs=True)

    async def body(door):
        server.ended = asyncio.Event()
        with pytest.raises(TimeoutError):
            await door.get(REQUEST)
        await server.ended.wait()

    asked(manual_clock, server, body, timeout_s=0.1)


def test_certificate_is_looked_at(manual_clock, tmp_path):
    authority, other = trustme.CA(), trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")

    body, _ = asked(
        manual_clock, Server(answer()), lambda door: door.get(REQUEST),
        tls=tls, trust=Trust(tmp_path / "ca.pem"), host="localhost",
    )  # fmt: skip

    assert body == BODY
    for trust in (Trust(tmp_path / "other.pem"), Trust(None)):
        with pytest.raises(OSError, match="certificate"):
            asked(
                manual_clock, Server(answer()), lambda door: door.get(REQUEST),
                tls=tls, trust=trust, host="localhost",
            )  # fmt: skip


def test_nobody_there_is_an_error_of_the_system(manual_clock):
    async def body(door):
        door._rest_url = "http://127.0.0.1:1"
        await door.get(REQUEST)

    with pytest.raises(OSError, match="111"):
        asked(manual_clock, Server(), body)
