"""Each level's silence: noticed within its limit, answered by its own means, never invented."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from silence_cases import STORED, S, World

from spreadscan.config import load_config
from spreadscan.exchanges import source_named
from spreadscan.feed.rhythm import Rhythm
from spreadscan.feed.seen import SpotAnswer
from spreadscan.feed.silence import Level
from spreadscan.feed.watch import silence_limits

# rhythm


def test_one_who_never_quoted_has_no_limit():
    rhythm = Rhythm(0.5, 8.0, 45.0)
    for _ in range(100):
        rhythm.count(has_quotes=False)

    assert not rhythm.is_known
    assert rhythm.longest_pause_s is None


def test_limit_is_twenty_usual_pauses_and_within_its_bounds():
    def limit_s(share):
        rhythm = Rhythm(0.5, 8.0, 45.0)
        rng = random.Random(1)
        for _ in range(20_000):
            rhythm.count(has_quotes=rng.random() < share)
        return rhythm.longest_pause_s

    # Six seconds are what several lost packets take at worst.
    assert 6.0 < limit_s(1.0) == limit_s(0.75) <= 8.0
    assert 10.0 < limit_s(0.4) <= 45.0
    assert limit_s(0.02) is None


def test_pause_does_not_stretch_its_own_limit():
    rhythm = Rhythm(0.5, 8.0, 45.0)
    for _ in range(200):
        rhythm.count(has_quotes=True)
    before_s = rhythm.longest_pause_s
    for _ in range(1_000):
        rhythm.count(has_quotes=False)

    assert rhythm.longest_pause_s == before_s


def test_burst_after_a_subscription_makes_nobody_busy():
    rhythm = Rhythm(0.5, 8.0, 45.0)
    rhythm.count(has_quotes=True)
    rhythm.count(has_quotes=True)

    assert rhythm.longest_pause_s is None or rhythm.longest_pause_s > 20


def test_pause_that_ended_a_connection_without_proof_is_learnt():
    rhythm = Rhythm(0.5, 8.0, 45.0)
    for _ in range(200):
        rhythm.count(has_quotes=True)
    for _ in range(6):
        for _ in range(17):
            rhythm.count(has_quotes=False)
        rhythm.accept()
        rhythm.count(has_quotes=True)

    assert rhythm.longest_pause_s is None or rhythm.longest_pause_s > 8.0


# connection


def test_stalled_connection_is_dropped_within_ten_seconds_and_it_alone():
    world = World([("A", "B"), ("C", "D")])
    world.turns(60, "A", "B", "C", "D")
    world.turns(9, "C", "D")

    assert [number for _, number in world.told("drop")] == [0]
    assert world.marked == {"A", "B"}
    assert world.level is Level.LIVE


def test_connection_that_only_answers_pings_is_not_alive():
    world = World()
    world.turns(60, "A")
    # What comes besides quotes does not even reach the monitor.
    world.turns(10)

    assert world.told("drop")


def test_life_that_never_quotes_is_dropped_when_its_predecessor_was_busy():
    world = World([("A", "B"), ("C", "D")])
    world.turns(60, "A", "B", "C", "D")
    world.turns(20, "C", "D")

    dropped = [when for when, number in world.told("drop") if number == 0]
    assert len(dropped) >= 2
    assert all(later - earlier > 2 for earlier, later in itertools.pairwise(dropped))


def test_repeating_connection_is_dropped_when_a_repetition_is_missed():
    # Two quiet coins that come every three seconds: no limit by rhythm yet.
    world = World([("A", "B"), ("C",)], repeats_every_s=3.0)
    for number in range(4):
        world.turn("A", "B", "C")
        world.turns(2.5, *(["C"] if number < 3 else []))
    world.turns(8, "C")

    assert {number for _, number in world.told("drop")} == {0}


def test_missed_repetition_is_not_excused_by_rest():
    world = World([("A", "B"), ("C", "D")], repeats_every_s=3.0)
    world.books = dict.fromkeys("ABCD", STORED)
    world.turns(60, "A", "B", "C", "D")
    # Something else keeps REST in demand.
    world.lines[1].symbols["E"], world.last_ns["E"] = world.now_ns, 0
    world.turns(2, "A", "B", "C", "D")
    for _ in range(18):
        world.answer = SpotAnswer(
            asked_ns=world.now_ns, answered_ns=world.now_ns, books=world.books
        )
        world.turns(1.5, "C", "D")
        if world.told("drop"):
            break

    dropped_s, number = world.told("drop")[0]
    assert number == 0
    assert dropped_s - 62 <= world.limits.repeat_s + 2 * world.limits.turn_s
    # The whole connection, before its symbols one by one.
    assert world.told("resubscribe") == []


def test_connection_is_told_to_end_once_a_life():
    world = World([("A", "B"), ("C", "D")])
    world.turns(60, "A", "B", "C", "D")
    life = world.lines[0]
    dropped = []
    for _ in range(40):
        dropped += world.turn("C", "D").drop
        world.lines[0] = life  # the end takes its time

    assert dropped == [0]


def test_closed_connection_is_left_alone():
    world = World([("A", "B"), ("C",)])
    world.turns(60, "A", "B", "C")
    world.lines[0].opened_ns = world.lines[0].last_quote_ns = 0
    world.lines[0].symbols = {"A": 0, "B": 0}
    world.turns(60, "C")

    assert world.log == []


# symbol


def test_muted_symbol_of_a_repeating_source_is_unusable_and_subscribed_anew():
    world = World(repeats_every_s=3.0)
    world.turns(30, "A", "B")
    world.turns(8, "B")

    assert [symbol for _, symbol in world.told("unusable")] == ["A"]
    assert [symbol for _, symbol in world.told("resubscribe")] == ["A"]
    assert world.told("drop") == []

    world.turn("A", "B")
    assert world.marked == set()
    assert world.monitor.doubts.missing == set()


def test_muted_symbol_whose_price_moved_is_noticed_within_thirty_seconds():
    world = World()
    world.turns(60, "A", "B")
    world.rest = {"A": 111.0, "B": 100.0}
    world.turns(30, "B")

    assert [symbol for _, symbol in world.told("unusable")] == ["A"]
    assert world.told("unusable")[0][0] - 60 <= 30
    assert world.told("resubscribe")


def test_slow_repetition_does_not_keep_rest_from_noticing():
    world = World(repeats_every_s=60.0)
    world.turns(60, "A", "B")
    world.rest = {"A": 80.0, "B": 100.0}
    world.turns(30, "B")

    assert [symbol for _, symbol in world.told("unusable")] == ["A"]


@pytest.mark.parametrize(
    ("rest", "failure"),
    [({"A": 105.0}, None), ({}, None), ({"A": 500.0}, "no answer in time")],
    ids=["agrees", "has no price", "fails"],
)
def test_quiet_symbol_that_nothing_speaks_against_stays_usable(rest, failure):
    world = World()
    world.turns(60, "A", "B")
    world.rest, world.rest_failure = rest, failure
    world.turns(300, "B")

    assert world.marked == set()
    assert world.told("resubscribe") == []
    # Asked again now and then, not every turn.
    assert 3 <= len(world.told("ask")) <= 300 / world.limits.symbol_s + 1


def test_quiet_symbol_stays_usable_when_rest_never_answers():
    world = World()
    world.turns(60, "A", "B")
    world.answers_rest = False
    world.turns(120, "B")

    assert world.log == []


def test_answer_from_before_the_silence_proves_nothing():
    world = World()
    world.turns(60, "A", "B")
    world.answer = SpotAnswer(asked_ns=world.now_ns, prices={"A": 200.0})
    world.answers_rest = False
    world.turns(60, "B")

    assert world.marked == set()


def test_symbol_that_does_not_trade_is_unusable_and_named():
    world = World()
    world.turns(60, "A", "B")
    world.rest, world.trading = {"A": 100.0}, frozenset({"B"})
    world.turns(30, "B")

    assert world.marked == {"A"}
    assert world.monitor.doubts.halted == {"A"}

    world.trading = frozenset({"A", "B"})
    world.turn("A", "B")
    assert world.monitor.doubts.halted == set()


def test_symbol_that_is_gone_for_good_is_not_asked_for_again_and_again():
    world = World(repeats_every_s=3.0)
    world.turns(30, "A", "B")
    world.turns(3_600, "B")

    assert world.monitor.doubts.missing == {"A"}
    assert len(world.told("unusable")) == 1
    assert len(world.told("resubscribe")) <= 1 + 3_600 / 300
    assert world.told("drop") == []


def test_symbol_never_quoted_is_asked_for_once_more_and_then_reported():
    world = World()
    world.turns(29, "B")
    assert world.log == []
    world.turns(3, "B")
    assert [symbol for _, symbol in world.told("resubscribe")] == ["A"]
    assert world.monitor.doubts.missing == set()
    world.turns(60, "B")

    assert world.monitor.doubts.missing == {"A"}
    assert len(world.told("resubscribe")) == 1
    world.turn("A", "B")
    assert world.monitor.doubts.missing == set()


def test_symbol_that_never_traded_is_reported_as_that():
    world = World()
    world.trading = frozenset({"B"})
    world.turns(120, "B")

    assert world.monitor.doubts.halted == {"A"}
    assert world.told("resubscribe") == []


def test_never_quoted_symbol_is_asked_for_again_also_without_rest():
    world = World()
    world.answers_rest = False
    world.turns(60, "B")

    assert [symbol for _, symbol in world.told("resubscribe")] == ["A"]


def test_connection_all_of_whose_symbols_stay_silent_is_made_anew_instead():
    world = World([("A", "B"), ("C", "D")])
    world.turns(35, "C", "D")

    assert [number for _, number in world.told("drop")] == [0]
    assert world.told("resubscribe") == []


def test_quiet_connection_whose_prices_moved_is_made_anew():
    world = World([("A", "B"), ("C", "D")])
    world.turn("A", "B", "C", "D")
    world.rest = {"A": 50.0, "B": 50.0}
    world.turns(25, "C", "D")

    assert [number for _, number in world.told("drop")] == [0]


def test_refused_symbol_is_nobodys_doubt():
    world = World()
    world.lines[0].symbols["A"] = 0
    world.turns(300, "B")

    assert world.log == []


def test_symbol_that_leaves_the_source_leaves_the_reports():
    world = World()
    world.turns(120, "B")
    assert world.monitor.doubts.missing == {"A"}
    del world.lines[0].symbols["A"]
    world.turn("B")

    assert world.monitor.doubts.missing == set()


# source and exchange


def test_silent_source_drops_every_connection():
    world = World([("A", "B"), ("C",), ("D",)])
    # C and D are too quiet to be judged alone.
    for number in range(120):
        world.turn("A", "B", *("C" if number == 3 else ""), *("D" if number == 5 else ""))
    world.turns(10)

    assert {number for _, number in world.told("drop")} == {0, 1, 2}
    assert world.level is Level.SOURCE_SILENT
    assert world.told("ask")
    world.turn("C")
    assert world.level is Level.LIVE


def test_new_lives_of_a_silent_source_get_their_time():
    world = World([("A", "B"), ("C", "D")])
    world.turns(60, "A", "B", "C", "D")
    world.turns(60)

    for number in (0, 1):
        dropped = [when for when, which in world.told("drop") if which == number]
        assert 2 <= len(dropped) <= 30


def test_source_whose_rest_fails_too_is_down():
    world = World()
    world.turns(60, "A", "B")
    world.rest_failure = "found status 503, expected 200"
    world.turns(12)

    assert world.level is Level.EXCHANGE_DOWN
    assert world.told("resubscribe") == []
    world.turns(1, "A")
    assert world.level is Level.LIVE


def test_rest_that_fails_while_quotes_come_says_nothing():
    world = World()
    world.rest_failure = "found status 503, expected 200"
    world.answer = SpotAnswer(asked_ns=world.now_ns + 30 * S, failure="found status 503")
    world.turns(60, "A", "B")

    assert world.log == []


@pytest.mark.parametrize("is_moving", [True, False])
def test_exchange_is_down_when_its_other_market_is_silent_as_well(is_moving):
    world = World()
    world.sibling_quotes = 1_000
    world.turns(60, "A", "B")
    for _ in range(50):
        world.sibling_quotes += is_moving
        world.turn()

    assert world.level is (Level.SOURCE_SILENT if is_moving else Level.EXCHANGE_DOWN)


def test_source_that_cannot_connect_is_silent():
    world = World()
    world.lines[0].opened_ns = 0
    world.lines[0].symbols = {"A": 0, "B": 0}
    world.turns(12)

    assert world.level is Level.SOURCE_SILENT
    assert world.told("drop") == []


def test_source_without_symbols_is_not_silent():
    world = World([])
    world.turns(300)

    assert world.log == []


# nothing is invented


def test_pause_of_our_own_is_nobody_elses():
    world = World([("A", "B"), ("C", "D")], repeats_every_s=3.0)
    world.turns(60, "A", "B", "C", "D")
    world.turn(late_s=300.0)
    world.turn()

    assert world.log == []
    world.turns(12, "C", "D")
    assert {number for _, number in world.told("drop")} == {0}


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.floats(0.002, 20.0), min_size=1, max_size=4), min_size=1, max_size=3),
    st.integers(0, 2**32),
)
def test_healthy_source_however_quiet_raises_no_alarm(rates, seed):
    rng = random.Random(seed)
    world = World([[f"{a}.{b}" for b in range(len(row))] for a, row in enumerate(rates)])
    chances = {
        f"{a}.{b}": 1 - math.exp(-rate_hz * world.limits.turn_s)
        for a, row in enumerate(rates)
        for b, rate_hz in enumerate(row)
    }
    world.turn(*chances)  # the snapshots
    for _ in range(600):
        world.rest = {symbol: 100 * (1 + rng.uniform(-0.09, 0.09)) for symbol in chances}
        world.turn(*(symbol for symbol, chance in chances.items() if rng.random() < chance))

    assert world.marked == set()
    assert [entry for entry in world.log if entry[1] != "ask"] == []


@settings(max_examples=30)
@given(st.floats(0.05, 2.9), st.integers(0, 2**32))
def test_repeating_source_whose_coins_only_repeat_raises_no_alarm(late_s, seed):
    rng = random.Random(seed)
    world = World([("A", "B", "C")], repeats_every_s=3.0)
    due_s = {symbol: rng.uniform(0, 3) for symbol in "ABC"}
    for _ in range(600):
        quoted = [symbol for symbol in "ABC" if due_s[symbol] <= world.elapsed_s]
        for symbol in quoted:
            due_s[symbol] = world.elapsed_s + 3 + rng.uniform(0, late_s)
        world.turn(*quoted)

    assert world.log == []


# configuration


@pytest.mark.parametrize("name", ["binance_spot", "bybit_futures", "okx_spot", "mexc_futures"])
def test_shipped_limits_notice_in_time(config_dir, name):
    feed = load_config(config_dir / "config.toml").feed
    found = silence_limits(feed, source_named(name).spec)

    assert found.connection_s + found.turn_s <= 10
    assert found.symbol_s + feed.spot_check_interval_s + 2 * found.turn_s < 30
    assert found.repeat_s is None or found.repeat_s > 2 * found.repeats_every_s
    assert found.source_s <= found.exchange_s
    assert (found.first_data_s == 120) is name.startswith("binance")
