"""The one place where a spread and its worth are defined. Pure; scalars or numpy arrays alike.

``FORMULAS`` and ``CONVENTIONS`` say it in words, for readers and for ``spread-ctl explain --help``.
The kernel computes the same expressions in the same order (``scan_pass.pxd``, ``money.pxd``), so
both give the same bits.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

__all__ = [
    "CONVENTIONS",
    "FORMULAS",
    "entry_spread_bps",
    "executable_usd",
    "exit_spread_bps",
    "net_after_funding_bps",
    "settlements_within",
    "z_score",
]

FORMULAS = """\
entry_spread_bps      = (futures_bid - spot_ask) / spot_ask * 10_000
exit_spread_bps       = (futures_ask - spot_bid) / spot_bid * 10_000
net_spread_bps        = entry_spread_bps - 2 * (spot_taker + futures_taker)
net_after_funding_bps = net_spread_bps + settlements * rate * 10_000
executable_usd        = min(spot_ask * its qty, futures_bid * its qty)
z_score               = (entry_spread_bps - median) / (1.4826 * MAD)"""

CONVENTIONS = """\
Prices are USDT per base coin, sizes base coins; fees and spreads are basis
points (0.01 %) of what is paid for the coin. The coin is bought at the ask,
the perpetual sold at the bid: a positive entry spread is earned, a positive
exit spread is paid when both legs are closed again. Four fills are taken
off, all as taker. A positive funding rate is paid by longs to shorts, so
the short leg receives it: once for every settlement within the holding
time, each at the present rate."""

BPS = 10_000.0
MAD_TO_SIGMA = 1.4826
"""From a median absolute deviation to a standard deviation, of what is spread normally."""

Number = TypeVar("Number", float, npt.NDArray[np.float64])


def entry_spread_bps(spot_ask: Number, futures_bid: Number) -> Number:
    """Return what opening earns before fees, in basis points of the spot price paid."""
    return (futures_bid - spot_ask) / spot_ask * BPS


def exit_spread_bps(spot_bid: Number, futures_ask: Number) -> Number:
    """Return what closing would cost, in basis points of the spot price received."""
    return (futures_ask - spot_bid) / spot_bid * BPS


def executable_usd(
    spot_ask: Number, spot_ask_qty: Number, futures_bid: Number, futures_bid_qty: Number
) -> Number:
    """Return the value both top levels can fill at once, in USDT: the smaller leg."""
    smaller: Number = np.minimum(spot_ask * spot_ask_qty, futures_bid * futures_bid_qty)
    return smaller


def settlements_within(
    now_ms: float, holding_ms: float, next_settlement_ms: float, interval_ms: float
) -> float:
    """Return how often funding is settled after now and up to the end of the holding time.

    Args:
        now_ms: Unix time.
        holding_ms: from now on.
        next_settlement_ms: Unix time as the exchange said it; one that has passed counts on from
            there by whole intervals.
        interval_ms: between two settlements, above zero.
    """
    until_end = np.floor((now_ms + holding_ms - next_settlement_ms) / interval_ms)
    until_now = max(np.floor((now_ms - next_settlement_ms) / interval_ms), -1.0)
    return float(max(until_end - until_now, 0.0))


def net_after_funding_bps(net_bps: Number, settlements: float, rate: float) -> Number:
    """Return a net spread with what the short leg receives (or, below zero, pays) as funding.

    Args:
        net_bps: after fees.
        settlements: within the holding time.
        rate: fraction of the notional at each; positive: longs pay shorts.
    """
    return net_bps + settlements * rate * BPS


def z_score(entry_bps: Number, median_bps: Number, mad_bps: Number) -> Number:
    """Return how many standard deviations a gross entry spread is above its usual one.

    Args:
        entry_bps: before fees.
        median_bps: of the same route's past.
        mad_bps: its median absolute deviation, above zero.
    """
    return (entry_bps - median_bps) / (MAD_TO_SIGMA * mad_bps)
