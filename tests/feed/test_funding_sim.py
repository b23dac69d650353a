"""Every exchange's funding, from the simulated exchange through real sockets into shared memory."""

import asyncio
import logging

import msgspec
import pytest
from simulated_cases import Simulated

from spreadscan.exchanges import sources
from spreadscan.exchanges._adapter import FundingRefused
from spreadscan.feed.funding import FundingRefresh
from spreadscan.feed.funding_book import FundingPace
from spreadscan.feed.rest import RestDoor
from spreadscan.manners.gates import RestGate
from spreadscan.model import RawFunding
from spreadscan.runtime.clock import SystemClock
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.governor import Allowance, Budget, private_words
from spreadscan.shm.health import HealthReader
from spreadscan.shm.price_store import slot_of
from spreadscan.sim.faults import Fault
from spreadscan.sim.gate import Refusal
from spreadscan.sim.venues._funding import funding_of

PERPETUALS = sorted(name for name, source in sources().items() if source.spec.funding)
PATIENCE_S = 20.0
COINS = 9


class Refresh:
    """A refresher of one source against its simulated exchange, on one loop."""

    def __init__(self, feed, exchange, *, keeps_the_pace=False, **pace):
        self.feed = feed
        self.keeps_the_pace = keeps_the_pace
        self.exchange = exchange
        self.pace = FundingPace(**{"interval_s": 0.05, "settle_delay_s": 1.0} | pace)
        self.refresh = None
        self.notes = []

    def run(self, body):
        async def life():
            async with self.exchange.serving(self.feed.port, None):
                clock, shared = SystemClock(), self.feed.fleet._shared
                allowance = shared.allowances.rest
                if not self.keeps_the_pace:
                    allowance = Allowance(private_words(), 0, Budget(count=1000, window_s=1.0))
                self.refresh = FundingRefresh(
                    source=self.feed.source,
                    pace=self.pace,
                    door=RestDoor(
                        rest_url=f"{self.exchange.simulation.rest_url}/{self.feed.source.name}",
                        timeout_s=5.0,
                        gate=RestGate(allowance, clock),
                        trust=shared.trust,
                        clock=clock,
                    ),
                    table=self.feed.regions.funding,
                    health=shared.health,
                    note=lambda rows, asked_ns: self.notes.append((rows, asked_ns)),
                    clock=clock,
                    chance=lambda: 0.0,
                    log=logging.getLogger("test"),
                )
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        await body(self)
                finally:
                    await self.refresh.close()

        asyncio.run(life())

    def adopt(self, first, last):
        every = enumerate(sorted(self.exchange.listings()), start=100)
        ids = {symbol: number for number, symbol in list(every)[first:last]}
        self.refresh.adopt(ids)
        return ids

    async def until(self, condition):
        while not condition():
            self.refresh.turn()
            await asyncio.sleep(0.002)

    async def answered(self, more=1, counter=FeedCounter.FUNDING_ANSWERS):
        wanted = self.count(counter) + more
        await self.until(lambda: self.count(counter) >= wanted)

    def count(self, counter):
        return (
            HealthReader(self.feed.regions.health)
            .slot(self.feed.source.source_id)
            .counters[counter]
        )

    def record(self, symbol_id):
        found = self.feed.regions.funding.read(slot_of(self.feed.source.source_id, symbol_id))
        assert found is not None
        return found

    def is_true(self, ids):
        """Whether every record is what the exchange knows; a settlement may come in between."""
        venue = next(
            v for v in self.exchange.simulation.venues if v.source == self.feed.source.name
        )
        listings = {listing.exchange_symbol: listing for listing in venue.listings}
        now_ms = SystemClock().wall_ns() // 1_000_000
        for symbol, symbol_id in ids.items():
            record = self.record(symbol_id)
            late_ms = 10_000 if self.feed.source.name.startswith("mexc") else 0
            truth = funding_of(venue, listings[symbol], now_ms - late_ms)
            told = (record["rate"], record["interval_s"], record["next_settlement_ms"])
            if told != (pytest.approx(truth.rate, abs=1e-12), truth.hours * 3600, truth.next_ms):
                return False
        return True

    def spoil(self, *faults):
        self.exchange.simulation.servers.rest.spoil(
            [Fault(at_s=0, answers="funding", **fault) for fault in faults]
        )


@pytest.fixture
def refresh_of(make_feed):
    def make(name, **pace):
        feed = make_feed(name, [], keeps_the_pace=True)
        return Refresh(feed, Simulated(feed.source, symbols=COINS), **pace)

    return make


