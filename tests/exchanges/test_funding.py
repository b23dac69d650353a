"""What every exchange says of funding: rates, intervals, times, and what is no such thing."""

import copy
import math

import orjson
import pytest
from funding_bodies import FUNDING, TOLD
from funding_cases import answer_of

from spreadscan.errors import DiscoveryError
from spreadscan.exchanges import source_named, sources
from spreadscan.model import Market

# What each exchange calls things.
NAMES = {
    "binance_futures": ("symbol", "lastFundingRate", "nextFundingTime"),
    "bybit_futures": ("symbol", "fundingRate", "nextFundingTime"),
    "okx_futures": ("instId", "fundingRate", "fundingTime"),
    "mexc_futures": ("symbol", "fundingRate", "nextSettleTime"),
}
HOURS = {
    "binance_futures": (1, "fundingIntervalHours"),
    "bybit_futures": (0, "fundingIntervalHour"),
    "mexc_futures": (0, "collectCycle"),
}
NO_RATE = (None, "", "x", "nan", "inf", True, [], {}, "0.11", -0.2, 10**400, "1e999")
NO_HOURS = ("x", "nan", -8, 0, 1000, True, [])
NO_TIME = ("x", -1, 1732723200, 1732723200000000, True, {})


@pytest.fixture(params=sorted(FUNDING))
def name(request):
    return request.param


def rows_of(tree):
    while not isinstance(tree, list):
        tree = next(tree[key] for key in ("result", "data", "list") if key in tree)
    return tree


def written(bodies):
    def fragment(found):
        if isinstance(found, dict):
            return {key: fragment(value) for key, value in found.items()}
        if isinstance(found, list):
            return [fragment(value) for value in found]
        # More than JSON's own writer takes.
        is_long = isinstance(found, int) and not isinstance(found, bool) and found >= 2**63
        return orjson.Fragment(str(found)) if is_long else found

    return [orjson.dumps(fragment(body)) for body in bodies]


def parsed(name, bodies):
    return answer_of(source_named(name).spec.funding.parse(written(bodies)))


def figures(row):
    return (row.exchange_symbol, row.rate, row.interval_s, row.next_settlement_ms)


def test_every_perpetual_market_declares_funding_and_no_spot_does():
    for source in sources().values():
        assert (source.spec.funding is None) is (source.market is Market.SPOT)
        if source.spec.funding is not None:
            assert len(source.spec.funding.requests) == len(FUNDING[source.name])


def test_rate_interval_and_next_settlement_are_read(name):
    answer = parsed(name, FUNDING[name])

    assert [figures(row) for row in answer.rows] == TOLD[name]
    assert not answer.refused


def test_only_an_interval_that_was_not_named_is_assumed():
    assumed = {
        row.exchange_symbol: row.is_interval_assumed
        for name in FUNDING
        for row in parsed(name, FUNDING[name]).rows
    }

    assert [symbol for symbol, is_assumed in assumed.items() if is_assumed] == ["SEIUSDT"]


@pytest.mark.parametrize(("field", "junk"), [(1, NO_RATE), (2, NO_TIME)], ids=["rate", "time"])
def test_bad_row_is_left_out_with_its_reason_and_costs_no_other(name, field, junk):
    symbol, key = NAMES[name][0], NAMES[name][field]

    for found in junk:
        bodies = copy.deepcopy(FUNDING[name])
        rows = rows_of(bodies[0])
        rows.insert(0, {**rows[0], symbol: "BAD", key: found})
        answer = parsed(name, bodies)

        assert [figures(row) for row in answer.rows] == TOLD[name], found
        assert answer.refused.keys() == {"BAD"}, found
        assert answer.refused["BAD"], found


def test_row_without_a_rate_is_left_out(name):
    bodies = copy.deepcopy(FUNDING[name])
    del rows_of(bodies[0])[0][NAMES[name][1]]

    answer = parsed(name, bodies)

    assert [figures(row) for row in answer.rows] == TOLD[name][1:]
    assert answer.refused.keys() == {TOLD[name][0][0]}


@pytest.mark.parametrize("junk", [None, 17, "BTCUSDT", [], {}, {"symbol": 7}, {"instId": ""}])
def test_what_is_no_row_costs_no_other(name, junk):
    bodies = copy.deepcopy(FUNDING[name])
    rows_of(bodies[0]).insert(1, junk)

    answer = parsed(name, bodies)

    assert [figures(row) for row in answer.rows] == TOLD[name]
    assert answer.refused.keys() == {""}


