"""Limits as clients of real sockets meet them: enforced like at the exchange, and recorded."""

import asyncio
import urllib.error
import urllib.request

import orjson
import pytest
from websockets.exceptions import InvalidStatus

ALL = ("binance", "okx", "bybit", "mexc")


@pytest.fixture
def in_full_world(in_world):
    def run(body, **changes):
        in_world(body, **{"exchanges": ALL, **changes})

    return run


def status_of(url):
    def blocking():
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            return error.code

    return asyncio.to_thread(blocking)


def events(world, source):
    return [
        (event["limit"], event["found"], event["allowed"])
        for event in world.simulation.report()["overrun_events"]
        if event["source"] == source
    ]


def test_the_fourth_connect_in_a_second_to_either_okx_market_is_refused(in_full_world):
    async def body(world):
        for source in ("okx_spot", "okx_futures", "okx_spot"):
            async with world.connect(source):
                pass
        with pytest.raises(InvalidStatus) as refusal:
            await world.connect("okx_futures")

        assert refusal.value.response.status_code == 429
        assert refusal.value.response.headers["Retry-After"] == "1"
        assert events(world, "okx_futures") == [("connects", 4, 3)]
        world.clock.now_s += 1.5
        async with world.connect("okx_futures"):
            pass

    in_full_world(body)


def test_five_hundred_connects_to_bybit_are_let_in_and_then_none(in_full_world):
    async def body(world):
        ledgers = world.simulation.servers.ledgers
        for number in range(500):
            ledgers[("bybit_spot", "bybit_futures")[number % 2]].admits_connect(1000.0)
        with pytest.raises(InvalidStatus) as refusal:
            await world.connect("bybit_spot")
        assert refusal.value.response.status_code == 403
        assert events(world, "bybit_spot") == [("connects", 501, 500)]

    in_full_world(body)


@pytest.mark.parametrize(
    ("source", "path", "weight", "allowed", "status"),
    [
        ("binance_spot", "api/v3/exchangeInfo", 20, 6000, 429),
        ("binance_spot", "api/v3/ticker/24hr", 80, 6000, 429),
        ("binance_spot", "api/v3/ticker/24hr?symbol=BTCUSDT", 2, 6000, 429),
        ("binance_spot", "api/v3/ticker/bookTicker", 4, 6000, 429),
        ("binance_futures", "fapi/v1/exchangeInfo", 1, 2400, 429),
        ("binance_futures", "fapi/v1/ticker/24hr", 40, 2400, 429),
        ("binance_futures", "fapi/v1/premiumIndex", 10, 2400, 429),
        ("binance_futures", "fapi/v1/premiumIndex?symbol=BTCUSDT", 1, 2400, 429),
        ("bybit_spot", "v5/market/instruments-info?category=spot", 1, 600, 403),
        ("bybit_futures", "v5/market/tickers?category=linear", 1, 600, 403),
        ("okx_spot", "api/v5/public/instruments?instType=SPOT", 1, 20, 429),
        ("okx_spot", "api/v5/market/tickers?instType=SPOT", 1, 20, 429),
        ("okx_futures", "api/v5/market/index-tickers?quoteCcy=USDT", 1, 20, 429),
        ("mexc_spot", "api/v3/exchangeInfo", 25, 300, 429),
        ("mexc_spot", "api/v3/ticker/24hr", 25, 300, 429),
        ("mexc_futures", "api/v1/contract/detail", 1, 10, 429),
        ("mexc_futures", "api/v1/contract/ticker", 1, 10, 429),
    ],
)
def test_a_request_costs_its_weight_and_what_exceeds_the_budget_is_refused(
    in_full_world, source, path, weight, allowed, status
):
    async def body(world):
        ledger = world.simulation.servers.ledgers[source]
        # Room for one more request and not for two.
        assert ledger.admits_request(1000.0, "/" + path.partition("?")[0], allowed - weight)
        url = f"{world.simulation.rest_url}/{source}/{path}"

        found = [await status_of(url) for _ in range(2)]

        assert found == [200, status]
        assert events(world, source) == [("rest_weight", allowed + weight, allowed)]
        assert ledger.refused_rest_requests == 1

    in_full_world(body)


@pytest.mark.parametrize(
    ("source", "full", "other", "expected"),
    [
        ("binance_spot", "api/v3/exchangeInfo", "api/v3/ticker/bookTicker", 429),
        ("okx_spot", "api/v5/public/instruments", "api/v5/market/tickers?instType=SPOT", 200),
        ("mexc_futures", "api/v1/contract/detail", "api/v1/contract/ticker", 200),
    ],
)
def test_one_budget_is_for_all_paths_or_each_has_its_own(
    in_full_world, source, full, other, expected
):
    async def body(world):
        ledger = world.simulation.servers.ledgers[source]
        assert ledger.admits_request(1000.0, f"/{full}", ledger.limits.rest_weight)

        assert await status_of(f"{world.simulation.rest_url}/{source}/{other}") == expected

    in_full_world(body)


