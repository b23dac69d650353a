"""Each kind of fault as a client of a real socket sees it; the test moves the time."""

import asyncio
import json
import urllib.error
import urllib.request

import orjson
import pytest
from websockets.exceptions import InvalidStatus

from spreadscan.sim.faults import Fault
from spreadscan.sim.scenario import Scenario

ALL = ("binance", "okx", "bybit", "mexc")
OKX = {"op": "subscribe", "args": [{"channel": "bbo-tbt", "instId": "BTC-USDT"}]}
BYBIT = {"op": "subscribe", "args": ["orderbook.1.BTCUSDT"]}


@pytest.fixture
def play(in_world):
    """Run an async body in a world where these faults are scheduled."""

    def run(body, *faults):
        scenario = Scenario(fault=tuple(Fault(**fault) for fault in faults))
        in_world(body, exchanges=ALL, scenario=scenario)

    return run


async def subscribed(reader, socket, request, frames=2):
    client = reader(socket)
    await client.send(request)
    for _ in range(frames):
        await client.text()
    return client


def get(url):
    def blocking():
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return reply.status, json.load(reply), reply.headers.get("Retry-After")
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), error.headers.get("Retry-After")

    return asyncio.to_thread(blocking)


@pytest.mark.parametrize("kind", ["stall", "mute"])
def test_a_stalled_symbol_is_silent_while_heartbeats_are_answered(play, reader, kind):
    async def body(world):
        row = world.simulation.row("okx_spot", "BTC-USDT")
        async with world.connect("okx_spot") as socket:
            client = await subscribed(reader, socket, OKX)
            world.tick_after(1.5)
            for _ in range(3):
                world.step_until_changed(row)
            await client.send("ping")
            assert await client.text() == "pong"

            world.tick_after(60)
            truth = world.step_until_changed(row)

            frames = [await client.json() for _ in range(1)]
            while frames[-1]["data"][0]["seqId"] != truth.update_id:
                frames.append(await client.json())
            assert len(frames) <= 2, "what was said meanwhile is not made up for"

    fault = {"at_s": 1, "kind": kind, "source": "okx_spot", "for_s": 30}
    play(body, fault | ({"symbol": "BTC-USDT"} if kind == "mute" else {}))


def test_dropped_connections_end_without_a_close_frame_and_others_live(play, reader, until):
    async def body(world):
        async with world.connect("okx_spot") as dropped, world.connect("okx_futures") as other:
            await subscribed(reader, dropped, OKX)
            await reader(other).send("ping")
            assert await reader(other).text() == "pong"
            world.tick_after(2)

            assert (await reader(dropped).closed())[0] == 1006
            await reader(other).send("ping")
            assert await reader(other).text() == "pong"
        ledger = world.simulation.servers.ledgers["okx_spot"]
        await until(lambda: ledger.open_connections == 0)
        async with world.connect("okx_spot"):
            pass

    play(body, {"at_s": 1, "kind": "drop", "source": "okx_spot"})


def test_garbage_comes_between_the_quotes(play, reader):
    async def body(world):
        row = world.simulation.row("okx_spot", "BTC-USDT")
        async with world.connect("okx_spot") as socket:
            client = await subscribed(reader, socket, OKX)
            world.tick_after(2)
            truths = [world.step_until_changed(row).update_id for _ in range(50)]
            found, noise = [], 0
            while len(found) < 50:
                frame = await client.text()
                try:
                    found.append(orjson.loads(frame)["data"][0]["seqId"])
                except (orjson.JSONDecodeError, TypeError, KeyError):
                    noise += 1
            assert found == truths
            assert noise == 50

    play(body, {"at_s": 1, "kind": "garbage", "source": "okx_spot", "share": 1.0})


def test_delayed_quotes_come_later_and_in_order(play, reader):
    async def body(world):
        row = world.simulation.row("okx_spot", "BTC-USDT")
        async with world.connect("okx_spot") as socket:
            client = await subscribed(reader, socket, OKX)
            world.tick_after(2)
            sent = [world.step_until_changed(row).update_id for _ in range(5)]
            await client.send("ping")
            assert await client.text() == "pong", "nothing came before"

            world.tick_after(0.8)

            assert [(await client.json())["data"][0]["seqId"] for _ in sent] == sent

    play(body, {"at_s": 1, "kind": "delay", "source": "okx_spot", "delay_ms": 700})


