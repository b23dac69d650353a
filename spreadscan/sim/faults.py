"""What a scenario file may hold, and what its faults do to outgoing quotes.

    [[fault]]                   # any number of them; the kinds stand below
    at_s = 10.0                 # after the start of the run
    kind = "stall"
    source = "okx_spot"         # or an exchange, "okx"; without it every source
    symbol = "BTC-USDT"         # in the exchange's spelling; without it every symbol
    for_s = 15.0                # without it to the end of the run

    [[fault]]
    at_s = 0.0
    kind = "half_list"          # html, error_body, empty_list, half_list, slow_rest: REST answers
    source = "bybit"
    answers = "listing"         # or "tickers", "funding" or "all"
    delay_ms = 5000             # slow_rest: how late they come

    [[coin]]                    # a coin on top of the usual ones, last in liquidity
    name = "NEIROETH"           # its true name; no client sees it
    price_usd = 0.062
    contract_coins = 10.0       # where contracts are counted; without it some dollars' worth
    [coin.listed]               # its base ticker by source; the other sources do not list it
    bybit_spot = "NEIRO"        # two coins may share a ticker at different sources
    bybit_futures = { base = "1000NEIRO", coins = 1000 }          # priced by the thousand
    mexc_futures = { base = "NEIRO", base_name = "NEIROETH" }     # baseCoin and baseCoinName

An added coin takes the place of a stranger row of that symbol. The file is read by
``sim/scenario.py``; what happens to connections and listings is ``sim/director.py``'s part. Pure:
no clock, no socket; chance comes from the seed, so that a run can be repeated.
"""

import random
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from spreadscan.sim.venues import Frame

__all__ = [
    "DATA_KINDS",
    "NEEDS_SYMBOL",
    "REST_KINDS",
    "UNSERVED_KINDS",
    "Disturbance",
    "Fault",
    "Kind",
    "Outgoing",
]

Kind = Literal[
    "stall",  # connections live, pings are answered, no quotes
    "mute",  # the same for one symbol
    "drop",  # connections end without a close frame, once
    "garbage",  # a share of the quotes is preceded by bytes that are no frame of theirs
    "duplicate",  # a share of the quotes comes twice
    "reorder",  # a share of the quotes comes after the symbol's next one
    "delay",  # quotes come delay_ms late
    "deltas",  # quotes are deltas of the changed sides, where the exchange ever did so
    "renumber",  # update ids begin anew at 1, once
    "429",  # REST and handshakes are refused, with Retry-After
    "418",  # the same as a ban
    "lifetime",  # connections are closed at the age of life_s
    "unknown",  # the symbol falls silent and is unknown to subscribe, though REST shows it trading
    "delist",  # the same, and dead or gone in the listing and the tickers
    "maintenance",  # connections are closed; REST and handshakes get 503
    "shutdown",  # announced where the exchange announces it; closed after for_s
    "skew",  # the exchange's clock is skew_ms ahead
    "html",  # REST answers are a web page, with status 200
    "error_body",  # REST answers are the exchange's own error, with status 200
    "empty_list",  # REST answers are in order, and their list is empty
    "half_list",  # the same with the first half of the list
    "slow_rest",  # REST answers come delay_ms late
    "hourly",  # funding is settled every hour, whatever the interval was before
]
UNSERVED_KINDS = {"unknown", "delist"}
REST_KINDS = {"html", "error_body", "empty_list", "half_list", "slow_rest"}
DATA_KINDS = {"stall", "mute", "garbage", "duplicate", "reorder", "delay"} | UNSERVED_KINDS
NEEDS_SYMBOL = {"mute"} | UNSERVED_KINDS
# What these kinds last when nothing is said.
MOMENTARY = {"drop", "renumber"}
SHUTDOWN_NOTICE_S = 5.0
MAX_GARBAGE_BYTES = 2048

