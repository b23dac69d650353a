"""Real sockets: what a client reads is what the market shows."""

import asyncio
import json
from decimal import Decimal

import orjson
import pytest
from websockets.exceptions import InvalidStatus

from spreadscan.errors import PortInUse
from spreadscan.sim.market import MarketSettings
from spreadscan.sim.process import SYSTEM_CLOCK
from spreadscan.sim.protobuf import fields
from spreadscan.sim.simulation import Simulation


def shown(listing, quote):
    """The truth as decimals: bid, bid size, ask, ask size."""
    tick, lot = Decimal(10) ** listing.tick_exponent, Decimal(10) ** listing.lot_exponent
    return (
        quote.bid_ticks * tick,
        quote.bid_lots * lot,
        quote.ask_ticks * tick,
        quote.ask_lots * lot,
    )


def binance_values(event):
    return tuple(Decimal(event[key]) for key in "bBaA")


def okx_values(push):
    (book,) = push["data"]
    (bid,), (ask,) = book["bids"], book["asks"]
    return Decimal(bid[0]), Decimal(bid[1]), Decimal(ask[0]), Decimal(ask[1])


@pytest.mark.parametrize(
    ("source", "symbol"),
    [
        ("binance_spot", "BTCUSDT"),
        ("binance_spot", "PEPEUSDT"),
        ("binance_futures", "ETHUSDT"),
        ("binance_futures", "1000PEPEUSDT"),
    ],
)
def test_binance_frames_carry_the_prices_of_the_oracle(in_world, reader, source, symbol):
    async def body(world):
        row = world.simulation.row(source, symbol)
        listing = world.simulation.listings[row]
        stream = f"{symbol.lower()}@bookTicker"
        async with world.connect(source) as socket:
            client = reader(socket)
            await client.send({"method": "SUBSCRIBE", "params": [stream], "id": 1})
            assert await client.json() == {"result": None, "id": 1}
            for _ in range(20):
                truth = world.step_until_changed(row)
                frame = await client.json()
                event = frame["data"]
                assert frame["stream"] == stream
                assert (event["s"], event["u"]) == (symbol, truth.update_id)
                assert binance_values(event) == shown(listing, truth)
                if source == "binance_futures":
                    assert (event["e"], event["st"]) == ("bookTicker", 1)
                    assert event["T"] == truth.exchange_ms
                else:
                    assert event.keys() == {"u", "s", "b", "B", "a", "A"}

    in_world(body)


@pytest.mark.parametrize(
    ("source", "instrument"),
    [("okx_spot", "BTC-USDT"), ("okx_spot", "SHIB-USDT"), ("okx_futures", "PEPE-USDT-SWAP")],
)
def test_okx_sends_the_book_on_subscribe_and_on_change(in_world, reader, source, instrument):
    async def body(world):
        row = world.simulation.row(source, instrument)
        listing = world.simulation.listings[row]
        truth = world.simulation.market.quote(row)
        async with world.connect(source) as socket:
            client = reader(socket)
            argument = {"channel": "bbo-tbt", "instId": instrument}
            await client.send({"op": "subscribe", "args": [argument]})
            ack = await client.json()
            assert (ack["event"], ack["arg"]) == ("subscribe", argument)
            for _ in range(20):
                push = await client.json()
                assert push["arg"] == argument
                assert push["data"][0]["seqId"] == truth.update_id
                assert push["data"][0]["ts"] == str(truth.exchange_ms)
                assert okx_values(push) == shown(listing, truth)
                truth = world.step_until_changed(row)

    in_world(body)


def bybit_values(push):
    (bid,), (ask,) = push["data"]["b"], push["data"]["a"]
    return Decimal(bid[0]), Decimal(bid[1]), Decimal(ask[0]), Decimal(ask[1])


