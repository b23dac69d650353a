"""What is sent is the difference to what is wanted, whatever was on its way before."""

import random

import pytest

from spreadscan.exchanges._adapter import Refused
from spreadscan.feed.subscriptions import Request, Subscriptions
from spreadscan.manners.placement import Placement
from spreadscan.manners.shards import batches


def ask(symbols):
    return Request(symbols=tuple(symbols), is_leaving=False)


def leave(symbols):
    return Request(symbols=tuple(symbols), is_leaving=True)


def refused(*symbols, request_id, **facts):
    return Refused(symbols, "no", str(request_id), **{"is_whole_request": True} | facts)


@pytest.fixture
def subscriptions():
    return Subscriptions(lambda symbols: batches(symbols, 3))


def taken(subscriptions, first_id=1):
    """Everything that is to be sent now."""
    requests = []
    while subscriptions.has_request:
        requests.append(subscriptions.take(first_id + len(requests)))
    return requests


def begun(subscriptions, symbols):
    subscriptions.subscribe(symbols)
    subscriptions.begin()
    taken(subscriptions)
    return subscriptions


def test_new_connection_is_asked_for_everything_in_batches(subscriptions):
    subscriptions.subscribe("ABCDE")
    subscriptions.begin()

    assert taken(subscriptions) == [ask("ABC"), ask("DE")]
    assert subscriptions.take(9) is None


def test_only_what_changes_is_sent_and_unsubscribing_goes_first(subscriptions):
    begun(subscriptions, "ABCDE")

    subscriptions.subscribe("XY")
    subscriptions.unsubscribe("BD")

    assert taken(subscriptions) == [leave("BD"), ask("XY")]


def test_symbols_that_change_before_a_connection_stands_are_in_its_first_requests(subscriptions):
    subscriptions.subscribe("AB")
    subscriptions.unsubscribe("A")
    subscriptions.subscribe("C")
    subscriptions.begin()

    assert taken(subscriptions) == [ask("BC")]


def test_symbol_that_comes_back_before_its_turn_is_not_touched(subscriptions):
    begun(subscriptions, "ABC")

    subscriptions.unsubscribe("B")
    subscriptions.subscribe("B")

    assert not subscriptions.has_request
    assert subscriptions.carried == set("ABC")


def test_symbol_that_comes_back_after_its_turn_is_asked_for_anew(subscriptions):
    begun(subscriptions, "ABC")

    subscriptions.unsubscribe("B")
    sent = taken(subscriptions)
    subscriptions.subscribe("B")

    assert [*sent, *taken(subscriptions)] == [leave("B"), ask("B")]


def test_symbol_that_goes_before_it_was_asked_for_is_never_mentioned(subscriptions):
    begun(subscriptions, "ABC")

    subscriptions.subscribe("XY")
    subscriptions.unsubscribe("X")

    assert taken(subscriptions) == [ask("Y")]


def test_symbol_waiting_to_be_unsubscribed_is_still_carried(subscriptions):
    begun(subscriptions, "AB")

    subscriptions.unsubscribe("B")

    assert subscriptions.carried == set("AB")
    taken(subscriptions)
    assert subscriptions.carried == set("A")


@pytest.mark.parametrize("names", [("A",), ()])
def test_removed_symbol_is_not_asked_for_again_when_its_request_is_refused(subscriptions, names):
    subscriptions.subscribe("ABC")
    subscriptions.begin()
    subscriptions.take(1)

    subscriptions.unsubscribe("B")
    assert subscriptions.take(2) == leave("B")
    subscriptions.refused(refused(*names, request_id=1))

    asked = [request.symbols for request in taken(subscriptions, 3)]
    assert asked == ([("C",)] if names else [("A",), ("C",)])


def test_symbol_removed_while_it_waits_to_be_asked_for_again_is_forgotten(subscriptions):
    begun(subscriptions, "ABC")
    subscriptions.refused(refused("A", request_id=1))

    subscriptions.unsubscribe("BC")

    assert not subscriptions.has_request
    assert subscriptions.carried == set("A")


