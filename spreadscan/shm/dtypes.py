"""The records of shared memory as numpy sees them; offered by ``layout``, whose offsets these are.

A file of its own because numpy is the larger part of what a quick command would wait for:
``layout`` imports it when one of these is first asked for.
"""

import numpy as np

from spreadscan.shm.layout import Baseline, Funding, PriceData, RouteState, Signal

__all__ = ["BASELINE_DTYPE", "FUNDING_DTYPE", "PRICE_DTYPE", "ROUTE_STATE_DTYPE", "SIGNAL_DTYPE"]

PRICE_DTYPE = np.dtype(
    {
        "names": [
            "bid", "ask", "bid_qty", "ask_qty", "exchange_ns", "received_ns", "update_id",
            "flags", "epoch", "publish_delay_ns",
        ],
        "formats": ["<f8"] * 4 + ["<i8"] * 3 + ["<u2", "<u2", "<u4"],
        "offsets": [
            PriceData.BID, PriceData.ASK, PriceData.BID_QTY, PriceData.ASK_QTY,
            PriceData.EXCHANGE_NS, PriceData.RECEIVED_NS, PriceData.UPDATE_ID,
            PriceData.FLAGS, PriceData.EPOCH, PriceData.PUBLISH_DELAY_NS,
        ],
        "itemsize": PriceData.BYTES,
    }
)  # fmt: skip
"""One price slot as a reader copies it."""

SIGNAL_DTYPE = np.dtype(
    {
        "names": [
            "sequence", "time_ns", "type", "version", "length",
            "direction", "spot_source", "futures_source", "symbol_id", "spot_epoch",
            "spot_bid", "spot_ask", "futures_bid", "futures_ask",
            "spot_bid_qty", "spot_ask_qty", "futures_bid_qty", "futures_ask_qty",
            "gross_bps", "net_bps", "executable_usd", "exit_bps", "spot_age_us",
            "futures_age_us", "futures_epoch", "opening", "net_after_funding_bps", "z_score",
        ],
        "formats": ["<u8", "<i8", "<u2", "<u2", "<u4", "u1", "u1", "u1", "<u2", "<u2"]
        + ["<f8"] * 4 + ["<f4"] * 4 + ["<f8"] * 2 + ["<f4"] * 2
        + ["<u4", "<u4", "<u2", "<u4", "<f4", "<f4"],
        "offsets": [
            Signal.SEQUENCE, Signal.TIME_NS, Signal.TYPE, Signal.VERSION, Signal.LENGTH,
            Signal.DIRECTION, Signal.SPOT_SOURCE, Signal.FUTURES_SOURCE, Signal.SYMBOL_ID,
            Signal.SPOT_EPOCH,
            Signal.SPOT_BID, Signal.SPOT_ASK, Signal.FUTURES_BID, Signal.FUTURES_ASK,
            Signal.SPOT_BID_QTY, Signal.SPOT_ASK_QTY, Signal.FUTURES_BID_QTY,
            Signal.FUTURES_ASK_QTY,
            Signal.GROSS_BPS, Signal.NET_BPS, Signal.EXECUTABLE_USD, Signal.EXIT_BPS,
            Signal.SPOT_AGE_US, Signal.FUTURES_AGE_US, Signal.FUTURES_EPOCH, Signal.OPENING,
            Signal.NET_AFTER_FUNDING_BPS, Signal.Z_SCORE,
        ],
        "itemsize": Signal.BYTES,
    }
)  # fmt: skip
"""One record of the ring."""

FUNDING_DTYPE = np.dtype(
    {
        "names": ["seq", "rate", "interval_s", "next_settlement_ms", "received_ns"],
        "formats": ["<u8", "<f8", "<f8", "<i8", "<i8"],
        "offsets": [
            Funding.SEQ, Funding.RATE, Funding.INTERVAL_S, Funding.NEXT_SETTLEMENT_MS,
            Funding.RECEIVED_NS,
        ],
        "itemsize": Funding.RECORD_BYTES,
    }
)  # fmt: skip
"""One slot's funding as a reader copies it."""

BASELINE_DTYPE = np.dtype(
    {
        "names": ["seq", "median_bps", "mad_bps", "samples", "updated_ns"],
        "formats": ["<u8", "<f4", "<f4", "<u4", "<i8"],
        "offsets": [
            Baseline.SEQ, Baseline.MEDIAN_BPS, Baseline.MAD_BPS, Baseline.SAMPLES,
            Baseline.UPDATED_NS,
        ],
        "itemsize": Baseline.RECORD_BYTES,
    }
)  # fmt: skip
"""One route's baseline as a reader copies it."""

ROUTE_STATE_DTYPE = np.dtype(
    {
        "names": ["seq", "time_ns", "opening", "type", "is_open", "net_bps"],
        "formats": ["<u8", "<i8", "<u4", "<u2", "<u2", "<f8"],
        "offsets": [
            RouteState.SEQ, RouteState.TIME_NS, RouteState.OPENING, RouteState.TYPE,
            RouteState.IS_OPEN, RouteState.NET_BPS,
        ],
        "itemsize": RouteState.BYTES,
    }
)  # fmt: skip
"""One route's state as a reader copies it."""