@pytest.mark.parametrize("kind", ["429", "418"])
def test_a_shut_door_tells_when_to_come_back_and_impatience_is_recorded(play, kind):
    async def body(world):
        url = f"{world.simulation.rest_url}/binance_spot/api/v3/exchangeInfo"
        world.tick_after(2)

        status, answer, retry_after = await get(url)
        with pytest.raises(InvalidStatus) as refusal:
            await world.connect("binance_spot")
        ledger = world.simulation.servers.ledgers["binance_spot"]

        assert (status, answer["code"], retry_after) == (int(kind), -1003, "29")
        response = refusal.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (int(kind), "29")
        await get(url)
        assert ledger.overruns == {}, "nobody could know"
        world.tick_after(1)
        await get(url)
        assert ledger.overruns["rest_while_banned_s"].worst == 28
        async with world.connect("okx_spot"):
            pass
        world.tick_after(40)
        assert (await get(url))[0] == 200
        async with world.connect("binance_spot"):
            pass

    play(body, {"at_s": 1, "kind": kind, "source": "binance_spot", "for_s": 30})


def test_connections_are_closed_at_the_scaled_lifetime(play, reader):
    async def body(world):
        async with world.connect("bybit_spot") as socket:
            await subscribed(reader, socket, BYBIT)
            for _ in range(5):
                world.tick_after(10)
            await reader(socket).send({"op": "ping"})
            assert world.simulation.servers.ledgers["bybit_spot"].open_connections == 1

            world.tick_after(11)

            assert await reader(socket).closed() == (1001, "maximum lifetime reached")

    play(body, {"at_s": 0, "kind": "lifetime", "source": "bybit", "life_s": 60})


def test_a_day_is_the_longest_life_where_the_exchange_says_so(play, reader, until):
    async def body(world):
        ledger = world.simulation.servers.ledgers["binance_spot"]
        async with world.connect("binance_spot") as socket:
            await until(lambda: ledger.open_connections == 1)
            world.tick_after(86_401)

            assert (await reader(socket).closed())[0] == 1001

    play(body)


@pytest.mark.parametrize(
    ("source", "symbol", "path"),
    [
        ("binance_spot", "ETHUSDT", "api/v3/exchangeInfo"),
        ("binance_futures", "ETHUSDT", "fapi/v1/exchangeInfo"),
        ("okx_spot", "ETH-USDT", "api/v5/public/instruments?instType=SPOT"),
        ("okx_futures", "ETH-USDT-SWAP", "api/v5/public/instruments?instType=SWAP"),
        ("bybit_spot", "ETHUSDT", "v5/market/instruments-info?category=spot"),
        ("bybit_futures", "ETHUSDT", "v5/market/instruments-info?category=linear"),
        ("mexc_spot", "ETHUSDT", "api/v3/exchangeInfo"),
        ("mexc_futures", "ETH_USDT", "api/v1/contract/detail"),
    ],
)
def test_a_delisted_symbol_is_dead_or_gone_in_the_listing_and_falls_silent(
    play, source, symbol, path
):
    def rows(body):
        found = body.get("symbols") or body.get("data") or body["result"]["list"]
        return {row.get("symbol") or row["instId"]: row for row in found}

    async def body(world):
        url = f"{world.simulation.rest_url}/{source}/{path}"
        before = rows((await get(url))[1])
        world.tick_after(2)
        after = rows((await get(url))[1])

        dead = after.get(symbol, {})
        alive = {"TRADING", "live", "Trading", "1"}
        assert not {str(dead.get("status")), str(dead.get("state"))} & alive
        assert {k: v for k, v in before.items() if k != symbol} == {
            k: v for k, v in after.items() if k != symbol
        }
        row = world.simulation.row(source, symbol)
        assert world.simulation.disturbance.outgoing(row, "", "quote") == []
        assert symbol not in world.simulation.directory.served(source)

        world.tick_after(10)
        assert rows((await get(url))[1]) == before
        assert symbol in world.simulation.directory.served(source)

    play(body, {"at_s": 1, "kind": "delist", "source": source, "symbol": symbol, "for_s": 5})


def test_maintenance_shuts_a_whole_exchange_and_leaves_the_others(play, reader):
    async def body(world):
        async with world.connect("bybit_spot") as spot, world.connect("bybit_futures") as futures:
            await subscribed(reader, spot, BYBIT)
            await subscribed(reader, futures, BYBIT)
            world.tick_after(2)
            assert await reader(spot).closed() == (1001, "maintenance")
            assert await reader(futures).closed() == (1001, "maintenance")
        with pytest.raises(InvalidStatus) as refusal:
            await world.connect("bybit_futures")
        assert refusal.value.response.status_code == 503
        path = "v5/market/instruments-info?category=spot"
        assert (await get(f"{world.simulation.rest_url}/bybit_spot/{path}"))[0] == 503
        async with world.connect("okx_spot"):
            pass
        world.tick_after(60)
        async with world.connect("bybit_spot"):
            pass

    play(body, {"at_s": 1, "kind": "maintenance", "source": "bybit", "for_s": 30})


