"""Reading what exchanges send apart from quotes: listings, tickers and control frames. Pure.

The adapters share these so that a body or a frame that is not theirs always ends in the same
error, whatever the exchange.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import orjson

from spreadscan.errors import DiscoveryError, FeedError
from spreadscan.exchanges._adapter import RestRequest, TickerRequest
from spreadscan.model import ContractKind, RawInstrument, RawTicker

__all__ = [
    "TickerFields",
    "TickerRows",
    "instruments",
    "level_of",
    "listed_number",
    "read_control",
    "read_listing",
    "ticker_request",
    "ticker_rows",
    "tickers_of",
]

ShapeT = TypeVar("ShapeT")
RowT = TypeVar("RowT")
TickerRows = list[dict[str, Any]]
SHOWN_BYTES = 120

# Bid and ask further apart than this say little about what a coin costs.
MAX_ASK_TO_BID = 1.05


class TickerFields(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange calls the fields of a ticker; ``""`` where it sends none."""

    symbol: str = "symbol"
    bid: str = ""
    ask: str = ""
    last: str = ""
    mark: str = ""
    index: str = ""
    turnover: str = ""
    """Quote currency of the last 24 hours."""
    volume: str = ""
    """Base coins of the last 24 hours; times the last price, it replaces a missing turnover."""


def read_listing(body: bytes, shape: type[ShapeT]) -> ShapeT:
    """Return a REST body as the given msgspec structure.

    Raises:
        DiscoveryError: the body is no JSON or has another shape; the message names the place.
    """
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DiscoveryError(f"no listing: {error}; body begins {body[:SHOWN_BYTES]!r}") from None


def instruments(
    rows: list[RowT], convert: Callable[[RowT], RawInstrument], symbol_field: str = "symbol"
) -> list[RawInstrument]:
    """Return a listing's rows; one that cannot be read is marked, and does not spoil the others.

    Args:
        rows: as decoded.
        convert: one of them to the common form; raises DiscoveryError.
        symbol_field: the attribute that names it.

    Raises:
        DiscoveryError: not one row can be read; the message names the first.
    """
    found = []
    for row in rows:
        try:
            found.append(convert(row))
        except DiscoveryError as error:
            found.append(
                RawInstrument(
                    exchange_symbol=getattr(row, symbol_field), base="", quote="", settle="",
                    kind=ContractKind.SPOT, status="", is_trading=False, defect=str(error),
                )
            )  # fmt: skip
    if found and all(row.defect for row in found):
        raise DiscoveryError(f"{found[0].exchange_symbol}: {found[0].defect}")
    return found


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


def ticker_request(
    path: str,
    read_rows: Callable[[bytes], TickerRows],
    fields: TickerFields,
    query: tuple[tuple[str, str], ...] = (),
) -> TickerRequest:
    """Return the request of tickers that are read from rows.

    Args:
        path: below the market's address.
        read_rows: body to rows; raises DiscoveryError when it is no such answer.
        fields: what the rows call things.
        query: of the request.
    """
    return TickerRequest(
        request=RestRequest(path=path, query=query),
        parse=lambda body: tickers_of(read_rows(body), fields),
    )


def ticker_rows(body: bytes) -> TickerRows:
    """Return the rows of a body that is nothing but their list.

    Raises:
        DiscoveryError: the body is another one, such as an error's object.
    """
    return read_listing(body, TickerRows)


def tickers_of(rows: TickerRows, fields: TickerFields) -> list[RawTicker]:
    """Return tickers, with None for every value that is absent, empty, negative or no number.

    A single bad value costs no more than itself: the other rows are as good as before.

    Raises:
        DiscoveryError: a row has no symbol, or no row has any value, so these are no tickers.
    """
    tickers = [_ticker(row, fields) for row in rows]
    if not any(
        value is not None
        for row in tickers
        for value in (row.price, row.index_price, row.turnover_usd)
    ):
        raise DiscoveryError(f"found no price and no volume in {len(rows)} tickers, expected some")
    return tickers


def _ticker(row: dict[str, Any], fields: TickerFields) -> RawTicker:
    symbol = row.get(fields.symbol)
    if not isinstance(symbol, str) or not symbol:
        raise DiscoveryError(f"found {symbol!r} as the symbol of a ticker, expected a name")
    last = _number_or_none(row.get(fields.last))
    turnover = _number_or_none(row.get(fields.turnover))
    if turnover is None:
        turnover = _turnover(_number_or_none(row.get(fields.volume)), last)
    book = _book(_number_or_none(row.get(fields.bid)), _number_or_none(row.get(fields.ask)))
    return RawTicker(
        exchange_symbol=symbol,
        price=_price(book, _number_or_none(row.get(fields.mark)), last),
        book=book,
        index_price=_number_or_none(row.get(fields.index)) or None,
        turnover_usd=turnover,
    )


def _book(bid: float | None, ask: float | None) -> tuple[float, float] | None:
    return (bid, ask) if bid and ask and bid < ask <= MAX_ASK_TO_BID * bid else None


def _price(
    book: tuple[float, float] | None, mark: float | None, last: float | None
) -> float | None:
    """Return the middle of a sane book, else the mark price, else the last one."""
    if book is not None:
        return book[0] / 2 + book[1] / 2
    # Never traded, or dead: a mark price that still stands there is nobody's.
    if last == 0:
        return None
    return mark or last


def _turnover(volume: float | None, last: float | None) -> float | None:
    if not volume:
        return volume
    worth = volume * last if last else None
    return worth if worth is not None and math.isfinite(worth) else None


def _number_or_none(found: Any) -> float | None:
    try:
        return None if isinstance(found, bool) else _not_negative(found)
    except (OverflowError, TypeError, ValueError):
        return None


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
