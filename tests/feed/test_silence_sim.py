"""A feed's watch over its simulated exchange; limits a fifth of the shipped ones."""

import asyncio
import contextlib
import json
import logging

import msgspec
import pytest
from aiohttp import web

from spreadscan.feed.rest import RestDoor
from spreadscan.feed.spot_check import SpotCheck
from spreadscan.feed.watch import Watch, silence_limits
from spreadscan.manners.gates import RestGate
from spreadscan.model import SlotFlag
from spreadscan.runtime.clock import SystemClock
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthReader
from spreadscan.sim.faults import Fault
from spreadscan.sim.market import MarketSettings
from spreadscan.sim.process import SYSTEM_CLOCK
from spreadscan.sim.simulation import Simulation, SimulationSettings

SYMBOLS = 8
LIMITS = {
    "connection_silence_s": 1.6,
    "silence_limit_s": 9.0,
    "symbol_silence_s": 1.0,
    "source_silence_s": 2.0,
    "exchange_silence_s": 2.5,
    "first_data_s": 3.0,
    "first_change_s": 3.0,
    "spot_check_interval_s": 0.3,
}

FIFTHS = {"rest_lag_s": 0.8, "settle_s": 0.2}


class Simulated:
    """The simulator of one exchange, REST included, on the feed's own loop."""

    def __init__(self, feed, **market):
        self.feed = feed
        self.name = feed.source.name
        self.settings = SimulationSettings(
            rest_base=feed.config.sim.rest_base,
            ws_base=feed.config.sim.ws_base,
            exchanges=(feed.source.adapter.name,),
            symbols=SYMBOLS,
            market=MarketSettings(
                **{"seed": 3, "rate_hz": 2_000.0, "dislocations_per_s": 0.0} | market
            ),
        )

    @contextlib.asynccontextmanager
    async def serving(self, _port, _tls):
        self.simulation = Simulation(self.settings, SYSTEM_CLOCK)
        await self.simulation.listen()
        stop = asyncio.Event()
        running = asyncio.create_task(self.simulation.run(stop))
        try:
            yield
        finally:
            stop.set()
            await running
            await self.simulation.close()

    def legs(self):
        listed = (
            listing.exchange_symbol
            for venue in self.simulation.venues
            if venue.source == self.name
            for listing in venue.listings
        )
        return [(symbol, number, 1.0, 1.0) for number, symbol in enumerate(sorted(listed))]

    def begin(self, kind, symbol=None, **more):
        """Let a fault begin with the next tick; be true, as a step is."""
        fault = Fault(at_s=0.0, kind=kind, source=self.name, symbol=symbol, **more)
        self.simulation.director._coming.append(fault)
        return True

    def mute(self, *symbols):
        """Suppress the quotes of these symbols and of no others; be true, as a step is."""
        faults = [Fault(at_s=0.0, kind="mute", source=self.name, symbol=row) for row in symbols]
        self.simulation.disturbance.change(faults)
        return True

    @property
    def ledger(self):
        return self.simulation.servers.ledgers[self.name]


class Watched:
    """A feed with its watch."""

    def __init__(self, feed, **limits):
        self.feed = feed
        shared = feed.fleet._shared
        settings = msgspec.structs.replace(feed.config.feed, **LIMITS)
        clock = SystemClock()
        self.log = logging.getLogger("test")
        self.spot_check = SpotCheck(
            source=feed.source,
            interval_s=settings.spot_check_interval_s,
            door=RestDoor(
                rest_url=feed.config.market(feed.source).rest_url,
                timeout_s=2.0,
                gate=RestGate(shared.allowances.rest, clock),
                trust=shared.trust,
                clock=clock,
            ),
            symbols=lambda: shared.ids,
            clock=clock,
            log=self.log,
        )
        self.watch = Watch(
            source=feed.source,
            limits=msgspec.structs.replace(
                silence_limits(settings, feed.source.spec), **FIFTHS | limits
            ),
            fleet=feed.fleet,
            sink=feed.sink,
            spot_check=self.spot_check,
            confirm=feed.sink.confirm,
            prices=feed.regions.prices,
            health=HealthReader(feed.regions.health),
            clock=clock,
            log=self.log,
        )

    def adopt(self, legs):
        self.feed.adopt(legs)
        self.watch.adopt(legs)
        return True

    def run(self, exchange, *steps):
        """Take the steps of `Feed.run` in turn, watching all the while."""

        def watching(step):
            def turn():
                self.watch.turn()
                return step()

            return turn

        async def close():
            await self.spot_check.close()

        self.feed.run(exchange, *map(watching, steps), close)

    def all_live(self):
        return self.feed.live() == {leg[0] for leg in self.feed.legs}

    def dead(self):
        return {leg[0] for leg in self.feed.legs} - self.feed.live()

    def agreed(self, times):
        """A condition: REST was asked so often."""
        answers = set()

        def is_agreed():
            if self.spot_check.answer is not None:
                answers.add(self.spot_check.answer.asked_ns)
            return len(answers) >= times

        return is_agreed


