"""REST spot checks over real sockets: seldom, shared, barred when told to, never in the way."""

import asyncio
import logging
import threading

import msgspec
import pytest
from aiohttp import web

from spreadscan.exchanges import source_named
from spreadscan.exchanges._adapter import RestRequest
from spreadscan.feed.rest import RestDoor
from spreadscan.feed.spot_check import LISTING_TURNS, SpotCheck
from spreadscan.manners.gates import RestGate
from spreadscan.runtime.trust import Trust
from spreadscan.shm.governor import Allowance, Budget, private_words

SOURCE = source_named("binance_spot")
TICKERS, LISTING = "/api/v3/ticker/bookTicker", "/api/v3/exchangeInfo"
INTERVAL_S = 5.0
PATIENCE_S = 10.0
SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")


def tickers(**prices):
    rows = [
        {"symbol": symbol, "bidPrice": str(price - 1), "askPrice": str(price + 1)}
        for symbol, price in prices.items()
    ]
    return web.json_response(rows)


def listing(**statuses):
    rows = [
        {
            "symbol": symbol, "status": status, "baseAsset": symbol[0], "quoteAsset": "USDT",
            "filters": [],
        }
        for symbol, status in statuses.items()
    ]  # fmt: skip
    return web.json_response({"symbols": rows})


ALL_TRADE = dict.fromkeys(SYMBOLS, "TRADING")


