"""The contract of an exchange: data and pure functions, no socket, clock or log.

One file an exchange (``exchanges/<name>.py``) ends in ``ADAPTER = Adapter(...)``; nothing else in
the package may know its name. Addresses and the operating limits stand in
``config/exchanges.toml``; what stands here is how the exchange speaks and the limits that it
never forgives.

A *path* names a value inside a frame: ``"data.0.bids.0.1"`` is the second item of the first row of
``bids`` in the first item of ``data``. Several paths may be given for one field; whichever a frame
has is taken.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from spreadscan.model import Market, RawFunding, RawInstrument, RawTicker

__all__ = [
    "Ack",
    "Adapter",
    "Control",
    "FundingRefused",
    "FundingRequest",
    "Heartbeat",
    "Ignored",
    "JsonPlan",
    "Limits",
    "MarketSpec",
    "Notice",
    "PartialQuote",
    "Pong",
    "ProtobufPlan",
    "Refused",
    "RestRequest",
    "TickerRequest",
]


class JsonPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where the quote stands in a JSON frame; the kernel compiles it once.

    A frame that has no symbol, or nothing but a symbol, or fails a *where* condition, is no quote
    and goes to ``Adapter.classify``. Where a side is an array of levels, an empty one makes the
    quote one-sided; so does a price or quantity of zero. A frame that has the symbol or a side
    twice is malformed.
    """

    symbol: tuple[str, ...]
    bid: tuple[str, ...]
    bid_qty: tuple[str, ...]
    ask: tuple[str, ...]
    ask_qty: tuple[str, ...]
    exchange_ms: tuple[str, ...] = ()
    """Unix milliseconds; empty where the exchange sends no time."""
    update_id: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(path, accepted values); a value ending in ``*`` accepts every string it begins."""


class ProtobufPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where the quote stands in a protobuf frame; the kernel compiles it once.

    Fields as in JsonPlan, but a path is field numbers: ``"315.1"`` is field 1 of the message in
    field 315. Prices and quantities are strings of digits; times and update ids are strings or
    varints; conditions compare strings. Fields that no path names are stepped over by their wire
    type. A frame without any field of a quote is none; one whose quote lacks a side, or has it
    empty or zero, is one-sided.
    """

    symbol: tuple[str, ...]
    bid: tuple[str, ...]
    bid_qty: tuple[str, ...]
    ask: tuple[str, ...]
    ask_qty: tuple[str, ...]
    exchange_ms: tuple[str, ...] = ()
    """Unix milliseconds; empty where the exchange sends no time."""
    update_id: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(path, accepted values); a value ending in ``*`` accepts every string it begins."""


class RestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One GET below the market's ``rest_url``."""

    path: str
    query: tuple[tuple[str, str], ...] = ()
    encoded_query: str = ""
    """Appended to the query as it is: a cursor that the exchange hands out percent-encoded."""


class TickerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One GET that tells prices or volumes of all listings at once."""

    request: RestRequest
    parse: Callable[[bytes], list[RawTicker]]
    """Body to rows; raises DiscoveryError when it is no such answer."""


class FundingRefused(msgspec.Struct, frozen=True):
    """A row about funding that cannot be used."""

    exchange_symbol: str
    """``""`` where it names none."""
    reason: str


class FundingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """GETs that together tell the funding of all perpetuals at once."""

    requests: tuple[RestRequest, ...]
    parse: Callable[[Sequence[bytes]], Iterator[RawFunding | FundingRefused]]
    """Their bodies, in order, to rows, one after the other, so that quotes may come in between.
    Raises DiscoveryError before the first row when a body is no such answer, and after the last
    one when none of them can be used."""


class Ack(msgspec.Struct, frozen=True):
    """A subscription was accepted; says nothing about data."""

    request_id: str | None = None
    is_leaving: bool | None = None
    """Whether the request was to unsubscribe; told only where answers have no id and come one a
    request, in the order of the requests, so that this tells which one is meant."""


class Refused(msgspec.Struct, frozen=True):
    """A subscription was refused.

    ``symbols`` names those that are known to be refused, in the exchange's spelling; empty when
    the frame does not say.
    """

    symbols: tuple[str, ...]
    reason: str
    request_id: str | None = None
    is_whole_request: bool = False
    """Nothing of the request was subscribed, also not what ``symbols`` does not name."""
    are_held: bool = False
    """``symbols`` are refused only because they are subscribed already: they keep flowing."""


class Pong(msgspec.Struct, frozen=True):
    """Answer to our heartbeat: the connection lives, which says nothing about its symbols."""


class Notice(msgspec.Struct, frozen=True):
    """The exchange announces that it will close this connection."""

    reason: str


class Ignored(msgspec.Struct, frozen=True):
    """A well-formed frame of no interest here, such as another channel's."""

    what: str


