"""The oracle: holds every signal against the truth of the simulator.

What a perfect client could hold at a moment S is known: the newest quote of the row that had left
by then, for as long as the row has a listener; and for the time that is under way in sockets and
run queues (``in_flight_s``) also its neighbours in time. A leg of a signal must be one such quote:

* another price or size than the source ever showed, or sides of two of its quotes: PHANTOM
* a quote whose successor left more than in_flight_s before S: PHANTOM
* a quote of a row that lost its last listener more than in_flight_s before S: PHANTOM
* said to have come after it was last sent or before it came about, or older than the leg's age
  limit: PHANTOM. A client may make a quote older than it is to it: one that was sent late, or long
  after it came about, has the age of its exchange time
* otherwise, if nothing newer came about more than in_flight_s before S: TRUE
* otherwise all newer ones were HELD by a fault, and nobody could know: UNKNOWABLE

A signal is as good as the worse of its legs, and a PHANTOM if its arithmetic is wrong.
"""

import itertools
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from spreadscan.exchanges import sources
from spreadscan.sim.truth import Fate

PRICE_TOLERANCE = 1e-9
SIZE_TOLERANCE = 1e-6  # both are f32
BPS_TOLERANCE = 1e-6
SPREAD_BPS = 10_000.0


class Kind(IntEnum):
    TRUE = 0
    UNKNOWABLE = 1
    PHANTOM = 2


class Verdict(NamedTuple):
    kind: Kind
    reason: str


class Leg(NamedTuple):
    """One side of a signal, at its source."""

    source_id: int
    symbol_id: int
    bid: float
    ask: float
    bid_qty: float
    ask_qty: float
    age_us: int


class Oracle:
    """Judges SIGNAL_DTYPE records.

    Args:
        truth: of the run.
        universe: symbol ids to exchange symbols.
        in_flight_s: longest way from the simulator's decision to send to the engine's look at it.
        max_leg_age_s: of the engine.
    """

    def __init__(self, truth, universe, *, in_flight_s, max_leg_age_s):
        self._in_flight_ns = round(in_flight_s * 1e9)
        self._max_leg_age_us = round(max_leg_age_s * 1e6)
        row_of = {tuple(name): row for row, name in enumerate(truth.preface.rows)}
        self._rows = {
            (source.source_id, symbol_id): row_of.get((source.name, exchange_symbol))
            for source in sources().values()
            for exchange_symbol, symbol_id, *_ in universe.legs(source.source_id)
        }
        self._routes = {
            (direction.direction_id, symbol_id): (direction.spot_source, direction.futures_source)
            for direction in universe.directions
            for symbol_id in direction.symbols
        }
        records = truth.records[np.argsort(truth.records["row"], kind="stable")]
        bounds = np.searchsorted(records["row"], np.arange(len(truth.preface.rows) + 1))
        self._events = [records[first:last] for first, last in itertools.pairwise(bounds)]

    def judge(self, signal) -> Verdict:
        """Say whether a signal is the truth."""
        route = int(signal["direction"]), int(signal["symbol_id"])
        pair = int(signal["spot_source"]), int(signal["futures_source"])
        if self._routes.get(route) != pair:
            return Verdict(Kind.PHANTOM, f"route {route} over sources {pair} does not exist")
        spread = (signal["futures_bid"] - signal["spot_ask"]) / signal["spot_ask"] * SPREAD_BPS
        if not abs(spread - signal["gross_bps"]) <= BPS_TOLERANCE:
            return Verdict(Kind.PHANTOM, f"gross {signal['gross_bps']} bps, its legs say {spread}")
        legs = [leg_of(signal, side) for side in ("spot", "futures")]
        return max(self._judge_leg(leg, int(signal["time_ns"])) for leg in legs)

    def _judge_leg(self, leg, signal_ns):
        row = self._rows.get((leg.source_id, leg.symbol_id))
        if row is None:
            return Verdict(Kind.PHANTOM, f"{leg}: not listed there")
        events = self._events[row]
        is_equal = equal_quotes(events, leg)
        found = np.flatnonzero(self._is_possible(events, signal_ns) & is_equal)
        if trouble := self._trouble(events, leg, signal_ns, is_equal, found):
            return Verdict(Kind.PHANTOM, f"{leg}: {trouble}")
        newer = events["time_ns"][events["number"] > events["number"][found[-1]]]
        if len(newer) and newer[0] <= signal_ns - self._in_flight_ns:
            return Verdict(Kind.UNKNOWABLE, f"{leg}: its successors were held back")
        return Verdict(Kind.TRUE, "")

    def _is_possible(self, events, signal_ns):
        """Say which events a perfect client could have as its last ones."""
        times, fates = events["time_ns"], events["fate"]
        since_ns, until_ns = signal_ns - self._in_flight_ns, signal_ns + self._in_flight_ns
        is_sent = fates == Fate.LEFT
        is_possible = is_sent & (times > since_ns) & (times <= until_ns)
        settled = np.flatnonzero((is_sent | (fates == Fate.DEAF)) & (times <= since_ns))
        if len(settled):
            is_possible[settled[-1]] = is_sent[settled[-1]]
        return is_possible

    def _trouble(self, events, leg, signal_ns, is_equal, found):
        """Return what makes a leg a phantom, "" where nothing does."""
        if not is_equal.any():
            return why_never(events, leg)
        if leg.age_us > self._max_leg_age_us:
            return "older than the limit"
        if not len(found):
            return why_not_now(events, is_equal, signal_ns)
        received_ns = signal_ns - leg.age_us * 1000
        sent_ns = events["time_ns"][is_equal & (events["fate"] == Fate.LEFT)]
        # A repeat has the number of what it repeats.
        numbers = np.unique(events["number"][found])
        born_ns = events["time_ns"][np.isin(events["number"], numbers)].min()
        # Told anew under another number, as after ids began anew: who goes on with what stood
        # there before holds the same book, and says honestly since when.
        others = np.flatnonzero(~is_equal[: found[0]])
        born_ns = min(born_ns, events["time_ns"][others[-1] + 1 if len(others) else 0])
        if received_ns < born_ns - self._in_flight_ns:
            return "is said to have come before it came about"
        if received_ns > sent_ns.max() + self._in_flight_ns:
            return "is said to have come after it was last sent"
        return ""


