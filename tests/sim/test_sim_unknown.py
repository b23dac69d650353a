"""A symbol that REST shows as tradable and that no socket knows, at every source."""

import pytest

from spreadscan.sim.faults import Fault
from spreadscan.sim.scenario import Scenario

ALL = ("binance", "okx", "bybit", "mexc")
BINANCE = {"method": "SUBSCRIBE", "params": ["ethusdt@bookTicker", "btcusdt@bookTicker"], "id": 4}
BYBIT = {"op": "subscribe", "args": ["orderbook.1.ETHUSDT", "orderbook.1.BTCUSDT"]}
AGGRE = "spot@public.aggre.bookTicker.v3.api.pb@100ms@"


def okx(suffix):
    args = [{"channel": "bbo-tbt", "instId": f"{coin}-USDT{suffix}"} for coin in ("ETH", "BTC")]
    return {"op": "subscribe", "args": args}


# By source: the unknown symbol, its neighbour, requests for both, what tells the refusal, and
# whether the neighbour of the same request is served.
CASES = {
    "binance_spot": ("ETHUSDT", "BTCUSDT", [BINANCE], b'{"result":null,"id":4}', True),
    "binance_futures": ("ETHUSDT", "BTCUSDT", [BINANCE], b'{"result":null,"id":4}', True),
    "okx_spot": ("ETH-USDT", "BTC-USDT", [okx("")], b"instId:ETH-USDT doesn't exist", True),
    "okx_futures": (
        "ETH-USDT-SWAP",
        "BTC-USDT-SWAP",
        [okx("-SWAP")],
        b"instId:ETH-USDT-SWAP doesn't exist",
        True,
    ),
    "bybit_spot": ("ETHUSDT", "BTCUSDT", [BYBIT], b"Invalid symbol :[orderbook.1.ETHUSDT]", False),
    "bybit_futures": (
        "ETHUSDT",
        "BTCUSDT",
        [BYBIT],
        b"error:handler not found,topic:orderbook.1.ETHUSDT",
        False,
    ),
    "mexc_spot": (
        "ETHUSDT",
        "BTCUSDT",
        [{"method": "SUBSCRIPTION", "params": [f"{AGGRE}ETHUSDT", f"{AGGRE}BTCUSDT"]}],
        f"Not Subscribed successfully! [{AGGRE}ETHUSDT]".encode(),
        True,
    ),
    "mexc_futures": (
        "ETH_USDT",
        "BTC_USDT",
        [
            {"method": "sub.depth.full", "param": {"symbol": f"{coin}_USDT", "limit": 5}}
            for coin in ("ETH", "BTC")
        ],
        b"Contract [ETH_USDT] not exists",
        True,
    ),
}
LISTS = {
    "binance_spot": ("api/v3/exchangeInfo", "api/v3/ticker/24hr"),
    "binance_futures": ("fapi/v1/exchangeInfo", "fapi/v1/ticker/24hr"),
    "okx_spot": (
        "api/v5/public/instruments?instType=SPOT",
        "api/v5/market/tickers?instType=SPOT",
    ),
    "okx_futures": (
        "api/v5/public/instruments?instType=SWAP",
        "api/v5/market/tickers?instType=SWAP",
    ),
    "bybit_spot": (
        "v5/market/instruments-info?category=spot",
        "v5/market/tickers?category=spot",
    ),
    "bybit_futures": (
        "v5/market/instruments-info?category=linear",
        "v5/market/tickers?category=linear",
    ),
    "mexc_spot": ("api/v3/exchangeInfo", "api/v3/ticker/24hr"),
    "mexc_futures": ("api/v1/contract/detail", "api/v1/contract/ticker"),
}


@pytest.fixture(params=CASES)
def source(request):
    return request.param


@pytest.fixture
def play(in_world):
    def run(body, *faults):
        scenario = Scenario(fault=tuple(Fault(**fault) for fault in faults))
        in_world(body, exchanges=ALL, scenario=scenario)

    return run


def raw(frame):
    return frame if isinstance(frame, bytes) else frame.encode()


def rows(body):
    if isinstance(body, list):
        return body
    return body["result"]["list"] if "result" in body else body.get("symbols", body.get("data"))


