"""A real feed against a loopback exchange that is cut, silent, absent and rude; and its reaper."""

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time

import numpy as np
import pytest
import websockets
from program_cases import NotifySocket, Programs, until, write_small_universe

from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.ops.pipeline import Part
from spreadscan.ops.reconcile import Desired, Policy
from spreadscan.ops.supervisor import Supervisor
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.lock import is_lock_held
from spreadscan.shm.control import ControlWriter
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.layout import ProcessState, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions, create_regions
from spreadscan.topology import program_named

FEED, SOURCE = "feed-binance-spot", 0
ENGINE = "spread-engine"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


def frame(symbol, update_id, bid="100.5"):
    data = {"u": update_id, "s": symbol, "b": bid, "B": "2", "a": "100.6", "A": "3"}
    return json.dumps({"stream": f"{symbol.lower()}@bookTicker", "data": data})


class Exchange:
    """A loopback exchange on a thread of its own: acknowledges, and sends what a test says."""

    def __init__(self, port=0):
        self.connections = []
        self.requests = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.server = self.call(self._listen(port))
        self.port = self.server.sockets[0].getsockname()[1]

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    async def _listen(self, port):
        return await websockets.serve(self._serve, "127.0.0.1", port)

    async def _serve(self, connection):
        self.connections.append(connection)
        async for message in connection:
            request = json.loads(message)
            self.requests.append(request)
            await connection.send(json.dumps({"result": None, "id": request["id"]}))

    def subscribed(self):
        return [topic for request in self.requests for topic in request["params"]]

    def asked(self):
        """Requests in order, as (method, coins)."""
        return [
            (request["method"], [topic.partition("usdt@")[0] for topic in request["params"]])
            for request in self.requests
        ]

    def send(self, *frames):
        async def body():
            for text in frames:
                await self.connections[-1].send(text)

        self.call(body())

    def quote_all(self, update_id):
        self.send(*(frame(symbol, update_id) for symbol in SYMBOLS))

    def cut(self):
        """End the last connection without a word."""
        self.loop.call_soon_threadsafe(self.connections[-1].transport.abort)

    def close(self):
        async def body():
            self.server.close()
            await self.server.wait_closed()

        self.call(body())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def exchange():
    exchange = Exchange()
    yield exchange
    exchange.close()


@pytest.fixture
def make_programs(make_config):
    made = []

    def make(port, **overrides):
        keys = {
            "sim.ws_base": f"ws://127.0.0.1:{port}",
            "feed.retry_base_ms": 20,
            "feed.retry_cap_s": 0.05,
            "exchanges.binance.spot.topics_per_message": 2,
            "exchanges.binance.spot.messages_per_s": 5.0,
        }
        programs = Programs(make_config(keys | overrides), is_sim=True)
        made.append(programs)
        create_regions(programs.config.shm)
        write_small_universe(programs.config)
        return programs

    yield make
    for programs in made:
        programs.close()


@pytest.fixture
def programs(make_programs, exchange):
    return make_programs(exchange.port)


@pytest.fixture
def store(programs):
    regions = attach_regions(programs.config.shm, reads=[RegionKind.PRICES], writes=(), timeout_s=0)
    return regions.prices


def counters(programs):
    return programs.slot(FEED).counters


def until_counted(programs, counter, value):
    until(lambda: counters(programs)[counter] == value, f"{counter.name} = {value}")


def flags(store):
    slots = np.array([slot_of(SOURCE, symbol) for symbol in range(3)], np.int32)
    return store.read_many(slots)[0]["flags"].tolist()


def start_live(programs, exchange):
    """Start a feed and bring all its symbols to life."""
    connections = len(exchange.connections)
    process = programs.start(FEED)
    until(lambda: len(exchange.connections) > connections, "the feed's connection")
    exchange.quote_all(1)
    until_counted(programs, FeedCounter.SYMBOLS_LIVE, 3)
    return process


def test_feed_is_ready_with_its_first_price_and_not_before(programs, exchange):
    programs.start(FEED)
    until(exchange.subscribed, "the subscription")
    connected = programs.slot(FEED).state

    exchange.send(frame("BTCUSDT", 1))

    until(lambda: programs.slot(FEED).state is ProcessState.RUNNING, "the ready feed")
    assert connected is ProcessState.STARTING


def test_feed_of_a_silent_exchange_is_ready_when_a_first_price_is_overdue(make_programs, exchange):
    programs = make_programs(exchange.port, **{"feed.first_data_s": 0.3})
    programs.start(FEED)

    until(lambda: programs.slot(FEED).state is ProcessState.RUNNING, "the ready feed")
    assert counters(programs)[FeedCounter.SYMBOLS_LIVE] == 0


