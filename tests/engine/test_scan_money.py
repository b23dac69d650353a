"""What a signal says its spread is worth, against slow decimals and against engine/spread.py."""

import math
import time
from decimal import Decimal

import numpy as np
import pytest
from engine_cases import FUTURES, SPOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spreadscan.engine.spread import (
    entry_spread_bps,
    executable_usd,
    exit_spread_bps,
    net_after_funding_bps,
    settlements_within,
    z_score,
)
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.record_table import route_index

SYMBOL = 7
HOUR_MS = 3_600_000
HOUR_S = 3_600.0
MINUTE_NS = 60_000_000_000
# A Unix time between two settlements of every usual interval.
WALL_MS = 1_764_000_000_000 + 30 * 60_000


def fund(market, **changes):
    """Funding of the perpetual as its feed writes it."""
    values = {
        "rate": 0.0001,
        "interval_s": 8 * HOUR_S,
        "next_settlement_ms": WALL_MS + HOUR_MS,
        "received_ns": time.monotonic_ns(),
    }
    market.regions.funding.write(slot_of(FUTURES, SYMBOL), **(values | changes))


def signalled(market, net_bps=10.0):
    """Open the route at WALL_MS and return its signal."""
    market.spread(net_bps)
    now_ns = time.monotonic_ns()
    market.scanner.scan_at(now_ns, WALL_MS * 1_000_000 - now_ns)
    (found,) = market.signals()
    return found


@pytest.fixture
def watched(make_market):
    market = make_market(holding_h=8.0, max_funding_age_s=60.0)
    market.watch(SYMBOL)
    return market


def test_short_leg_receives_a_positive_rate(watched):
    fund(watched, rate=0.0003)

    found = signalled(watched)

    assert found["net_after_funding_bps"] == pytest.approx(found["net_bps"] + 3.0, abs=1e-4)


def test_short_leg_pays_a_negative_rate(watched):
    fund(watched, rate=-0.0003)

    found = signalled(watched)

    assert found["net_after_funding_bps"] == pytest.approx(found["net_bps"] - 3.0, abs=1e-4)


@pytest.mark.parametrize(
    ("interval_h", "next_h", "count"),
    [
        (8, 1, 1),
        (4, 1, 2),
        (1, 1, 8),
        (8, 8, 1),
        (8, 8.01, 0),
        (24, 23, 0),
        # Told before it settled, and not told anew since.
        (8, -0.1, 1),
        (1, -0.1, 8),
        (1, -2.5, 8),
    ],
)
def test_settlements_within_the_holding_time_are_counted(watched, interval_h, next_h, count):
    fund(
        watched,
        rate=0.001,
        interval_s=interval_h * HOUR_S,
        next_settlement_ms=round(WALL_MS + next_h * HOUR_MS),
    )

    found = signalled(watched)

    assert found["net_after_funding_bps"] - found["net_bps"] == pytest.approx(10 * count, abs=1e-3)


@pytest.mark.parametrize(
    "unknown",
    [
        {"interval_s": 0.0},
        {"interval_s": math.nan},
        {"next_settlement_ms": 0},
        {"received_ns": 0},
        {"rate": math.nan},
    ],
    ids=lambda unknown: next(iter(unknown)),
)
def test_funding_that_is_not_known_makes_no_number(watched, unknown):
    fund(watched, **unknown)

    assert np.isnan(signalled(watched)["net_after_funding_bps"])


def test_funding_that_nobody_ever_wrote_makes_no_number(watched):
    assert np.isnan(signalled(watched)["net_after_funding_bps"])


def test_funding_received_too_long_ago_makes_no_number(watched):
    fund(watched, received_ns=time.monotonic_ns() - 2 * MINUTE_NS)

    assert np.isnan(signalled(watched)["net_after_funding_bps"])


def test_funding_whose_feed_died_while_writing_makes_no_number_and_stops_nothing(watched):
    fund(watched)
    table = watched.regions.funding.table
    offset = 128 + 64 * slot_of(FUTURES, SYMBOL)
    table.mapping.store_word(offset, table.mapping.load_word(offset) + 1)

    assert np.isnan(signalled(watched)["net_after_funding_bps"])


def test_holding_time_is_taken_from_a_reloaded_configuration(make_market):
    market = make_market(holding_h=2.0)
    market.watch(SYMBOL)
    fund(market, rate=0.001, interval_s=HOUR_S, next_settlement_ms=WALL_MS + HOUR_MS)
    before = signalled(market)
    market.spread(-10)
    market.scanner.scan()
    market.signals()

    market.reconfigure(holding_h=5.0)
    after = signalled(market)

    assert before["net_after_funding_bps"] - before["net_bps"] == pytest.approx(20, abs=1e-3)
    assert after["net_after_funding_bps"] - after["net_bps"] == pytest.approx(50, abs=1e-3)


def test_unusual_spread_is_measured_by_its_own_past(watched):
    watched.regions.baseline.write(
        route_index(0, SYMBOL), median_bps=4.0, mad_bps=2.0, samples=50,
        updated_ns=time.monotonic_ns(),
    )  # fmt: skip

    found = signalled(watched)

    assert found["z_score"] == pytest.approx((found["gross_bps"] - 4.0) / (1.4826 * 2.0), rel=1e-6)