@pytest.mark.parametrize(
    ("source", "symbol"),
    [
        ("bybit_spot", "BTCUSDT"),
        ("bybit_spot", "PEPEUSDT"),
        ("bybit_futures", "1000PEPEUSDT"),
        ("bybit_futures", "SHIB1000USDT"),
    ],
)
def test_bybit_frames_carry_the_prices_of_the_oracle(in_world, reader, source, symbol):
    async def body(world):
        row = world.simulation.row(source, symbol)
        listing = world.simulation.listings[row]
        truth = world.simulation.market.quote(row)
        async with world.connect(source) as socket:
            client = reader(socket)
            topic = f"orderbook.1.{symbol}"
            await client.send({"req_id": "1", "op": "subscribe", "args": [topic]})
            assert (await client.json())["success"] is True
            for _ in range(20):
                push = await client.json()
                assert (push["topic"], push["type"]) == (topic, "snapshot")
                assert (push["data"]["s"], push["data"]["u"]) == (symbol, truth.update_id)
                assert (push["cts"], push["ts"]) == (
                    truth.exchange_ms,
                    world.simulation.market.quote(row).exchange_ms,
                )
                assert bybit_values(push) == shown(listing, truth)
                truth = world.step_until_changed(row)

    in_world(body, exchanges=("bybit",))


@pytest.mark.parametrize("symbol", ["BTCUSDT", "PEPEUSDT"])
def test_mexc_spot_frames_carry_the_prices_of_the_oracle(in_world, reader, symbol):
    async def body(world):
        row = world.simulation.row("mexc_spot", symbol)
        listing = world.simulation.listings[row]
        truth = world.simulation.market.quote(row)
        topic = f"spot@public.aggre.bookTicker.v3.api.pb@100ms@{symbol}"
        async with world.connect("mexc_spot/ws") as socket:
            client = reader(socket)
            await client.send({"method": "SUBSCRIPTION", "params": [topic], "id": 1})
            assert await client.json() == {"id": 1, "code": 0, "msg": topic}
            for _ in range(20):
                wrapper = dict(fields(await client.text()))
                assert (wrapper[1], wrapper[3]) == (topic.encode(), symbol.encode())
                book = dict(fields(wrapper[315]))
                assert tuple(Decimal(book[n].decode()) for n in range(1, 5)) == shown(
                    listing, truth
                )
                assert (int(book[5]), book[6]) == (truth.update_id, truth.exchange_ms)
                truth = world.step_until_changed(row)

    in_world(body, exchanges=("mexc",))


@pytest.mark.parametrize("symbol", ["BTC_USDT", "PEPE_USDT", "1000BONK_USDT"])
def test_mexc_futures_frames_carry_the_prices_of_the_oracle(in_world, reader, symbol):
    async def body(world):
        row = world.simulation.row("mexc_futures", symbol)
        listing = world.simulation.listings[row]
        truth = world.simulation.market.quote(row)
        async with world.connect("mexc_futures/edge") as socket:
            client = reader(socket)
            await client.send({"method": "sub.depth.full", "param": {"symbol": symbol, "limit": 5}})
            assert (await client.json())["channel"] == "rs.sub.depth.full"
            for _ in range(20):
                # Decimal sees the text of the numbers.
                push = json.loads(await client.text(), parse_float=Decimal, parse_int=Decimal)
                book = push["data"]
                assert (push["symbol"], push["channel"]) == (symbol, "push.depth.full")
                assert (book["version"], book["cts"]) == (truth.update_id, truth.exchange_ms)
                assert (*book["bids"][0][:2], *book["asks"][0][:2]) == shown(listing, truth)
                truth = world.step_until_changed(row)

    in_world(body, exchanges=("mexc",))


@pytest.mark.parametrize(
    ("source", "request_", "after_s"),
    [
        ("bybit_spot", {"op": "subscribe", "args": ["orderbook.1.BTCUSDT"]}, 3.0),
        ("mexc_futures", {"method": "sub.depth.full", "param": {"symbol": "BTC_USDT"}}, 0.3),
    ],
)
def test_quiet_rows_are_sent_again_with_the_same_update_id(
    in_world, reader, source, request_, after_s
):
    def identity(push):
        return push["data"].get("u") or push["data"]["version"]

    async def body(world):
        async with world.connect(source) as socket:
            client = reader(socket)
            await client.send(request_)
            await client.json()
            first = await client.json()
            world.tick_after(after_s - 0.1)
            world.tick_after(0.1)
            again = await client.json()

            assert identity(again) == identity(first)
            assert again["ts"] == first["ts"] + after_s * 1000
            assert again["data"] == first["data"]

    in_world(body, exchanges=("bybit", "mexc"))


