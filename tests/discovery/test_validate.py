"""Validation over real sockets: all simulated exchanges at once, and their faults."""

import asyncio
import contextlib
import socket

import msgspec
import orjson
import pytest
import websockets
from validation_cases import PATIENCE_S, Recorder, until

from spreadscan.config import load_config
from spreadscan.discovery.validate import Job, probe_settings, validate_all, validate_source
from spreadscan.exchanges import source_named, sources
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.trust import Trust
from spreadscan.sim.faults import Fault
from spreadscan.sim.process import SYSTEM_CLOCK
from spreadscan.sim.scenario import Scenario
from spreadscan.sim.simulation import Simulation, SimulationSettings
from spreadscan.sim.tls import server_context
from spreadscan.sim.world import build_venues, listed_symbols

ALL = ("binance", "bybit", "okx", "mexc")
SHORT_S, ENDLESS_S = 1.0, 600.0
"""Windows: one that a test can wait for, and one that must not be waited for."""
ROUND_S = 0.05


class World:
    """Simulated exchanges that quote every symbol many times a second, and their clients."""

    def __init__(self, config, simulation, settings):
        self.config = config
        self.simulation = simulation
        self.settings = settings
        self.report = Recorder()

    def symbols(self, source):
        (venue,) = (venue for venue in self.simulation.venues if venue.source == source)
        return [listing.exchange_symbol for listing in venue.listings]

    def job(self, source, ws_url=None):
        url = ws_url or f"{self.simulation.ws_url}/{source.name}"
        market = msgspec.structs.replace(self.config.market(source), ws_url=url)
        legs = [(symbol, row, 1.0, 1.0) for row, symbol in enumerate(self.symbols(source.name))]
        return Job(source, market, legs)

    async def validate(self, *names, elsewhere=()):
        """Validate these sources, or all; *elsewhere* gives (source, other address)."""
        moved = dict(elsewhere)
        chosen = [source for source in sources().values() if not names or source.name in names]
        jobs = [self.job(source, moved.get(source.name)) for source in chosen]
        return await asyncio.wait_for(validate_all(jobs, self.settings, self.report), PATIENCE_S)

    def overruns(self):
        return self.simulation.report()["overrun_events"]

    def connections(self, source):
        return self.simulation.servers.ledgers[source].connections


@pytest.fixture
def unused_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def in_world(make_config):
    """Run an async test body beside simulated exchanges."""

    def run(body, *faults, window_s, symbols=20, tls=None, trust=None, **keys):
        quick = {"feed.retry_base_ms": 20, "exchanges.mexc.futures.messages_per_s": 100.0}
        named = {key.replace("__", "."): value for key, value in keys.items()}
        config = load_config(
            make_config(quick | {"discovery.validate_window_s": window_s} | named), is_sim=True
        )
        settings = probe_settings(config, SystemClock())
        if trust is not None:
            settings = msgspec.structs.replace(settings, trust=trust)

        async def life():
            simulation = Simulation(
                SimulationSettings(
                    rest_base="http://127.0.0.1:0",
                    ws_base="ws://127.0.0.1:0",
                    exchanges=ALL,
                    symbols=symbols,
                    scenario=Scenario(fault=tuple(Fault(**fault) for fault in faults)),
                ),
                SYSTEM_CLOCK,
                tls,
            )
            await simulation.listen()
            quoting = asyncio.create_task(quote(simulation))
            try:
                await body(World(config, simulation, settings))
            finally:
                quoting.cancel()
                await asyncio.wait([quoting])
                await simulation.close()

        asyncio.run(life())

    return run


async def quote(simulation):
    """Let time pass, and let every symbol quote in every round."""
    while True:
        simulation.tick()
        simulation.hub.publish(range(len(simulation.listings)), SYSTEM_CLOCK.monotonic_s())
        await asyncio.sleep(ROUND_S)