def leg_of(signal, side):
    """Take one side out of a signal."""
    names = ("bid", "ask", "bid_qty", "ask_qty")
    values = (float(signal[f"{side}_{name}"]) for name in names)
    source_id, symbol_id = int(signal[f"{side}_source"]), int(signal["symbol_id"])
    return Leg(source_id, symbol_id, *values, int(signal[f"{side}_age_us"]))


def why_not_now(events, is_equal, signal_ns):
    """Say why a quote that was once shown could not be what a client held."""
    is_sent = events["fate"] == Fate.LEFT
    sent = np.flatnonzero(is_equal & is_sent & (events["time_ns"] <= signal_ns))
    if not len(sent):
        return "was not sent before the signal"
    later = events[sent[-1] + 1 :]
    ended = later[np.isin(later["fate"], (Fate.LEFT, Fate.DEAF))][0]
    how = "nobody listened" if ended["fate"] == Fate.DEAF else "its successor had left"
    return f"{how} for {(signal_ns - int(ended['time_ns'])) / 1e9:.3f} s"


def equal_quotes(events, leg):
    """Say which events are about exactly this quote, all four numbers of it."""
    return (
        (events["fate"] != Fate.DEAF)
        & is_near(events["bid"], leg.bid, PRICE_TOLERANCE)
        & is_near(events["ask"], leg.ask, PRICE_TOLERANCE)
        & is_near(events["bid_qty"], leg.bid_qty, SIZE_TOLERANCE)
        & is_near(events["ask_qty"], leg.ask_qty, SIZE_TOLERANCE)
    )


def is_near(column, value, tolerance):
    return np.abs(column - value) <= tolerance * abs(value)


def why_never(events, leg):
    """Say how a quote that was never shown differs from those that were."""
    has_bid = is_near(events["bid"], leg.bid, PRICE_TOLERANCE)
    has_ask = is_near(events["ask"], leg.ask, PRICE_TOLERANCE)
    if (has_bid & has_ask).any():
        return "prices of one quote, sizes of another"
    return "sides of two quotes" if has_bid.any() and has_ask.any() else "a price never shown"