def test_raw_and_combined_clients_each_get_their_own_form(in_world, reader, until):
    async def body(world):
        row = world.simulation.row("binance_spot", "BTCUSDT")
        async with (
            world.connect("binance_spot/ws/btcusdt@bookTicker") as raw,
            world.connect("binance_spot/stream?streams=btcusdt@bookTicker") as combined,
        ):
            await until(lambda: len(world.simulation.hub.listeners([row])) == 2)
            world.step_until_changed(row)

            event, wrapped = await reader(raw).json(), await reader(combined).json()

            assert wrapped == {"stream": "btcusdt@bookTicker", "data": event}

    in_world(body)


def test_one_okx_socket_serves_both_markets(in_world, reader):
    async def body(world):
        async with world.connect("okx_spot/ws/v5/public") as socket:
            client = reader(socket)
            names = ("BTC-USDT", "BTC-USDT-SWAP")
            arguments = [{"channel": "bbo-tbt", "instId": name} for name in names]
            await client.send({"op": "subscribe", "args": arguments})

            frames = [await client.json() for _ in range(4)]

            assert [frame["arg"]["instId"] for frame in frames if "data" in frame] == list(names)

    in_world(body)


def test_an_unsubscribed_symbol_goes_silent(in_world, reader, until):
    async def body(world):
        btc, eth = (world.simulation.row("binance_spot", name) for name in ("BTCUSDT", "ETHUSDT"))
        async with world.connect("binance_spot/ws/btcusdt@bookTicker/ethusdt@bookTicker") as socket:
            client = reader(socket)
            await until(lambda: world.simulation.hub.listeners([eth]))
            request = {"method": "UNSUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 2}
            await client.send(request)
            assert await client.json() == {"result": None, "id": 2}

            world.step_until_changed(btc)
            world.step_until_changed(eth)

            assert (await client.json())["s"] == "ETHUSDT"

    in_world(body, market=MarketSettings(seed=5, rate_hz=60.0))


@pytest.mark.parametrize("path", ["kraken_spot", "binance_spot/nothing", "okx_spot/ws/v5/private"])
def test_a_socket_at_an_unknown_path_is_refused_with_404(in_world, path):
    async def body(world):
        with pytest.raises(InvalidStatus) as refusal:
            async with world.connect(path):
                pass
        assert refusal.value.response.status_code == 404

    in_world(body)


def test_the_same_seed_sends_the_same_frames(clock, in_world, reader, until):
    def collected():
        frames = []

        async def body(world):
            names = [row.exchange_symbol for row in world.simulation.venues[0].listings]
            streams = "/".join(f"{name.lower()}@bookTicker" for name in names)
            async with world.connect(f"binance_spot/stream?streams={streams}") as socket:
                last = world.simulation.row("binance_spot", names[-1])
                await until(lambda: world.simulation.hub.listeners([last]))
                count = 0
                for _ in range(50):
                    world.clock.now_s += world.simulation.market.step_s
                    count += sum(row < len(names) for row in world.simulation.step())
                frames.extend([await reader(socket).text() for _ in range(count)])

        clock.now_s = 1000.0
        in_world(body)
        return frames

    first, second = collected(), collected()

    assert len(first) > 50
    assert first == second


def test_a_taken_port_is_named(settings, clock):
    async def life():
        first = Simulation(settings(), clock.sim_clock())
        await first.listen()
        try:
            rest = Simulation(settings(rest_base=first.rest_url), clock.sim_clock())
            with pytest.raises(PortInUse, match=first.rest_url):
                await rest.listen()
            await rest.close()
            ws = Simulation(settings(ws_base=first.ws_url), clock.sim_clock())
            with pytest.raises(PortInUse, match=first.ws_url):
                await ws.listen()
            await ws.close()
        finally:
            await first.close()

    asyncio.run(life())


def test_running_keeps_the_quotes_coming_until_stopped(settings, reader):
    async def life():
        simulation = Simulation(settings(), SYSTEM_CLOCK)
        await simulation.listen()
        stop = asyncio.Event()
        run = asyncio.create_task(simulation.run(stop))
        try:
            async with reader.connect(simulation, "binance_spot/ws/btcusdt@bookTicker") as socket:
                updates = [orjson.loads(await reader(socket).text())["u"] for _ in range(30)]
            stop.set()
            await asyncio.wait_for(run, 5)
        finally:
            await simulation.close()
        assert updates == sorted(set(updates))

    asyncio.run(life())
