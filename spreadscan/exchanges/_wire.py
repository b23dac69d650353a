"""Reading what exchanges send apart from quotes: listings and control frames. Pure.

The adapters share these so that a body or a frame that is not theirs always ends in the same
error, whatever the exchange.
"""

import math
from typing import Any, TypeVar

import msgspec
import orjson

from spreadscan.errors import DiscoveryError, FeedError

__all__ = ["listed_number", "read_control", "read_listing"]

ShapeT = TypeVar("ShapeT")
SHOWN_BYTES = 120


def read_listing(body: bytes, shape: type[ShapeT]) -> ShapeT:
    """Return a REST body as the given msgspec structure.

    Raises:
        DiscoveryError: the body is no JSON or has another shape; the message names the place.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DiscoveryError(f"no listing: {error}; body begins {body[:SHOWN_BYTES]!r}") from None


def listed_number(text: str) -> float:
    """Return a listing's decimal; 0 for an empty string, which means "no rule".

    Raises:
        DiscoveryError: the text is no finite number, or is negative.
    """
    if not text:
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise DiscoveryError(f"found {text!r} in a listing, expected a number of zero or more")
    return value


def read_control(frame: bytes) -> dict[str, Any]:
    """Return a control frame as a dictionary.

    Raises:
        FeedError: the frame is no JSON object.
    """
    try:
        tree = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise FeedError(f"no JSON frame: {error}; it begins {frame[:SHOWN_BYTES]!r}") from None
    if not isinstance(tree, dict):
        raise FeedError(f"found a JSON {type(tree).__name__}, expected an object")
    return tree