NotNegative = Annotated[float, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault of a scenario."""

    at_s: NotNegative
    kind: Kind
    source: str | None = None
    symbol: str | None = None
    for_s: Positive | None = None
    share: Annotated[float, Meta(gt=0, le=1)] = 0.1
    """garbage, duplicate, reorder: of the quotes."""
    delay_ms: Positive = 500.0
    """delay, slow_rest."""
    answers: Literal["listing", "tickers", "funding", "all"] = "listing"
    """html, error_body, empty_list, half_list, slow_rest: which of them."""
    skew_ms: int = 5000
    """Negative for a clock that is behind."""
    life_s: Positive = 60.0
    retry_after_s: Positive | None = None
    """None: what is left of the fault."""

    def end_s(self) -> float:
        """Return when it ends."""
        if self.kind in MOMENTARY:
            return self.at_s
        if self.for_s is not None:
            return self.at_s + self.for_s
        return self.at_s + SHUTDOWN_NOTICE_S if self.kind == "shutdown" else float("inf")

    def hits(self, source: str) -> bool:
        """Return whether it is about this source."""
        return self.source in (None, source, source.rpartition("_")[0])


class Outgoing(NamedTuple):
    """One frame on its way."""

    delay_s: float
    frame: Frame


class Disturbance:
    """What the present faults do to quotes.

    Args:
        listed: (source, exchange symbol) of every row.
        seed: of its chance.
    """

    def __init__(self, listed: Sequence[tuple[str, str]], seed: int) -> None:
        self.skew_ms = [0] * len(listed)
        """By row: how far the source's clock is ahead."""
        self.delta_rows: set[int] = set()
        """Rows whose quotes are sent as deltas."""
        self._listed = listed
        self._random = random.Random(seed)  # noqa: S311 - chance of a test, not a secret
        self._present: list[Fault] = []
        self._on_row: dict[int, list[Fault]] = {}
        self._held: dict[tuple[int, str], Frame] = {}

    def present(self) -> Sequence[Fault]:
        """Return the faults under way."""
        return self._present

    def change(self, present: Sequence[Fault]) -> None:
        """Take over another set of faults."""
        self._present = list(present)
        self._on_row = {}
        self.delta_rows = set()
        for row, (source, symbol) in enumerate(self._listed):
            mine = [f for f in present if f.hits(source) and f.symbol in (None, symbol)]
            self.skew_ms[row] = sum(fault.skew_ms for fault in mine if fault.kind == "skew")
            if any(fault.kind == "deltas" for fault in mine):
                self.delta_rows.add(row)
            if data := [fault for fault in mine if fault.kind in DATA_KINDS]:
                self._on_row[row] = data
        self._held = {key: frame for key, frame in self._held.items() if key[0] in self._on_row}

    def touches(self, row: int) -> bool:
        """Return whether quotes of this row are disturbed."""
        return row in self._on_row

    def outgoing(self, row: int, form: str, frame: Frame) -> list[Outgoing]:
        """Return what is sent instead of one quote, in order; nothing where it is suppressed."""
        frames = [frame]
        delay_s = 0.0
        for fault in self._on_row.get(row, ()):
            match fault.kind:
                case "stall" | "mute" | "unknown" | "delist":
                    return []
                case "delay":
                    delay_s += fault.delay_ms / 1000
                case "duplicate" if self._random.random() < fault.share:
                    frames.append(frame)
                case "garbage" if self._random.random() < fault.share:
                    frames.insert(0, self._garbage(frame))
                case "reorder":
                    held = self._held.pop((row, form), None)
                    if held is not None:
                        frames.append(held)
                    elif self._random.random() < fault.share:
                        self._held[row, form] = frames.pop()
                case _:
                    pass
        return [Outgoing(delay_s, each) for each in frames]

    def _garbage(self, frame: Frame) -> Frame:
        """Return something that no reader may take for a quote."""
        chance = self._random
        match chance.randrange(5):
            case 0:  # cut off
                return frame[: chance.randrange(len(frame))]
            case 1:  # as long as it was, and no sense in it
                return chance.randbytes(len(frame))
            case 2:
                return chance.randbytes(chance.randrange(1, MAX_GARBAGE_BYTES))
            case 3:  # deeper than anybody would build it
                return "[" * chance.randrange(1, MAX_GARBAGE_BYTES)
            case _:
                return "" if isinstance(frame, str) else b""