def test_refused_symbol_is_neither_asked_for_again_nor_unsubscribed(subscriptions):
    begun(subscriptions, "ABC")
    verdict = subscriptions.refused(refused("B", request_id=1, is_whole_request=False))

    subscriptions.unsubscribe("B")

    assert verdict.dropped == ("B",)
    assert not subscriptions.has_request


def test_refused_symbol_is_tried_again_when_it_is_added_again(subscriptions):
    begun(subscriptions, "ABC")
    subscriptions.refused(refused("B", request_id=1, is_whole_request=False))

    subscriptions.unsubscribe("B")
    subscriptions.subscribe("B")

    assert taken(subscriptions, 2) == [ask("B")]


def test_refused_symbol_is_tried_again_on_the_next_connection(subscriptions):
    begun(subscriptions, "ABC")
    subscriptions.refused(refused("B", request_id=1, is_whole_request=False))

    subscriptions.begin()

    assert taken(subscriptions, 2) == [ask("ABC")]


def test_symbol_that_is_held_already_can_still_be_unsubscribed(subscriptions):
    begun(subscriptions, "ABC")
    subscriptions.refused(refused("B", request_id=1, are_held=True))
    assert taken(subscriptions, 2) == [ask("AC")]

    subscriptions.unsubscribe("B")

    assert taken(subscriptions, 3) == [leave("B")]


def test_refused_unsubscribing_loses_nothing_and_is_repeated_in_halves(subscriptions):
    begun(subscriptions, "ABC")
    subscriptions.unsubscribe("ABC")
    subscriptions.take(2)

    verdict = subscriptions.refused(refused(request_id=2))

    assert verdict.is_leaving
    assert taken(subscriptions, 3) == [leave("A"), leave("BC")]


def test_refused_unsubscribing_is_not_repeated_for_what_came_back(subscriptions):
    begun(subscriptions, "ABC")
    subscriptions.unsubscribe("ABC")
    subscriptions.take(2)
    subscriptions.subscribe("A")
    assert subscriptions.take(3) == ask("A")

    subscriptions.refused(refused(request_id=2))

    assert taken(subscriptions, 4) == [leave("BC")]


def test_refusal_that_can_only_be_of_an_unsubscribed_symbol_loses_nothing(subscriptions):
    begun(subscriptions, "ABC")
    subscriptions.unsubscribe("B")
    taken(subscriptions, 2)

    verdict = subscriptions.refused(Refused(("B",), "no such contract"))

    assert verdict.is_leaving


def test_what_an_earlier_connection_was_still_to_be_told_went_with_it(subscriptions):
    begun(subscriptions, "ABCDE")
    subscriptions.unsubscribe("AB")
    subscriptions.subscribe("Z")

    subscriptions.begin()

    assert taken(subscriptions, 3) == [ask("CDE"), ask("Z")]


def test_symbol_refused_on_the_way_out_is_not_unsubscribed(subscriptions):
    begun(subscriptions, "ABC")
    subscriptions.unsubscribe("AB")

    subscriptions.refused(refused("B", request_id=1, is_whole_request=False))

    assert taken(subscriptions, 2) == [leave("A")]


def test_symbol_refused_while_it_is_asked_for_twice_is_not_asked_for_a_third_time(subscriptions):
    begun(subscriptions, "AB")
    subscriptions.unsubscribe("B")
    subscriptions.subscribe("CD")
    subscriptions.unsubscribe("CD")
    subscriptions.subscribe("B")
    subscriptions.subscribe("B")

    subscriptions.refused(refused("B", request_id=1, is_whole_request=False))

    assert not subscriptions.has_request


def test_answers_to_an_earlier_connection_are_nobodys(subscriptions):
    begun(subscriptions, "ABC")
    subscriptions.begin()
    taken(subscriptions, 2)

    verdict = subscriptions.refused(refused(request_id=1))

    assert not verdict.dropped
    assert not subscriptions.has_request