@pytest.mark.parametrize("name", PERPETUALS)
def test_records_are_what_the_exchange_knows_within_its_limits(refresh_of, name):
    refresh = refresh_of(name, keeps_the_pace=True)

    async def body(refresh):
        ids = refresh.adopt(0, COINS)
        await refresh.until(lambda: refresh.count(FeedCounter.FUNDING_KNOWN) == COINS)
        await refresh.until(lambda: refresh.is_true(ids))
        rows, asked_ns = refresh.notes[-1]
        first_ns = refresh.record(100)["received_ns"]
        assert (len(rows), asked_ns) == (COINS, first_ns)
        await refresh.until(lambda: refresh.record(100)["received_ns"] > first_ns)

        assert first_ns > 0
        assert refresh.refresh.trouble == ""
        assert refresh.count(FeedCounter.FUNDING_MISSING) == 0
        assert refresh.exchange.ledger().overruns == {}

    refresh.run(body)


@pytest.mark.parametrize("name", PERPETUALS)
def test_interval_that_the_exchange_changes_is_changed(refresh_of, name):
    refresh = refresh_of(name)

    async def body(refresh):
        ids = refresh.adopt(0, COINS)
        await refresh.until(lambda: refresh.is_true(ids))
        venue = next(v for v in refresh.exchange.simulation.venues if v.source == name)
        venue.hourly = set(ids)
        await refresh.until(lambda: refresh.is_true(ids))

        assert {refresh.record(number)["interval_s"] for number in ids.values()} == {3600.0}

    refresh.run(body)


def test_symbols_that_are_gone_are_taken_back_and_new_ones_are_asked_for_at_once(refresh_of):
    refresh = refresh_of("okx_futures", interval_s=3600.0)

    async def body(refresh):
        refresh.adopt(0, 4)
        await refresh.answered()
        ids = refresh.adopt(2, 6)
        gone = [refresh.record(number)["received_ns"] for number in (100, 101)]
        stays = refresh.record(102)["received_ns"]
        assert gone == [0, 0]
        assert stays > 0
        assert refresh.count(FeedCounter.FUNDING_KNOWN) == 2

        # An hour would be the interval.
        await refresh.answered()

        assert refresh.is_true(ids)
        assert refresh.count(FeedCounter.FUNDING_KNOWN) == 4

    refresh.run(body)


def test_what_an_earlier_feed_left_is_taken_back_and_other_sources_are_let_alone(refresh_of):
    refresh = refresh_of("okx_futures")
    table, own = refresh.feed.regions.funding, refresh.feed.source.source_id
    left = {"rate": 0.01, "interval_s": 3600.0, "next_settlement_ms": 1, "received_ns": 1}
    for slot in (slot_of(own, 7), slot_of(own + 1, 7), slot_of(own - 1, 7)):
        table.write(slot, **left)

    async def body(refresh):
        assert refresh.record(7)["received_ns"] == 0
        others = [table.read(slot_of(source, 7))["received_ns"] for source in (own - 1, own + 1)]
        assert others == [1, 1]

    refresh.run(body)


def test_source_without_perpetuals_asks_nothing_and_writes_nothing(refresh_of):
    refresh = refresh_of("okx_spot")
    slot = slot_of(refresh.feed.source.source_id, 7)
    refresh.feed.regions.funding.write(
        slot, rate=0.0, interval_s=0.0, next_settlement_ms=0, received_ns=9
    )

    async def body(refresh):
        refresh.adopt(0, COINS)
        for _ in range(20):
            refresh.refresh.turn()
            await asyncio.sleep(0.002)
        assert refresh.exchange.ledger().rest_requests == 0
        assert refresh.record(7)["received_ns"] == 9

    refresh.run(body)


@pytest.mark.parametrize("name", PERPETUALS)
@pytest.mark.parametrize("kind", ["html", "error_body", "empty_list"])
def test_answer_that_is_none_leaves_the_records_with_their_age_and_is_told(refresh_of, name, kind):
    refresh = refresh_of(name)

    async def body(refresh):
        ids = refresh.adopt(0, COINS)
        await refresh.until(lambda: refresh.is_true(ids))
        refresh.spoil({"kind": kind})
        await refresh.answered(2, FeedCounter.FUNDING_FAILURES)
        old_ns = refresh.record(100)["received_ns"]
        await refresh.answered(2, FeedCounter.FUNDING_FAILURES)

        assert refresh.record(100)["received_ns"] == old_ns
        assert refresh.is_true(ids)
        assert refresh.refresh.trouble.startswith("funding: ")
        refresh.spoil()
        await refresh.answered()
        assert refresh.record(100)["received_ns"] > old_ns
        assert refresh.refresh.trouble == ""

    refresh.run(body)