def test_feed_subscribes_to_its_universe_in_batches_and_comes_alive(programs, exchange, store):
    start_live(programs, exchange)

    until(lambda: len(exchange.subscribed()) == 3, "all subscriptions")
    assert [len(request["params"]) for request in exchange.requests] == [2, 1]
    assert sorted(exchange.subscribed()) == [f"{name.lower()}@bookTicker" for name in SYMBOLS]
    assert flags(store) == [0, 0, 0]
    assert store.source_epoch(SOURCE) == 1
    found = counters(programs)
    assert found[FeedCounter.SYMBOLS_EXPECTED] == 3
    assert found[FeedCounter.CONNECTIONS_OPEN] == 1


def test_cut_connection_makes_its_symbols_unusable_until_they_are_quoted_anew(
    programs, exchange, store
):
    start_live(programs, exchange)

    exchange.cut()
    until_counted(programs, FeedCounter.DISCONNECTS, 1)
    after_the_cut = flags(store)
    until(lambda: len(exchange.connections) == 2, "the next connection")
    before_a_quote = flags(store)
    # Lower ids than before: the exchange may have started anew.
    exchange.quote_all(0)
    until_counted(programs, FeedCounter.SYMBOLS_LIVE, 3)

    assert after_the_cut == before_a_quote == [SlotFlag.DISCONNECTED] * 3
    assert flags(store) == [0, 0, 0]
    assert counters(programs)[FeedCounter.CONNECTS] == 2
    assert counters(programs)[FeedCounter.CONNECTIONS_OPEN] == 1


def test_feed_waits_for_an_exchange_that_is_not_there_yet(make_programs, exchange, tmp_path):
    port = exchange.port
    programs = make_programs(port)
    exchange.call(_stop_listening(exchange))
    notify = NotifySocket(tmp_path / "notify.sock")
    process = programs.start(FEED, NOTIFY_SOCKET=notify.path, WATCHDOG_USEC="400000")
    until(lambda: counters(programs)[FeedCounter.CONNECT_FAILURES] >= 3, "three failures")

    # Trying is its work: systemd has no reason to start it again.
    notify.heard()
    assert notify.next_with("WATCHDOG=1")
    assert notify.next_with("WATCHDOG=1")
    notify.close()
    exchange.server = exchange.call(exchange._listen(port))
    until(lambda: exchange.connections, "a connection")
    exchange.quote_all(1)

    until_counted(programs, FeedCounter.SYMBOLS_LIVE, 3)
    assert process.poll() is None


async def _stop_listening(exchange):
    exchange.server.close()
    await exchange.server.wait_closed()


def test_bad_frames_are_counted_and_the_connection_lives(programs, exchange, store):
    process = start_live(programs, exchange)
    bad = {
        QuoteStatus.BAD_NUMBER: frame("BTCUSDT", 2, "NaN"),
        QuoteStatus.NOT_POSITIVE: frame("BTCUSDT", 2, "-5"),
        QuoteStatus.CROSSED: frame("BTCUSDT", 2, "100.6"),
        QuoteStatus.IMPLAUSIBLE: frame("BTCUSDT", 2, "1e300"),
        QuoteStatus.MALFORMED: frame("BTCUSDT", 2)[:-4],
        QuoteStatus.UNKNOWN_SYMBOL: frame("NOPEUSDT", 2),
        QuoteStatus.OLD_UPDATE: frame("BTCUSDT", 0),
    }

    exchange.send(*bad.values(), frame("ETHUSDT", 9, "99"))
    until(lambda: store.read(slot_of(SOURCE, 1))["bid"] == 99.0, "the good quote")

    found = counters(programs)
    assert {status: found[FeedCounter.REFUSED + status] for status in bad} == dict.fromkeys(bad, 1)
    assert store.read(slot_of(SOURCE, 0))["bid"] == 100.5
    assert len(exchange.connections) == 1
    assert process.poll() is None


def test_silent_connection_is_dropped_and_made_anew(make_programs, exchange):
    programs = make_programs(exchange.port, **{"feed.silence_limit_s": 0.2})
    programs.start(FEED)

    until(lambda: len(exchange.connections) >= 3, "two connections dropped for silence")

    assert counters(programs)[FeedCounter.DISCONNECTS] >= 2


def test_feed_that_is_stopped_gives_its_source_up(programs, exchange, store):
    process = start_live(programs, exchange)

    status, *_ = programs.finish(process)

    assert status == 0
    assert store.source_epoch(SOURCE) == 2
    assert programs.slot(FEED).state is ProcessState.STOPPED


def test_feed_that_waits_for_an_answer_over_rest_ends_without_it(make_programs, exchange):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        rest = f"http://127.0.0.1:{silent.getsockname()[1]}"
        overrides = {"sim.rest_base": rest, "feed.connect_timeout_s": 60.0}
        programs = make_programs(exchange.port, **overrides)
        process = programs.start("feed-binance-futures")
        silent.settimeout(20)
        visitor, _ = silent.accept()
        with visitor:
            assert visitor.recv(1024).startswith(b"GET ")

            status, errors, took_s = programs.finish(process)

    assert status == 0
    assert took_s < 30
    assert "Traceback" not in errors


