"""The oracle itself: planted phantoms are seen, and the truth is let through."""

import numpy as np
import pytest
from oracle import Kind, Oracle

from spreadscan.directions import DirectionRecord
from spreadscan.exchanges import sources
from spreadscan.shm.layout import SIGNAL_DTYPE
from spreadscan.sim.truth import TRUTH_DTYPE, Fate, Preface, Truth

SPOT, FUTURES = "okx_spot", "bybit_futures"
IN_FLIGHT_S, MAX_AGE_S = 1.0, 10.0
SECOND_NS = 1_000_000_000
IDS = {name: source.source_id for name, source in sources().items()}


class SmallUniverse:
    """Two coins, BTC and ETH, at one spot and one perpetual source."""

    directions = (
        DirectionRecord(
            direction_id=7, spot_source=IDS[SPOT], futures_source=IDS[FUTURES], symbols=(0, 1)
        ),
    )

    def legs(self, source_id):
        names = {IDS[SPOT]: ("BTC-USDT", "ETH-USDT"), IDS[FUTURES]: ("BTCUSDT", "ETHUSDT")}
        return [(name, number, 1.0, 1.0) for number, name in enumerate(names.get(source_id, ()))]


ROWS = [(SPOT, "BTC-USDT"), (SPOT, "ETH-USDT"), (FUTURES, "BTCUSDT"), (FUTURES, "ETHUSDT")]


def quote(number, row):
    """Return what a row shows as its n-th quote: (bid, ask, bid size, ask size)."""
    middle = (100.0, 10.0, 102.0, 10.2)[row] * (1 + number * 1e-3)
    return middle * 0.9999, middle * 1.0001, 2.0 + number, 3.0 + number


def oracle_of(*events):
    """Build an oracle; every event is (second, row, fate, number[, whose prices])."""
    records = np.zeros(len(events), TRUTH_DTYPE)
    for record, (second, row, fate, number, *shown) in zip(records, events, strict=True):
        prices = (0.0,) * 4 if fate is Fate.DEAF else quote(*shown or [number], row)
        record["time_ns"], record["row"] = round(second * SECOND_NS), row
        record["fate"], record["number"] = fate, number
        for name, value in zip(("bid", "ask", "bid_qty", "ask_qty"), prices, strict=True):
            record[name] = value
    truth = Truth(Preface(started_ns=0, rows=ROWS), records)
    return Oracle(truth, SmallUniverse(), in_flight_s=IN_FLIGHT_S, max_leg_age_s=MAX_AGE_S)


def signal_of(at_s, *, spot=0, futures=0, spot_age_s=0.1, futures_age_s=0.1, **changes):
    """Build the signal of BTC over these quotes, both received as long ago as said."""
    record = np.zeros(1, SIGNAL_DTYPE)[0]
    record["time_ns"], record["direction"] = round(at_s * SECOND_NS), 7
    record["spot_source"], record["futures_source"] = IDS[SPOT], IDS[FUTURES]
    for side, number, row in (("spot", spot, 0), ("futures", futures, 2)):
        names = ("bid", "ask", "bid_qty", "ask_qty")
        for name, value in zip(names, quote(number, row), strict=True):
            record[f"{side}_{name}"] = value
    record["spot_age_us"] = round(spot_age_s * 1e6)
    record["futures_age_us"] = round(futures_age_s * 1e6)
    for name, value in changes.items():
        record[name] = value
    ask = float(record["spot_ask"])
    record["gross_bps"] += (float(record["futures_bid"]) - ask) / ask * 10_000.0
    return record


# Both legs are quoted at second 10, the spot leg anew at 11.
QUIET = [(10.0, 0, Fate.LEFT, 0), (10.0, 1, Fate.LEFT, 0), (10.0, 2, Fate.LEFT, 0),
         (10.0, 3, Fate.LEFT, 0)]  # fmt: skip
MOVED = [*QUIET, (11.0, 0, Fate.LEFT, 1)]


def test_newest_quotes_are_the_truth():
    assert oracle_of(*QUIET).judge(signal_of(10.1)).kind is Kind.TRUE
    assert oracle_of(*MOVED).judge(signal_of(11.1, spot=1, futures_age_s=1.1)).kind is Kind.TRUE


def test_quote_whose_successor_is_under_way_is_the_truth():
    verdict = oracle_of(*MOVED).judge(signal_of(11.9, spot_age_s=1.9, futures_age_s=1.9))

    assert verdict.kind is Kind.TRUE


