"""Real feeds keep funding true: beside the quotes, over reloads, through trouble and a kill."""

import asyncio
import signal
import threading

import pytest
from program_cases import Programs, until, write_small_universe

from spreadscan.ops.status import status_now
from spreadscan.rawlog import Funded, read_lines, segments_in
from spreadscan.runtime.clock import SystemClock
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.layout import ProcessState, RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions, create_regions
from spreadscan.sim.faults import Fault
from spreadscan.sim.market import MarketSettings
from spreadscan.sim.process import SYSTEM_CLOCK
from spreadscan.sim.simulation import Simulation, SimulationSettings
from spreadscan.sim.venues._funding import funding_of

FEED, SOURCE, SOURCE_ID = "feed-binance-futures", "binance_futures", 1
COINS = ("BTC", "ETH", "SOL")


class World:
    """The simulated exchanges on a thread of their own."""

    def __init__(self, config):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        settings = SimulationSettings(
            rest_base=config.sim.rest_base,
            ws_base=config.sim.ws_base,
            exchanges=("binance", "okx"),
            symbols=6,
            market=MarketSettings(seed=3, rate_hz=500.0),
        )
        self.simulation = Simulation(settings, SYSTEM_CLOCK)
        self.is_over = self.call(self._listen())
        self.running = asyncio.run_coroutine_threadsafe(
            self.simulation.run(self.is_over), self.loop
        )

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    async def _listen(self):
        await self.simulation.listen()
        return asyncio.Event()

    def spoil(self, *faults):
        async def body():
            self.simulation.servers.rest.spoil(
                [Fault(at_s=0, answers="funding", **fault) for fault in faults]
            )

        self.call(body())

    @property
    def venue(self):
        return next(venue for venue in self.simulation.venues if venue.source == SOURCE)

    def truth(self, coin):
        listing = next(row for row in self.venue.listings if row.coin.name == coin)
        return funding_of(self.venue, listing, SYSTEM_CLOCK.wall_ms())

    def close(self):
        async def body():
            self.is_over.set()
            await asyncio.wrap_future(self.running)
            await self.simulation.close()

        self.call(body())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def programs(make_config):
    keys = {
        "feed.retry_base_ms": 20,
        "feed.retry_cap_s": 0.05,
        "feed.funding_interval_s": 1.0,
        "record.enabled": True,
        "record.dir": "record",
        "record.min_free_mib": 0,
        "exchanges.binance.futures.rest_requests_per_s": 50,
    }
    programs = Programs(make_config(keys), is_sim=True)
    create_regions(programs.config.shm)
    write_small_universe(programs.config, COINS)
    yield programs
    programs.close()


@pytest.fixture
def world(programs):
    world = World(programs.config)
    yield world
    world.close()


@pytest.fixture
def table(programs):
    regions = attach_regions(
        programs.config.shm, reads=[RegionKind.FUNDING], writes=(), timeout_s=0
    )
    return regions.funding


@pytest.fixture
def record(table):
    def read(symbol_id):
        return until(lambda: table.read(slot_of(SOURCE_ID, symbol_id)), "a stable record")

    return read


@pytest.fixture
def is_true(record, world):
    """Whether the records of some coins are what the exchange knows now."""

    def look(*coins):
        for symbol_id, coin in enumerate(coins):
            found, truth = record(symbol_id), world.truth(coin)
            told = (found["rate"], found["interval_s"], found["next_settlement_ms"])
            if not found["received_ns"] or told != (truth.rate, truth.hours * 3600, truth.next_ms):
                return False
        return True

    return look


def count(programs, counter):
    return programs.slot(FEED).counters[counter]


def operators_view(programs):
    feeds = status_now(programs.config, SystemClock(), with_details=True).feeds
    return next(feed for feed in feeds if feed.source == SOURCE)


def test_feed_writes_funding_beside_its_quotes(programs, world, is_true, record):
    process = programs.start(FEED)

    until(lambda: is_true(*COINS), "the funding")
    until(lambda: count(programs, FeedCounter.SYMBOLS_LIVE) == 3, "the quotes")

    seen = operators_view(programs)
    assert (seen.funding.known, seen.funding.missing, seen.funding.failures) == (3, 0, 0)
    assert "funding" not in seen.status
    # An id that nobody has.
    assert record(3)["received_ns"] == 0
    assert programs.finish(process)[0] == 0
    assert world.simulation.report()["overruns"] == 0