class Rest:
    """An exchange's REST whose answers a test may replace."""

    def __init__(self):
        self.answers = {
            TICKERS: lambda: tickers(AUSDT=100, BUSDT=200),
            LISTING: lambda: listing(**ALL_TRADE),
        }
        self.asked = []

    async def answer(self, request):
        self.asked.append(request.path)
        found = self.answers[request.path]()
        return await found if asyncio.iscoroutine(found) else found

    def fail(self, status, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        for path in self.answers:
            self.answers[path] = lambda: web.Response(status=status, headers=headers)


def checked(clock, *steps, rest=None, source=SOURCE, timeout_s=5.0):
    """Run steps (rest, check) against a server; return what they returned."""
    rest = rest or Rest()
    words = private_words()

    async def body():
        app = web.Application()
        app.router.add_get("/{path:.*}", rest.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        gate = RestGate(Allowance(words, 0, Budget(count=100, window_s=1.0)), clock)
        check = SpotCheck(
            source=source,
            interval_s=INTERVAL_S,
            door=RestDoor(
                rest_url=f"http://127.0.0.1:{runner.addresses[0][1]}",
                timeout_s=timeout_s,
                gate=gate,
                trust=Trust(None),
                clock=clock,
            ),
            symbols=lambda: SYMBOLS,
            clock=clock,
            log=logging.getLogger("test"),
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                return [await step(rest, check) for step in steps]
        finally:
            await check.close()
            await runner.cleanup()

    return asyncio.run(body())


async def ask(_rest, check):
    """Want an answer, and wait until the question is over."""
    check.want()
    while check._task is not None:
        await asyncio.wait([check._task])
        check.check()
    return check.answer


def later(clock, seconds):
    async def step(_rest, _check):
        clock.advance(seconds)

    return step


def test_answer_has_prices_and_what_trades(manual_clock):
    rest = Rest()
    rest.answers[LISTING] = lambda: listing(**ALL_TRADE | {"BUSDT": "BREAK"})

    (answer,) = checked(manual_clock, ask, rest=rest)

    assert answer.prices == {"AUSDT": 100.0, "BUSDT": 200.0}
    assert answer.books == {"AUSDT": (99.0, 101.0), "BUSDT": (199.0, 201.0)}
    assert answer.trading == {"AUSDT", "CUSDT"}
    assert answer.failure is None
    assert answer.asked_ns == manual_clock.monotonic_ns()
    assert rest.asked == [TICKERS, LISTING]


def test_all_who_ask_within_the_interval_share_one_answer(manual_clock):
    rest = Rest()

    async def crowd(rest, check):
        for _ in range(50):
            check.want()
        return await ask(rest, check)

    first, _, second, _, third = checked(
        manual_clock, crowd, later(manual_clock, INTERVAL_S - 0.1), ask,
        later(manual_clock, 0.1), ask, rest=rest,
    )  # fmt: skip

    assert first is second
    assert third is not first
    assert rest.asked == [TICKERS, LISTING, TICKERS]
    assert third.trading == first.trading


def test_listing_is_read_seldom(manual_clock):
    rest = Rest()
    steps = [ask, later(manual_clock, INTERVAL_S)] * (2 * LISTING_TURNS)

    checked(manual_clock, *steps, rest=rest)

    assert rest.asked.count(TICKERS) == 2 * LISTING_TURNS
    assert rest.asked.count(LISTING) == 2


def test_listing_of_several_pages_is_read_to_its_end(manual_clock):
    rest = Rest()
    rest.answers["/second"] = lambda: listing(CUSDT="TRADING")
    rest.answers[LISTING] = lambda: listing(AUSDT="TRADING", BUSDT="TRADING")

    class Paged:
        spec = msgspec.structs.replace(
            SOURCE.spec,
            next_page=lambda body: RestRequest(path="/second") if b"AUSDT" in body else None,
        )

    (answer,) = checked(manual_clock, ask, rest=rest, source=Paged())

    assert rest.asked == [TICKERS, LISTING, "/second"]
    assert answer.trading == set(SYMBOLS)


def test_half_a_listing_halts_nobody(manual_clock):
    rest = Rest()
    rest.answers[LISTING] = lambda: listing(AUSDT="TRADING")

    (answer,) = checked(manual_clock, ask, rest=rest)

    assert answer.trading is None
    assert answer.prices


@pytest.mark.parametrize("status", [429, 418, 403])
def test_who_is_told_to_ask_less_asks_no_more_until_then(manual_clock, status):
    rest = Rest()
    rest.fail(status, Retry_After="60")

    async def recover(rest, _check):
        rest.answers = Rest().answers

    steps = [ask, *[later(manual_clock, 9.0), ask] * 6, recover, later(manual_clock, 6.1), ask]
    *before, _, _, after = checked(manual_clock, *steps, rest=rest)

    assert rest.asked == [TICKERS, TICKERS, LISTING]
    # That we ask too much is no word about the exchange.
    assert not any(before)
    assert after.prices


def test_bar_of_another_process_holds_here(manual_clock):
    async def bar(_rest, check):
        check._door._gate._allowance.ban(0, manual_clock.monotonic_ns() + 1)

    rest = Rest()
    _, answer, _, late = checked(manual_clock, bar, ask, later(manual_clock, 1.0), ask, rest=rest)

    assert answer is None
    assert late.prices


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: web.Response(status=503),
        lambda: web.Response(status=404),
        lambda: web.Response(status=302, headers={"Location": "/elsewhere"}),
        lambda: web.Response(text="<html>maintenance</html>"),
        lambda: web.json_response({"code": -1, "msg": "no"}),
        lambda: web.json_response([]),
        lambda: asyncio.sleep(PATIENCE_S),
    ],
    ids=["503", "404", "redirect", "page", "error", "empty", "late"],
)
def test_failure_is_told_and_the_next_answer_is_good_again(manual_clock, spoil):
    rest = Rest()
    rest.answers[TICKERS] = spoil

    async def recover(rest, _check):
        rest.answers = Rest().answers

    failed, _, _, answer = checked(
        manual_clock, ask, recover, later(manual_clock, INTERVAL_S), ask, rest=rest, timeout_s=0.3
    )

    assert failed.failure
    assert (failed.prices, failed.trading) == ({}, None)
    assert answer.failure is None
    assert answer.prices
    assert "/elsewhere" not in rest.asked


def test_maintenance_that_says_until_when_is_a_failure_and_keeps_us_away(manual_clock):
    rest = Rest()
    rest.fail(503, Retry_After="60")

    failed, _, again = checked(manual_clock, ask, later(manual_clock, 30.0), ask, rest=rest)

    assert failed.failure
    assert again is failed
    assert rest.asked == [TICKERS]


def test_loop_turns_while_a_body_is_parsed(manual_clock):
    has_begun, may_end = threading.Event(), threading.Event()

    def parse(body):
        has_begun.set()
        assert may_end.wait(PATIENCE_S)
        return SOURCE.spec.book.parse(body)

    class Slow:
        spec = msgspec.structs.replace(
            SOURCE.spec, book=msgspec.structs.replace(SOURCE.spec.book, parse=parse)
        )

    async def turning(rest, check):
        question = asyncio.create_task(ask(rest, check))
        await asyncio.to_thread(has_begun.wait, PATIENCE_S)
        may_end.set()
        return await question

    (answer,) = checked(manual_clock, turning, source=Slow())

    assert answer.prices


def test_question_under_way_is_given_up_at_the_end(manual_clock):
    rest, is_asked = Rest(), asyncio.Event()

    async def never():
        is_asked.set()
        await asyncio.sleep(PATIENCE_S)

    rest.answers[TICKERS] = never

    async def begin(_rest, check):
        check.want()
        await is_asked.wait()

    checked(manual_clock, begin, rest=rest)