def test_healthy_sources_are_proven_without_waiting_and_within_every_limit(in_world):
    async def body(world):
        found = await world.validate()

        assert list(found) == list(sources())
        for name, validation in found.items():
            assert validation.failure is None
            assert validation.received == set(world.symbols(name))
            assert validation.invalid == {}
            assert validation.connections == world.connections(name)
        assert world.overruns() == []
        assert found["mexc_spot"].connections == 2, "thirty symbols on each"
        assert {counts.received for counts in world.report.counts.values()} == {48}
        assert world.report.ended_sources == dict.fromkeys(sources())

    # More messages and more connects than the exchanges take in a second.
    in_world(
        body,
        window_s=ENDLESS_S,
        symbols=48,
        exchanges__binance__spot__topics_per_message=8,
        exchanges__okx__spot__topics_per_connection=16,
    )


def a_tenth_of(source, symbols):
    """Name every tenth coin in the spelling of a source."""
    venues = build_venues(ALL, symbols, ())
    return [symbol for name, symbol in listed_symbols(venues) if name == source][3::10]


@pytest.mark.parametrize("kind", ["mute", "unknown"])
def test_exactly_the_tenth_that_does_not_answer_is_invalid(in_world, kind):
    # What an exchange does not know it refuses, each in its own way; the first acknowledges it
    # like any other and stays silent.
    async def body(world):
        found = await world.validate()

        assert len(found) == 8
        for name, validation in found.items():
            assert validation.failure is None
            assert sorted(validation.invalid) == sorted(a_tenth_of(name, 30)), name
            assert validation.received == set(world.symbols(name)) - set(validation.invalid)
            reasons = validation.invalid.values()
            if kind == "mute" or name.startswith("binance"):
                assert set(reasons) == {"silent"}
                assert world.report.counts[name].refused == 0
            else:
                assert all(reason.startswith("refused: ") for reason in reasons)
                assert world.report.counts[name].refused == 3
        assert world.overruns() == []

    faults = [
        {"at_s": 0, "kind": kind, "source": source, "symbol": symbol}
        for source in sources()
        for symbol in a_tenth_of(source, 30)
    ]
    in_world(body, *faults, window_s=SHORT_S, symbols=30)


def test_refused_symbols_are_not_waited_for(in_world):
    async def body(world):
        found = await world.validate("bybit_futures", "okx_spot")

        assert list(found["bybit_futures"].invalid) == ["ETHUSDT"]
        assert list(found["okx_spot"].invalid) == ["ETH-USDT"]

    in_world(
        body,
        {"at_s": 0, "kind": "unknown", "source": "bybit_futures", "symbol": "ETHUSDT"},
        {"at_s": 0, "kind": "unknown", "source": "okx_spot", "symbol": "ETH-USDT"},
        window_s=ENDLESS_S,
    )


def test_source_that_is_down_fails_alone(in_world, unused_port):
    async def body(world):
        nowhere = f"ws://127.0.0.1:{unused_port}"
        found = await world.validate(elsewhere=[("okx_spot", nowhere)])

        down = found.pop("okx_spot")
        assert "cannot connect" in down.failure
        assert (down.received, down.invalid, down.connections) == (frozenset(), {}, 0)
        assert world.report.ended_sources["okx_spot"] == down.failure
        assert all(row.failure is None and not row.invalid for row in found.values())

    in_world(body, window_s=SHORT_S)


def test_source_that_accepts_and_sends_nothing_has_failed(in_world):
    async def body(world):
        found = await world.validate("mexc_spot")

        assert found["mexc_spot"].failure.endswith("nothing came")
        assert (found["mexc_spot"].received, found["mexc_spot"].invalid) == (frozenset(), {})
        assert found["mexc_spot"].connections == 2

    in_world(body, {"at_s": 0, "kind": "stall", "source": "mexc_spot"}, window_s=0.3, symbols=40)


def test_connection_that_is_lost_is_opened_again_for_what_is_missing(in_world):
    # Nothing comes before the drop, so only a second connection can bring the quotes.
    async def body(world):
        found = await world.validate("okx_spot", "binance_futures")

        for name, validation in found.items():
            assert validation.received == set(world.symbols(name))
            assert validation.connections == 2
        assert world.overruns() == []

    faults = [
        {"at_s": at_s, "kind": kind, "source": source, "for_s": 0.4}
        for source in ("okx_spot", "binance_futures")
        for kind, at_s in (("stall", 0), ("drop", 0.4))
    ]
    in_world(body, *faults, window_s=ENDLESS_S)


