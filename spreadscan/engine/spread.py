"""The one place where a spread is defined. Pure; scalars or numpy arrays alike.

    entry_spread_bps = (futures_bid - spot_ask) / spot_ask * 10_000
    exit_spread_bps  = (futures_ask - spot_bid) / spot_bid * 10_000
    net_spread_bps   = entry_spread_bps - round-trip taker fees (four fills)

Positive entry: the perpetual can be sold dearer than the coin can be bought. The kernel's scan
computes the same expressions in the same order, so both give the same bits.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["entry_spread_bps", "executable_usd", "exit_spread_bps"]

BPS = 10_000.0

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