@pytest.fixture
def make_watched(make_feed):
    def make(name, limits=None, **overrides):
        feed = make_feed(name, [], keeps_the_pace=True, **overrides)
        return Watched(feed, **limits or {})

    return make


def count(watched, counter):
    return watched.feed.counter(counter)


def test_stalled_connection_is_made_anew_and_it_alone(make_watched):
    watched = make_watched("okx_spot", topics_per_connection=4)
    exchange = Simulated(watched.feed)
    stalled = []
    others = []

    def stall():
        first, *rest = watched.feed.fleet.connections()
        stalled.extend(first.symbols)
        others.extend(connection.listener for connection in rest)
        return exchange.mute(*stalled)

    watched.run(
        exchange,
        lambda: watched.adopt(exchange.legs()),
        watched.all_live,
        lambda: count(watched, FeedCounter.QUOTES) > 2_000,
        stall,
        # Pings are answered all the while.
        lambda: count(watched, FeedCounter.CONNECTS) > len(others) + 1,
        lambda: watched.dead() == set(stalled),
        exchange.mute,
        watched.all_live,
        lambda: [row.listener for row in watched.feed.fleet.connections()[1:]] == others,
    )

    assert len(stalled) == 4
    assert others
    assert watched.watch.trouble == ""


@pytest.mark.parametrize("name", ["binance_spot", "binance_futures", "okx_futures", "mexc_futures"])
def test_stall_of_a_connection_too_quiet_for_a_rhythm_is_told_by_rest(make_watched, name):
    # So that its pauses say nothing.
    watched = make_watched(name, {"quiet_s": 0.1})
    exchange = Simulated(watched.feed, rate_hz=500.0)

    watched.run(
        exchange,
        lambda: watched.adopt(exchange.legs()),
        watched.all_live,
        lambda: exchange.mute(*(leg[0] for leg in watched.feed.legs)),
        lambda: count(watched, FeedCounter.CONNECTS) > 1,
        exchange.mute,
        watched.all_live,
    )

    assert exchange.simulation.report()["overruns"] == 0


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("bybit_spot", {"repeats_every_s": 0.4}),
        ("okx_futures", {}),
        ("mexc_spot", {}),
        ("binance_futures", {}),
    ],
)
def test_muted_symbol_is_unusable_and_comes_back_with_its_first_quote(make_watched, name, limits):
    # Prices move by percents a second, so that a quote of two seconds ago is wrong.
    watched = make_watched(name, {"max_jump": 0.003, "symbol_s": 1.0} | limits)
    exchange = Simulated(watched.feed, coin_bps=150.0)
    muted = []

    def mute():
        muted.append(watched.feed.legs[2][0])
        return exchange.mute(*muted)

    watched.run(
        exchange,
        lambda: watched.adopt(exchange.legs()),
        watched.all_live,
        mute,
        lambda: watched.dead() == set(muted),
        lambda: watched.feed.stored(muted[0])["flags"] == SlotFlag.DISCONNECTED,
        exchange.mute,
        watched.all_live,
    )

    assert count(watched, FeedCounter.CONNECTS) == len(watched.feed.fleet.connections())
    assert exchange.simulation.report()["overruns"] == 0


def test_quiet_coin_is_not_a_dead_one(make_watched):
    watched = make_watched("binance_spot")
    exchange = Simulated(watched.feed)
    quiet = []

    def fall_quiet():
        quiet.append(watched.feed.legs[1][0])
        row = exchange.simulation.row(exchange.name, quiet[0])
        exchange.simulation.market.mute([row])
        return True

    watched.run(
        exchange,
        lambda: watched.adopt(exchange.legs()),
        watched.all_live,
        fall_quiet,
        watched.agreed(3),
        # One that was taken for dead would not come back.
        watched.all_live,
    )

    assert watched.watch.trouble == ""
    assert count(watched, FeedCounter.CONNECTS) == 1
    assert exchange.ledger.subscribes == 1


