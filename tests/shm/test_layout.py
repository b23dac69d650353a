"""The numbers of layout version 2; whoever changes one raises LAYOUT_VERSION with it."""

import importlib
import itertools

import numpy as np
import pytest

import spreadscan.kernel
from spreadscan.errors import LayoutMismatch
from spreadscan.kernel.offsets import layout_table
from spreadscan.model import QuoteStatus
from spreadscan.shm import layout
from spreadscan.shm.layout import (
    BASELINE_DTYPE,
    FUNDING_DTYPE,
    PRICE_DTYPE,
    REGION_SHAPES,
    ROUTE_STATE_DTYPE,
    SIGNAL_DTYPE,
    Baseline,
    Control,
    Dirty,
    Funding,
    Header,
    Health,
    PriceData,
    Prices,
    RegionKind,
    Ring,
    Routes,
    RouteState,
    Signal,
)

CONSTANTS = {
    "MAGIC": 0x4E41435344525053,
    "LAYOUT_VERSION": 2,
    "CACHE_LINE": 64,
    "LINE_PAIR": 128,
    "NUM_SOURCES": 8,
    "MAX_SYMBOLS": 1024,
    "SLOT_COUNT": 8192,
    "MAX_DIRECTIONS": 64,
    "ROUTE_CAPACITY": 65_536,
    "RING_CAPACITY": 65_536,
    "HEALTH_SLOTS": 16,
    "NUM_COUNTERS": 64,
    "NUM_GATES": 16,
    "NUM_HISTOGRAMS": 8,
    "HISTOGRAM_BUCKETS": 640,
    "HEADER_BYTES": 128,
    "SIGNAL_VERSION": 2,
    "SIGNAL_PAYLOAD_BYTES": 104,
}
HEADER = {
    "MAGIC": 0, "LAYOUT_VERSION": 8, "KIND": 12, "REGION_BYTES": 16, "RECORD_BYTES": 24,
    "CAPACITY": 28, "BUILD_ID": 32, "CREATOR_PID": 40, "CRC32": 44, "CREATOR_START_TICKS": 48,
    "CREATED_NS": 56, "CRC_END": 64, "EPOCH": 64, "UNIVERSE_GENERATION": 72, "NUM_SYMBOLS": 80,
    "BYTES": 128,
}  # fmt: skip
PRICES = {
    "SOURCE_STATES": 128, "SOURCE_STATE_BYTES": 128, "SOURCE_EPOCH": 0, "SOURCE_SILENT": 8,
    "SEQ": 1_152, "SEQ_ENTRY_BYTES": 64, "DATA": 525_440, "DATA_ENTRY_BYTES": 64,
    "BYTES": 1_049_728,
}  # fmt: skip
PRICE_DATA = {
    "BID": 0, "ASK": 8, "BID_QTY": 16, "ASK_QTY": 24, "EXCHANGE_NS": 32, "RECEIVED_NS": 40,
    "UPDATE_ID": 48, "FLAGS": 56, "EPOCH": 58, "PUBLISH_DELAY_NS": 60, "BYTES": 64,
}  # fmt: skip
DIRTY = {
    "ENGINE_LINE": 128, "ENGINE_SLEEPING": 0, "BLOCKS": 256, "BLOCK_BYTES": 128, "BYTES": 1_280,
}  # fmt: skip
RING = {
    "PRODUCER_LINE": 128, "TAIL": 0, "FULL_COUNT": 8, "CONSUMER_LINE": 256, "HEAD": 0,
    "RECORDS": 384, "RECORD_BYTES": 128, "BYTES": 8_388_992,
}  # fmt: skip
SIGNAL = {
    "SEQUENCE": 0, "TIME_NS": 8, "TYPE": 16, "VERSION": 18, "LENGTH": 20, "DIRECTION": 24,
    "SPOT_SOURCE": 25, "FUTURES_SOURCE": 26, "RESERVED": 27, "SYMBOL_ID": 28, "SPOT_EPOCH": 30,
    "SPOT_BID": 32, "SPOT_ASK": 40, "FUTURES_BID": 48, "FUTURES_ASK": 56, "SPOT_BID_QTY": 64,
    "SPOT_ASK_QTY": 68, "FUTURES_BID_QTY": 72, "FUTURES_ASK_QTY": 76, "GROSS_BPS": 80,
    "NET_BPS": 88, "EXECUTABLE_USD": 96, "EXIT_BPS": 100, "SPOT_AGE_US": 104,
    "FUTURES_AGE_US": 108, "FUTURES_EPOCH": 112, "OPENING": 116, "NET_AFTER_FUNDING_BPS": 120,
    "Z_SCORE": 124, "BYTES": 128,
}  # fmt: skip
HEALTH = {
    "SLOTS": 128, "PID": 0, "STATE": 4, "START_TICKS": 8, "HEARTBEAT_NS": 16, "STARTED_NS": 24,
    "OBEYED_GENERATION": 32, "RESTARTS": 40, "UNIVERSE_GENERATION": 48, "NAME": 64,
    "NAME_BYTES": 32, "STATUS": 128, "STATUS_BYTES": 128, "COUNTERS": 256, "HISTOGRAMS": 768,
    "HISTOGRAM_BYTES": 5_120, "SLOT_BYTES": 41_728, "BYTES": 667_776,
}  # fmt: skip
CONTROL = {
    "GENERATION": 128, "SHUTDOWN": 136, "KILL": 144, "PAUSE_ALL": 152, "PAUSED_SOURCES": 160,
    "PAUSED_DIRECTIONS": 168, "CONFIG_GENERATION": 176, "KILLS": 184, "PAUSED_SYMBOLS": 256,
    "REASON": 384, "REASON_BYTES": 128, "BYTES": 512,
}  # fmt: skip
FUNDING = {
    "RECORDS": 128, "SEQ": 0, "RATE": 8, "INTERVAL_S": 16, "NEXT_SETTLEMENT_MS": 24,
    "RECEIVED_NS": 32, "RECORD_BYTES": 64, "BYTES": 524_416,
}  # fmt: skip
BASELINE = {
    "RECORDS": 128, "SEQ": 0, "MEDIAN_BPS": 8, "MAD_BPS": 12, "SAMPLES": 16, "RESERVED": 20,
    "UPDATED_NS": 24, "RECORD_BYTES": 32, "BYTES": 2_097_280,
}  # fmt: skip
ROUTES = {
    "GATES": 128, "GATE_ROW_BYTES": 128, "SUSPECTS": 8_320, "SUSPECT_BLOCK_BYTES": 128,
    "KILLS_FOLLOWED": 9_344, "NAMES": 9_472, "STATES": 17_664, "STATE_BYTES": 32,
    "BYTES": 2_114_816,
}  # fmt: skip
ROUTE_STATE = {
    "SEQ": 0, "TIME_NS": 8, "OPENING": 16, "TYPE": 20, "IS_OPEN": 22, "NET_BPS": 24, "BYTES": 32,
}  # fmt: skip


