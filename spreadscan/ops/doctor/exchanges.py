"""Whether the exchanges answer: REST and WebSocket, certificates, and their clocks against ours.

One request and one handshake a source, out of the allowances that all processes of the host share:
where none is left or the exchange has told us to wait, it is said and not asked.
"""

import base64
import os
import socket
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

from spreadscan.config import Config
from spreadscan.exchanges import Source
from spreadscan.kernel.memory import Mapping
from spreadscan.manners.allowances import allowances_of
from spreadscan.ops.doctor.finding import Finding, fail, ok, warn
from spreadscan.runtime.clock import Clock
from spreadscan.runtime.trust import Trust

__all__ = ["rest_check", "socket_check"]

TIMEOUT_S = 2.5
PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
HEAD_BYTES = 16_384
# HTTP tells whole seconds, and the answer took a part of one.
MAX_OFFSET_S = 2.0
CERTIFICATE_WARN_DAYS = 14
CERTIFICATE_FAIL_DAYS = 2
REACH = "look at the network, DNS and firewall of this host, and at the exchange's status page"


class _Answer(NamedTuple):
    status: int
    date: str
    certificate_days: float | None
    took_ms: float


def rest_check(
    config: Config, source: Source, words: Mapping, trust: Trust, clock: Clock
) -> Finding:
    """Ask a source's REST host for its head, and compare its clock with ours."""
    check = f"{source.name} rest"
    url = config.market(source).rest_url
    allowance = allowances_of(config, source, words).rest
    if busy := _busy(check, allowance.banned_until_ns - clock.monotonic_ns()):
        return busy
    if allowance.take(clock.monotonic_ns()) > TIMEOUT_S * 1e9:
        return warn(check, "not asked: the host's allowance is used up", "try again in a minute")
    try:
        # No path of anybody's: whatever it says to "/", it is there and tells the time.
        answer = _asked(url, "/", trust, {})
    except (OSError, ValueError) as error:
        return _unreachable(check, url, error)
    return (
        _refused(check, url, answer)
        or _certificate(check, url, answer)
        or _offset(check, url, answer, clock)
    )


def _offset(check: str, url: str, answer: _Answer, clock: Clock) -> Finding:
    try:
        offset_s = parsedate_to_datetime(answer.date).timestamp() + 0.5 - clock.wall_ns() / 1e9
    except ValueError:
        return ok(check, f"answers in {answer.took_ms:.0f} ms; tells no time")
    if abs(offset_s) > MAX_OFFSET_S:
        return fail(
            check,
            f"{url}: its clock and ours differ by {offset_s:+.0f} s",
            "synchronise this host's clock (chronyc tracking)",
        )
    return ok(check, f"answers in {answer.took_ms:.0f} ms, clock within {MAX_OFFSET_S:g} s")


def socket_check(
    config: Config, source: Source, words: Mapping, trust: Trust, clock: Clock
) -> Finding:
    """Open a WebSocket at a source, and close it."""
    check = f"{source.name} websocket"
    url = config.market(source).ws_url
    turns = allowances_of(config, source, words).connects
    if busy := _busy(check, turns.banned_until_ns - clock.monotonic_ns()):
        return busy
    turn = turns.take(clock.monotonic_ns())
    if turn is None:
        return warn(check, "not asked: the host's allowance is used up", "try again in a minute")
    key = base64.b64encode(os.urandom(16)).decode()
    path = urlsplit(url).path or "/"
    try:
        answer = _asked(
            url, f"{path}{'?' + urlsplit(url).query if urlsplit(url).query else ''}", trust,
            {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
             "Sec-WebSocket-Key": key},
        )  # fmt: skip
    except (OSError, ValueError) as error:
        return _unreachable(check, url, error)
    finally:
        turns.give_back(turn, clock.monotonic_ns())
    if answer.status != 101:
        return fail(check, f"{url}: found status {answer.status}, expected 101", REACH)
    if problem := _certificate(check, url, answer):
        return problem
    days = (
        "" if answer.certificate_days is None else f", certificate {answer.certificate_days:.0f} d"
    )
    return ok(check, f"open in {answer.took_ms:.0f} ms{days}")


def _asked(url: str, path: str, trust: Trust, headers: dict[str, str]) -> _Answer:
    parts = urlsplit(url)
    host = parts.hostname or ""
    began_s = time.monotonic()
    plain = socket.create_connection((host, parts.port or PORTS[parts.scheme]), TIMEOUT_S)
    days = None
    with plain:
        stream = plain
        if parts.scheme in {"https", "wss"}:
            stream = trust.context().wrap_socket(plain, server_hostname=host)
            days = _days_left(stream)
        lines = [f"GET {path} HTTP/1.1", f"Host: {parts.netloc}", "User-Agent: spreadscan"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if "Connection" not in headers:
            lines.append("Connection: close")
        stream.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES:
            chunk = stream.recv(4096)
            if not chunk:
                break
            head += chunk
        stream.close()
    took_ms = (time.monotonic() - began_s) * 1e3
    first, *rest = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    found = first.split()
    if len(found) < 2 or not found[1].isdigit():
        raise ValueError(f"no HTTP: {first[:40]!r}")
    pairs = (line.partition(":") for line in rest)
    values = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return _Answer(int(found[1]), values.get("date", ""), days, took_ms)


def _days_left(stream: ssl.SSLSocket) -> float | None:
    certificate = stream.getpeercert() or {}
    ends = certificate.get("notAfter")
    if not isinstance(ends, str):
        return None
    left = datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) - datetime.now(UTC)
    return left.total_seconds() / 86_400


def _refused(check: str, url: str, answer: _Answer) -> Finding | None:
    if answer.status not in {418, 429, 403}:
        return None
    return fail(check, f"{url}: refused with status {answer.status}", "wait; ask less")


def _certificate(check: str, url: str, answer: _Answer) -> Finding | None:
    days = answer.certificate_days
    if days is None or days >= CERTIFICATE_WARN_DAYS:
        return None
    found = f"{url}: its certificate ends in {days:.0f} days"
    remedy = "the exchange's to renew; an old CA or a proxy in between would be ours"
    return (
        fail(check, found, remedy) if days < CERTIFICATE_FAIL_DAYS else warn(check, found, remedy)
    )


def _busy(check: str, banned_ns: int) -> Finding | None:
    if banned_ns <= 0:
        return None
    return fail(
        check, f"not asked: the exchange wants no request for {banned_ns / 1e9:.0f} s more",
        "wait; spread-ctl status --source NAME shows what was refused",
    )  # fmt: skip


def _unreachable(check: str, url: str, error: Exception) -> Finding:
    if isinstance(error, ssl.SSLCertVerificationError):
        return fail(
            check,
            f"{url}: certificate refused: {error.verify_message}",
            "look for a proxy in between, and at this host's clock and CA files",
        )
    found = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return fail(check, f"{url}: {found or type(error).__name__}", REACH)