def test_delisted_symbol_is_unusable_and_named(make_watched):
    watched = make_watched("okx_spot")
    exchange = Simulated(watched.feed)

    def is_named():
        name = watched.feed.legs[3][0]
        return watched.watch.trouble == f"1 not trading: {name}" and watched.dead() == {name}

    def is_halted():
        flags = int(watched.feed.stored(watched.feed.legs[3][0])["flags"])
        return flags & SlotFlag.HALTED

    watched.run(
        exchange,
        lambda: watched.adopt(exchange.legs()),
        watched.all_live,
        lambda: exchange.begin("delist", watched.feed.legs[3][0]),
        is_named,
        is_halted,
    )


def test_exchange_in_maintenance_is_down_until_it_quotes_again(make_watched):
    watched = make_watched("bybit_futures")
    exchange = Simulated(watched.feed)

    watched.run(
        exchange,
        lambda: watched.adopt(exchange.legs()),
        watched.all_live,
        lambda: exchange.begin("maintenance", for_s=4.5, retry_after_s=1.0),
        lambda: watched.watch.trouble == "exchange down",
        lambda: watched.feed.live() == set(),
        watched.all_live,
        lambda: watched.watch.trouble == "",
    )


def test_format_that_nobody_can_read_is_told_until_it_can_be_read_again(make_watched, monkeypatch):
    monkeypatch.setattr("spreadscan.feed.legible.WINDOW_NS", 500_000_000)
    watched = make_watched("okx_spot")
    exchange = Simulated(watched.feed, rate_hz=200.0)

    def is_told():
        for _ in range(20):
            watched.feed.sink.feed(b'{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"b')
        return watched.watch.trouble == "most frames cannot be read: their format may have changed"

    watched.run(
        exchange,
        lambda: watched.adopt(exchange.legs()),
        watched.all_live,
        is_told,
        lambda: watched.watch.trouble == "",
        watched.all_live,
    )


def test_barred_from_rest_a_quiet_source_lives_on(make_watched):
    watched = make_watched("binance_spot")
    exchange = Simulated(watched.feed)
    rest = watched.feed.fleet._shared.allowances.rest

    def fall_quiet():
        row = exchange.simulation.row(exchange.name, watched.feed.legs[1][0])
        exchange.simulation.market.mute([row])
        return exchange.begin("429", retry_after_s=60.0)

    watched.run(
        exchange,
        lambda: watched.adopt(exchange.legs()),
        watched.all_live,
        fall_quiet,
        lambda: rest.bans == 1,
        lambda: count(watched, FeedCounter.QUOTES) > 3_000,
        watched.all_live,
    )

    assert rest.taken == 1
    assert watched.spot_check.answer is None


def test_jump_is_held_until_rest_has_the_same_price(make_watched, loopback):
    watched = make_watched("binance_spot")
    feed = watched.feed
    asked = []

    async def answer(request):
        asked.append(request.path)
        if "ticker" in request.path:
            return web.json_response([{"symbol": "AUSDT", "bidPrice": "149", "askPrice": "151"}])
        row = {
            "symbol": "AUSDT", "status": "TRADING", "baseAsset": "A", "quoteAsset": "USDT",
            "filters": [],
        }  # fmt: skip
        return web.json_response({"symbols": [row]})

    class Exchange:
        @contextlib.asynccontextmanager
        async def serving(self, port, tls):
            app = web.Application()
            app.router.add_get("/{path:.*}", answer)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            rest_port = int(feed.config.sim.rest_base.rpartition(":")[2])
            await web.TCPSite(runner, "127.0.0.1", rest_port).start()
            acks = loopback(lambda tree: [json.dumps({"result": None, "id": tree["id"]})])
            async with acks.serving(port, tls):
                yield
            await runner.cleanup()

    def quote(number, bid):
        row = {"u": number, "s": "AUSDT", "b": str(bid), "B": "1", "a": str(bid + 2), "A": "1"}
        feed.sink.feed(json.dumps({"stream": "ausdt@bookTicker", "data": row}).encode())
        return True

    watched.run(
        Exchange(),
        lambda: watched.adopt([("AUSDT", 0, 1.0, 1.0)]),
        lambda: feed.counter(FeedCounter.CONNECTIONS_OPEN) == 1,
        lambda: quote(1, 99),
        lambda: quote(2, 149) and not feed.sink.is_live(0),
        lambda: feed.sink.is_live(0),
    )

    assert feed.slot(0)["bid"] == 149.0
    assert asked