NO_COLUMNS = {"RECORDS", "RECORD_BYTES", "BYTES", "RESERVED"}


def constants_of(table):
    return {name: value for name, value in vars(table).items() if name.isupper()}


def test_constants_are_those_of_layout_version_2():
    assert {name: getattr(layout, name) for name in CONSTANTS} == CONSTANTS


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (Header, HEADER),
        (Prices, PRICES),
        (PriceData, PRICE_DATA),
        (Dirty, DIRTY),
        (Ring, RING),
        (Signal, SIGNAL),
        (Health, HEALTH),
        (Control, CONTROL),
        (Funding, FUNDING),
        (Baseline, BASELINE),
        (Routes, ROUTES),
        (RouteState, ROUTE_STATE),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_every_offset_is_that_of_layout_version_2(table, expected):
    assert constants_of(table) == expected


def test_region_shapes_are_those_of_layout_version_2():
    assert REGION_SHAPES == {
        RegionKind.PRICES: (1_049_728, 64, 8_192),
        RegionKind.DIRTY: (1_280, 128, 8),
        RegionKind.RING: (8_388_992, 128, 65_536),
        RegionKind.HEALTH: (667_776, 41_728, 16),
        RegionKind.CONTROL: (512, 384, 1),
        RegionKind.GOVERNOR: (4_224, 128, 32),
        RegionKind.FUNDING: (524_416, 64, 8_192),
        RegionKind.BASELINE: (2_097_280, 32, 65_536),
        RegionKind.ROUTES: (2_114_816, 32, 65_536),
    }


@pytest.mark.parametrize(
    ("dtype", "table", "record_bytes"),
    [
        (PRICE_DTYPE, PriceData, PriceData.BYTES),
        (SIGNAL_DTYPE, Signal, Signal.BYTES),
        (FUNDING_DTYPE, Funding, Funding.RECORD_BYTES),
        (BASELINE_DTYPE, Baseline, Baseline.RECORD_BYTES),
        (ROUTE_STATE_DTYPE, RouteState, RouteState.BYTES),
    ],
    ids=["price", "signal", "funding", "baseline", "route state"],
)
def test_numpy_columns_stand_where_the_layout_says(dtype, table, record_bytes):
    columns = {name.upper(): place[1] for name, place in dtype.fields.items()}

    expected = constants_of(table)
    assert columns == {name: offset for name, offset in expected.items() if name not in NO_COLUMNS}
    assert dtype.itemsize == record_bytes


@pytest.mark.parametrize(
    "dtype",
    [PRICE_DTYPE, SIGNAL_DTYPE, FUNDING_DTYPE, BASELINE_DTYPE, ROUTE_STATE_DTYPE],
    ids=["price", "signal", "funding", "baseline", "route state"],
)
def test_numpy_columns_do_not_overlap(dtype):
    spans = sorted((place[1], place[1] + place[0].itemsize) for place in dtype.fields.values())

    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))


@pytest.mark.parametrize("name", sorted(layout_table()))
def test_kernel_refuses_any_layout_constant_that_differs_from_its_own(monkeypatch, name):
    owner, _, attribute = name.rpartition(".")
    holder = getattr(layout, owner) if owner else layout
    monkeypatch.setattr(holder, attribute, getattr(holder, attribute) + 1)

    with pytest.raises(LayoutMismatch) as refusal:
        spreadscan.kernel._check()

    assert (refusal.value.region, refusal.value.field) == ("kernel", name)
    assert refusal.value.found == refusal.value.expected - 1


def test_kernel_accepts_the_layout_as_it_is():
    importlib.reload(spreadscan.kernel)


def test_kernel_refuses_status_numbers_that_differ_from_its_own(monkeypatch):
    monkeypatch.setattr(
        spreadscan.kernel, "QuoteStatus", dict.fromkeys(QuoteStatus.__members__, 99)
    )

    with pytest.raises(LayoutMismatch, match="QuoteStatus"):
        spreadscan.kernel._check()


def test_words_of_different_writers_never_share_a_pair_of_cache_lines():
    assert Ring.CONSUMER_LINE - Ring.PRODUCER_LINE >= 128
    assert Ring.RECORDS - Ring.CONSUMER_LINE >= 128
    assert Dirty.BLOCKS - Dirty.ENGINE_LINE >= 128
    assert np.gcd(Health.SLOT_BYTES, 128) == 128