@pytest.mark.parametrize("name", HOURS)
def test_interval_that_is_none_refuses_its_row(name):
    at, key = HOURS[name]

    for found in NO_HOURS:
        bodies = copy.deepcopy(FUNDING[name])
        rows_of(bodies[at])[0][key] = found
        answer = parsed(name, bodies)

        assert [figures(row) for row in answer.rows] == TOLD[name][1:], found
        assert answer.refused.keys() == {TOLD[name][0][0]}, found


@pytest.mark.parametrize("name", HOURS)
def test_interval_that_is_not_told_is_unknown(name):
    at, key = HOURS[name]

    for found in (None, ""):
        bodies = copy.deepcopy(FUNDING[name])
        rows_of(bodies[at])[0][key] = found
        row = parsed(name, bodies).rows[0]

        assert (row.interval_s, row.is_interval_assumed) == (0.0, False)
        assert row.rate == TOLD[name][0][1]


def test_next_settlement_that_is_not_told_is_unknown(name):
    for found in (None, "", 0, "0"):
        bodies = copy.deepcopy(FUNDING[name])
        rows_of(bodies[0])[1][NAMES[name][2]] = found
        row = parsed(name, bodies).rows[1]

        assert row.next_settlement_ms == 0
        # What is usual, or what is between two times, is told by none then.
        is_told = name not in {"binance_futures", "okx_futures"}
        assert row.interval_s == (TOLD[name][1][2] if is_told else 0.0)


def test_usual_interval_is_assumed_of_no_contract_that_settles_at_another_hour():
    bodies = copy.deepcopy(FUNDING["binance_futures"])
    bodies[0][1]["nextFundingTime"] = 1732723200000 + 4 * 3_600_000

    row = parsed("binance_futures", bodies).rows[1]

    assert (row.interval_s, row.is_interval_assumed) == (0.0, False)


@pytest.mark.parametrize(
    "intervals", [[], {}, None, 17, [1, 2], {"code": -1003, "msg": "Too many requests."}]
)
def test_rates_without_the_list_of_intervals_are_no_answer(intervals):
    with pytest.raises(DiscoveryError):
        parsed("binance_futures", (FUNDING["binance_futures"][0], intervals))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"{}", b"null", b"17", b"[1]", b"[{}]", b"<html>403 Forbidden</html>", b"\xff",
        b"[]", b'{"code":-1003,"msg":"Too many requests."}', b'[{"symbol":"BTCUSDT"}]',
        b'{"retCode":10006,"retMsg":"Too many visits!","result":{},"time":1}',
        b'{"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[]},"time":1}',
        b'{"code":"50011","msg":"Too Many Requests","data":[]}',
        b'{"code":"0","msg":"","data":[]}',
        b'{"success":false,"code":510,"message":"Requests are too frequent"}',
        b'{"success":true,"code":0,"data":[]}',
    ],
)  # fmt: skip
def test_body_that_tells_of_no_funding_is_refused_as_such(name, body):
    funding = source_named(name).spec.funding
    others = written(FUNDING[name])[1:]

    with pytest.raises(DiscoveryError):
        answer_of(funding.parse([body, *others]))


def test_answer_cut_anywhere_is_refused_as_such(name):
    funding = source_named(name).spec.funding
    first, *others = written(FUNDING[name])

    for size in range(len(first)):
        with pytest.raises(DiscoveryError):
            answer_of(funding.parse([first[:size], *others]))


def test_answer_with_one_byte_wrong_is_read_or_refused_and_nothing_else(name):
    funding = source_named(name).spec.funding
    bodies = written(FUNDING[name])

    for which, body in enumerate(bodies):
        for at in range(len(body)):
            spoilt = bytearray(body)
            spoilt[at] ^= 0x15
            try:
                answer = answer_of(
                    funding.parse([*bodies[:which], bytes(spoilt), *bodies[which + 1 :]])
                )
            except DiscoveryError:
                continue
            for row in answer.rows:
                assert math.isfinite(row.rate)
                assert abs(row.rate) <= 0.1
                assert row.interval_s == 0 or 60 <= row.interval_s <= 7 * 86_400


@pytest.mark.parametrize("name", sorted(FUNDING))
def test_half_a_list_is_read_as_far_as_it_goes(name):
    bodies = copy.deepcopy(FUNDING[name])
    rows = rows_of(bodies[0])
    del rows[1:]

    assert [figures(row) for row in parsed(name, bodies).rows] == TOLD[name][:1]
