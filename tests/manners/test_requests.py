"""A refusal drops the guilty symbol and nobody else, in few requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spreadscan.exchanges._adapter import Ack, Refused
from spreadscan.manners.requests import Requests, Verdict


def refused(*symbols, request_id="1", **facts):
    return Refused(symbols, "no", request_id, **{"is_whole_request": True} | facts)


def asked(*requests):
    book = Requests()
    for number, symbols in enumerate(requests, start=1):
        book.sent(number, symbols)
    return book


def test_refusal_of_single_symbols_leaves_the_request_open():
    book = asked("ABC")

    verdict = book.refused(refused("B", is_whole_request=False))

    assert verdict == Verdict(dropped=("B",))
    assert len(book) == 1


def test_whole_request_is_asked_again_without_the_symbol_named():
    book = asked("ABC")

    assert book.refused(refused("B")) == Verdict(dropped=("B",), again=(("A", "C"),))
    assert len(book) == 0


def test_whole_request_of_the_symbol_named_alone_is_not_asked_again():
    assert asked("B").refused(refused("B")) == Verdict(dropped=("B",))


def test_whole_request_that_names_nobody_is_halved():
    assert asked("ABCDE").refused(refused()) == Verdict(again=(("A", "B"), ("C", "D", "E")))


def test_single_symbol_of_a_refused_request_is_the_guilty_one():
    assert asked("A").refused(refused()) == Verdict(dropped=("A",))


def test_symbol_that_is_held_already_is_not_dropped():
    verdict = asked("ABC").refused(refused("B", are_held=True))

    assert verdict == Verdict(again=(("A", "C"),))


def test_refusal_that_names_a_stranger_is_halved_so_that_it_ends():
    assert asked("AB").refused(refused("X")) == Verdict(again=(("A",), ("B",)))


def test_refusal_without_an_id_is_of_the_request_that_holds_the_name():
    book = asked("AB", "CD")

    verdict = book.refused(refused("C", request_id=None))

    assert verdict == Verdict(dropped=("C",), again=(("D",),))


def test_refusal_without_an_id_or_a_name_is_of_the_oldest_open_request():
    book = asked("AB", "CD")
    book.acknowledged(Ack("1"))

    assert book.refused(refused(request_id=None)) == Verdict(again=(("C",), ("D",)))


def test_refusal_of_an_unknown_request_changes_nothing():
    book = asked("AB")

    assert book.refused(refused(request_id="77")) == Verdict()
    assert len(book) == 1
    assert Requests().refused(refused(request_id=None)) == Verdict()


def test_acknowledgement_that_tells_neither_id_nor_kind_closes_no_request():
    book = asked("AB")

    book.acknowledged(Ack())
    book.acknowledged(Ack("77"))

    assert len(book) == 1


def test_acknowledgement_that_tells_its_kind_closes_the_oldest_request_of_it():
    book = asked("A", "B")
    book.sent(3, "A", is_leaving=True)

    book.acknowledged(Ack(is_leaving=True))
    book.acknowledged(Ack(is_leaving=True))
    book.acknowledged(Ack(is_leaving=False))

    assert book.refused(refused(request_id=None)) == Verdict(dropped=("B",))
    assert len(book) == 0


def test_request_refused_symbol_by_symbol_is_closed_with_the_last_one():
    book = asked("AB", "C")

    for symbol in "CAB":
        verdict = book.refused(refused(symbol, request_id=None, is_whole_request=False))
        assert verdict == Verdict(dropped=(symbol,))

    assert len(book) == 0


def test_refusal_without_an_id_of_a_symbol_to_unsubscribe_says_so():
    book = asked("A")
    book.acknowledged(Ack("1"))
    book.sent(2, "A", is_leaving=True)

    verdict = book.refused(refused("A", request_id=None, is_whole_request=False))

    assert verdict == Verdict(dropped=("A",), is_leaving=True)
    assert len(book) == 0


@pytest.mark.parametrize(
    ("refusal", "verdict"),
    [
        (refused("B"), Verdict(dropped=("B",), again=(("A", "C"),), is_leaving=True)),
        (refused(), Verdict(again=(("A",), ("B", "C")), is_leaving=True)),
        (refused("B", is_whole_request=False), Verdict(dropped=("B",), is_leaving=True)),
    ],
)
def test_refusal_of_a_request_to_unsubscribe_says_so(refusal, verdict):
    book = Requests()
    book.sent(1, "ABC", is_leaving=True)

    assert book.refused(refusal) == verdict


@given(
    count=st.integers(1, 60),
    bad=st.sets(st.integers(0, 59)),
    names=st.sampled_from(["nobody", "the first", "the first, without an id"]),
)
def test_exactly_the_bad_symbols_are_dropped_within_twice_their_number_of_requests(
    count, bad, names
):
    book = Requests()
    waiting, subscribed, dropped, sent = [tuple(map(str, range(count)))], [], [], 0
    guilty = {str(number) for number in bad}
    while waiting:
        symbols = waiting.pop()
        sent += 1
        book.sent(sent, symbols)
        found = [symbol for symbol in symbols if symbol in guilty]
        if not found:
            book.acknowledged(Ack(str(sent)))
            subscribed += symbols
            continue
        named = [] if names == "nobody" else found[:1]
        request_id = None if "without" in names else str(sent)
        verdict = book.refused(refused(*named, request_id=request_id))
        dropped += verdict.dropped
        waiting += verdict.again

    assert sorted(dropped) == sorted(guilty & set(map(str, range(count))))
    assert sorted(subscribed + dropped) == sorted(map(str, range(count)))
    assert sent <= 2 * count - 1
