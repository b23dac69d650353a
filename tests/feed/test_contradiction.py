"""What a quiet stream does not tell, REST knows; what only looks like it alarms nobody."""

import collections
import math
import random

import pytest
from silence_cases import S, World

from spreadscan.feed.silence import Level

SPOKEN_FOR_S = 600
HOUR_S = 3_600


class Market(World):
    """Symbols that are quoted at random, each quote another price; REST is as late as it may be."""

    def __init__(self, *shards, seed=1, rates_hz=(0.05,), rest_age_s=3.0):
        super().__init__(shards)
        self.chance = random.Random(seed)
        self.symbols = [symbol for shard in shards for symbol in shard]
        self.rate_hz = {
            symbol: rate_hz for shard, rate_hz in zip(shards, rates_hz, strict=True)
            for symbol in shard
        }  # fmt: skip
        self.muted = set()
        self.missed_s = None
        """When something was not told first."""
        self.tick = 1
        self.truth = dict.fromkeys(self.symbols, (99.0, 101.0))
        self.past = collections.deque(maxlen=8)
        self.rest_age_s = rest_age_s
        self.rest_view = lambda _symbol, book: book
        self.stored = dict(self.truth)
        self.turn(*self.symbols)

    def live(self, seconds):
        """Let the market and the monitor go on."""
        for _ in range(round(seconds / self.limits.turn_s)):
            share = {symbol: hz * self.limits.turn_s for symbol, hz in self.rate_hz.items()}
            moved = [symbol for symbol in self.symbols if self.chance.random() < share[symbol]]
            for symbol in moved:
                self.tick += 1
                self.truth[symbol] = (99.0 + self.tick * 1e-4, 101.0 + self.tick * 1e-4)
            missed = self.muted.intersection(moved)
            self.missed_s = self.missed_s or (self.elapsed_s if missed else None)
            told = [symbol for symbol in moved if symbol not in self.muted]
            self.stored.update((symbol, self.truth[symbol]) for symbol in told)
            self.past.append(dict(self.truth))
            late = self.past[-1 - min(len(self.past) - 1, round(self.rest_age_s * 2))]
            assert self.rest_age_s * 2 < self.past.maxlen
            self.books = {symbol: self.rest_view(symbol, late[symbol]) for symbol in late}
            self.turn(*told)

    def noticed_s(self, what, about):
        """When something was said about somebody first after the mark; None for never."""
        found = (when for when, who in self.told(what) if who == about and when > self.marked_s)
        return next(found, None)

    def mark(self):
        self.marked_s = self.elapsed_s


class Bursts:
    """Arrivals whose rate wanders: its logarithm is an Ornstein-Uhlenbeck process."""

    def __init__(self, market, mean_hz, *, sd=1.0, tau_s=60.0):
        self.market, self.mean_hz, self.sd = market, mean_hz, sd
        self.kept = math.exp(-market.limits.turn_s / tau_s)
        self.state = [market.chance.gauss(0, sd) for _ in market.lines]

    def live(self, seconds):
        """Let the market go on in bursts."""
        market, sd = self.market, self.sd
        for _ in range(round(seconds / market.limits.turn_s)):
            spread = sd * math.sqrt(1 - self.kept**2)
            self.state = [x * self.kept + market.chance.gauss(0, spread) for x in self.state]
            for x, line in zip(self.state, market.lines, strict=True):
                rate_hz = self.mean_hz * math.exp(x - sd * sd / 2) / len(line.symbols)
                market.rate_hz.update(dict.fromkeys(line.symbols, rate_hz))
            market.live(market.limits.turn_s)


def names(letter, count):
    return tuple(f"{letter}{number}" for number in range(count))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("moves_hz", [2.0, 1.0, 0.3])
def test_stall_of_a_quiet_connection_is_noticed_within_ten_seconds(moves_hz, seed):
    quiet, busy = names("Q", 30), names("B", 30)
    market = Market(quiet, busy, seed=seed, rates_hz=(moves_hz / 30, 1.0))
    market.live(SPOKEN_FOR_S)
    before = list(market.log)
    market.mark()
    market.muted = set(quiet)
    market.live(30)

    assert [entry for entry in before if entry[1] != "ask"] == []
    assert {number for _, number in market.told("drop")} == {0}
    assert market.noticed_s("drop", 0) - market.missed_s <= 10.0
    assert market.marked.issuperset(quiet)


@pytest.mark.parametrize("moves_hz", [0.02, 0.1, 0.3, 1.0])
def test_quiet_connections_that_miss_nothing_are_left_alone(moves_hz):
    market = Market(names("Q", 30), names("R", 30), rates_hz=(moves_hz / 30, moves_hz / 30))
    # More than one of its usual pauses in twenty thousand is beyond what is asked of it.
    market.live(1800)

    assert market.told("resubscribe") == market.told("drop") == market.told("unusable") == []
    assert len(market.told("ask")) <= 1800 / 3


def test_lost_subscription_is_renewed_though_the_price_moved_by_very_little():
    lost, others = ("L",), names("B", 20)
    market = Market(lost + others, names("C", 20), rates_hz=(0.5, 0.5))
    market.live(120)
    market.mark()
    market.muted = {"L"}
    market.live(30)

    assert market.noticed_s("unusable", "L") - market.marked_s <= 30.0
    assert market.noticed_s("resubscribe", "L") - market.marked_s <= 30.0
    assert market.told("drop") == []
    assert abs(market.truth["L"][0] / market.stored["L"][0] - 1) < 0.01


