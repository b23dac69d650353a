"""What a scenario's faults do to one REST answer; pure, as is ``sim/faults.py`` for quotes."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from spreadscan.sim.faults import Fault
from spreadscan.sim.venues import RestReply

__all__ = ["Answer", "spoilt"]

JSON, HTML = "application/json", "text/html"
# What stands in front of an exchange answers in its place, and says that all is well.
PAGE = b"""<!DOCTYPE html>
<html lang="en"><head><title>Just a moment...</title></head>
<body><h1>Checking your browser</h1><p>Please enable JavaScript to continue.</p></body></html>
"""
UNAVAILABLE = 503


class Answer(NamedTuple):
    """What goes out."""

    status: int
    body: bytes
    content_type: str = JSON
    delay_s: float = 0.0


def spoilt(reply: RestReply, faults: Iterable[Fault], refusal: Callable[[int], bytes]) -> Answer:
    """Return what is sent instead of a reply.

    Args:
        reply: in order; its list is shortened in place.
        faults: of ``REST_KINDS`` and about this answer; the last one that replaces it wins.
        refusal: writes the exchange's own error.
    """
    delay_s = 0.0
    status, body, content_type = reply.status, None, JSON
    for fault in faults:
        match fault.kind:
            case "slow_rest":
                delay_s += fault.delay_ms / 1000
            case "html":
                status, body, content_type = 200, PAGE, HTML
            case "error_body":
                status, body, content_type = 200, refusal(UNAVAILABLE), JSON
            case "empty_list" if reply.rows is not None:
                reply.rows.clear()
            case "half_list" if reply.rows is not None:
                del reply.rows[len(reply.rows) // 2 :]
            case _:
                pass
    return Answer(status, reply.body if body is None else body, content_type, delay_s)
