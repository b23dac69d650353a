"""The words every stage shares: markets, sources, quotes, instruments. Pure values, no I/O.

A *source* is one market of one exchange and has a number for ever:
``source_id = 2 * venue_id + (0 spot | 1 futures)``. A *route* is one symbol in one direction
(buy spot at one source, sell the perpetual at another).
"""

from enum import IntEnum, StrEnum

import msgspec

__all__ = [
    "ContractKind",
    "Direction",
    "Instrument",
    "Market",
    "QuoteStatus",
    "RawFunding",
    "RawInstrument",
    "RawTicker",
    "SignalType",
    "SlotFlag",
    "source_id_of",
    "source_name_of",
]


class Market(StrEnum):
    """Spot, or USDT-settled linear perpetual."""

    SPOT = "spot"
    FUTURES = "futures"


def source_id_of(venue_id: int, market: Market) -> int:
    """Return the number of a source, 0 to NUM_SOURCES - 1; it never changes."""
    return 2 * venue_id + (market is Market.FUTURES)


def source_name_of(exchange: str, market: Market) -> str:
    """Return the name of a source, as it stands in files, units and health slots."""
    return f"{exchange}_{market.value}"


class QuoteStatus(IntEnum):
    """What became of one frame; every value above NOT_A_QUOTE is a refusal reason.

    The kernel carries the same numbers and compares them with these when imported.
    """

    QUOTE = 0
    NOT_A_QUOTE = 1
    """Well formed, but no quote: an ack, an error, a pong, another channel."""
    MALFORMED = 2
    """Not the declared wire format, or cut off."""
    MISSING_FIELD = 3
    UNKNOWN_SYMBOL = 4
    BAD_NUMBER = 5
    """NaN, infinity, an empty string, or not a number at all."""
    NOT_POSITIVE = 6
    ONE_SIDED = 7
    """No bid or no ask: the symbol becomes unusable until both sides are back."""
    CROSSED = 8
    """bid >= ask."""
    IMPLAUSIBLE = 9
    """Beyond MAX_PRICE or MAX_QTY of the kernel."""
    OLD_UPDATE = 10
    """The update id is not newer than the one in the store."""
    LATE = 11
    """It waited, most likely in a backlog: the book has changed since."""
    JUMP = 12
    """Too far from the last good price to be believed at once."""


class SlotFlag(IntEnum):
    """Bits of a price slot's flags; a slot with any bit set is not usable."""

    NEVER_WRITTEN = 1
    DISCONNECTED = 2
    ONE_SIDED = 4
    UNSUBSCRIBED = 8
    REFUSED = 16
    """The latest frame for it was refused: the book has changed, to what is not known."""
    LATE = 32
    """Its latest frame came too late to be the present price."""
    HELD = 64
    """Its price jumped; the new one waits for a second quote or for another's word."""
    HALTED = 128
    """The exchange says that the instrument does not trade."""


class SignalType(IntEnum):
    """Kinds of events in the ring. OPEN and CLOSE are never lost; UPDATE may be conflated."""

    OPEN = 1
    UPDATE = 2
    CLOSE = 3


class ContractKind(StrEnum):
    """What a listing row is. Only SPOT and LINEAR_PERPETUAL take part; the rest is counted."""

    SPOT = "spot"
    LINEAR_PERPETUAL = "linear_perpetual"
    INVERSE = "inverse"
    DATED = "dated"
    NOT_CRYPTO = "not_crypto"
    PRE_MARKET = "pre_market"
    TEST = "test"


class RawInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """One listing row, in the exchange's own units and spelling.

    Sizes are in contracts where the exchange counts contracts, else in base coins as listed
    (so ``1000PEPE`` counts thousands). Zero means that the exchange states no rule.
    """

    exchange_symbol: str
    base: str
    quote: str
    settle: str
    """Coin of settlement, ``""`` for spot."""
    kind: ContractKind
    status: str
    """The exchange's own word, for reports."""
    is_trading: bool
    contract_size: float = 1.0
    """Listed base coins per contract; 1 where sizes are in base coins already."""
    tick_size: float = 0.0
    qty_step: float = 0.0
    min_qty: float = 0.0
    min_notional: float = 0.0
    """In quote currency."""
    tradable_via_api: bool = True
    delisting_ms: int | None = None
    """Announced end of trading, Unix milliseconds; None when nothing is announced."""
    defect: str = ""
    """Why the row could not be read; nothing else in it is of any use then."""


class RawTicker(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing costs and how much of it is traded, in the exchange's own units.

    None: the exchange does not say, or there is no such price now.
    """

    exchange_symbol: str
    price: float | None = None
    """USDT for one listed unit of price: the middle of bid and ask, else the mark or last price."""
    book: tuple[float, float] | None = None
    """Best bid and best ask, where they are a sane book."""
    index_price: float | None = None
    """What the exchange's index says the same unit costs on spot; perpetuals only."""
    turnover_usd: float | None = None
    """Of the last 24 hours."""


class RawFunding(msgspec.Struct, frozen=True, kw_only=True):
    """What a perpetual's exchange says of its funding at present."""

    exchange_symbol: str
    rate: float
    """Fraction of a position's worth at the next settlement; positive: longs pay shorts."""
    interval_s: float = 0.0
    """From one settlement to the next; 0: the exchange does not say."""
    is_interval_assumed: bool = False
    """The exchange names only what is not usual, and this contract it did not name."""
    next_settlement_ms: int = 0
    """Unix milliseconds by the exchange's clock; 0: the exchange does not say."""


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One leg of a symbol at one source, in normalised units (per one base coin).

    ``price = exchange price / price_multiplier``;
    ``qty = exchange qty * contract_size * price_multiplier``.
    """

    exchange_symbol: str
    price_multiplier: float
    contract_size: float
    tick_size: float
    """Quote currency per base coin."""
    qty_step: float
    """Base coins."""
    min_qty: float
    """Base coins."""
    min_notional: float
    tradable_via_api: bool


class Direction(msgspec.Struct, frozen=True, kw_only=True):
    """Buy spot at one source, sell the perpetual at another."""

    direction_id: int
    name: str
    spot_source: int
    futures_source: int
