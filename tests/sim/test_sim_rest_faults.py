"""Scenarios that spoil REST answers, and the weights of what they leave alone."""

import asyncio

import orjson
import pytest

from spreadscan.sim.faults import Fault
from spreadscan.sim.scenario import Scenario
from spreadscan.sim.spoil import spoilt
from spreadscan.sim.venues import RestReply

ALL = ("binance", "okx", "bybit", "mexc")
LISTS = {
    "binance_spot": "api/v3/exchangeInfo",
    "binance_futures": "fapi/v1/exchangeInfo",
    "okx_spot": "api/v5/public/instruments?instType=SPOT",
    "okx_futures": "api/v5/public/instruments?instType=SWAP",
    "bybit_spot": "v5/market/instruments-info?category=spot",
    "bybit_futures": "v5/market/instruments-info?category=linear",
    "mexc_spot": "api/v3/exchangeInfo",
    "mexc_futures": "api/v1/contract/detail",
}
TICKERS = {
    "binance_spot": "api/v3/ticker/24hr",
    "binance_futures": "fapi/v1/ticker/24hr",
    "okx_spot": "api/v5/market/tickers?instType=SPOT",
    "okx_futures": "api/v5/market/tickers?instType=SWAP",
    "bybit_spot": "v5/market/tickers?category=spot",
    "bybit_futures": "v5/market/tickers?category=linear",
    "mexc_spot": "api/v3/ticker/24hr",
    "mexc_futures": "api/v1/contract/ticker",
}


def rows_in(body):
    if isinstance(body, list):
        return body
    return body["result"]["list"] if "result" in body else body.get("symbols", body.get("data"))


@pytest.fixture(params=LISTS)
def source(request):
    return request.param


@pytest.fixture
def play(in_world):
    """Run an async body in a world where these faults are under way until 100 s."""

    def run(body, *faults):
        scenario = Scenario(fault=tuple(Fault(at_s=1, for_s=99, **fault) for fault in faults))

        async def after_a_moment(world):
            world.tick_after(2)
            await body(world)

        in_world(after_a_moment, exchanges=ALL, scenario=scenario)

    return run


def test_a_web_page_comes_with_status_200_and_only_at_the_source_that_is_meant(play, source):
    async def body(world):
        status, kind, page = await world.get(f"{source}/{LISTS[source]}")
        assert (status, kind) == (200, "text/html")
        assert page.startswith(b"<!DOCTYPE html>")
        other = "okx_spot" if source == "okx_futures" else "okx_futures"
        assert rows_in(await world.json(f"{other}/{LISTS[other]}"))
        assert rows_in(await world.json(f"{source}/{TICKERS[source]}"))

    play(body, {"kind": "html", "source": source})


def test_the_exchanges_own_error_comes_with_status_200(play, source):
    async def body(world):
        answer = await world.json(f"{source}/{LISTS[source]}")
        code = answer.get("code", answer.get("retCode"))
        assert int(code) != 0
        assert not answer.get("symbols")
        assert not answer.get("data")
        assert not answer.get("result")

    play(body, {"kind": "error_body", "source": source})


def test_a_list_may_be_empty_in_an_envelope_that_is_in_order(play, source):
    async def body(world):
        path = f"{source}/{LISTS[source]}"
        spoilt_body = await world.json(path)
        world.tick_after(100)
        whole = await world.json(path)

        assert rows_in(spoilt_body) == []
        assert len(rows_in(whole)) > 12
        assert spoilt_body.keys() == whole.keys()

    play(body, {"kind": "empty_list", "source": source})


@pytest.mark.parametrize("answers", ["listing", "tickers", "all"])
def test_half_a_list_is_its_first_half_of_the_answers_that_are_meant(play, source, answers):
    async def body(world):
        paths = {
            "listing": f"{source}/{LISTS[source]}",
            "tickers": f"{source}/{TICKERS[source]}",
        }
        found = {name: rows_in(await world.json(path)) for name, path in paths.items()}
        world.tick_after(100)
        for name, path in paths.items():
            whole = rows_in(await world.json(path))
            expected = len(whole) // 2 if answers in (name, "all") else len(whole)
            assert len(found[name]) == expected
            key = "instId" if "instId" in whole[0] else "symbol"
            assert [row[key] for row in found[name]] == [row[key] for row in whole[:expected]]

    play(body, {"kind": "half_list", "source": source, "answers": answers})


def test_a_slow_answer_comes_when_its_time_has_come_and_not_before(play, until):
    async def body(world):
        slow = asyncio.create_task(world.json(f"okx_spot/{LISTS['okx_spot']}"))
        ledger = world.simulation.servers.ledgers["okx_spot"]
        await until(lambda: ledger.rest_requests == 1)
        world.tick_after(6.9)
        assert rows_in(await world.json(f"bybit_spot/{LISTS['bybit_spot']}")), "others are quick"
        assert not slow.done()

        world.tick_after(0.2)

        assert rows_in(await slow)

    play(body, {"kind": "slow_rest", "source": "okx", "delay_ms": 7000})


def test_a_simulator_that_stops_lets_go_of_slow_answers(play, until):
    waiting = []

    async def body(world):
        waiting.append(asyncio.create_task(world.get(f"okx_spot/{LISTS['okx_spot']}")))
        ledger = world.simulation.servers.ledgers["okx_spot"]
        await until(lambda: ledger.rest_requests == 1)
        await world.simulation.close()
        assert (await waiting[0])[0] == 200

    play(body, {"kind": "slow_rest", "source": "okx", "delay_ms": 3_600_000})


def test_what_is_no_list_is_left_alone(play):
    async def body(world):
        assert (await world.get("okx_spot/api/v5/nothing"))[0] == 404
        status, kind, _ = await world.get("okx_spot/api/v5/market/tickers?instType=COFFEE")
        assert (status, kind) == (400, "application/json")

    play(
        body,
        {"kind": "html", "source": "okx"},
        {"kind": "empty_list", "answers": "all", "source": "okx"},
    )


def test_spoilt_answers_count_as_requests_and_shut_doors_come_first(play):
    async def body(world):
        status, _, answer = await world.get(f"mexc_spot/{LISTS['mexc_spot']}")
        assert (status, orjson.loads(answer)["code"]) == (429, 429)
        await world.get(f"okx_spot/{LISTS['okx_spot']}")
        assert world.simulation.servers.ledgers["okx_spot"].rest_requests == 1

    play(body, {"kind": "html"}, {"kind": "429", "source": "mexc"})


def test_faults_of_one_answer_add_up():
    rows = [{"symbol": str(number)} for number in range(9)]
    faults = [
        Fault(at_s=0, kind="half_list"),
        Fault(at_s=0, kind="slow_rest", delay_ms=200),
        Fault(at_s=0, kind="slow_rest", delay_ms=300),
    ]

    answer = spoilt(RestReply(200, {"data": rows}, rows), faults, lambda _status: b"")

    assert len(orjson.loads(answer.body)["data"]) == 4
    assert (answer.status, answer.content_type, answer.delay_s) == (200, "application/json", 0.5)