@pytest.mark.parametrize("name", PERPETUALS)
def test_half_a_list_renews_its_half_and_falsifies_nothing(refresh_of, name):
    refresh = refresh_of(name)

    async def body(refresh):
        ids = refresh.adopt(0, COINS)
        await refresh.until(lambda: refresh.is_true(ids))
        refresh.spoil({"kind": "half_list"})
        await refresh.answered(2)
        before = {number: refresh.record(number)["received_ns"] for number in ids.values()}
        await refresh.answered(2)
        renewed = [
            number for number in before if refresh.record(number)["received_ns"] > before[number]
        ]

        # The exchange lists strangers too, so half of the list may still have all of ours.
        assert refresh.count(FeedCounter.FUNDING_MISSING) == COINS - len(renewed)
        assert refresh.count(FeedCounter.FUNDING_KNOWN) == COINS
        assert refresh.is_true(ids)

    refresh.run(body)


def test_who_is_told_to_ask_less_asks_no_more(refresh_of):
    refresh = refresh_of("bybit_futures")

    async def body(refresh):
        ids = refresh.adopt(0, COINS)
        await refresh.until(lambda: refresh.is_true(ids))
        servers = refresh.exchange.simulation.servers
        servers.refuse({refresh.feed.source.name: Refusal(429, float("inf"), 3600)})
        await refresh.answered(1, FeedCounter.FUNDING_FAILURES)
        asked = refresh.exchange.ledger().rest_requests
        for _ in range(50):
            refresh.refresh.turn()
            await asyncio.sleep(0.002)

        assert refresh.exchange.ledger().rest_requests == asked
        assert "rest_while_banned_s" not in refresh.exchange.ledger().overruns
        assert "429" in refresh.refresh.trouble
        assert refresh.is_true(ids)

    refresh.run(body)


def declare(refresh, parse):
    """Let the exchange's answers mean something else."""
    source = refresh.feed.source
    funding = msgspec.structs.replace(source.spec.funding, parse=parse)
    source.spec = msgspec.structs.replace(source.spec, funding=funding)


def told(symbol):
    return RawFunding(exchange_symbol=symbol, rate=0.0002, interval_s=3600.0)


def test_rows_that_cannot_be_used_are_counted_when_they_may_be_ours(refresh_of):
    refresh = refresh_of("okx_futures")
    rows = [
        FundingRefused("BNB-USDT-SWAP", "no rate"), FundingRefused("STRANGER", "no rate"),
        FundingRefused("", "no row"), told("BTC-USDT-SWAP"), told("STRANGER"),
    ]  # fmt: skip
    declare(refresh, lambda _bodies: iter(rows))

    async def body(refresh):
        ids = refresh.adopt(0, COINS)
        await refresh.answered()
        refused, answers = (
            refresh.count(counter)
            for counter in (FeedCounter.FUNDING_ROWS_REFUSED, FeedCounter.FUNDING_ANSWERS)
        )

        assert refused == 2 * answers
        assert refresh.record(ids["BTC-USDT-SWAP"])["rate"] == 0.0002
        assert refresh.record(ids["BNB-USDT-SWAP"])["received_ns"] == 0
        assert refresh.count(FeedCounter.FUNDING_MISSING) == COINS - 1

    refresh.run(body)


def test_universe_that_comes_between_two_rows_is_the_one_that_counts(refresh_of):
    refresh = refresh_of("okx_futures", interval_s=3600.0)
    adopted = []

    def parse(_bodies):
        symbols = sorted(refresh.exchange.listings())
        for number, symbol in enumerate(symbols * 8):
            if number == 8 * COINS // 2 and not adopted:
                adopted.append(refresh.adopt(3, COINS))
            yield told(symbol)

    declare(refresh, parse)

    async def body(refresh):
        refresh.adopt(0, 6)
        await refresh.answered()
        first = refresh.notes[0][0]
        # Those that came were asked for once more, and not after an hour.
        await refresh.answered()

        assert {row.symbol_id for row in first} <= set(adopted[0].values())
        assert [refresh.record(number)["received_ns"] > 0 for number in range(100, 109)] == (
            [False] * 3 + [True] * 6
        )

    refresh.run(body)


def test_loop_turns_while_an_answer_is_slow_and_the_end_waits_for_none(refresh_of):
    refresh = refresh_of("mexc_futures")

    async def body(refresh):
        refresh.adopt(0, COINS)
        refresh.spoil({"kind": "slow_rest", "delay_ms": 60_000})
        asked = refresh.exchange.ledger().rest_requests
        await refresh.until(lambda: refresh.exchange.ledger().rest_requests > asked)

        await asyncio.wait_for(refresh.refresh.close(), 5.0)

    refresh.run(body)
