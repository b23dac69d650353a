"""How connections live and end: heartbeats, idleness, floods, clients that do not read."""

import asyncio


def test_a_quiet_okx_row_is_sent_again_unchanged_after_a_minute(in_world, reader):
    async def body(world):
        async with world.connect("okx_spot") as socket:
            client = reader(socket)
            argument = {"channel": "bbo-tbt", "instId": "BTC-USDT"}
            await client.send({"op": "subscribe", "args": [argument]})
            await client.json()
            first = await client.text()
            for _ in range(2):
                world.clock.now_s += 25
                await client.send("ping")
                assert await client.text() == "pong"

            world.tick_after(11)

            assert await client.text() == first

    in_world(body)


def test_an_idle_okx_connection_is_closed_with_4004(in_world, reader, until):
    async def body(world):
        async with world.connect("okx_futures") as socket:
            await until(lambda: world.simulation.report()["sources"]["okx_futures"]["connections"])

            world.tick_after(31)

            assert await reader(socket).closed() == (4004, "No data received in 30s.")

    in_world(body)


def test_a_client_that_answers_pings_is_kept(in_world, until):
    async def body(world):
        ledger = world.simulation.servers.ledgers["binance_spot"]
        async with world.connect("binance_spot") as socket:
            await until(lambda: ledger.open_connections)
            for _ in range(6):
                world.tick_after(21)
                # A round trip of our own: by its pong, theirs has been answered.
                await asyncio.wait_for(await socket.ping(), 5)
            assert ledger.open_connections == 1

    in_world(body)


def test_a_flood_of_messages_ends_the_connection_and_is_recorded(in_world, reader):
    async def body(world):
        async with world.connect("binance_futures") as socket:
            client = reader(socket)
            for number in range(40):
                await client.send({"method": "LIST_SUBSCRIPTIONS", "id": number})

            assert await client.closed() == (1008, "Too many requests")

        overruns = world.simulation.report()["sources"]["binance_futures"]["overruns"]
        assert overruns["messages_per_s"]["limit"] == 10
        assert overruns["messages_per_s"]["worst"] == 40

    in_world(body)


def test_a_well_mannered_client_leaves_a_clean_report(in_world, reader):
    async def body(world):
        async with world.connect("okx_spot") as socket:
            client = reader(socket)
            argument = {"channel": "bbo-tbt", "instId": "BTC-USDT"}
            await client.send({"op": "subscribe", "args": [argument]})
            await client.json()
            await client.json()

        report = world.simulation.report()
        assert report["overruns"] == 0
        assert report["frames_sent"] == 1
        assert report["sources"]["okx_spot"] | {"open_connections": 0} == {
            "connections": 1,
            "open_connections": 0,
            "refused_connects": 0,
            "messages": 1,
            "subscribes": 1,
            "most_topics_on_a_connection": 1,
            "frames_sent": 1,
            "rest_requests": 0,
            "refused_rest_requests": 0,
            "slow_readers": 0,
            "overruns": {},
        }

    in_world(body)


def test_a_client_that_vanishes_is_forgotten(in_world, until):
    async def body(world):
        row = world.simulation.row("binance_spot", "BTCUSDT")
        async with world.connect("binance_spot/ws/btcusdt@bookTicker") as socket:
            await until(lambda: world.simulation.hub.listeners([row]))
            socket.transport.abort()

            await until(lambda: not world.simulation.hub.listeners([row]))

        assert world.simulation.servers.ledgers["binance_spot"].open_connections == 0

    in_world(body)


def test_a_client_that_does_not_read_is_cut_off(in_world, until, monkeypatch):
    monkeypatch.setattr("spreadscan.sim.server.MAX_BUFFERED_BYTES", 100_000)

    async def body(world):
        row = world.simulation.row("binance_spot", "BTCUSDT")
        ledger = world.simulation.servers.ledgers["binance_spot"]
        async with world.connect("binance_spot/ws/btcusdt@bookTicker") as socket:
            await until(lambda: world.simulation.hub.listeners([row]))
            socket.transport.pause_reading()
            (link,) = world.simulation.hub.listeners([row])
            while link.buffered_bytes() <= 100_000:
                world.simulation.hub.publish([row] * 1000, world.clock.now_s)

            world.tick_after(1)
            await until(lambda: ledger.open_connections == 0)

            assert ledger.slow_readers == 1
            socket.transport.abort()

    in_world(body)