class PartialQuote(msgspec.Struct, frozen=True, kw_only=True):
    """What changed of a book's first level, in the exchange's units.

    A side that is neither given nor removed is unchanged.
    """

    symbol: str
    """In the exchange's spelling."""
    bid: tuple[float, float] | None
    """(price, quantity)."""
    ask: tuple[float, float] | None
    removed_bid: bool = False
    """The side has no level any more."""
    removed_ask: bool = False
    exchange_ms: int | None = None
    """Unix milliseconds."""
    update_id: int | None = None


Control = Ack | Refused | Pong | Notice | Ignored | PartialQuote


class Heartbeat(msgspec.Struct, frozen=True):
    """What the client must send to be kept; None in Adapter where the server pings."""

    payload: str
    interval_s: float


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits that the exchange enforces; a configuration beyond them is refused.

    Each with its source in the adapter's docstring. None: no limit is published. Those that the
    configuration does not name are kept by the feed itself.
    """

    topics_per_connection: int | None = None
    topic_bytes_per_connection: int | None = None
    """Of all topics of one connection, each with its quotes and comma."""
    topics_per_message: int | None = None
    message_bytes: int | None = None
    messages_per_s: float | None = None
    requests_per_hour: int | None = None
    """Subscribe and unsubscribe messages on one connection."""
    connects_per_window: int | None = None
    connects_window_s: float = 300.0
    lifetime_s: float | None = None


class MarketSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One market of an exchange, that is: one source."""

    instruments: RestRequest
    parse_instruments: Callable[[bytes], list[RawInstrument]]
    """Body of one page to rows; raises DiscoveryError when it is no listing."""
    next_page: Callable[[bytes], RestRequest | None] = lambda _body: None
    """The request for the page after this body, None after the last."""
    tickers: tuple[TickerRequest, ...] = ()
    """Prices and volumes; of several answers the first that gives a value counts."""
    book: TickerRequest | None = None
    """Best bids and asks, asked for often; None: the first of ``tickers`` has them."""
    funding: FundingRequest | None = None
    """None where nothing is a perpetual."""
    plan: JsonPlan | ProtobufPlan
    limits: Limits
    topic: Callable[[str], str]
    """Exchange symbol to the topic string that subscribes its quotes."""
    heartbeat: Heartbeat | None = None
    repeats_every_s: float | None = None
    """An unchanged quote is sent again after this long; None: nothing is promised."""
    sends_unchanged: bool = True
    """A quote with the id of the one before may be a book that stands; False: it is only a copy."""
    has_snapshot: bool = True
    """A subscription is answered with the present quote, not only with the next change."""
    restart_update_id: int | None = None
    """The id with which a series of update ids begins anew: a quote that has it is never old."""
    is_restart_told_by_time: bool = False
    """Update ids may begin anew unannounced: a lower one with a later exchange time is not old."""


class Adapter(msgspec.Struct, frozen=True, kw_only=True):
    """An exchange."""

    name: str
    venue_id: int
    """Stored in records for ever: source ids are 2 * venue_id and 2 * venue_id + 1."""
    markets: Mapping[Market, MarketSpec]
    subscribe: Callable[[Sequence[str], int], str]
    """(topics, request number) to one text frame; the caller has already split to the limits."""
    unsubscribe: Callable[[Sequence[str], int], str]
    classify: Callable[[bytes], Control]
    """Meaning of a frame that is no quote; raises FeedError when it is no frame of theirs."""