def test_a_wrong_path_costs_as_well(in_full_world):
    async def body(world):
        ledger = world.simulation.servers.ledgers["binance_spot"]
        assert ledger.admits_request(1000.0, "/api/v3/exchangeInfo", 5999)
        url = f"{world.simulation.rest_url}/binance_spot/nowhere"

        assert [await status_of(url) for _ in range(2)] == [404, 429]

    in_full_world(body)


def test_okx_refuses_the_481st_request_of_an_hour_on_one_connection(in_full_world, reader):
    async def body(world):
        async with world.connect("okx_spot") as socket:
            client = reader(socket)
            request = {"op": "unsubscribe", "args": [{"channel": "bbo-tbt", "instId": "X"}]}
            for _ in range(481):
                await client.send(request)
            answers = [await client.json() for _ in range(481)]

        assert [answer.get("code") for answer in answers] == [None] * 480 + ["60014"]
        assert events(world, "okx_spot") == [("requests_per_hour", 481, 480)]

    in_full_world(body)


def test_binance_counts_pings_and_pongs_among_the_messages(in_full_world, reader):
    async def body(world):
        async with world.connect("binance_spot") as socket:
            for number in range(4):
                await asyncio.wait_for(await socket.ping(str(number)), 5)
            await socket.pong()
            client = reader(socket)
            await client.send({"method": "LIST_SUBSCRIPTIONS", "id": 1})
            assert (await client.json())["id"] == 1

        assert events(world, "binance_spot") == [("messages_per_s", 6, 5)]
        assert world.simulation.servers.ledgers["binance_spot"].messages == 6

    in_full_world(body)


def test_a_flood_of_pings_ends_a_binance_connection(in_full_world, reader):
    async def body(world):
        async with world.connect("binance_spot") as socket:
            for number in range(20):
                await socket.ping(str(number))

            assert await reader(socket).closed() == (1008, "Too many requests")

    in_full_world(body)


def test_a_pong_on_another_exchange_counts_for_nothing(in_full_world):
    async def body(world):
        async with world.connect("mexc_futures") as socket:
            for number in range(50):
                await asyncio.wait_for(await socket.ping(str(number)), 5)

        assert world.simulation.servers.ledgers["mexc_futures"].messages == 0

    in_full_world(body)


def test_of_32_topics_on_a_mexc_connection_exactly_thirty_push(in_full_world, reader, until):
    async def body(world):
        venue = next(v for v in world.simulation.venues if v.source == "mexc_spot")
        channel = "spot@public.aggre.bookTicker.v3.api.pb@100ms@"
        topics = [channel + listing.exchange_symbol for listing in venue.listings]
        async with world.connect("mexc_spot") as socket:
            client = reader(socket)
            for start in range(0, 32, 16):
                params = topics[start : start + 16]
                await client.send({"method": "SUBSCRIPTION", "params": params, "id": start})
            frames = [await client.text() for _ in range(2 + 30)]
            pushed = {venue.read(frame)[0] for frame in frames if isinstance(frame, bytes)}

        assert pushed == {listing.exchange_symbol for listing in venue.listings[:30]}
        assert events(world, "mexc_spot") == [("topics_per_connection", 32, 30)]

    in_full_world(body, symbols=32)


def test_an_eleventh_topic_of_a_bybit_spot_request_is_refused_and_recorded(in_full_world, reader):
    async def body(world):
        venue = next(v for v in world.simulation.venues if v.source == "bybit_spot")
        topics = [f"orderbook.1.{listing.exchange_symbol}" for listing in venue.listings[:11]]
        async with world.connect("bybit_spot/v5/public/spot") as socket:
            client = reader(socket)
            await client.send({"op": "subscribe", "args": topics})
            assert (await client.json())["ret_msg"] == "args size >10"

        assert events(world, "bybit_spot") == [("topics_per_request", 11, 10)]

    in_full_world(body)


def test_the_report_is_plain_json_with_every_overrun(in_full_world):
    async def body(world):
        ledger = world.simulation.servers.ledgers["okx_spot"]
        ledger.check("connects", 3, 4, world.clock.now_s + 2.5)

        report = orjson.loads(orjson.dumps(world.simulation.report()))

        assert report["overruns"] == 1
        assert report["overrun_events"] == [
            {"source": "okx_spot", "limit": "connects", "found": 4, "allowed": 3, "at_s": 2.5}
        ]
        assert report["sources"]["okx_spot"]["overruns"] == {
            "connects": {"limit": 3, "worst": 4, "count": 1}
        }

    in_full_world(body)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("bybit_spot/v5/public/linear", 404),
        ("bybit_futures/v5/public/spot", 404),
        ("mexc_spot/edge", 404),
        ("mexc_futures/ws", 404),
    ],
)
def test_the_other_markets_path_is_no_socket(in_full_world, path, expected):
    async def body(world):
        with pytest.raises(InvalidStatus) as refusal:
            await world.connect(path)
        assert refusal.value.response.status_code == expected

    in_full_world(body)