def test_quote_whose_successor_must_have_come_is_a_phantom():
    verdict = oracle_of(*MOVED).judge(signal_of(12.5, spot_age_s=2.5, futures_age_s=2.5))

    assert verdict.kind is Kind.PHANTOM
    assert "its successor had left for 1.500 s" in verdict.reason


def test_quote_whose_successors_were_held_back_is_unknowable_up_to_the_leg_age_limit():
    oracle = oracle_of(*QUIET, (11.0, 0, Fate.HELD, 1), (12.0, 0, Fate.HELD, 2))

    inside = oracle.judge(signal_of(19.0, spot_age_s=9.0, futures_age_s=9.0))
    beyond = oracle.judge(signal_of(20.5, spot_age_s=10.5, futures_age_s=9.9))

    assert inside.kind is Kind.UNKNOWABLE
    assert beyond.kind is Kind.PHANTOM
    assert "older than the limit" in beyond.reason


def test_age_that_hides_how_old_a_quote_is_makes_it_a_phantom():
    oracle = oracle_of(*QUIET, (11.0, 0, Fate.HELD, 1))

    verdict = oracle.judge(signal_of(19.0, spot_age_s=0.1, futures_age_s=9.0))

    assert verdict.kind is Kind.PHANTOM
    assert "is said to have come after it was last sent" in verdict.reason


def test_quote_that_is_told_anew_under_another_number_may_have_the_age_of_the_first_time():
    signal = signal_of(13.5, spot_age_s=3.5, futures_age_s=3.5)
    anew = [*QUIET, (12.0, 0, Fate.LEFT, 1, 0)]
    left_and_back = [*MOVED, (12.0, 0, Fate.LEFT, 2, 0)]

    assert oracle_of(*anew).judge(signal).kind is Kind.TRUE
    verdict = oracle_of(*left_and_back).judge(signal)
    assert verdict.kind is Kind.PHANTOM
    assert "is said to have come before it came about" in verdict.reason


def test_quote_that_no_client_was_sent_is_a_phantom():
    oracle = oracle_of(*QUIET, (11.0, 0, Fate.HELD, 1))

    verdict = oracle.judge(signal_of(11.1, spot=1, futures_age_s=1.1))

    assert verdict.kind is Kind.PHANTOM
    assert "was not sent before the signal" in verdict.reason


def test_quote_that_came_late_out_of_a_delay_is_what_a_client_knows():
    late = [*QUIET, (11.0, 0, Fate.HELD, 1), (13.0, 0, Fate.LEFT, 1)]
    behind = [*late[:-1], (11.5, 0, Fate.HELD, 2), late[-1]]
    signal = signal_of(13.1, spot=1, futures_age_s=3.1)

    assert oracle_of(*late).judge(signal).kind is Kind.TRUE
    assert oracle_of(*behind).judge(signal).kind is Kind.UNKNOWABLE


def test_quote_of_a_connection_that_is_gone_is_a_phantom_until_there_is_another():
    gone = [*QUIET, (11.0, 0, Fate.DEAF, 0)]

    dead = oracle_of(*gone).judge(signal_of(12.5, spot_age_s=2.5, futures_age_s=2.5))
    back = oracle_of(*gone, (12.4, 0, Fate.LEFT, 0)).judge(signal_of(12.5, futures_age_s=2.5))

    assert dead.kind is Kind.PHANTOM
    assert "nobody listened for 1.500 s" in dead.reason
    assert back.kind is Kind.TRUE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spot_ask": 100.5}, "a price never shown"),
        ({"futures_bid": 0.0102}, "a price never shown"),
        ({"spot_bid": quote(1, 0)[0], "spot_bid_qty": 3.0}, "sides of two quotes"),
        ({"spot_ask_qty": 4.0}, "prices of one quote, sizes of another"),
        ({"futures_bid_qty": 200.0}, "prices of one quote, sizes of another"),
        ({"symbol_id": 1}, "a price never shown"),
        ({"symbol_id": 2}, "does not exist"),
        ({"direction": 6}, "does not exist"),
        ({"futures_source": IDS["okx_futures"]}, "does not exist"),
        ({"gross_bps": 0.01}, "its legs say"),
    ],
)
def test_planted_corruption_is_a_phantom(changes, reason):
    verdict = oracle_of(*MOVED).judge(signal_of(11.1, spot_age_s=1.1, futures_age_s=1.1, **changes))

    assert verdict.kind is Kind.PHANTOM
    assert reason in verdict.reason