def test_second_instance_of_a_feed_is_refused_and_disturbs_nothing(programs, exchange, store):
    first = start_live(programs, exchange)

    second = programs.start(FEED)
    _, errors = second.communicate(timeout=20)

    assert second.returncode == 75
    assert errors == f"{FEED}: {FEED}: already running (pid {first.pid})\n"
    assert store.source_epoch(SOURCE) == 1
    assert flags(store) == [0, 0, 0]


def test_killed_feeds_prices_are_retired_by_the_engine_and_the_next_feed_lives(
    programs, exchange, store
):
    programs.start(ENGINE)
    until(lambda: programs.slot(ENGINE).state is ProcessState.RUNNING, "the engine")
    feed = start_live(programs, exchange)

    feed.kill()
    feed.wait(20)
    until(lambda: store.source_epoch(SOURCE) == 2, "an even epoch")
    start_live(programs, exchange)

    assert store.source_epoch(SOURCE) == 3
    assert flags(store) == [0, 0, 0]


@pytest.fixture
def supervisor(programs, tmp_path):
    """Engine and feed under a supervisor; it works while its ``step`` is called."""
    options = ("--config", str(programs.config_file), "--sim")
    parts = [
        Part(
            desired=Desired(name=name),
            command=(sys.executable, "-m", "spreadscan.cli.programs", name, *options),
            health_slot=program_named(name).health_slot,
        )
        for name in (ENGINE, FEED)
    ]
    supervisor = Supervisor(parts, programs.config.shm, tmp_path / "log", Policy(), SystemClock())
    yield supervisor
    supervisor.kill_all()
    until(lambda: supervisor.step() or supervisor.is_finished, "the end of the children")


def test_killed_feed_is_unusable_within_50_ms_of_its_death_and_back_within_5_s(
    programs, supervisor, exchange, store
):
    run_dir = programs.config.path(programs.config.runtime.run_dir)
    unusable_s, back_s = [], []

    def is_connected(connections):
        supervisor.step()
        return len(exchange.connections) == connections

    def bring_to_life(connections):
        until(lambda: is_connected(connections), "the feed's connection")
        exchange.quote_all(1)
        until(lambda: flags(store) == [0, 0, 0], "usable quotes")

    bring_to_life(1)
    # The best of some: a machine that is busy otherwise is not what is measured.
    for number in range(6):
        until(lambda: supervisor.step() or supervisor.is_ready, "engine and feed")
        epoch = store.source_epoch(SOURCE)
        os.kill(supervisor.pid(FEED), signal.SIGKILL)
        while is_lock_held(run_dir, FEED):
            time.sleep(0.0005)
        died_s = time.monotonic()
        until(lambda epoch=epoch: store.source_epoch(SOURCE) == epoch + 1, "the retirement")
        unusable_s.append(time.monotonic() - died_s)
        bring_to_life(number + 2)
        back_s.append(time.monotonic() - died_s)
        if min(unusable_s) <= 0.05 and min(back_s) <= 5.0:
            break

    assert min(unusable_s) <= 0.05
    assert min(back_s) <= 5.0


def test_hanging_feeds_prices_are_unusable_until_it_beats_again(make_programs, exchange, store):
    programs = make_programs(
        exchange.port, **{"engine.feed_silence_ms": 100, "runtime.heartbeat_interval_ms": 20}
    )
    programs.start(ENGINE)
    until(lambda: programs.slot(ENGINE).state is ProcessState.RUNNING, "the engine")
    feed = start_live(programs, exchange)

    feed.send_signal(signal.SIGSTOP)
    until(lambda: store.slots.living_epoch(SOURCE) == 0, "a source that nobody believes")
    owned_meanwhile = store.source_epoch(SOURCE)
    feed.send_signal(signal.SIGCONT)
    until(lambda: store.slots.living_epoch(SOURCE) == owned_meanwhile, "a source that is back")

    assert owned_meanwhile == 1


def test_feed_wakes_the_engine_also_after_the_engine_was_killed(make_programs, exchange):
    programs = make_programs(exchange.port, **{"engine.wait": "eventfd"})
    engine = programs.start(ENGINE)
    until(lambda: programs.slot(ENGINE).state is ProcessState.RUNNING, "the engine")
    start_live(programs, exchange)
    update_id = 2

    def woken_more_often_than(before):
        nonlocal update_id
        update_id += 1
        exchange.quote_all(update_id)
        return counters(programs)[FeedCounter.WAKEUPS] > before

    until(lambda: woken_more_often_than(0), "a wake-up of the first engine")
    engine.kill()
    engine.wait(20)
    successor = programs.start(ENGINE)
    until(lambda: programs.slot(ENGINE).pid == successor.pid, "the second engine")
    before = counters(programs)[FeedCounter.WAKEUPS]

    until(lambda: woken_more_often_than(before + 5), "wake-ups of the second engine")