class Wire:
    """An exchange at the other end of one connection: in order, but late."""

    def __init__(self, subscriptions, most, bad, chance):
        self.subscriptions = subscriptions
        self.most = most
        self.bad = bad
        self.chance = chance
        self.number = 0
        self.reset()

    def reset(self):
        self.held = set()
        self.on_its_way = []
        self.answers = []
        self.subscriptions.begin()

    def send(self):
        self.number += 1
        request = self.subscriptions.take(self.number)
        if request is not None:
            self.on_its_way.append((self.number, request))

    def receive(self):
        number, request = self.on_its_way.pop(0)
        symbols = set(request.symbols)
        if request.is_leaving:
            if symbols - self.held and self.chance.random() < 0.5:
                self.refuse(number, ())
            else:
                self.held -= symbols
            return
        assert symbols
        wrong = sorted(symbols & self.bad) or sorted(symbols & self.held)
        if wrong:
            named = wrong[:1] if self.chance.random() < 0.5 or wrong[0] in self.held else ()
            self.refuse(number, named, are_held=wrong[0] in self.held)
            return
        self.held |= symbols
        assert len(self.held) <= self.most

    def refuse(self, number, named, **facts):
        self.answers.append(refused(*named, request_id=number, **facts))

    def settle(self):
        """Let everything happen that is to happen; return how many messages it took."""
        before = self.number
        while self.subscriptions.has_request or self.on_its_way or self.answers:
            if self.answers:
                self.subscriptions.refused(self.answers.pop(0))
            elif self.on_its_way:
                self.receive()
            else:
                self.send()
        return self.number - before

    def step(self):
        """Let one thing happen, if there is one."""
        kind = self.chance.randrange(12)
        if kind == 0:
            self.reset()
        elif kind < 4 and self.answers:
            self.subscriptions.refused(self.answers.pop(0))
        elif kind < 8 and self.on_its_way:
            self.receive()
        else:
            self.send()


@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_random_changes_end_in_what_is_wanted(seed):
    chance = random.Random(seed)
    pool = {f"C{number}": number for number in range(60)}
    bad = set(chance.sample(sorted(pool), 4))
    placement, wires, wanted = Placement(10), {}, set()
    for _ in range(250):
        wanted ^= set(chance.sample(sorted(pool), chance.choice([1, 3, 20])))
        for move in placement.adopt([(symbol, pool[symbol]) for symbol in wanted]):
            if move.shard not in wires:
                fresh = Subscriptions(lambda symbols: batches(symbols, 4))
                wires[move.shard] = Wire(fresh, 10, bad, chance)
            wires[move.shard].subscriptions.unsubscribe(move.removed)
            wires[move.shard].subscriptions.subscribe(move.added)
            if move.is_end:
                del wires[move.shard]
        for _ in range(chance.choice([0, 2, 40])):
            if wires:
                chance.choice(list(wires.values())).step()
        if chance.random() < 0.2:
            for shard, wire in wires.items():
                assert wire.settle() <= 2 * 60
                assert wire.held == placement.shards[shard] - bad


def test_renewed_symbols_are_left_and_asked_for_again():
    found = Subscriptions(lambda symbols: batches(symbols, 2))
    found.subscribe(["A", "B", "C"])
    found.begin()
    while found.take(1):
        pass

    found.renew(["B", "C", "unknown"])

    requests = [found.take(number) for number in (2, 3, 4)]
    assert [(row.symbols, row.is_leaving) for row in requests[:2]] == [
        (("B", "C"), True),
        (("B", "C"), False),
    ]
    assert requests[2] is None


def test_renewed_symbol_that_is_removed_before_its_turn_is_only_left():
    found = Subscriptions(lambda symbols: batches(symbols, 2))
    found.subscribe(["A", "B"])
    found.begin()
    found.take(1)

    found.renew(["B"])
    found.unsubscribe(["B"])

    request = found.take(2)
    assert (request.symbols, request.is_leaving) == (("B",), True)
    assert found.take(3) is None
