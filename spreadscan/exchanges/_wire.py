"""Reading what exchanges send apart from quotes: listings and control frames. Pure.

The adapters share these so that a body or a frame that is not theirs always ends in the same
error, whatever the exchange.
"""

import math
from typing import Any, TypeVar

import msgspec
import orjson

from spreadscan.errors import DiscoveryError, FeedError

__all__ = ["level_of", "listed_number", "read_control", "read_listing"]

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


def listed_number(found: str | float) -> float:
    """Return a listing's number, written as text or not; 0 for an empty text, "no rule".

    Raises:
        DiscoveryError: it is no finite number, or is negative.
    """
    if found == "":
        return 0.0
    try:
        return _not_negative(found)
    except ValueError:
        raise DiscoveryError(
            f"found {found!r} in a listing, expected a number of zero or more"
        ) from None


def level_of(row: Any) -> tuple[float, float]:
    """Return (price, quantity) of a book's row; what stands behind them is of no interest.

    Raises:
        LookupError: the row is shorter, or no row.
        TypeError: it is no row, or its numbers are none.
        ValueError: they are no finite numbers, or negative.
    """
    return _not_negative(row[0]), _not_negative(row[1])


def _not_negative(found: Any) -> float:
    value = float(found)
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"found {found!r}, expected a number of zero or more")
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
