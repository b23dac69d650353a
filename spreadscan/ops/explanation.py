"""What is read of one route, and what is said of it: values only. Pure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from spreadscan.config import EngineConfig, FeeConfig
from spreadscan.model import Direction
from spreadscan.shm.control import ControlState

__all__ = [
    "Explanation",
    "FundingPart",
    "GateRow",
    "LastSignal",
    "LegReading",
    "LegRow",
    "Money",
    "Reading",
    "UsualPart",
]


class LegReading(msgspec.Struct, frozen=True, kw_only=True):
    """What shared memory holds of one leg."""

    source: str
    quote: dict[str, Any] | None
    """A PRICE_DTYPE record by name; None when it has no stable value."""
    living_epoch: int
    """That a usable quote must carry; even while no feed owns the source or its feed hangs."""
    is_suspect: bool
    fees: FeeConfig


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What shared memory and configuration hold of one route at one moment."""

    now_ns: int
    """CLOCK_MONOTONIC."""
    now_ms: float
    """Unix time."""
    symbol: str
    symbol_id: int
    direction: Direction
    engine_state: str
    engine_started_ns: int | None
    """CLOCK_MONOTONIC; None while it does not run."""
    is_ring_full: bool
    """Whether what is said has to wait in the engine until the tracker has made room."""
    limits: EngineConfig
    control: ControlState
    spot: LegReading
    futures: LegReading
    funding: dict[str, Any] | None
    """A FUNDING_DTYPE record; None when it has no stable value, as the two below."""
    baseline: dict[str, Any] | None
    state: dict[str, Any] | None
    signal: dict[str, Any] | None
    """The route's last SIGNAL_DTYPE record that the ring still holds; None for none."""
    suppressed: Sequence[int]
    """Of the direction, by Gate, since shm-init."""


class LegRow(msgspec.Struct, frozen=True, kw_only=True):
    """One leg's quote; prices in USDT per coin, sizes in coins."""

    source: str
    bid: float | None
    ask: float | None
    bid_qty: float | None
    ask_qty: float | None
    age_ms: float | None
    """Since the feed received it."""
    waited_ms: float | None
    """In the feed, until it was stored."""
    flags: list[str]
    taker_bps: float
    maker_bps: float


class FundingPart(msgspec.Struct, frozen=True, kw_only=True):
    """What funding does to the net spread; the short leg receives a positive rate."""

    known: bool
    why_not: str
    rate: float | None
    """Fraction of the notional at each settlement."""
    interval_h: float | None
    next_settlement_ms: int | None
    age_s: float | None
    holding_h: float
    settlements: int | None
    """Within the holding time."""
    bps: float | None


class UsualPart(msgspec.Struct, frozen=True, kw_only=True):
    """The route's usual gross spread, and how unusual the present one is."""

    median_bps: float | None
    mad_bps: float | None
    samples: int
    age_s: float | None
    z_score: float | None


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """From gross to net; None throughout while a leg has no price."""

    gross_bps: float
    fees_bps: float
    """Four taker fills."""
    net_bps: float
    net_after_funding_bps: float | None
    exit_bps: float
    executable_usd: float


class GateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One gate."""

    name: str
    passes: bool | None
    """None: not known, or there is nothing to judge."""
    detail: str
    held_back: int
    """Signals of this direction since shm-init."""


class LastSignal(msgspec.Struct, frozen=True, kw_only=True):
    """The last signal of the route."""

    kind: str
    age_s: float
    opening: int
    net_bps: float
    details: dict[str, Any] | None
    """The whole record; None when the ring, of 65,536 signals, does not hold it any more."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole waterfall of one route."""

    symbol: str
    direction: str
    engine: str
    """State of the engine's process; the rest is from shared memory in any case."""
    is_open: bool | None
    """Whether the route has signalled an opening and no ending; None: not known."""
    is_resumed: bool
    """Whether it is open by the word of an earlier engine: then it opens again under its number."""
    would: str
    """What the spread alone would say now: ``open``, ``close``, ``update`` or ``nothing``."""
    verdict: str
    spot: LegRow
    futures: LegRow
    money: Money | None
    funding: FundingPart
    usual: UsualPart
    gates: list[GateRow]
    last_signal: LastSignal | None
