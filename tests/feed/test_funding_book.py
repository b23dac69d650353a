"""What a feed knows of funding, and when it asks again."""

import pytest

from spreadscan.feed.funding_book import FundingBook, FundingPace
from spreadscan.model import RawFunding

HOUR_S, HOUR_MS = 3600.0, 3_600_000
NOW_MS = 1_790_000_000_000 // (8 * HOUR_MS) * 8 * HOUR_MS + 7 * HOUR_MS
PACE = FundingPace(interval_s=60.0, settle_delay_s=20.0)


def row(symbol, rate=0.0001, hours=8, *, next_ms=NOW_MS + HOUR_MS, is_assumed=False):
    return RawFunding(
        exchange_symbol=symbol,
        rate=rate,
        interval_s=hours * HOUR_S,
        is_interval_assumed=is_assumed,
        next_settlement_ms=next_ms,
    )


def take(book, *rows, now_ms=NOW_MS):
    """Enter a whole answer; return what it told of the symbols that matter."""
    found = {row.exchange_symbol: book.take(row, now_ms) for row in rows}
    told = {name: known for name, known in found.items() if known is not None}
    book.end_answer(told)
    return told


@pytest.fixture
def book():
    book = FundingBook(PACE)
    book.adopt(["A", "B"], [])
    return book


def test_only_symbols_that_matter_are_told_of(book):
    told = take(book, row("A", 0.0002), row("C"))

    assert {name: (known.rate, known.interval_s) for name, known in told.items()} == {
        "A": (0.0002, 8 * HOUR_S)
    }
    assert book.missing == {"B"}


def test_what_an_answer_lacks_stays_as_it_was_known(book):
    take(book, row("A"), row("B", -0.0003))

    told = take(book, row("A", 0.0009))

    assert told.keys() == {"A"}
    assert book.known["B"].rate == -0.0003
    assert book.missing == {"B"}


def test_interval_that_changes_is_taken_at_once(book):
    take(book, row("A", hours=8))

    told = take(book, row("A", hours=1))

    assert told["A"].interval_s == HOUR_S


def test_interval_once_named_stands_against_an_assumed_or_unknown_one(book):
    take(book, row("A", hours=4), row("B", hours=4))

    told = take(book, row("A", hours=8, is_assumed=True), row("B", hours=0))

    assert {known.interval_s for known in told.values()} == {4 * HOUR_S}
    assert all(known.is_interval_told for known in told.values())


def test_interval_once_named_falls_when_the_next_settlement_is_further_away(book):
    take(book, row("A", hours=4), row("B", hours=4))
    later_ms = NOW_MS + 2 * HOUR_MS
    far_ms = later_ms + 7 * HOUR_MS

    told = take(
        book,
        row("A", hours=8, is_assumed=True, next_ms=far_ms),
        row("B", hours=0, next_ms=far_ms),
        now_ms=later_ms,
    )

    assert (told["A"].interval_s, told["A"].is_interval_told) == (8 * HOUR_S, False)
    assert (told["B"].interval_s, told["B"].is_interval_told) == (0.0, False)


def test_assumed_interval_is_replaced_by_the_next_one_whatever_it_is(book):
    take(book, row("A", hours=8, is_assumed=True), row("B", hours=8, is_assumed=True))

    told = take(book, row("A", hours=2), row("B", hours=0))

    assert (told["A"].interval_s, told["A"].is_interval_told) == (2 * HOUR_S, True)
    assert (told["B"].interval_s, told["B"].is_interval_told) == (0.0, False)


def test_symbols_that_are_gone_are_forgotten_and_new_ones_are_wanted(book):
    take(book, row("A"), row("B"))

    assert not book.adopt(["A"], ["A"])
    assert book.known.keys() == {"A"}
    assert book.adopt(["A", "C"], ["A"])
    # Under another number it is to be written anew.
    assert book.adopt(["A", "C"], ["C"])
    assert not book.known


@pytest.mark.parametrize(("chance", "expected_s"), [(0.0, 54.0), (0.5, 60.0), (1.0, 66.0)])
def test_next_question_comes_around_the_interval(book, chance, expected_s):
    assert book.wait_s(NOW_MS, chance) == pytest.approx(expected_s)

    take(book, row("A"))

    assert book.wait_s(NOW_MS, chance) == pytest.approx(expected_s)


def test_next_question_comes_soon_after_a_settlement(book):
    settled_ms = NOW_MS + 5_000
    take(book, row("A"), row("B", next_ms=settled_ms))

    waits_s = [book.wait_s(NOW_MS, chance) for chance in (0.0, 1.0)]

    assert waits_s == pytest.approx([5 + 20, 5 + 40])


def test_settlement_that_is_over_or_unknown_hastens_nothing(book):
    take(book, row("A", next_ms=NOW_MS - 5_000), row("B", next_ms=0))

    assert book.wait_s(NOW_MS, 0.5) == pytest.approx(60.0)