def test_garbage_between_the_quotes_disturbs_nothing(in_world):
    async def body(world):
        found = await world.validate()

        for name, validation in found.items():
            assert validation.received == set(world.symbols(name))
            assert validation.failure is None

    in_world(body, {"at_s": 0, "kind": "garbage", "share": 1.0}, window_s=ENDLESS_S)


def test_certificate_of_a_known_authority_is_believed(in_world, tmp_path):
    file = tmp_path / "ca.pem"

    async def body(world):
        found = await world.validate("okx_spot", "mexc_spot")

        assert all(row.failure is None and not row.invalid for row in found.values())

    in_world(body, window_s=ENDLESS_S, tls=server_context(file), trust=Trust(file))


def test_certificate_of_an_unknown_authority_fails_the_source(in_world, tmp_path):
    async def body(world):
        found = await world.validate("okx_spot")

        assert "CERTIFICATE_VERIFY_FAILED" in found["okx_spot"].failure

    in_world(
        body, window_s=3.0, tls=server_context(tmp_path / "ca.pem"), trust=Trust(None)
    )  # fmt: skip


def test_exchange_that_says_come_back_soon_is_obeyed(in_world):
    async def body(world):
        found = await world.validate("mexc_spot")

        assert found["mexc_spot"].received == set(world.symbols("mexc_spot"))
        assert world.overruns() == [], "nobody came back earlier, or before the first was let in"

    fault = {"at_s": 0, "kind": "418", "source": "mexc_spot", "for_s": 0.5}
    in_world(body, fault, window_s=ENDLESS_S, symbols=64)


def test_exchange_that_says_come_back_much_later_is_left_alone(in_world):
    async def body(world):
        found = await world.validate("mexc_spot")

        assert "status 429, Retry-After 3600 s" in found["mexc_spot"].failure
        assert world.simulation.servers.ledgers["mexc_spot"].connections == 0
        assert world.overruns() == []

    fault = {"at_s": 0, "kind": "429", "source": "mexc_spot", "retry_after_s": 3600}
    in_world(body, fault, window_s=ENDLESS_S, symbols=64)


def test_cancelled_validation_leaves_no_connection_and_no_task(in_world):
    async def body(world):
        before = asyncio.all_tasks()
        task = asyncio.create_task(world.validate())
        await until(lambda: all(world.connections(source) for source in sources()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        ledgers = world.simulation.servers.ledgers.values()
        await until(lambda: not any(ledger.open_connections for ledger in ledgers))
        ours = {
            task for task in asyncio.all_tasks() - before if "spreadscan/discovery" in repr(task)
        }
        assert not ours

    in_world(body, {"at_s": 0, "kind": "stall"}, window_s=ENDLESS_S)


def test_source_without_symbols_is_no_failure(in_world):
    async def body(world):
        source, market, _ = world.job(source_named("okx_spot"))

        found = await validate_source(source, market, [], world.settings, world.report)

        assert (found.failure, found.received, found.invalid) == (None, frozenset(), {})
        assert world.connections("okx_spot") == 0

    in_world(body, window_s=ENDLESS_S)


def test_flood_on_one_source_does_not_hold_up_another(in_world):
    frame = orjson.dumps({"arg": {"channel": "bbo-tbt", "instId": "OTHER"}, "data": []}).decode()

    async def flood(connection):
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await connection.send(frame)

    async def body(world):
        async with websockets.serve(flood, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            elsewhere = [("okx_spot", f"ws://127.0.0.1:{port}")]
            others = {"okx_futures", "bybit_spot", "mexc_spot"}
            task = asyncio.create_task(world.validate("okx_spot", *others, elsewhere=elsewhere))
            await until(lambda: others <= set(world.report.ended_sources))
            assert "okx_spot" not in world.report.ended_sources
            task.cancel()
            await asyncio.wait([task])

    in_world(body, window_s=ENDLESS_S)
