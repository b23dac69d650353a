"""What a ticker is worth: which of its prices counts, and what stands in for a missing turnover."""

import pytest

from spreadscan.errors import DiscoveryError
from spreadscan.exchanges._wire import TickerFields, tickers_of

FIELDS = TickerFields(
    symbol="s", bid="b", ask="a", last="l", mark="m", index="i", turnover="t", volume="v"
)


def one_ticker(**values):
    """What is read of a ticker with these values; the row beside it keeps the answer a good one."""
    found = tickers_of([{"s": "OURS"} | values, {"s": "OTHER", "l": "1"}], FIELDS)
    assert [row.exchange_symbol for row in found] == ["OURS", "OTHER"]
    assert found[1].price == 1.0
    return found[0]


@pytest.mark.parametrize(
    ("values", "price"),
    [
        ({"b": "10", "a": "10.5", "m": "9", "l": "8"}, 10.25),
        ({"b": 10, "a": 10.125, "l": 8}, 10.0625),
        ({"b": "10", "a": "10.51", "m": "9", "l": "8"}, 9.0),
        ({"b": "10", "a": "10", "m": "9", "l": "8"}, 9.0),
        ({"b": "10.1", "a": "10", "m": "9", "l": "8"}, 9.0),
        ({"b": "0", "a": "10", "m": "9", "l": "8"}, 9.0),
        ({"b": "10", "a": "", "m": "9", "l": "8"}, 9.0),
        ({"b": "-10", "a": "10", "m": "9"}, 9.0),
        ({"b": "10", "m": "0", "l": "8"}, 8.0),
        ({"a": "10", "m": "", "l": "8"}, 8.0),
        ({"m": "-9", "l": "8"}, 8.0),
        ({"b": "10", "a": "10.5", "l": "0"}, 10.25),
        ({"b": "0", "a": "0", "m": "9", "l": "0"}, None),
        ({"b": "10", "a": None, "l": None}, None),
        ({"l": "-8"}, None),
        ({"l": "inf"}, None),
        ({"l": True}, None),
        ({}, None),
    ],
)
def test_price_is_the_middle_of_a_sane_book_else_the_mark_else_the_last(values, price):
    assert one_ticker(**values).price == price


@pytest.mark.parametrize(
    ("values", "turnover_usd"),
    [
        ({"t": "12.5", "v": "3", "l": "2"}, 12.5),
        ({"t": "0", "v": "3", "l": "2"}, 0.0),
        ({"t": None, "v": "3", "l": "2"}, 6.0),
        ({"t": "", "v": 3, "l": 2}, 6.0),
        ({"t": "-1", "v": "3", "l": "2"}, 6.0),
        ({"v": "0", "l": "0"}, 0.0),
        ({"v": "3", "l": "0"}, None),
        ({"v": "3"}, None),
        ({"v": "1e300", "l": "1e300"}, None),
        ({"l": "2"}, None),
    ],
)
def test_turnover_is_the_exchanges_own_else_volume_at_the_last_price(values, turnover_usd):
    assert one_ticker(**values).turnover_usd == turnover_usd


@pytest.mark.parametrize("index", ["0", "", None, "-3", "x"])
def test_index_price_that_is_none_stays_none(index):
    assert one_ticker(i=index).index_price is None


@pytest.mark.parametrize("symbol", [None, "", 7, ["OURS"]])
def test_ticker_without_a_name_spoils_the_answer(symbol):
    with pytest.raises(DiscoveryError, match="symbol of a ticker"):
        tickers_of([{"s": "OTHER", "l": "1"}, {"s": symbol, "l": "1"}], FIELDS)


@pytest.mark.parametrize("rows", [[], [{"s": "OURS"}], [{"s": "OURS", "renamed": "1"}] * 3])
def test_tickers_that_tell_nothing_at_all_are_no_answer(rows):
    with pytest.raises(DiscoveryError, match=f"in {len(rows)} tickers"):
        tickers_of(rows, FIELDS)
