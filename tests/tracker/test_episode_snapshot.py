import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracker_cases import (
    DIRECTION,
    FEE_BPS,
    FUTURES,
    NOW_NS,
    OFFSET_NS,
    SPOT,
    names_of,
    opened_case,
    quote,
)

from spreadscan.config import RoundTripFees
from spreadscan.shm.layout import MAX_SYMBOLS, PRICE_DTYPE
from spreadscan.tracker.columns import MOMENT_FIELDS
from spreadscan.tracker.snapshot import Legs, Limits, evaluate, watch

MAX_AGE_NS = 1_000
LIMITS = Limits(MAX_AGE_NS, 2_000.0)
FEES = {DIRECTION: RoundTripFees(usual_bps=FEE_BPS)}
GOOD_SPOT, GOOD_FUTURES = quote(99.9, 100.0), quote(100.5, 100.6)


def look(
    spot=GOOD_SPOT,
    futures=GOOD_FUTURES,
    *,
    epochs=3,
    stable=(True, True),
    vouched=(True, True),
    fees=FEES,
):
    subject = opened_case()
    return evaluate(
        watch(subject.book.routes(subject.book.rows), fees),
        Legs(
            np.stack([spot, futures]),
            np.array(stable),
            np.full(2, epochs, dtype=np.uint64),
            np.array(vouched),
        ),
        NOW_NS,
        LIMITS,
    )


def test_fresh_legs_give_the_spread_of_the_definition():
    seen = look()

    assert seen.usable.tolist() == [True]
    assert seen.gross_bps[0] == (100.5 - 100.0) / 100.0 * 10_000
    assert seen.net_bps[0] == seen.gross_bps[0] - FEE_BPS
    assert seen.executable_usd[0] == 200.0


@pytest.mark.filterwarnings("error")
def test_look_that_sees_one_of_two_routes_gives_its_point_without_a_warning():
    subject = opened_case()
    subject.signal(symbol_id=8)
    spot = np.array([GOOD_SPOT, np.zeros((), PRICE_DTYPE)])
    futures = np.array([GOOD_FUTURES, GOOD_FUTURES])
    seen = evaluate(
        watch(subject.book.routes(subject.book.rows), FEES),
        Legs(np.concatenate([spot, futures]), np.ones(4, np.bool_), np.full(4, 3, np.uint64),
             np.ones(4, np.bool_)),
        NOW_NS,
        LIMITS,
    )  # fmt: skip

    frame = subject.book.observe(subject.book.rows, seen, NOW_NS, OFFSET_NS)

    assert np.isinf(seen.gross_bps[1])
    assert frame.cost_bps.tolist() == [pytest.approx(FEE_BPS)]


def test_moment_has_every_field_of_the_table_and_both_legs():
    moment = look().moment(NOW_NS)

    values = [moment[name].tolist() for name in MOMENT_FIELDS]
    assert values[0] == [NOW_NS]
    assert values[4:] == [[99.9], [100.0], [2.0], [2.0], [100.5], [100.6], [2.0], [2.0]]


@pytest.mark.parametrize(
    "bad",
    [
        quote(99.9, 100.0, flags=2),
        quote(99.9, 100.0, received_ns=NOW_NS - MAX_AGE_NS - 1),
        quote(99.9, 100.0, epoch=1),
        quote(100.0, 100.0),
        quote(float("nan"), 100.0),
        quote(99.9, float("nan")),
        quote(99.9, float("inf")),
        quote(0.0, 0.0, flags=1),
        quote(-1.0, 100.0),
        quote(99.9, 100.0, qty=float("nan")),
    ],
    ids=["flag", "stale", "dead-epoch", "crossed", "nan-bid", "nan-ask", "inf", "never-written",
         "negative", "nan-size"],
)  # fmt: skip
@pytest.mark.parametrize("leg", ["spot", "futures"])
def test_one_bad_leg_makes_the_route_unusable(leg, bad):
    seen = look(**{leg: bad})

    assert seen.usable.tolist() == [False]
    assert len(seen.moment(NOW_NS)["gross_bps"]) == 0


@pytest.mark.parametrize("stable", [(True, False), (False, True)])
def test_leg_that_could_not_be_read_without_tearing_is_unusable(stable):
    assert not look(stable=stable).usable[0]


@pytest.mark.parametrize("vouched", [(True, False), (False, True)])
def test_leg_that_nobody_vouches_for_is_unusable(vouched):
    assert not look(vouched=vouched).usable[0]


@pytest.mark.parametrize(
    ("bid", "is_usable"), [(119.99, True), (120.0, False), (80.01, True), (80.0, False)]
)
def test_spread_beyond_belief_is_unusable_either_way(bid, is_usable):
    assert look(futures=quote(bid, bid + 0.1)).usable[0] == is_usable


def test_even_epoch_means_that_nobody_owns_the_source():
    dead = {"spot": quote(99.9, 100.0, epoch=4), "futures": quote(100.5, 100.6, epoch=4)}

    assert not look(**dead, epochs=4).usable[0]


def test_epoch_is_compared_by_its_low_bits():
    assert look(epochs=3 + (5 << 16)).usable[0]


def test_quote_exactly_at_the_age_limit_is_still_fresh():
    assert look(spot=quote(99.9, 100.0, received_ns=NOW_NS - MAX_AGE_NS)).usable[0]


def test_direction_without_configured_fees_is_unusable():
    assert not look(fees={}).usable[0]


def test_unlisted_symbol_reads_a_slot_that_exists_but_is_never_usable():
    subject = opened_case().book
    subject.adopt(names_of({}))

    watched = watch(subject.routes(subject.rows), FEES)

    assert watched.slots.tolist() == [SPOT * MAX_SYMBOLS, FUTURES * MAX_SYMBOLS]
    assert watched.known.tolist() == [False]


def test_slots_stand_spot_first_then_futures():
    subject = opened_case()
    subject.signal(symbol_id=9)

    watched = watch(subject.book.routes(subject.book.rows), FEES)

    assert watched.slots.dtype == np.int32
    assert watched.slots.tolist() == [
        SPOT * MAX_SYMBOLS + 7,
        SPOT * MAX_SYMBOLS + 9,
        FUTURES * MAX_SYMBOLS + 7,
        FUTURES * MAX_SYMBOLS + 9,
    ]


def test_nothing_to_watch_gives_empty_arrays():
    seen = evaluate(
        watch([], FEES),
        Legs(
            np.zeros(0, dtype=GOOD_SPOT.dtype),
            np.zeros(0, dtype=bool),
            np.zeros(0, dtype=np.uint64),
            np.zeros(0, dtype=bool),
        ),
        NOW_NS,
        LIMITS,
    )

    assert seen.usable.tolist() == []


PRICES = st.floats(allow_nan=True, allow_infinity=True)


@given(bid=PRICES, ask=PRICES, qty=PRICES)
def test_whatever_stands_in_a_slot_a_usable_route_has_finite_values(bid, ask, qty):
    seen = look(spot=quote(bid, ask, qty=qty))

    if seen.usable[0]:
        assert np.isfinite([seen.gross_bps[0], seen.net_bps[0], seen.executable_usd[0]]).all()
        assert 0 < bid < ask
