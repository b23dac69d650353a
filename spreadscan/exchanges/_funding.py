"""Reading what exchanges say of their perpetuals' funding. Pure.

The exchanges share these so that what counts as a usable rate, interval and time is decided once.
A row that cannot be used is left out with its reason, and costs no other row.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec

from spreadscan.errors import DiscoveryError
from spreadscan.exchanges._adapter import FundingRefused, FundingRequest, RestRequest
from spreadscan.model import RawFunding

__all__ = [
    "FundingFields",
    "FundingRows",
    "funding_request",
    "interval_s",
    "read_funding",
]

FundingRows = list[msgspec.Raw]
"""Rows as they stand in a body, so that one of another shape spoils no other."""

HOUR_S = 3600.0
# The widest cap that any exchange publishes is 4 % (2025-09); beyond this it is another unit.
MAX_RATE = 0.1
# Settlements are one hour to one day apart.
INTERVALS_S = (60.0, 7 * 86_400.0)
# Seconds or microseconds in place of milliseconds fall outside.
TIMES_MS = (1_400_000_000_000, 4_102_444_800_000)


class FundingFields(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange calls the fields of a contract's funding; ``""`` where it sends none."""

    symbol: str = "symbol"
    rate: str
    next_ms: str
    """The next settlement, Unix milliseconds."""
    hours: str = ""
    """From one settlement to the next."""
    following_ms: str = ""
    """The settlement after the next; what is between the two is the interval."""


def funding_request(
    path: str,
    read_rows: Callable[[bytes], FundingRows],
    fields: FundingFields,
    query: tuple[tuple[str, str], ...] = (),
) -> FundingRequest:
    """Return the request where a single answer tells everything.

    Args:
        path: below the market's address.
        read_rows: body to rows; raises DiscoveryError when it is no such answer.
        fields: what the rows call things.
        query: of the request.
    """

    def parse(bodies: Sequence[bytes]) -> Iterator[RawFunding | FundingRefused]:
        (body,) = bodies
        yield from read_funding(read_rows(body), fields)

    return FundingRequest(requests=(RestRequest(path=path, query=query),), parse=parse)


def read_funding(
    rows: FundingRows,
    fields: FundingFields,
    complete: Callable[[RawFunding], RawFunding] = lambda row: row,
) -> Iterator[RawFunding | FundingRefused]:
    """Yield the rows that can be used, and why the others cannot.

    Args:
        rows: as they stand in the body.
        fields: what they call things.
        complete: adds what the exchange tells elsewhere; raises DiscoveryError to refuse a row.

    Raises:
        DiscoveryError: after the last row, when none can be used; the message tells of one.
    """
    row_type = _row_type(fields)
    is_any, refused = False, FundingRefused("", "no row")
    for raw in rows:
        symbol = ""
        try:
            row = _row(raw, row_type)
            symbol = _name(getattr(row, fields.symbol))
            found = complete(_funding(symbol, row, fields))
        except DiscoveryError as error:
            refused = FundingRefused(symbol, str(error))
            yield refused
        else:
            is_any = True
            yield found
    if not is_any:
        raise DiscoveryError(
            f"found {len(rows)} rows and none of use ({refused.exchange_symbol!r}: "
            f"{refused.reason}), expected the funding of some contract"
        )


@cache
def _row_type(fields: FundingFields) -> type[msgspec.Struct]:
    """Return a row's shape: what is wanted of it, of whatever type; the rest is stepped over."""
    wanted = (fields.symbol, fields.rate, fields.next_ms, fields.hours, fields.following_ms)
    return msgspec.defstruct("Row", [(name, Any, None) for name in wanted if name])


def interval_s(found: Any, unit_s: float = HOUR_S) -> float:
    """Return an interval in seconds; 0 where there is none.

    Raises:
        DiscoveryError: it is no number, or no time between two settlements.
    """
    if found is None or found == "":
        return 0.0
    shortest_s, longest_s = INTERVALS_S
    seconds = _number(found, "an interval") * unit_s
    if not shortest_s <= seconds <= longest_s:
        raise DiscoveryError(
            f"found {seconds:g} s between settlements, expected {shortest_s:g} to {longest_s:g}"
        )
    return seconds


def _row(raw: msgspec.Raw, row_type: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        return msgspec.json.decode(raw, type=row_type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DiscoveryError(f"no row: {error}") from None


def _funding(symbol: str, row: msgspec.Struct, fields: FundingFields) -> RawFunding:
    rate = _number(getattr(row, fields.rate), "a rate")
    if not abs(rate) <= MAX_RATE:
        raise DiscoveryError(f"found a rate of {rate:g}, expected at most {MAX_RATE:g}")
    next_ms = _time_ms(getattr(row, fields.next_ms))
    interval = 0.0
    if fields.hours:
        interval = interval_s(getattr(row, fields.hours))
    elif fields.following_ms:
        following_ms = _time_ms(getattr(row, fields.following_ms))
        interval = interval_s(following_ms - next_ms if next_ms and following_ms else None, 0.001)
    return RawFunding(
        exchange_symbol=symbol, rate=rate, interval_s=interval, next_settlement_ms=next_ms
    )


def _name(found: Any) -> str:
    if not isinstance(found, str) or not found:
        raise DiscoveryError(f"found {found!r} as the symbol of a contract, expected a name")
    return found


def _number(found: Any, what: str) -> float:
    try:
        # A flag is a number to Python, and none to an exchange.
        value = math.nan if isinstance(found, bool) else float(found)
    except (OverflowError, TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise DiscoveryError(f"found {found!r} as {what}, expected a number")
    return value


def _time_ms(found: Any) -> int:
    """Return Unix milliseconds; 0 where none are told."""
    if found is None or found == "":
        return 0
    time_ms = int(_number(found, "a time"))
    earliest_ms, latest_ms = TIMES_MS
    if time_ms != 0 and not earliest_ms <= time_ms <= latest_ms:
        raise DiscoveryError(f"found {time_ms} as a time, expected Unix milliseconds")
    return time_ms