def test_rest_goes_on_showing_an_unknown_symbol_as_tradable(play, source):
    symbol = CASES[source][0]

    async def body(world):
        paths = [f"{source}/{path}" for path in LISTS[source]]
        before = [rows(await world.json(path)) for path in paths]
        world.tick_after(2)
        after = [rows(await world.json(path)) for path in paths]

        assert after[0] == before[0]
        key = "instId" if source.startswith("okx") else "symbol"
        assert symbol in {row[key] for row in after[1]}
        assert symbol not in world.simulation.directory.served(source)

    play(body, {"at_s": 1, "kind": "unknown", "source": source, "symbol": symbol})


def test_a_subscription_is_met_as_one_to_a_symbol_that_does_not_exist(play, reader, source):
    symbol, neighbour, requests, sign, has_neighbour = CASES[source]

    async def body(world):
        world.tick_after(2)
        row, other = (world.simulation.row(source, name) for name in (symbol, neighbour))
        async with world.connect(source) as socket:
            client = reader(socket)
            for request in requests:
                await client.send(request)
            heard = [raw(await client.text())]
            while sign not in heard[-1]:
                heard.append(raw(await client.text()))
            if has_neighbour and not source.startswith("binance"):
                while neighbour.encode() not in raw(await client.text()):
                    pass
            for _ in range(3):
                world.step_until_changed(row)
                world.step_until_changed(other)
            if has_neighbour:
                heard += [raw(await client.text()) for _ in range(3)]

            quotes = [frame for frame in heard if sign not in frame and b"success" not in frame]
            assert not [frame for frame in quotes if symbol.encode() in frame]
            assert not world.simulation.hub.listeners((row,))
            assert bool(world.simulation.hub.listeners((other,))) == has_neighbour

    play(body, {"at_s": 1, "kind": "unknown", "source": source, "symbol": symbol})


def test_who_listens_already_hears_nothing_until_it_is_over(play, reader, until, source):
    symbol, neighbour, requests, _, _ = CASES[source]

    async def body(world):
        row, other = (world.simulation.row(source, name) for name in (symbol, neighbour))
        async with world.connect(source) as socket:
            client = reader(socket)
            for request in requests:
                await client.send(request)
            listeners = world.simulation.hub.listeners
            await until(lambda: listeners((row,)) and listeners((other,)))
            world.tick_after(2)
            assert symbol not in world.simulation.directory.served(source)
            assert world.simulation.disturbance.outgoing(row, "", "quote") == []
            assert world.simulation.disturbance.outgoing(other, "", "quote") == [(0.0, "quote")]

            world.tick_after(10)
            assert symbol in world.simulation.directory.served(source)
            truth = world.step_until_changed(row)
            listing, frame = world.simulation.listings[row], b""
            while listing.price_text(truth.ask_ticks).rstrip("0").encode() not in frame:
                frame = raw(await client.text())
            assert symbol.encode() in frame

    fault = {"at_s": 1, "kind": "unknown", "source": source, "symbol": symbol, "for_s": 5}
    play(body, fault)


@pytest.mark.parametrize("first", ["unknown", "delist"])
def test_the_end_of_one_fault_does_not_end_another_on_the_same_symbol(play, first):
    second = {"unknown": "delist", "delist": "unknown"}[first]

    async def body(world):
        async def shown():
            path = "okx_spot/api/v5/public/instruments?instType=SPOT"
            states = {row["instId"]: row["state"] for row in (await world.json(path))["data"]}
            return states["ETH-USDT"], "ETH-USDT" in world.simulation.directory.served("okx_spot")

        world.tick_after(2)
        assert await shown() == ("suspend", False)
        world.tick_after(3)
        assert await shown() == ("live" if second == "unknown" else "suspend", False)
        world.tick_after(5)
        assert await shown() == ("live", True)

    where = {"source": "okx_spot", "symbol": "ETH-USDT", "at_s": 1}
    play(body, {**where, "kind": first, "for_s": 3}, {**where, "kind": second, "for_s": 6})


def test_a_fault_that_is_missed_whole_leaves_nothing_behind(play):
    async def body(world):
        world.tick_after(60)
        assert "ETHUSDT" in world.simulation.directory.served("bybit_spot")
        assert rows(await world.json(f"bybit_spot/{LISTS['bybit_spot'][0]}"))[0]

    where = {"source": "bybit_spot", "symbol": "ETHUSDT", "at_s": 1, "for_s": 5}
    play(body, {**where, "kind": "delist"}, {**where, "kind": "unknown"})