def test_recording_holds_what_the_exchange_told(programs, world, is_true, record):
    process = programs.start(FEED)
    until(lambda: is_true(*COINS), "the funding")
    found = {number: record(number) for number in range(3)}
    assert programs.finish(process)[0] == 0

    root = programs.config.path(programs.config.record.dir) / SOURCE
    lines = [line for _, file in segments_in(root) for line in read_lines(file)]
    notes = [line for line in lines if isinstance(line.content, Funded)]

    assert notes
    assert {row.symbol_id for row in notes[0].content.rows} == set(found)
    for row in notes[0].content.rows:
        known = found[row.symbol_id]
        told = (row.rate, row.interval_s, row.next_settlement_ms)
        assert told == (known["rate"], known["interval_s"], known["next_settlement_ms"])
    # The moment of asking, by both clocks.
    asked_ns = notes[0].time_ns - notes[0].content.age_ns - lines[0].content.offset_ns
    assert asked_ns <= found[0]["received_ns"]


def test_trouble_is_told_and_leaves_the_records_with_their_age(programs, world, is_true, record):
    programs.start(FEED)
    until(lambda: is_true(*COINS), "the funding")

    world.spoil({"kind": "html"})
    until(lambda: count(programs, FeedCounter.FUNDING_FAILURES) > 0, "a failure")
    old_ns = record(0)["received_ns"]
    seen = until(
        lambda: (seen := operators_view(programs)).status.startswith("funding: ") and seen,
        "the trouble in the status",
    )
    until(lambda: count(programs, FeedCounter.FUNDING_FAILURES) > 1, "another failure")

    assert record(0)["received_ns"] == old_ns
    assert is_true(*COINS)
    assert seen.state == "running"
    assert count(programs, FeedCounter.SYMBOLS_LIVE) == 3

    world.spoil()
    until(lambda: record(0)["received_ns"] > old_ns, "a new record")
    until(lambda: "funding" not in operators_view(programs).status, "a status without trouble")


def test_reload_takes_back_what_is_gone_and_asks_for_what_is_new(programs, world, is_true, record):
    process = programs.start(FEED)
    until(lambda: is_true(*COINS), "the funding")

    # Another coin under BTC's number, too: no record may outlive its symbol.
    write_small_universe(programs.config, ("XRP",), generation=2)
    process.send_signal(signal.SIGHUP)

    until(lambda: programs.slot(FEED).universe_generation == 2, "the second universe")
    until(lambda: is_true("XRP"), "the funding of the new one")
    assert [record(number)["received_ns"] for number in (1, 2)] == [0, 0]
    assert count(programs, FeedCounter.FUNDING_KNOWN) == 1


def test_dead_feed_leaves_its_records_and_the_next_one_begins_anew(
    programs, world, is_true, record
):
    process = programs.start(FEED)
    until(lambda: is_true(*COINS), "the funding")
    programs.finish(process, signal.SIGKILL)

    left = [record(number) for number in range(3)]
    seen = operators_view(programs)
    assert (seen.state, seen.funding.known) == ("dead", 3)
    assert seen.funding.oldest_age_s > 0

    world.spoil({"kind": "error_body"})
    programs.start(FEED)
    until(lambda: programs.slot(FEED).state is ProcessState.RUNNING, "the second feed")
    until(lambda: count(programs, FeedCounter.FUNDING_FAILURES) > 0, "a failure")
    # Under these numbers there may be other symbols by now.
    assert [record(number)["received_ns"] for number in range(3)] == [0, 0, 0]

    world.spoil()
    until(lambda: is_true(*COINS), "the funding again")
    assert all(record(n)["received_ns"] > row["received_ns"] for n, row in enumerate(left))


def test_spot_feed_asks_about_no_funding(programs, world):
    programs.start("feed-okx-spot")
    until(
        lambda: programs.slot("feed-okx-spot").counters[FeedCounter.SYMBOLS_LIVE] == 3, "the quotes"
    )

    assert programs.slot("feed-okx-spot").counters[FeedCounter.FUNDING_ANSWERS] == 0
    assert world.simulation.servers.ledgers["okx_spot"].rest_requests == 0