@pytest.mark.parametrize(
    ("source", "request_", "notice"),
    [
        ("binance_spot", None, {"stream": "!serverShutdown"}),
        ("okx_spot", OKX, {"event": "notice", "code": "64008"}),
        ("bybit_spot", BYBIT, None),
    ],
)
def test_a_shutdown_is_announced_where_the_exchange_announces_it(
    play, reader, until, source, request_, notice
):
    async def body(world):
        ledger = world.simulation.servers.ledgers[source]
        async with world.connect(source) as socket:
            client = reader(socket)
            await until(lambda: ledger.open_connections == 1)
            if request_ is not None:
                await subscribed(reader, socket, request_)
            world.tick_after(2)
            if notice is not None:
                assert notice.items() <= (await client.json()).items()
            async with world.connect(source) as newer:
                await until(lambda: ledger.open_connections == 2)
                world.tick_after(5)

                assert await client.closed() == (1012, "service restart")
                assert newer.close_code is None, "who came after the notice stays"

    play(body, {"at_s": 1, "kind": "shutdown", "source": source})


def test_a_skewed_clock_shows_in_frames_and_in_the_server_time(play, reader):
    async def body(world):
        row = world.simulation.row("bybit_spot", "BTCUSDT")
        async with world.connect("bybit_spot") as socket:
            client = await subscribed(reader, socket, BYBIT)
            world.tick_after(2)
            truth = world.step_until_changed(row)
            push = await client.json()
            while push["data"]["u"] != truth.update_id:
                push = await client.json()
            assert push["cts"] == truth.exchange_ms - 5000
            path = "v5/market/instruments-info?category=spot"
            _, answer, _ = await get(f"{world.simulation.rest_url}/bybit_spot/{path}")
            assert answer["time"] <= truth.exchange_ms - 4000

    play(body, {"at_s": 1, "kind": "skew", "source": "bybit", "skew_ms": -5000})


def merged(book, push):
    """Apply a push to a book of one level a side, as the exchange's documentation says."""
    for side in "ba":
        levels = {} if push["type"] == "snapshot" else dict(book[side])
        levels |= dict(push["data"][side])
        book[side] = {price: size for price, size in levels.items() if float(size) > 0}
    return book


def test_deltas_add_up_to_the_truth(play, reader):
    async def body(world):
        row = world.simulation.row("bybit_futures", "BTCUSDT")
        listing = world.simulation.listings[row]
        async with world.connect("bybit_futures") as socket:
            client = await subscribed(reader, socket, BYBIT, frames=1)
            book = merged({}, await client.json())
            world.tick_after(2)
            for _ in range(30):
                truth = world.step_until_changed(row)
                push = await client.json()
                assert (push["type"], push["data"]["u"]) == ("delta", truth.update_id)
                assert merged(book, push) == {
                    "b": {listing.price_text(truth.bid_ticks): listing.size_text(truth.bid_lots)},
                    "a": {listing.price_text(truth.ask_ticks): listing.size_text(truth.ask_lots)},
                }

    play(body, {"at_s": 1, "kind": "deltas", "source": "bybit_futures"})


def test_after_a_silence_deltas_begin_with_the_whole_level(play, reader):
    async def body(world):
        row = world.simulation.row("bybit_futures", "BTCUSDT")
        async with world.connect("bybit_futures") as socket:
            client = await subscribed(reader, socket, BYBIT)
            world.tick_after(1)
            world.step_until_changed(row)
            world.tick_after(1)
            for kind in ("snapshot", "delta"):
                truth = world.step_until_changed(row)
                push = await client.json()
                assert (push["type"], push["data"]["u"]) == (kind, truth.update_id)

    play(
        body,
        {"at_s": 0.5, "kind": "deltas", "source": "bybit_futures"},
        {"at_s": 0.5, "kind": "stall", "source": "bybit_futures", "for_s": 1.0},
    )


def test_update_ids_begin_anew_at_one_with_a_snapshot(play, reader):
    async def body(world):
        async with world.connect("bybit_spot") as socket:
            client = await subscribed(reader, socket, BYBIT)
            world.tick_after(2)

            push = await client.json()

            assert (push["type"], push["data"]["u"]) == ("snapshot", 1)

    play(body, {"at_s": 1, "kind": "renumber", "source": "bybit"})


def test_the_report_says_how_many_faults_began(play):
    async def body(world):
        world.tick_after(2)
        assert world.simulation.report()["faults_begun"] == 1

    play(
        body,
        {"at_s": 1, "kind": "stall", "source": "okx_spot"},
        {"at_s": 100, "kind": "drop"},
    )