def test_rest_that_means_something_else_by_a_best_price_alarms_nobody_for_long():
    market = Market(names("Q", 40), names("R", 40), rates_hz=(0.05, 0.05))
    # As where one of the two leaves some kinds of orders out.
    market.rest_view = lambda _symbol, book: (book[0] * 0.999, book[1] * 1.001)
    market.live(1200)

    assert len(market.told("resubscribe")) <= 5
    assert market.told("drop") == []


def test_symbol_that_rest_prices_otherwise_for_ever_is_renewed_once():
    market = Market(names("Q", 30), names("R", 30), rates_hz=(0.05, 0.05))
    market.live(60)
    market.rate_hz["Q0"] = 0.0
    market.rest_view = lambda symbol, book: (1.0, 2.0) if symbol == "Q0" else book
    for _ in range(30):
        market.live(60)
        # It is quoted again, as it was.
        market.turn("Q0")

    assert [symbol for _, symbol in market.told("unusable")] == ["Q0"]
    assert market.told("drop") == []


@pytest.mark.parametrize("coin_hz", [0.02, 0.01, 0.005])
def test_coin_that_rest_prices_otherwise_for_ever_costs_its_connection_nothing(coin_hz):
    shards = [names(letter, 30) for letter in "QRST"]
    market = Market(*shards, rates_hz=(coin_hz,) * 4)
    market.rest_view = lambda symbol, book: (book[0] - 1e-5, book[1]) if symbol == "Q0" else book
    market.live(HOUR_S / 2)

    assert market.told("drop") == []
    assert len(market.told("unusable")) <= 2


def test_coin_that_rest_prices_otherwise_now_and_then_costs_less_and_less():
    market = Market(names("Q", 30), names("R", 30), rates_hz=(0.01, 0.01))
    odd = random.Random(5)
    views = {}

    def view(symbol, book):
        if symbol != "Q0" or not views.setdefault(book, odd.random() < 0.5):
            return book
        return book[0] - 1e-5, book[1]

    market.rest_view = view
    market.rate_hz["Q0"] = 0.05
    market.live(HOUR_S)

    assert len(market.told("drop")) <= 5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mean_hz", [0.5, 2.0, 8.0])
def test_connection_whose_quotes_come_in_bursts_is_healthy(mean_hz, seed):
    market = Market(names("Q", 4), names("R", 4), seed=seed, rates_hz=(1.0, 1.0))
    Bursts(market, mean_hz).live(HOUR_S)

    assert market.told("drop") == market.told("unusable") == []


@pytest.mark.parametrize(("high", "low"), [(0.95, 0.3), (0.8, 0.1), (0.95, 0.1)])
def test_connection_whose_rate_falls_is_healthy(high, low):
    market = Market(names("Q", 4), names("R", 4), rates_hz=(1.0, 1.0))
    for block in range(12):
        share = low if block % 2 else high
        rate_hz = -math.log1p(-share) / market.limits.turn_s / 4
        market.rate_hz = dict.fromkeys(market.symbols, rate_hz)
        market.live(300)

    assert market.told("drop") == market.told("unusable") == []


def test_connection_that_pauses_for_a_retransmission_is_healthy():
    market = Market(names("Q", 4), names("R", 4), rates_hz=(3.0, 3.0))
    market.live(120)
    for _ in range(10):
        # Held back by a lost packet, and then all at once.
        market.muted = set(market.symbols)
        market.live(6)
        market.muted = set()
        market.turn(*market.symbols)
        market.live(20)

    assert market.told("drop") == []


def test_bursts_are_learnt_where_rest_says_nothing():
    market = Market(names("Q", 4), names("R", 4), rates_hz=(1.0, 1.0))
    market.answers_rest = False
    for block in range(24):
        share = 0.1 if block % 2 else 0.95
        rate_hz = -math.log1p(-share) / market.limits.turn_s / 4
        market.rate_hz = dict.fromkeys(market.symbols, rate_hz)
        market.live(300)

    # Of two connections in twelve falls; without learning they are 155.
    assert len(market.told("drop")) <= 60


@pytest.mark.parametrize("seed", range(3))
def test_stall_is_noticed_within_ten_seconds_also_where_quotes_come_in_bursts(seed):
    market = Market(names("Q", 30), names("R", 30), seed=seed, rates_hz=(1.0, 1.0))
    bursts = Bursts(market, 4.0)
    bursts.live(SPOKEN_FOR_S)
    market.mark()
    market.muted = set(names("Q", 30))
    bursts.live(60)

    assert market.noticed_s("drop", 0) - market.missed_s <= 10.0


def test_answer_is_judged_by_only_when_the_stream_had_time_to_say_the_same():
    market = Market(names("Q", 2), names("B", 2), rates_hz=(0.0, 2.0))
    market.live(20)
    # REST has it at once, the stream a little later.
    market.answers_rest = False
    market.live(10)
    market.answer = None
    market.answers_rest = True
    market.books = dict.fromkeys(names("Q", 2), (50.0, 51.0))
    market.turn("B0")
    assert market.answer is not None
    market.turn("Q0", "Q1")
    market.answers_rest = False
    market.live(5)

    assert market.told("drop") == market.told("unusable") == []
    assert market.level is Level.LIVE
    assert market.now_ns - market.answer.answered_ns > 2 * S


def test_symbol_whose_quotes_cannot_be_used_is_subscribed_anew_once_rest_has_a_book():
    market = Market(names("Q", 2), names("B", 2), rates_hz=(0.5, 0.5))
    market.live(60)
    # As of deltas that do not fit together any more: they come, and make no quote.
    market.muted = {"Q0"}
    market.marked.add("Q0")
    market.mark()
    market.live(30)

    assert market.noticed_s("resubscribe", "Q0") - market.marked_s <= 30.0
    assert [symbol for _, symbol in market.told("resubscribe")] == ["Q0"]