@pytest.mark.parametrize(
    "baseline",
    [
        {"samples": 0},
        {"mad_bps": 0.0},
        {"mad_bps": math.nan},
        # Its tracker is gone.
        {"updated_ns": time.monotonic_ns() - 3 * MINUTE_NS},
    ],
)
def test_spread_without_a_usual_one_has_no_score(watched, baseline):
    usual = {"median_bps": 4.0, "mad_bps": 2.0, "samples": 50, "updated_ns": time.monotonic_ns()}
    values = usual | baseline
    watched.regions.baseline.write(route_index(0, SYMBOL), **values)

    assert np.isnan(signalled(watched)["z_score"])


# Independent of all of the above: exact decimals.
PRICE = st.decimals("0.000001", "1000000", places=6)
QTY = st.decimals("0.0001", "100000", places=4)
FEE = st.decimals("-2", "40", places=2)
MULTIPLIER = st.sampled_from([Decimal(1), Decimal(10), Decimal(1000), Decimal(1_000_000)])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=st.tuples(PRICE, PRICE, QTY, QTY),
    apart_bps=st.decimals("1", "900", places=3),
    fees=st.tuples(FEE, FEE),
    multiplier=MULTIPLIER,
    rate=st.decimals("-0.01", "0.01", places=6),
    interval_h=st.sampled_from([1, 2, 4, 8, 24]),
    next_minutes=st.integers(-120, 24 * 60),
    holding_h=st.integers(0, 72),
)
def test_signal_equals_the_formulas_in_exact_decimals(
    market, raw, apart_bps, fees, multiplier, rate, interval_h, next_minutes, holding_h
):
    # A contract of `multiplier` coins: price and size per contract become those of one coin.
    ask = float(raw[0] / multiplier)
    spot_qty, futures_qty = float(raw[2] * multiplier), float(raw[3] * multiplier)
    fee_bps = float(2 * sum(fees))
    bid = ask * (1 + (float(apart_bps) + max(fee_bps, 0.0)) / 10_000)
    market.reconfigure(
        open_net_bps=0.5,
        min_executable_usd=0.0,
        max_spread_bps=5_000.0,
        holding_h=float(holding_h),
        max_leg_age_ms=60_000,
    )
    # What the example before left open is dropped.
    market.watch()
    market.watch(SYMBOL, fee_bps=fee_bps)
    market.quote(SPOT, SYMBOL, ask * 0.999, ask, qty=spot_qty)
    market.quote(FUTURES, SYMBOL, bid, bid * 1.001, qty=futures_qty)
    next_ms = WALL_MS + next_minutes * 60_000
    fund(market, rate=float(rate), interval_s=interval_h * HOUR_S, next_settlement_ms=next_ms)
    now_ns = time.monotonic_ns()

    market.scanner.scan_at(now_ns, WALL_MS * 1_000_000 - now_ns)

    (found,) = market.signals()
    exact_ask, exact_bid = Decimal(ask), Decimal(bid)
    gross = (exact_bid - exact_ask) / exact_ask * 10_000
    net = gross - 2 * sum(fees)
    end_ms = WALL_MS + holding_h * HOUR_MS
    count = sum(WALL_MS < next_ms + k * interval_h * HOUR_MS <= end_ms for k in range(200))
    assert float(found["gross_bps"]) == pytest.approx(float(gross), rel=1e-9, abs=1e-6)
    assert float(found["net_bps"]) == pytest.approx(float(net), rel=1e-9, abs=1e-6)
    assert float(found["net_after_funding_bps"]) == pytest.approx(
        float(net + count * rate * 10_000), rel=1e-5, abs=1e-3
    )
    usd = min(exact_ask * Decimal(spot_qty), exact_bid * Decimal(futures_qty))
    assert float(found["executable_usd"]) == pytest.approx(float(usd), rel=1e-6)
    exact_exit = (Decimal(bid * 1.001) - Decimal(ask * 0.999)) / Decimal(ask * 0.999) * 10_000
    assert float(found["exit_bps"]) == pytest.approx(float(exact_exit), rel=1e-5, abs=1e-3)
    # And bit for bit what Python computes by the one definition.
    assert found["gross_bps"] == entry_spread_bps(ask, bid)
    assert found["net_bps"] == entry_spread_bps(ask, bid) - fee_bps
    assert found["exit_bps"] == np.float32(exit_spread_bps(ask * 0.999, bid * 1.001))
    assert found["executable_usd"] == np.float32(executable_usd(ask, spot_qty, bid, futures_qty))
    settlements = settlements_within(
        WALL_MS, holding_h * HOUR_MS, next_ms, interval_h * HOUR_S * 1_000
    )
    assert settlements == count
    assert found["net_after_funding_bps"] == np.float32(
        net_after_funding_bps(float(found["net_bps"]), settlements, float(rate))
    )


@given(
    st.integers(-100_000, 100_000), st.integers(0, 100_000), st.integers(200, 50_000),
)  # fmt: skip
def test_settlements_are_those_that_a_calendar_counts(next_offset, holding, interval):
    exact = sum(0 < next_offset + k * interval <= holding for k in range(200_000 // interval + 1))

    assert settlements_within(0.0, holding, next_offset, interval) == exact


def test_score_counts_standard_deviations_above_the_median():
    assert z_score(10.0, 4.0, 2.0) == pytest.approx(6.0 / 2.9652)
    assert z_score(4.0, 4.0, 2.0) == 0.0