def reload(programs, process, coins, generation=2):
    write_small_universe(programs.config, coins, generation)
    process.send_signal(signal.SIGHUP)
    until(lambda: programs.slot(FEED).universe_generation == generation, "the new universe")


def test_new_universe_changes_what_is_subscribed_and_nothing_else(programs, exchange, store):
    process = start_live(programs, exchange)
    until(lambda: len(exchange.subscribed()) == 3, "all subscriptions")
    before = store.read(slot_of(SOURCE, 0))

    # ETH goes, SOL gets its id, XRP comes.
    reload(programs, process, ["BTC", "SOL", "XRP"])
    reloaded = flags(store)
    until(lambda: len(exchange.requests) == 4, "the difference")
    exchange.send(frame("ETHUSDT", 2), frame("XRPUSDT", 2), frame("SOLUSDT", 2, "77"))
    until_counted(programs, FeedCounter.SYMBOLS_LIVE, 3)

    assert reloaded == [0, SlotFlag.UNSUBSCRIBED, SlotFlag.UNSUBSCRIBED]
    assert exchange.asked()[2:] == [("UNSUBSCRIBE", ["eth"]), ("SUBSCRIBE", ["xrp"])]
    assert store.read(slot_of(SOURCE, 0)) == before
    assert store.read(slot_of(SOURCE, 1))["bid"] == 77.0
    assert store.source_epoch(SOURCE) == 1
    found = counters(programs)
    assert found[FeedCounter.REFUSED + QuoteStatus.UNKNOWN_SYMBOL] == 1
    assert found[FeedCounter.CONNECTS] == 1
    assert programs.slot(FEED).status == "3 symbols on 1 connections"


def test_feed_without_symbols_waits_for_a_universe_that_has_some(programs, exchange, store):
    write_small_universe(programs.config, [])
    process = programs.start(FEED)
    until(lambda: programs.slot(FEED).state is ProcessState.RUNNING, "the feed")

    reload(programs, process, ["BTC", "ETH", "SOL"])
    until(lambda: exchange.connections, "a connection")
    exchange.quote_all(1)
    until_counted(programs, FeedCounter.SYMBOLS_LIVE, 3)
    reload(programs, process, [], generation=3)
    until_counted(programs, FeedCounter.CONNECTIONS_OPEN, 0)

    assert all(flag & SlotFlag.UNSUBSCRIBED for flag in flags(store))
    assert counters(programs)[FeedCounter.SYMBOLS_EXPECTED] == 0
    assert programs.slot(FEED).status == "0 symbols on 0 connections"
    assert programs.finish(process)[0] == 0


def test_command_whose_universe_the_kernel_refuses_is_not_obeyed(programs, exchange):
    process = start_live(programs, exchange)
    regions = attach_regions(
        programs.config.shm, reads=(), writes=[RegionKind.CONTROL], timeout_s=0
    )
    control = ControlWriter(regions.control)
    write_small_universe(programs.config, ["BTC", "X" * 45], 2)

    refused = control.ask_for_reload()
    until(lambda: "universe 2 refused: " in programs.slot(FEED).status, "the refusal")
    exchange.quote_all(2)
    until_counted(programs, FeedCounter.QUOTES, 6)
    after_refusal = programs.slot(FEED)
    write_small_universe(programs.config, ["BTC", "ETH", "SOL"], 3)
    taken = control.ask_for_reload()
    until(lambda: programs.slot(FEED).obeyed_generation == taken, "the next reload")

    assert after_refusal.obeyed_generation < refused
    assert after_refusal.universe_generation == 1
    assert programs.slot(FEED).universe_generation == 3
    assert process.poll() is None


def test_universe_that_the_kernel_refuses_leaves_the_feed_as_it_was(programs, exchange, store):
    process = start_live(programs, exchange)
    write_small_universe(programs.config, ["BTC", "X" * 45], 2)

    process.send_signal(signal.SIGHUP)
    until(lambda: "universe 2 refused: " in programs.slot(FEED).status, "the refusal")
    in_use = programs.slot(FEED).universe_generation
    exchange.quote_all(2)
    until(lambda: store.read(slot_of(SOURCE, 2))["update_id"] == 2, "the next quotes")
    reload(programs, process, ["BTC", "ETH", "SOL"], generation=3)
    until(lambda: "refused" not in programs.slot(FEED).status, "the trouble's end")

    assert in_use == 1
    assert len(exchange.connections) == 1
    assert "UNSUBSCRIBE" not in dict(exchange.asked())
    assert programs.finish(process)[0] == 0
